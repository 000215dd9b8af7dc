//! The address of another hub, and where its answers may lead us: to itself, or over https to a host of the open
//! internet (`outbound`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};

use super::{Error, Result};
use crate::outbound::Destinations;

const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long it may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;

/// `https://huggingface.co`, `http://127.0.0.1:8080`, also behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    url: Url,
    /// As people write it.
    text: String,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Endpoint> {
        let text = text.trim().trim_end_matches('/');
        let refuse = |problem: &str| Error::Endpoint { text: text.to_owned(), problem: problem.to_owned() };
        let url = Url::parse(text).map_err(|e| refuse(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it has no http or https host"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it holds more than a host and a path"));
        }
        Ok(Endpoint { url, text: text.to_owned() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// An address below it, each part escaped.
    pub fn below(&self, parts: &[&str]) -> Result<Url> {
        let mut url = self.url.clone();
        let wrong = |()| Error::Endpoint { text: self.text.clone(), problem: "nothing can stand below it".into() };
        url.path_segments_mut().map_err(wrong)?.pop_if_empty().extend(parts);
        Ok(url)
    }

    /// A token others on the way could read is not sent.
    pub fn check_token(&self, token: &str) -> Result<()> {
        let refuse = |problem: &str| Err(Error::Endpoint { text: self.text.clone(), problem: problem.to_owned() });
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("the token for it holds characters no token has");
        }
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if self.url.scheme() == "http" && !loopback { refuse("a token is not sent over plain http to another machine") } else { Ok(()) }
    }

    /// A client that goes nowhere else than this module allows. Tokens do not travel to another host (reqwest drops
    /// them there). `proxies` are the hosts of the proxies that whoever runs this configured: they may be anywhere.
    pub fn client(&self, proxies: &[String]) -> Result<Client> {
        // A second call would only say that there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let origin = self.url.clone();
        let chosen = self.url.host_str().into_iter().map(str::to_owned).chain(proxies.iter().cloned());
        let client = Client::builder()
            .user_agent(concat!("backbone-hub/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(PATIENCE)
            .redirect(Policy::custom(move |attempt| follow(&origin, attempt)))
            .dns_resolver(Arc::new(Destinations::with_hosts(chosen)))
            .build();
        client.map_err(|e| Error::Endpoint { text: self.text.clone(), problem: e.to_string() })
    }
}

fn follow(origin: &Url, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("it leads on and on");
    }
    if may_follow(origin, attempt.url()) { attempt.follow() } else { attempt.error("it leads to an address in a network of our own") }
}

/// Addresses that are numbers are refused whatever they are: a content network has names.
fn may_follow(origin: &Url, to: &Url) -> bool {
    let same = to.origin() == origin.origin();
    same || to.scheme() == "https" && to.domain().is_some_and(|name| name.contains('.') && !name.ends_with(".localhost"))
}

/// The innermost words of a failed request, without its address, which may be signed.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let endpoint = Endpoint::parse("https://hub.example.org/inner/ ").unwrap();
        assert_eq!(endpoint.below(&["a b", "c/d", "..%2f"]).unwrap().as_str(), "https://hub.example.org/inner/a%20b/c%2Fd/..%252f");
        for bad in ["", "huggingface.co", "ftp://x.org", "https://user:word@x.org", "https://x.org/?a=1", "https://x.org/#a", "file:///etc"]
        {
            assert!(matches!(Endpoint::parse(bad), Err(Error::Endpoint { .. })), "{bad}");
        }
        assert!(Endpoint::parse("http://hub.lan").unwrap().check_token("hf_abc").is_err());
        for good in ["https://hub.lan", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"] {
            assert!(Endpoint::parse(good).unwrap().check_token("hf_abc").is_ok(), "{good}");
            assert!(Endpoint::parse(good).unwrap().check_token("hf abc\r\n").is_err(), "{good}");
        }
    }

    #[test]
    fn answers_lead_to_the_hub_itself_or_into_the_open() {
        let (public, local) = (Url::parse("https://huggingface.co").unwrap(), Url::parse("http://127.0.0.1:8080").unwrap());
        for good in ["https://huggingface.co/x", "https://cdn-lfs.hf.co/y?sig=1", "https://cas-bridge.xethub.hf.co/z"] {
            assert!(may_follow(&public, &Url::parse(good).unwrap()), "{good}");
        }
        let hostile = [
            "http://huggingface.co/x",
            "http://169.254.169.254/latest/meta-data",
            "https://169.254.169.254/",
            "https://10.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost/",
            "https://x.localhost/",
            "https://intranet/",
            "file:///etc/passwd",
            "http://127.0.0.1:9090/",
        ];
        for bad in hostile {
            let url = Url::parse(bad).unwrap();
            assert!(!may_follow(&public, &url) && !may_follow(&local, &url), "{bad}");
        }
        assert!(may_follow(&local, &Url::parse("http://127.0.0.1:8080/other").unwrap()));
    }
}
