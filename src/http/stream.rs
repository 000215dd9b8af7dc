//! Sending a stored file: ranges, validators, the headers that keep a browser from running what strangers
//! uploaded, and the digest by which a client proves what it got.

use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::HttpError;
use crate::domain::digest::Digest;
use crate::service::Service;
use crate::service::repos::fetch::OpenFile;

/// What may stand unescaped in `filename*` (RFC 8187).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which bytes an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Whole,
    /// First and last byte.
    Part(u64, u64),
    /// The client has these bytes already.
    NotModified,
    /// The range begins behind the last byte.
    Beyond,
}

/// The answer that carries a file, or what the request's headers make of it, and whether it begins a download
/// (a GET from the first byte; its later ranges are the same download).
pub async fn serve(request: &HttpRequest, service: &Service, file: &OpenFile) -> Result<(HttpResponse, bool), HttpError> {
    let size = file.entry.size_bytes;
    let reads = request.method() == Method::GET;
    let plan = plan(request.headers(), reads, size, &etag(&file.entry.digest));
    let mut response = match plan {
        Plan::NotModified => HttpResponse::NotModified(),
        Plan::Whole => HttpResponse::Ok(),
        Plan::Part(..) => HttpResponse::PartialContent(),
        Plan::Beyond => {
            let error = HttpError::of_status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Err(error.with_header(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    describe(&mut response, file);
    let (from, to) = match plan {
        Plan::NotModified => return Ok((response.finish(), false)),
        Plan::Part(first, last) => (first, last + 1),
        _ => (0, size),
    };
    // HEAD says the true length though nothing follows; the framework's own empty body would say 0.
    if !reads {
        return Ok((response.body(SizedStream::new(size, stream::empty::<std::io::Result<Bytes>>())), false));
    }
    if let Some(url) = service.direct_url(file, &disposition(file)).await? {
        return Ok((redirect(url, file), from == 0));
    }
    if let Plan::Part(first, last) = plan {
        response.insert_header((header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
    } else if size == 0 && request.headers().contains_key(header::RANGE) {
        // Nothing can be satisfied, yet an empty file is whole: clients that probe with a range stay happy.
        response.insert_header((header::CONTENT_RANGE, "bytes */0"));
    }
    let digest = file.entry.digest;
    // What is wrong with the first bytes is an answer of its own; later the connection can only end.
    let bytes = file.reader.begin(from..to).await.map_err(crate::service::Error::from)?;
    let told = bytes.map(move |part| part.inspect_err(|error| tracing::error!(%digest, %error, "a file broke off while it was sent")));
    Ok((response.body(SizedStream::new(to - from, told.boxed())), from == 0))
}

/// Sends the client to the store itself. The address is a key to the bytes, and soon a broken one: nobody
/// between may keep it, and where it leads learns nothing of where the client came from.
fn redirect(url: String, file: &OpenFile) -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((HeaderName::from_static("repr-digest"), repr_digest(&file.entry.digest)))
        .insert_header((HeaderName::from_static("x-repo-commit"), file.version.commit.as_str()))
        .finish()
}

fn describe(response: &mut actix_web::HttpResponseBuilder, file: &OpenFile) {
    response
        .content_type("application/octet-stream")
        .insert_header((header::ETAG, etag(&file.entry.digest)))
        .insert_header((HeaderName::from_static("repr-digest"), repr_digest(&file.entry.digest)))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_DISPOSITION, disposition(file)))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        // A revision may move and a repo turn private: a cache asks again, and the strong ETag makes that cheap.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::VARY, "Authorization"))
        .insert_header((HeaderName::from_static("x-repo-commit"), file.version.commit.as_str()));
}

fn disposition(file: &OpenFile) -> String {
    let name = file.entry.path.rsplit('/').next().unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._ ".contains(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE))
}

fn repr_digest(digest: &Digest) -> String {
    format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(digest.as_bytes()))
}

fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

fn plan(headers: &HeaderMap, reads: bool, size: u64, etag: &str) -> Plan {
    let text = |name: HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, etag)) {
        return Plan::NotModified;
    }
    let asked = text(header::RANGE).filter(|_| reads && headers.get_all(header::RANGE).count() == 1);
    // Only a strong tag proves that the rest belongs to what the client has.
    let same = text(header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    match asked {
        Some(range) if same => part(range, size),
        _ => Plan::Whole,
    }
}

/// `If-None-Match` compares weakly.
fn names(tags: &str, etag: &str) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// One range is served. Several, another unit, or nonsense are answered with the whole file, as the standard allows.
fn part(range: &str, size: u64) -> Plan {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else { return Plan::Whole };
    let (first, last) = (first.trim(), last.trim());
    if size == 0 || range.contains(',') || (first.is_empty() && last.is_empty()) {
        return Plan::Whole;
    }
    match (number(first), number(last)) {
        // `-n`: the last n bytes.
        (Some(None), Some(Some(0))) => Plan::Beyond,
        (Some(None), Some(Some(count))) => Plan::Part(size.saturating_sub(count), size - 1),
        (Some(Some(first)), Some(last)) => match last {
            Some(last) if last < first => Plan::Whole,
            _ if first >= size => Plan::Beyond,
            last => Plan::Part(first, last.unwrap_or(u64::MAX).min(size - 1)),
        },
        _ => Plan::Whole,
    }
}

/// Digits only; more than fit are as many as fit. `Some(None)` is an absent number.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|b| b.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

/// A small text that a program reads, never a browser.
pub fn text(body: String) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_never_more_than_there_is() {
        for (range, plan) in [
            ("bytes=0-0", Plan::Part(0, 0)),
            ("bytes=0-99", Plan::Part(0, 9)),
            ("bytes=3-", Plan::Part(3, 9)),
            ("bytes=-4", Plan::Part(6, 9)),
            ("bytes=-99", Plan::Part(0, 9)),
            ("bytes=9-18446744073709551616", Plan::Part(9, 9)),
            ("bytes=10-", Plan::Beyond),
            ("bytes=99999999999999999999999-", Plan::Beyond),
            ("bytes=-0", Plan::Beyond),
            ("bytes=5-3", Plan::Whole),
            ("bytes=0-1,3-4", Plan::Whole),
            ("bytes=-", Plan::Whole),
            ("bytes=a-b", Plan::Whole),
            ("bytes=+1-2", Plan::Whole),
            ("items=0-1", Plan::Whole),
            ("", Plan::Whole),
        ] {
            assert_eq!(part(range, 10), plan, "{range}");
        }
        assert_eq!(part("bytes=0-0", 0), Plan::Whole, "an empty file is whole");
    }

    #[test]
    fn validators_decide_first() {
        let headers = |pairs: &[(HeaderName, &str)]| {
            let mut map = HeaderMap::new();
            pairs.iter().for_each(|(name, value)| map.append(name.clone(), HeaderValue::from_str(value).unwrap()));
            map
        };
        let decide = |pairs: &[(HeaderName, &str)], reads| plan(&headers(pairs), reads, 10, "\"e\"");
        assert_eq!(decide(&[(header::IF_NONE_MATCH, "\"x\", W/\"e\"")], true), Plan::NotModified);
        assert_eq!(decide(&[(header::IF_NONE_MATCH, "*")], false), Plan::NotModified);
        assert_eq!(decide(&[(header::IF_NONE_MATCH, "\"x\"")], true), Plan::Whole);
        assert_eq!(decide(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, "\"e\"")], true), Plan::Part(1, 2));
        assert_eq!(decide(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, "\"old\"")], true), Plan::Whole);
        assert_eq!(decide(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, "W/\"e\"")], true), Plan::Whole);
        assert_eq!(decide(&[(header::RANGE, "bytes=1-2")], false), Plan::Whole, "HEAD has no ranges");
        assert_eq!(decide(&[(header::RANGE, "bytes=1-2"), (header::RANGE, "bytes=3-4")], true), Plan::Whole);
    }
}
