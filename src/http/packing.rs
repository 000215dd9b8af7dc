//! Answers packed by gzip for whoever takes them so: pages, JSON and feeds. Files of repos are sent as they are, so that ranges, digests and
//! strong validators mean what they say; events are sent as they come.
//!
//! The length of a packed page tells of what stands in it twice. A page that somebody else's site makes a browser ask for, with its owner's
//! cookie and with words of that site's choice in the address, is therefore not packed (the attack is called BREACH): with a cookie only
//! what a browser says our own pages, or the person, asked for.

use std::io::Write as _;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, HeaderMap, HeaderValue, VARY,
};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Site;
use super::guard::comes_from_elsewhere;
use super::route::Traits;

/// What is shorter fits into a packet or two anyhow; what is longer would hold a thread up.
const LEAST: usize = 1 << 10;
const MOST: usize = 4 << 20;
const KINDS: [&str; 5] = ["text/html", "application/json", "application/problem+json", "application/atom+xml", "application/xml"];
/// Packs a page in a millisecond or two, to a fifth.
const LEVEL: u32 = 4;

/// Packs an answer that may be, if the request takes it so.
pub fn pack(mut response: ServiceResponse<BoxBody>, site: &Site) -> ServiceResponse<BoxBody> {
    if !may_be_packed(&response) {
        return response;
    }
    let known = response.headers().get_all(VARY).filter_map(|value| value.to_str().ok());
    let vary = known.chain(["Accept-Encoding"]).collect::<Vec<_>>().join(", ");
    if let Ok(vary) = HeaderValue::from_str(&vary) {
        response.headers_mut().insert(VARY, vary);
    }
    let headers = response.request().headers();
    if !takes_gzip(headers) || !is_wanted_here(headers, site) {
        return response;
    }
    response.map_body(|head, body| {
        let bytes = match body.try_into_bytes() {
            Ok(bytes) => bytes,
            Err(body) => return body,
        };
        if !(LEAST..=MOST).contains(&bytes.len()) {
            return BoxBody::new(bytes);
        }
        let packed = gzip(&bytes, Compression::new(LEVEL));
        if packed.is_empty() || packed.len() >= bytes.len() {
            return BoxBody::new(bytes);
        }
        head.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        head.headers_mut().remove(CONTENT_LENGTH);
        BoxBody::new(packed)
    })
}

fn may_be_packed(response: &ServiceResponse<BoxBody>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_whole = ![StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::NO_CONTENT].contains(&status);
    is_whole
        && KINDS.iter().any(|known| kind.starts_with(known))
        && ![CONTENT_ENCODING, CONTENT_RANGE, ETAG].iter().any(|name| headers.contains_key(name))
        && !Traits::of(response.request()).bytes
}

/// Whether nobody else's page made a browser ask for it with a cookie.
fn is_wanted_here(headers: &HeaderMap, site: &Site) -> bool {
    let said = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or_default());
    let by_us = said.is_some_and(|said| ["same-origin", "none"].contains(&said));
    (by_us || !headers.contains_key(COOKIE)) && !comes_from_elsewhere(headers, site)
}

/// Nothing fails into memory; what came of nothing is empty and not sent.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

/// `gzip` among the encodings that a request takes, and not with the weight 0.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && words.all(|weight| !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use actix_web::HttpResponse;
    use actix_web::test::TestRequest;

    /// The encoding and length of an answer of this kind to such a request.
    fn packed(request: &[(&'static str, &'static str)], answer: &[(&'static str, &'static str)], text: &'static str) -> (String, usize) {
        let site = Site::new(None, &[], Metrics::new().unwrap());
        let ask = request.iter().fold(TestRequest::get(), |ask, pair| ask.insert_header(*pair));
        let mut builder = HttpResponse::Ok();
        answer.iter().for_each(|pair| _ = builder.insert_header(*pair));
        let response = pack(ServiceResponse::new(ask.to_http_request(), builder.body(text)), &site);
        let encoding = response.headers().get(CONTENT_ENCODING).map_or(String::new(), |value| value.to_str().unwrap().to_owned());
        let length = response.into_body().try_into_bytes().unwrap().len();
        (encoding, length)
    }

    #[test]
    fn pages_are_packed_and_files_are_not() {
        const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
        const TAKES: (&str, &str) = ("accept-encoding", "gzip, br");
        let text: &'static str = Box::leak("a page ".repeat(400).into_boxed_str());
        let (encoding, length) = packed(&[TAKES], &[HTML], text);
        assert!(encoding == "gzip" && length < 200, "{length}");
        let as_it_is = (String::new(), text.len());
        assert_eq!(packed(&[], &[HTML], text), as_it_is);
        assert_eq!(packed(&[TAKES], &[("content-type", "application/octet-stream")], text), as_it_is);
        assert_eq!(packed(&[TAKES], &[("content-type", "text/event-stream")], text), as_it_is);
        assert_eq!(packed(&[TAKES], &[HTML, ("etag", "\"a\"")], text), as_it_is, "a strong validator is of these very bytes");
        assert_eq!(packed(&[TAKES], &[HTML, ("content-range", "bytes 0-1/2")], text), as_it_is);
        assert_eq!(packed(&[TAKES], &[HTML], "short"), (String::new(), 5));
        for (site, encoding) in [("same-origin", "gzip"), ("none", "gzip"), ("same-site", ""), ("cross-site", "")] {
            assert_eq!(packed(&[TAKES, ("cookie", "hub=x"), ("sec-fetch-site", site)], &[HTML], text).0, encoding, "{site}");
        }
        assert_eq!(packed(&[TAKES, ("cookie", "hub=x")], &[HTML], text).0, "", "an old browser does not say who asks");
    }

    #[test]
    fn who_takes_gzip_says_so() {
        let takes = |accepted: &str| takes_gzip(TestRequest::get().insert_header((ACCEPT_ENCODING, accepted)).to_http_request().headers());
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("") && !takes("x-gzip2"));
    }
}
