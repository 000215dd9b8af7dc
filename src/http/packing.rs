//! Answers packed by Brotli or gzip for whoever takes them so: pages, JSON and feeds. Files of repos are sent as they are, so that ranges,
//! digests and strong validators mean what they say; events are sent as they come.
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
use brotli::enc::BrotliEncoderParams;
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
/// What is longer takes Brotli too long: gzip packs it, or nobody.
const MOST_FOR_BROTLI: usize = 1 << 20;
/// Pack a page in a millisecond or two, gzip to a fifth, Brotli to a little less.
const LEVEL: u32 = 4;
const QUALITY: i32 = 4;
/// The windows of Brotli that are of use here, by their logarithm.
const WINDOWS: std::ops::RangeInclusive<u32> = 16..=22;

/// How an answer may be packed, what is preferred first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    pub const ALL: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];

    /// Its name in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        }
    }
}

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
    let taken = taken(headers);
    if taken.is_empty() || !is_wanted_here(headers, site) {
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
        let quick = |encoding: &&Encoding| **encoding != Encoding::Brotli || bytes.len() <= MOST_FOR_BROTLI;
        let Some(encoding) = taken.iter().find(quick) else { return BoxBody::new(bytes) };
        let packed = match encoding {
            Encoding::Brotli => brotli(&bytes, QUALITY),
            Encoding::Gzip => gzip(&bytes, Compression::new(LEVEL)),
        };
        if packed.is_empty() || packed.len() >= bytes.len() {
            return BoxBody::new(bytes);
        }
        head.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.as_str()));
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

/// The same by Brotli, at a quality of 0 to 11.
pub(super) fn brotli(bytes: &[u8], quality: i32) -> Bytes {
    let window = (usize::BITS - bytes.len().leading_zeros()).clamp(*WINDOWS.start(), *WINDOWS.end());
    let parameters = BrotliEncoderParams { quality, lgwin: window as i32, size_hint: bytes.len(), ..BrotliEncoderParams::default() };
    let (mut from, mut packed) = (bytes, Vec::new());
    match brotli::BrotliCompress(&mut from, &mut packed, &parameters) {
        Ok(_) => packed.into(),
        Err(_) => Bytes::new(),
    }
}

/// The encodings that a request takes, the best first: by their weights (RFC 9110, 12.5.3), of equal ones by what packs more. None of those
/// that it takes less gladly than the answer as it is.
pub(super) fn taken(headers: &HeaderMap) -> Vec<Encoding> {
    let said: Vec<&str> = headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok()).collect();
    let given: Vec<(&str, u16)> = said.iter().flat_map(|line| line.split(',')).filter_map(weighted).collect();
    let find = |name: &str| given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
    let plain = find("identity").unwrap_or(0);
    let weight = |encoding: &Encoding| find(encoding.as_str()).or_else(|| find("*")).unwrap_or(0);
    let mut taken: Vec<Encoding> = Encoding::ALL.into_iter().filter(|encoding| weight(encoding) > 0 && weight(encoding) >= plain).collect();
    taken.sort_by_key(|encoding| std::cmp::Reverse(weight(encoding)));
    taken
}

/// One of `gzip, br;q=0.5` with its weight in thousandths. One that cannot be read is none.
fn weighted(part: &str) -> Option<(&str, u16)> {
    let (name, weight) = match part.split_once(';') {
        None => (part, 1_000),
        Some((name, weight)) => {
            let (key, number) = weight.split_once('=')?;
            let number =
                number.trim().parse::<f32>().ok().filter(|number| (0.0..=1.0).contains(number) && key.trim().eq_ignore_ascii_case("q"))?;
            (name, (number * 1_000.0).round() as u16)
        }
    };
    Some((name.trim(), weight)).filter(|(name, _)| !name.is_empty())
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
        const TAKES: (&str, &str) = ("accept-encoding", "gzip");
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
    fn whoever_takes_brotli_is_sent_that() {
        const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
        let text: &'static str = Box::leak("a page ".repeat(400).into_boxed_str());
        let packed_for = |accepted: &'static str, text: &'static str| packed(&[("accept-encoding", accepted)], &[HTML], text);
        let (encoding, length) = packed_for("gzip, deflate, br", text);
        assert!(encoding == "br" && length < packed_for("gzip", text).1, "{length}");
        let long: &'static str = Box::leak("a long page ".repeat(MOST_FOR_BROTLI / 12 + 1).into_boxed_str());
        assert_eq!(packed_for("gzip, br", long).0, "gzip", "it is long");
        assert_eq!(packed_for("br", long), (String::new(), long.len()));
        let with_cookie = [("accept-encoding", "br"), ("cookie", "hub=x"), ("sec-fetch-site", "cross-site")];
        assert_eq!(packed(&with_cookie, &[HTML], text).0, "", "its length would tell another site of what is in it");
        let mut read = Vec::new();
        brotli::BrotliDecompress(&mut &brotli(text.as_bytes(), QUALITY)[..], &mut read).unwrap();
        assert!(read == text.as_bytes());
    }

    #[test]
    fn who_takes_what_says_so_with_weights() {
        let of = |lines: &[&str]| {
            let ask = lines.iter().fold(TestRequest::get(), |ask, line| ask.append_header((ACCEPT_ENCODING, *line)));
            taken(ask.to_http_request().headers()).iter().map(|encoding| encoding.as_str()).collect::<Vec<_>>().join(" ")
        };
        for (accepted, best) in [
            ("gzip, deflate, br, zstd", "br gzip"),
            ("br;q=0.5, GZIP;q=0.9", "gzip br"),
            ("br; q=1.0, gzip;q=0.8", "br gzip"),
            ("gzip, br;q=0", "gzip"),
            ("gzip;q=0.000, br;q=0.001", "br"),
            ("*", "br gzip"),
            ("*;q=0.1, br;q=0", "gzip"),
            ("*;q=0", ""),
            ("identity, gzip;q=0.5, br;q=0.4", ""),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0, br", "br"),
            ("gzip;q=1.5, br;q=x, deflate", ""),
            ("gzip;level=9", ""),
            ("x-gzip2, brotli", ""),
            (" , ;q=1", ""),
            ("", ""),
        ] {
            assert_eq!(of(&[accepted]), best, "{accepted:?}");
        }
        assert_eq!((of(&[]), of(&["gzip;q=0.5", "br;q=0.2"])), (String::new(), "gzip br".to_owned()), "none, and one a line");
    }
}
