//! Pages of other sites: browsers let them read an answer only where it says so. Public files and what describes them may
//! be read by the origins an administrator names, never with cookies: no route that answers here looks at one.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Site;
use super::error::Dialect;
use super::route::Traits;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a page may send along, and read of an answer beside its body.
const ALLOWED: &str = "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, Range";
const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, Link, Location, RateLimit, Retry-After, \
    X-Error-Code, X-Error-Message, X-Linked-Etag, X-Linked-Size, X-Repo-Commit, X-Request-Id, X-Total-Count";
const METHODS: &str = "GET, HEAD, POST";
const REMEMBERED_SECONDS: &str = "7200";

/// Whose pages may read; `*` for all.
#[derive(Debug, Clone, Default)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// What `Access-Control-Allow-Origin` says to a page of this origin.
    fn told(&self, origin: &str) -> Option<HeaderValue> {
        let said = self.0.iter().find(|known| *known == "*" || known.eq_ignore_ascii_case(origin))?;
        HeaderValue::from_str(if said == "*" { said } else { origin }).ok()
    }
}

/// The answer as a page of another origin may read it; a browser's question beforehand is answered itself.
pub fn answer(mut response: ServiceResponse<BoxBody>, site: &Site) -> ServiceResponse<BoxBody> {
    let request = response.request().clone();
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    if site.cors.0.is_empty() || !is_open(&Traits::of(&request), request.path()) {
        return response;
    }
    let told = header(header::ORIGIN).and_then(|origin| site.cors.told(origin));
    let asked = (request.method() == Method::OPTIONS).then(|| header(header::ACCESS_CONTROL_REQUEST_METHOD)).flatten();
    let meant = asked.and_then(|name| Method::from_bytes(name.as_bytes()).ok()).unwrap_or_else(|| request.method().clone());
    let told = told.filter(|_| Traits::of(&request).reads(&meant));
    if told.is_some() && asked.is_some() {
        let mut before = HttpResponse::NoContent();
        before.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS));
        before.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED));
        before.insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_SECONDS));
        response = response.into_response(before.finish());
    }
    let headers = response.headers_mut();
    vary(headers);
    if let Some(origin) = told {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    response
}

/// Files and the API, which know nobody by a cookie; no page does without.
fn is_open(traits: &Traits, path: &str) -> bool {
    traits.dialect == Dialect::HuggingFace || path.starts_with("/api/")
}

/// What is kept for a page of one origin is not for another's.
fn vary(headers: &mut HeaderMap) {
    let before = headers.get(header::VARY).and_then(|value| value.to_str().ok()).unwrap_or("Authorization, Cookie");
    if let Ok(value) = HeaderValue::from_str(&format!("{before}, Origin")) {
        headers.insert(header::VARY, value);
    }
}
