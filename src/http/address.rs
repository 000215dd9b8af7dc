//! Under which names and below which path this server stands. What a program is told leads back to the name it asked;
//! what people are shown is `public_url`.
//!
//! The path of `public_url` is the base: it is taken off every request that has it (a proxy may have done so before),
//! and put before every address that is written as one of ours: in pages, in `Location`, in what programs are told.
//! Handlers and templates know nothing of it, so none can forget it.

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::uri::PathAndQuery;

/// Names that only lead to the machine they are asked on.
pub const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// Attributes of pages that hold addresses.
const LINKS: &[&str] = &["href", "src", "action", "data-events", "data-worker", "data-base"];

/// An answer that is one of our pages, and no file of a repo.
pub struct IsPage;

/// The configured `public_url`, taken apart.
#[derive(Debug, Clone, Default)]
pub struct PublicUrl {
    /// As it was configured; empty where it was not.
    url: String,
    /// `https://hub.example.org`
    origin: String,
    /// `hub.example.org`
    pub host: String,
    port: Option<u16>,
    /// `/ml/hub`, or empty.
    pub base: String,
}

impl PublicUrl {
    pub fn parse(text: Option<&str>) -> PublicUrl {
        let Some(url) = text.and_then(|text| url::Url::parse(text).ok()) else { return PublicUrl::default() };
        let base = url.path().trim_end_matches('/').to_owned();
        let origin = url.origin().ascii_serialization();
        let host = url.host_str().unwrap_or_default().to_lowercase();
        PublicUrl { url: format!("{origin}{base}"), origin, host, port: url.port_or_known_default(), base }
    }

    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Is a page of this origin one of ours?
    pub fn is_origin(&self, origin: &str) -> bool {
        !self.origin.is_empty() && self.origin.eq_ignore_ascii_case(origin)
    }

    /// What a person is shown.
    pub fn for_people(&self, request: &HttpRequest) -> String {
        if self.url.is_empty() { self.for_programs(request) } else { self.url.clone() }
    }

    /// The address a program asked at. Only trusted names reach a handler; forwarding headers are anyone's to write and
    /// say nothing here.
    pub fn for_programs(&self, request: &HttpRequest) -> String {
        self.asked_at(request.headers().get(header::HOST).and_then(|value| value.to_str().ok()))
    }

    fn asked_at(&self, host: Option<&str>) -> String {
        let Some(host) = host else { return if self.url.is_empty() { "http://localhost".into() } else { self.url.clone() } };
        let (name, port) = split(host);
        let ours = name.eq_ignore_ascii_case(&self.host);
        // Many proxies pass the name on without its port.
        if ours && (port.is_none() || port == self.port) {
            return self.url.clone();
        }
        // A name without a port was asked at the usual one, where TLS is ended before us if it is anywhere.
        let scheme = if self.is_https() && port.is_none() && !LOOPBACK.contains(&name) { "https" } else { "http" };
        format!("{scheme}://{host}{}", self.base)
    }

    /// Takes the base off a request's address, where it is still there.
    pub fn enter(&self, request: &mut ServiceRequest) {
        let inner = |path: &str| {
            let rest = path.strip_prefix(&self.base)?;
            if rest.is_empty() { Some("/".to_owned()) } else { rest.starts_with('/').then(|| rest.to_owned()) }
        };
        if self.base.is_empty() {
            return;
        }
        let Some(path) = inner(request.uri().path()) else { return };
        let whole = request.uri().query().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(whole).ok();
        let Ok(uri) = Uri::from_parts(parts) else { return };
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }

    /// Puts the base before the addresses of an answer that are ours: where it leads to, and the links of a page.
    pub fn leave(&self, mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        if self.base.is_empty() {
            return response;
        }
        let leads = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        if let Some(path) = leads.filter(|leads| is_path(leads))
            && let Ok(location) = HeaderValue::from_str(&format!("{}{path}", self.base))
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if response.response_mut().extensions_mut().remove::<IsPage>().is_none() {
            return response;
        }
        response.map_body(|_, body| match body.try_into_bytes() {
            Ok(html) => BoxBody::new(rebase(&String::from_utf8_lossy(&html), &self.base)),
            Err(body) => body,
        })
    }
}

/// A host as a request names it: the name, and the port if there is one.
pub fn split(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port.parse().ok()),
        _ => (host, None),
    }
}

/// A path on this server, and not the name of another one (`//other`).
fn is_path(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("//")
}

/// A page with the base before each link that is a path.
fn rebase(html: &str, base: &str) -> String {
    let mut rebased = String::with_capacity(html.len() + html.len() / 16);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        rebased.push_str(text);
        let (tag, behind) = tag.split_at(end_of_tag(tag));
        rebase_tag(tag, base, &mut rebased);
        rest = behind;
    }
    rebased.push_str(rest);
    rebased
}

/// Where a tag ends: at the first `>` outside quotes.
fn end_of_tag(tag: &str) -> usize {
    let mut quoted = None;
    let ends = tag.bytes().position(|byte| match (byte, quoted) {
        (b'"' | b'\'', None) => {
            quoted = Some(byte);
            false
        }
        (_, Some(quote)) => {
            quoted = quoted.filter(|_| byte != quote);
            false
        }
        (_, None) => byte == b'>',
    });
    ends.map_or(tag.len(), |at| at + 1)
}

fn rebase_tag(tag: &str, base: &str, rebased: &mut String) {
    let mut rest = tag;
    while let Some(at) = rest.find("=\"") {
        let (before, behind) = rest.split_at(at + 2);
        rebased.push_str(before);
        let name = before[..at].rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        if LINKS.contains(&name) && is_path(behind) {
            rebased.push_str(base);
        }
        let end = behind.find('"').map_or(behind.len(), |at| at + 1);
        rebased.push_str(&behind[..end]);
        rest = &behind[end..];
    }
    rebased.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_led_back_to_the_name_they_asked() {
        let public = PublicUrl::parse(Some("https://hub.example.org/ml/hub/"));
        assert_eq!((public.base.as_str(), public.is_https()), ("/ml/hub", true));
        for (host, address) in [
            ("hub.example.org", "https://hub.example.org/ml/hub"),
            ("HUB.example.org:443", "https://hub.example.org/ml/hub"),
            ("hub.lan", "https://hub.lan/ml/hub"),
            ("hub.lan:8080", "http://hub.lan:8080/ml/hub"),
            ("localhost:8080", "http://localhost:8080/ml/hub"),
            ("localhost", "http://localhost/ml/hub"),
            ("[::1]:8080", "http://[::1]:8080/ml/hub"),
        ] {
            assert_eq!(public.asked_at(Some(host)), address);
        }
        assert_eq!(public.asked_at(None), "https://hub.example.org/ml/hub");
        let plain = PublicUrl::parse(Some("http://hub.lan:8080"));
        assert_eq!(plain.asked_at(Some("hub.lan")), "http://hub.lan:8080", "a proxy that passes the name without its port");
        assert_eq!(plain.asked_at(Some("hub.lan:9090")), "http://hub.lan:9090");
        let none = PublicUrl::parse(None);
        assert_eq!((none.asked_at(Some("x:1")), none.asked_at(None)), ("http://x:1".into(), "http://localhost".into()));
        assert!(!none.is_origin("") && public.is_origin("https://HUB.example.org") && !public.is_origin("https://hub.example.org/ml/hub"));
    }

    #[test]
    fn links_of_a_page_get_the_base_and_nothing_else_does() {
        let page = concat!(
            r##"<a class="x" href="/">a</a><a href="/m?x=1&amp;y=2">b</a><img src="/i.png" alt="a > b"><form action="/f">"##,
            r##"<div data-events="/e"><a href="https://other/">c</a><a href="//other/x">d</a><a href="#top">e</a>"##,
            r##"<input name="next" value="/jobs"><code>href="/text"</code><a title=' href="/no" ' href='/single'>"##,
        );
        let rebased = rebase(page, "/ml");
        let expected = concat!(
            r##"<a class="x" href="/ml/">a</a><a href="/ml/m?x=1&amp;y=2">b</a><img src="/ml/i.png" alt="a > b"><form action="/ml/f">"##,
            r##"<div data-events="/ml/e"><a href="https://other/">c</a><a href="//other/x">d</a><a href="#top">e</a>"##,
            r##"<input name="next" value="/jobs"><code>href="/text"</code><a title=' href="/ml/no" ' href='/single'>"##,
        );
        assert_eq!(rebased, expected, "our pages write double quotes only");
        assert_eq!(rebase("a < b", "/ml"), "a < b");
    }

    #[test]
    fn templates_hold_no_address_the_base_does_not_reach() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("=\"/") {
                let name = text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
                assert!(LINKS.contains(&name), "{}: {name}=\"/ is no attribute that gets the base: add it to LINKS", path.display());
            }
            for single in ["='/", "= \"/", "url(/", "srcset="] {
                assert!(!text.contains(single), "{}: write addresses as href=\"/...\", not {single}", path.display());
            }
        }
    }
}
