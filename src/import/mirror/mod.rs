//! Repos of another hub that speaks the Hugging Face dialect, fetched as its clients fetch: a listing at one
//! revision, then each file at the commit the listing named, proved by the digest it gave.
//!
//! Nobody but the configuration (or the person at the command line) says which hub that is. Its answers are not
//! trusted: they may send us on to addresses in the open internet only (`endpoint`), and a file is kept only when
//! it is what the listing promised (`proof`).

mod endpoint;
mod error;
mod fetch;
mod listing;
mod pace;
mod proof;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};

use endpoint::Endpoint;
pub use error::{Error, Result};
pub use fetch::Naming;
pub use listing::{LeftOut, RemoteFile, Snapshot};

/// Where people look when they name no other hub.
pub const HUGGING_FACE: &str = "https://huggingface.co";

/// Tries of one request, or of one file without a new byte.
const TRIES: u32 = 5;
/// How long a transfer may move almost nothing, where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// A server that asks for a longer pause is believed, and the fetch ends instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a fetch tells while it runs: files and bytes in all, bytes done, bytes that come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Begin { files: u64, bytes: u64 },
    Advance(u64),
    Retreat(u64),
    Repeat { reason: String, after: Duration },
}

/// Hears of events, from any thread.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// Another hub. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    /// Made at the first question: a client reads the machine's certificates, for which a server that is never asked needs no time.
    http: Arc<OnceLock<reqwest::Client>>,
    endpoint: Endpoint,
    proxies: Arc<[String]>,
    token: Option<Arc<str>>,
    patience: Duration,
}

impl Upstream {
    /// Connects to nothing yet. Refuses to carry a token over plain http to another machine. `proxies`: the hosts of the
    /// proxies this process was told to use.
    pub fn new(endpoint: &str, token: Option<&str>, proxies: &[String]) -> Result<Upstream> {
        let endpoint = Endpoint::parse(endpoint)?;
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        if let Some(token) = token {
            endpoint.check_token(token)?;
        }
        Ok(Upstream { http: Arc::default(), endpoint, proxies: proxies.into(), token: token.map(Arc::from), patience: PATIENCE })
    }

    /// The same; a transfer that moves almost nothing for so long is given up.
    pub fn within(self, patience: Duration) -> Upstream {
        Upstream { patience, ..self }
    }

    /// Does it ask as somebody?
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// How people know it.
    pub fn address(&self) -> &str {
        self.endpoint.as_str()
    }

    fn client(&self) -> Result<reqwest::Client> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        let made = self.endpoint.client(&self.proxies)?;
        Ok(self.http.get_or_init(|| made).clone())
    }

    fn get(&self, parts: &[&str]) -> Result<RequestBuilder> {
        let request = self.client()?.get(self.endpoint.below(parts)?);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends a request, again after a pause where that may help. `what` is asked for, in words.
    async fn send(&self, what: &str, tell: &Tell, request: RequestBuilder) -> Result<Response> {
        let odd = || Error::Odd { upstream: self.address().to_owned(), problem: "a question to it cannot be repeated".into() };
        let mut tries = 1;
        loop {
            let (reason, asked) = match request.try_clone().ok_or_else(odd)?.send().await {
                Ok(answer) if passing(answer.status()) => (format!("{what}: {}", answer.status()), asked_pause(&answer)),
                Ok(answer) => return self.judge(what, answer),
                Err(error) if error.is_redirect() => return Err(Error::Redirect(endpoint::reason(&error))),
                Err(error) => (format!("{what}: {}", endpoint::reason(&error)), None),
            };
            let pause = asked.unwrap_or_else(|| Duration::from_millis(500) * 2u32.pow(tries - 1));
            if tries == TRIES || pause > LONGEST_PAUSE {
                return Err(Error::Unreachable { upstream: self.address().to_owned(), reason });
            }
            tell(Event::Repeat { reason, after: pause });
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    fn judge(&self, what: &str, answer: Response) -> Result<Response> {
        let upstream = || self.address().to_owned();
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => Err(Error::NotFound { upstream: upstream(), what: what.to_owned() }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Error::Refused { upstream: upstream(), what: what.to_owned(), token: self.token.is_some() })
            }
            status => Err(Error::Odd { upstream: upstream(), problem: format!("{what} was answered {status}") }),
        }
    }
}

/// Another try may go well.
fn passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn asked_pause(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
