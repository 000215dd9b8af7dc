//! One request: carried with the token where that is safe, repeated where that is safe, its answer bounded.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};

use super::parts::FileRun;
use super::retry::{CONNECT_TRIES, Repeat, TRIES, pause, pause_after};
use super::worker::HUB_LEASE;
use super::{Address, Client, Error, Event, Result};

/// Longest JSON answer that is read; a manifest of 100,000 files fits.
const MAX_JSON_BYTES: usize = 64 << 20;
/// How long a peer may be silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A request that has not been sent.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body,
    repeat: Repeat,
    patience: Duration,
    accept: Option<u16>,
}

#[derive(Clone)]
enum Body {
    Bytes(Bytes),
    File(FileRun),
}

impl Call {
    pub fn get(url: Url) -> Call {
        Call::new(Method::GET, url, Repeat::Always)
    }

    pub fn delete(url: Url) -> Call {
        Call::new(Method::DELETE, url, Repeat::Always)
    }

    pub fn new(method: Method, url: Url, repeat: Repeat) -> Call {
        Call { method, url, headers: HeaderMap::new(), body: Body::Bytes(Bytes::new()), repeat, patience: PATIENCE, accept: None }
    }

    /// A JSON body.
    pub fn with<T: Serialize>(method: Method, url: Url, repeat: Repeat, body: &T) -> Result<Call> {
        let text = serde_json::to_vec(body).map_err(|e| Error::Input {
            code: "body",
            message: format!("cannot write the request: {e}"),
            hint: "check numbers and names".into(),
        })?;
        Ok(Call::new(method, url, repeat).bytes(text.into(), "application/json"))
    }

    pub fn bytes(mut self, body: Bytes, content_type: &'static str) -> Call {
        self.body = Body::Bytes(body);
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self
    }

    /// A body that is read from a file as it is sent.
    pub fn file(mut self, run: FileRun) -> Call {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(run.length()));
        self.body = Body::File(run);
        self
    }

    pub fn header(mut self, name: HeaderName, value: &str) -> Call {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn query(mut self, pairs: &[(&str, String)]) -> Call {
        if !pairs.is_empty() {
            self.url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    /// An answer of this status is no error.
    pub fn accepting(mut self, status: u16) -> Call {
        self.accept = Some(status);
        self
    }

    /// The answer may take longer than usual.
    pub fn patient(mut self, patience: Duration) -> Call {
        self.patience = patience;
        self
    }

    /// Comes to its end when no answer is to be expected any more, with the reason. A body of a file may take as long
    /// as it moves.
    async fn impatience(&self) -> String {
        if let Body::File(run) = &self.body {
            let mut taken = None;
            while run.taken() < run.length() {
                if taken.replace(run.taken()) == Some(run.taken()) {
                    return format!("nothing of the file was taken for {} s", PATIENCE.as_secs());
                }
                tokio::time::sleep(PATIENCE).await;
            }
        }
        tokio::time::sleep(self.patience).await;
        format!("no answer for {} s", self.patience.as_secs())
    }
}

/// A header can carry it, and it has no line end that would smuggle another.
pub(super) fn check_token(token: &str) -> Result<()> {
    if token.bytes().all(|b| b.is_ascii_graphic()) && token.len() <= 512 {
        return Ok(());
    }
    Err(Error::Input {
        code: "token",
        message: "the token holds characters no token of a hub has".into(),
        hint: "copy it again, without spaces or quotes".into(),
    })
}

/// Redirects lose the token when they lead to another host, port or scheme (reqwest does that) and never lead from https to
/// http; a server on this machine is never reached through a proxy; bodies arrive as they were sent.
pub(super) fn http_client(address: &Address) -> Result<reqwest::Client> {
    // Err only says that main has installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hub/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::custom(follow))
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if address.is_loopback() { builder.no_proxy() } else { builder }
    };
    // A bare container has no certificate store; plain http needs none.
    let built = if address.is_plain() { builder().build().or_else(|_| builder().tls_certs_only([]).build()) } else { builder().build() };
    built.map_err(|e| Error::Unreachable { server: address.to_string(), reason: reason(&e) })
}

fn follow(attempt: redirect::Attempt) -> redirect::Action {
    let downgrade = attempt.url().scheme() == "http" && attempt.previous().iter().any(|url| url.scheme() == "https");
    if downgrade {
        attempt.error("the server redirects from https to http")
    } else if attempt.previous().len() > 5 {
        attempt.error("more than 5 redirects")
    } else {
        attempt.follow()
    }
}

/// The innermost cause, which is what a person can act on.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Client {
    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let request = self.http.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        let request = match &call.body {
            Body::Bytes(bytes) => request.body(bytes.clone()),
            Body::File(run) => request.body(reqwest::Body::wrap_stream(run.stream())),
        };
        let request = match &self.held {
            Some(held) => request.header(HUB_LEASE, held.header()),
            None => request,
        };
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// One try, without a look at the status.
    pub(super) async fn send_once(&self, call: &Call) -> std::result::Result<Response, Failure> {
        tokio::select! {
            sent = self.request(call).send() => sent.map_err(|error| Failure {
                before_sending: error.is_connect(),
                passing: !error.is_redirect() && !error.is_builder(),
                reason: reason(&error),
            }),
            reason = call.impatience() => Err(Failure { before_sending: false, passing: true, reason }),
        }
    }

    /// Tries again where that may help and is safe; answers of status 400 and above become errors.
    pub(super) async fn send(&self, call: Call) -> Result<Response> {
        let mut next = 2;
        loop {
            let (pause, why) = match self.send_once(&call).await {
                Ok(response) if response.status().is_success() || call.accept == Some(response.status().as_u16()) => return Ok(response),
                Ok(response) => match pause_after(response.status(), response.headers(), next, call.repeat) {
                    Some(pause) if next <= TRIES => (pause, format!("the server answered with status {}", response.status().as_u16())),
                    _ => return Err(answer_error(response).await),
                },
                Err(failure) => {
                    let tries = if failure.before_sending { CONNECT_TRIES } else { TRIES };
                    let safe = failure.passing && (failure.before_sending || call.repeat == Repeat::Always);
                    if !safe || next > tries {
                        return Err(self.unreachable(failure.reason));
                    }
                    (pause(next), failure.reason)
                }
            };
            (self.sink)(Event::Repeat { reason: why, after: pause });
            tokio::time::sleep(pause).await;
            next += 1;
        }
    }

    pub(super) fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { server: self.address.to_string(), reason }
    }

    pub(super) fn strange(&self, reason: impl Into<String>) -> Error {
        Error::Strange { server: self.address.to_string(), reason: reason.into() }
    }

    /// Sends, and reads a JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        self.read(self.send(call).await?).await
    }

    /// Reads a JSON answer.
    pub(super) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = self.whole(response).await?;
        serde_json::from_slice(&body).map_err(|e| self.strange(format!("its answer is not the JSON expected ({e})")))
    }

    /// Sends, and reads the whole answer, up to 64 MiB.
    pub(super) async fn text(&self, call: Call) -> Result<Vec<u8>> {
        self.whole(self.send(call).await?).await
    }

    async fn whole(&self, response: Response) -> Result<Vec<u8>> {
        if response.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(self.strange("it compresses answers although it was asked not to"));
        }
        match read_bounded(response, MAX_JSON_BYTES).await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(self.strange("its answer does not end")),
            Err(reason) => Err(self.unreachable(format!("the answer broke off ({reason})"))),
        }
    }

    /// Sends; the answer's body does not matter.
    pub(super) async fn done(&self, call: Call) -> Result<()> {
        self.send(call).await.map(drop)
    }
}

/// A request without an answer.
pub(super) struct Failure {
    /// The connection did not come about: the server has seen nothing.
    before_sending: bool,
    /// Another try may go better.
    passing: bool,
    pub reason: String,
}

/// What a refusal says.
pub(super) async fn answer_error(response: Response) -> Error {
    let status = response.status().as_u16();
    let body = read_bounded(response, 1 << 20).await.ok().flatten().unwrap_or_default();
    Error::from_answer(status, &body)
}

/// None: longer than `most` bytes.
async fn read_bounded(response: Response, most: usize) -> std::result::Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await {
            Err(_) => return Err(format!("nothing for {} s", PATIENCE.as_secs())),
            Ok(None) => return Ok(Some(body)),
            Ok(Some(Err(error))) => return Err(reason(&error)),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > most => return Ok(None),
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
        }
    }
}
