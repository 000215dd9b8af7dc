//! Slows down guessing: ten wrong tokens from one address within a quarter of an hour, and that address must
//! wait, but for tokens that have proved good before (people behind one proxy share an address).
//!
//! Kept in memory on purpose: it is no state of a request, a restart forgives, and nodes guard for themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const WINDOW: Duration = Duration::from_secs(15 * 60);
const MAX_FAILURES: usize = 10;
/// Beyond this many addresses or tokens the oldest are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// Failed and good logins of the last quarter of an hour.
#[derive(Default)]
pub struct Attempts {
    inner: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    failures: HashMap<IpAddr, Vec<Instant>>,
    good: HashMap<String, Instant>,
}

impl Attempts {
    /// May `peer` try the token with this hash? If not: seconds to wait.
    pub fn check(&self, peer: IpAddr, token_hash: &str, now: Instant) -> Result<(), u64> {
        let mut inner = self.inner.lock();
        if inner.good.get(token_hash).is_some_and(|at| now.duration_since(*at) < WINDOW) {
            return Ok(());
        }
        let Some(failures) = inner.failures.get_mut(&peer) else { return Ok(()) };
        failures.retain(|at| now.duration_since(*at) < WINDOW);
        match failures.first() {
            Some(first) if failures.len() >= MAX_FAILURES => Err((WINDOW - now.duration_since(*first)).as_secs().max(1)),
            _ => Ok(()),
        }
    }

    pub fn failed(&self, peer: IpAddr, now: Instant) {
        let mut inner = self.inner.lock();
        if inner.failures.len() >= MAX_REMEMBERED {
            inner.failures.retain(|_, times| times.last().is_some_and(|at| now.duration_since(*at) < WINDOW));
        }
        if inner.failures.len() >= MAX_REMEMBERED {
            inner.failures.clear();
        }
        inner.failures.entry(peer).or_default().push(now);
    }

    pub fn succeeded(&self, token_hash: &str, now: Instant) {
        let mut inner = self.inner.lock();
        if inner.good.len() >= MAX_REMEMBERED {
            inner.good.retain(|_, at| now.duration_since(*at) < WINDOW);
        }
        if inner.good.len() < MAX_REMEMBERED {
            inner.good.insert(token_hash.to_owned(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_the_door_for_a_while() {
        let attempts = Attempts::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        attempts.succeeded("known", start);
        for _ in 0..MAX_FAILURES {
            assert!(attempts.check(here, "guess", start).is_ok());
            attempts.failed(here, start);
        }
        let wait = attempts.check(here, "guess", start + Duration::from_secs(60)).unwrap_err();
        assert_eq!(wait, 14 * 60);
        assert!(attempts.check(there, "guess", start).is_ok(), "others are free to go");
        assert!(attempts.check(here, "known", start).is_ok(), "a token that was good before still is");
        assert!(attempts.check(here, "guess", start + WINDOW).is_ok(), "and the door opens again");
    }
}
