//! A server's address as people type it, and the addresses of what it serves, each part escaped.

use std::fmt;

use reqwest::Url;

use super::{Error, Result};
use crate::cache::server_folder;
use crate::domain::name::{RepoId, RepoKind};

/// `https://hub.example.com`, `http://127.0.0.1:8080`, also behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// A host without a scheme is reached over https, unless it is this machine.
    pub fn parse(text: &str) -> Result<Address> {
        let text = text.trim();
        let refuse = |problem: &str| Error::Input {
            code: "server_address",
            message: format!("'{text}' is no server address: {problem}"),
            hint: "write it as https://hub.example.com or http://127.0.0.1:8080".into(),
        };
        let written = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&written).map_err(|e| refuse(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it has no http or https host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds a user name or password; use `hub login` instead"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it holds '?' or '#'"));
        }
        if !text.contains("://") && is_loopback(&url) {
            // Parsing as https dropped a written :443, which for a local plain server is not the default.
            url = Url::parse(&format!("http://{text}")).map_err(|e| refuse(&e.to_string()))?;
        }
        Ok(Address(url))
    }

    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// One folder of the cache per server.
    pub fn folder(&self) -> String {
        server_folder(self.0.host_str().unwrap_or_default().trim_matches(['[', ']']), self.0.port(), self.0.path())
    }

    /// `/api/v1/<parts>`; a part may hold anything, also '/'.
    pub(super) fn api(&self, parts: &[&str]) -> Url {
        self.below(["api", "v1"].iter().chain(parts))
    }

    /// `/api/v1/<kind>s/<ns>/<name>/<parts>`
    pub(super) fn repo(&self, kind: RepoKind, id: &RepoId, parts: &[&str]) -> Url {
        let mut all = vec![plural(kind), id.namespace().as_str(), id.name().as_str()];
        all.extend_from_slice(parts);
        self.api(&all)
    }

    /// The page people look at.
    pub fn page(&self, kind: RepoKind, id: &RepoId) -> String {
        let (namespace, name) = (id.namespace().as_str(), id.name().as_str());
        let url = match kind {
            RepoKind::Model => self.below([namespace, name].iter()),
            RepoKind::Dataset => self.below(["datasets", namespace, name].iter()),
        };
        url.to_string()
    }

    /// The page of a job.
    pub fn job_page(&self, id: &str) -> String {
        self.below(["jobs", id].iter()).to_string()
    }

    fn below<'a>(&self, parts: impl Iterator<Item = &'a &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }
}

/// `models` or `datasets`, as routes write a kind.
pub(super) fn plural(kind: RepoKind) -> &'static str {
    match kind {
        RepoKind::Model => "models",
        RepoKind::Dataset => "datasets",
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        let read = |text: &str| Address::parse(text).unwrap().to_string();
        assert_eq!(read("hub.example.com"), "https://hub.example.com");
        assert_eq!(read("localhost:8080"), "http://localhost:8080");
        assert_eq!(read("127.0.0.1:443"), "http://127.0.0.1:443");
        assert_eq!(read(" http://10.0.0.5:8080/ "), "http://10.0.0.5:8080");
        assert_eq!(read("https://example.com/hub/"), "https://example.com/hub");
        for text in ["", "ftp://x", "https://me:secret@x", "https://x/?a=b", "https://", "http://x y"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for text in ["localhost", "http://[::1]:80", "127.8.8.8:1", "a.localhost"] {
            assert!(Address::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["localhost.evil.com", "http://127.0.0.1.evil.com", "10.0.0.1"] {
            assert!(!Address::parse(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn parts_are_escaped() {
        let address = Address::parse("https://example.com/hub").unwrap();
        let id = RepoId::parse("acme/net").unwrap();
        let url = address.repo(RepoKind::Model, &id, &["versions", "release/1.0", "files", "a b", "c#?%.txt"]);
        assert_eq!(url.as_str(), "https://example.com/hub/api/v1/models/acme/net/versions/release%2F1.0/files/a%20b/c%23%3F%25.txt");
        assert_eq!(address.page(RepoKind::Dataset, &id), "https://example.com/hub/datasets/acme/net");
    }
}
