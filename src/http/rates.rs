//! How often one caller may ask: an account with all its tokens together, an address without one. Each has a bucket
//! that holds a minute's requests and fills up steadily. Kept in memory on purpose, like failed log-ins: it is no state
//! of a request, a restart forgives, and nodes guard for themselves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, RETRY_AFTER};
use parking_lot::Mutex;

use super::Site;
use super::connection::network;
use super::error::HttpError;
use super::proxies::Client;
use super::route::Traits;
use crate::domain::user::Actor;
use crate::service::work::Whose;

/// A bucket that is not asked for so long is full again, and need not be kept.
const MINUTE: Duration = Duration::from_secs(60);
/// What sums of parts of a second may be wrong by.
const ROUNDING: f64 = 1e-6;
/// Callers beyond this many share one bucket.
const MOST_CALLERS: usize = 50_000;
/// The buckets of all callers.
pub struct Rates {
    /// 0: no limit.
    per_minute: u32,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    known: HashMap<Whose, Bucket>,
    others: Option<Bucket>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Refuses a request with 429 where its caller has made too many.
pub fn admit(request: &HttpRequest, actor: &Actor) -> Result<(), HttpError> {
    if Traits::of(request).bytes {
        return Ok(());
    }
    let site = Site::of(request)?;
    let Some(whose) = whose(actor, site.client(request)) else { return Ok(()) };
    site.rates.take(whose, Instant::now()).map_err(|seconds| {
        site.metrics.refused("too_many_requests");
        refusal(site.rates.per_minute, seconds)
    })
}

/// Whose turn a caller's work takes.
pub fn share(request: &HttpRequest, actor: &Actor) -> Result<Whose, HttpError> {
    let site = Site::of(request)?;
    Ok(match actor.account() {
        Some(account) => Whose::Account(account.clone()),
        None => Whose::Network(network(site.client(request).address)),
    })
}

/// The machine itself is its owner, or a proxy that speaks for many and does not say for whom.
fn whose(actor: &Actor, client: Client) -> Option<Whose> {
    match actor.account() {
        Some(account) => Some(Whose::Account(account.clone())),
        None if client.address.is_loopback() && !client.through_proxy => None,
        None => Some(Whose::Network(network(client.address))),
    }
}

/// `ratelimit` is what clients of the Hugging Face Hub read first (draft-ietf-httpapi-ratelimit-headers-09).
fn refusal(per_minute: u32, seconds: u64) -> HttpError {
    let message = format!("you have asked more than {per_minute} times in a minute");
    let hint = format!("wait {seconds} seconds, and ask less often; the server's administrator sets 'max_requests_per_minute'");
    HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message, hint)
        .with_header(RETRY_AFTER, seconds.to_string())
        .with_header(HeaderName::from_static("ratelimit"), format!("\"api\";r=0;t={seconds}"))
        .with_header(HeaderName::from_static("ratelimit-policy"), format!("\"fixed window\";\"api\";q={per_minute};w=60"))
}

impl Rates {
    pub fn new(per_minute: u32) -> Rates {
        Rates { per_minute, buckets: Mutex::default() }
    }

    /// Takes one request from a caller's bucket. If none is left: seconds until one is.
    fn take(&self, whose: Whose, now: Instant) -> Result<(), u64> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock();
        let full = Bucket { left: f64::from(self.per_minute), at: now };
        let buckets = &mut *buckets;
        buckets.sweep(now);
        let bucket = match buckets.known.len() < MOST_CALLERS || buckets.known.contains_key(&whose) {
            true => buckets.known.entry(whose).or_insert(full),
            false => buckets.others.get_or_insert(full),
        };
        bucket.take(f64::from(self.per_minute), now)
    }
}

impl Buckets {
    /// Forgets those that are full, where there are many: once a minute, since it looks at all.
    fn sweep(&mut self, now: Instant) {
        let due = self.swept.is_none_or(|at| now.duration_since(at) >= MINUTE);
        if due && self.known.len() >= MOST_CALLERS / 2 {
            self.known.retain(|_, bucket| now.duration_since(bucket.at) < MINUTE);
            self.swept = Some(now);
        }
    }
}

impl Bucket {
    fn take(&mut self, capacity: f64, now: Instant) -> Result<(), u64> {
        let per_second = capacity / MINUTE.as_secs_f64();
        self.left = capacity.min(self.left + now.duration_since(self.at).as_secs_f64() * per_second);
        self.at = now;
        if self.left >= 1.0 - ROUNDING {
            self.left = (self.left - 1.0).max(0.0);
            return Ok(());
        }
        Err(((1.0 - self.left) / per_second - ROUNDING).ceil().max(1.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AccountId;
    use std::net::IpAddr;

    fn peer(number: u32) -> Whose {
        Whose::Network(IpAddr::V4(number.into()))
    }

    #[test]
    fn a_bucket_holds_a_minute_and_fills_up() {
        let (rates, start) = (Rates::new(60), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..60 {
            assert_eq!(rates.take(peer(1), start), Ok(()));
        }
        assert_eq!(rates.take(peer(1), at(400)), Err(1));
        assert_eq!(rates.take(peer(2), at(400)), Ok(()), "another caller has a bucket of their own");
        assert_eq!(rates.take(peer(1), at(1_000)), Ok(()));
        assert_eq!(rates.take(peer(1), at(1_001)), Err(1));
        let later = at(3_600_000);
        assert_eq!((0..100).filter(|_| rates.take(peer(1), later).is_ok()).count(), 60, "it holds no more than a minute's");
        let slow = Rates::new(1);
        slow.take(peer(1), start).unwrap();
        assert_eq!(slow.take(peer(1), at(20_000)), Err(40));
        let none = Rates::new(0);
        assert!((0..1_000).all(|_| none.take(peer(1), start).is_ok()));
    }

    #[test]
    fn many_callers_need_bounded_memory() {
        let (rates, start) = (Rates::new(2), Instant::now());
        for number in 0..MOST_CALLERS as u32 {
            rates.take(peer(number), start).unwrap();
        }
        let beyond: Vec<_> = (0..3).map(|number| rates.take(peer(u32::MAX - number), start)).collect();
        assert_eq!(beyond, [Ok(()), Ok(()), Err(30)], "they share a bucket");
        assert_eq!(rates.take(peer(1), start), Ok(()), "whoever was there before has their own");
        assert_eq!(rates.buckets.lock().known.len(), MOST_CALLERS);
        rates.take(peer(u32::MAX), start + MINUTE).unwrap();
        assert_eq!(rates.buckets.lock().known.len(), 1, "those that have filled up are forgotten");
    }

    #[test]
    fn an_account_is_one_caller_and_this_machine_none() {
        use crate::domain::id::TokenId;
        use crate::domain::name::Name;
        use crate::domain::time::Timestamp;
        use crate::domain::user::Scope;

        let now = Timestamp::from_unix_ms(1);
        let account = AccountId::new(now, [1; 10]);
        let user = |token: u8| Actor::User {
            account: account.clone(),
            name: Name::parse("ada").unwrap(),
            is_admin: false,
            scope: Scope::Read,
            token: TokenId::new(now, [token; 10]),
        };
        let ip = |text: &str| Client { address: text.parse::<IpAddr>().unwrap().to_canonical(), through_proxy: false };
        assert_eq!(whose(&user(1), ip("10.0.0.1")), whose(&user(2), ip("10.0.0.2")));
        assert_eq!(whose(&Actor::Anonymous, ip("2001:db8::1")), whose(&Actor::Anonymous, ip("2001:db8::2")));
        assert_ne!(whose(&Actor::Anonymous, ip("10.0.0.1")), whose(&Actor::Anonymous, ip("10.0.0.2")));
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(whose(&Actor::Anonymous, ip(here)), None, "{here}");
            let claimed = Client { through_proxy: true, ..ip(here) };
            assert!(whose(&Actor::Anonymous, claimed).is_some(), "{here} is what a caller of a proxy may write");
        }
    }
}
