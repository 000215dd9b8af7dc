//! The frame around every request, from the outside in: names it, refuses it at the door if it must, runs the
//! handler, writes problems, sets the security headers, counts it and logs it once.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, ResponseError as _, web};
use futures_util::FutureExt as _;

use super::Site;
use super::address::IsPage;
use super::body::LeftBehind;
use super::broken::Broken;
use super::caller::{blame_token, who_looks};
use super::connection::Connection;
use super::error::{Dialect, HttpError, Refused};
use super::rights::Rights;
use super::route::Traits;
use super::web::error_page;
use super::{cors, embeddings, git, hf, moved, packing};
use crate::domain::user::Actor;
use crate::service::people::journal::{Origin, coming_from};
use crate::service::{self, Service};
use crate::telemetry::Answered;
use crate::wire::error::ProblemBody;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What was known about a request before it moved into its handler.
struct Seen {
    id: String,
    method: Method,
    path: String,
    peer: String,
    browser: bool,
    received_bytes: u64,
    start: Instant,
}

/// The id of a request, for handlers and logs.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

pub async fn frame(mut request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(site) = request.app_data::<web::Data<Site>>().cloned() else {
        return Err(HttpError::internal("the site is not registered").into());
    };
    site.public.enter(&mut request);
    let seen = Seen::of(&request, &site);
    let turn = request.conn_data::<Connection>().map(Connection::begin);
    request.extensions_mut().insert(RequestId(seen.id.clone()));
    let (rights, service) = (Rights::default(), request.app_data::<web::Data<Service>>().cloned());
    request.extensions_mut().insert(rights.clone());
    let origin = Origin { address: seen.peer.clone(), request: seen.id.clone() };
    let answer = match door(&request, &site) {
        Err(refused) => {
            site.metrics.refused(&refused.problem.code);
            Ok(request.into_response(refused.error_response()))
        }
        Ok(()) => {
            match coming_from(origin.clone(), rights.hold(service.as_ref(), AssertUnwindSafe(next.call(request)).catch_unwind())).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(panic)) => return Err(panicked(&seen, &site, &rights.account(), &panic).into()),
                Err(ended) => return Err(given_up(&seen, &site, &rights.account(), ended, "ended").after(rights.left_behind()).into()),
            }
        }
    };
    let answer = blame_token(answer?);
    note(service.as_ref(), &origin, &rights, &seen, &answer);
    let looker = if seen.browser && is_refusal(answer.status()) { who_looks(answer.request(), &rights).await } else { None };
    let response = cors::answer(write_problem(answer, &seen, looker), &site);
    let mut response = site.public.leave(response);
    dress(response.response_mut().headers_mut(), &seen, &site);
    let mut response = packing::pack(response, &site);
    let route = response.request().match_pattern();
    let sent_bytes = match response.response().body().size() {
        BodySize::Sized(n) => n,
        _ => 0,
    };
    tell(&seen, &site, &rights.account(), route.as_deref().unwrap_or("none"), response.status(), sent_bytes);
    close_if_hopeless(&mut response);
    let response = rights.watch(service.as_ref(), response);
    Ok(match turn {
        Some(turn) => response.map_body(|_, body| turn.held_by(body)),
        None => response,
    })
}

/// What of a request is for the audit log: that it was refused, or that a token was used at an address for the first time today.
fn note(service: Option<&web::Data<Service>>, origin: &Origin, rights: &Rights, seen: &Seen, answer: &ServiceResponse<BoxBody>) {
    let Some(service) = service else { return };
    let actor = rights.actor().unwrap_or(Actor::Anonymous);
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            let code = answer.response().extensions().get::<Refused>().map_or(String::new(), |refused| refused.problem.code.clone());
            let why = format!("{} {code}", answer.status().as_u16());
            service.note_refusal(origin, &actor, &format!("{} {}", known_method(&seen.method), seen.path), &why);
        }
        _ if rights.is_by_token() => service.note_token_use(origin, &actor),
        _ => {}
    }
}

/// A request that came too slowly and a connection that is one too many end with their answer.
fn close_if_hopeless(response: &mut ServiceResponse<BoxBody>) {
    let too_slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    let connection = response.request().conn_data::<Connection>();
    if !too_slow && !connection.is_some_and(Connection::is_refused) {
        return;
    }
    if let Some(connection) = connection {
        connection.end_after_answer();
    }
    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
}

impl Seen {
    fn of(request: &ServiceRequest, site: &Site) -> Seen {
        let header = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let browser = header(header::ACCEPT).contains("text/html") && !request.path().starts_with("/api/");
        Seen {
            id: request_id(request.headers()),
            method: request.method().clone(),
            path: request.path().to_owned(),
            peer: site.client(request.request()).address.to_string(),
            browser,
            received_bytes: header(header::CONTENT_LENGTH).parse().unwrap_or(0),
            start: Instant::now(),
        }
    }
}

/// The caller's id where it is harmless, else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.=;:".contains(c);
    let given = ["x-request-id", "x-amzn-trace-id"].iter().find_map(|name| headers.get(*name)?.to_str().ok());
    if let Some(id) = given.filter(|id| !id.is_empty() && id.len() <= 128 && id.chars().all(inside)) {
        return id.to_owned();
    }
    let mut random = [0; 8];
    // Without randomness ids repeat, which harms nobody.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}

/// Refuses what no handler should see.
fn door(request: &ServiceRequest, site: &Site) -> Result<(), HttpError> {
    if request.conn_data::<Connection>().is_some_and(Connection::is_refused) {
        let hint = "use fewer at once; the server's administrator sets the limit 'max_connections_per_peer'";
        return Err(service::Error::busy("too_many_connections", "this address has too many open connections", hint).into());
    }
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let hosts = host.into_iter().chain(request.uri().host());
    if let Some(foreign) = hosts.clone().find(|host| !site.knows_host(host)) {
        let message = format!("this server is not called '{}'", foreign.chars().filter(|c| !c.is_control()).take(100).collect::<String>());
        let hint = "use its right address; its administrator can add this one with the setting 'trusted_hosts'";
        return Err(HttpError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message, hint));
    }
    if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
        && encoding != "identity"
        && !git::may_be_packed(request.path())
    {
        let hint = "send the bytes as they are, without Content-Encoding";
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded_body", "compressed requests are not taken", hint));
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && !request.path().starts_with("/api/") && comes_from_elsewhere(request.headers(), site) {
        let hint = "open the page on this site and send the form from there";
        return Err(HttpError::new(StatusCode::FORBIDDEN, "cross_site", "the form was sent by another site", hint));
    }
    Ok(())
}

/// Was a form sent from another origin's page? Browsers say so themselves; old ones at least send Origin. A program that
/// says nothing has no session to abuse. Ours are the name we were called by, and `public_url` where a proxy calls us
/// by another.
pub fn comes_from_elsewhere(headers: &HeaderMap, site: &Site) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(fetch_site) = text("sec-fetch-site")
        && !["same-origin", "none"].contains(&fetch_site)
    {
        return true;
    }
    let Some(origin) = text("origin") else { return false };
    let is_host = |host: &str| origin.split_once("://").is_some_and(|(_, named)| named.eq_ignore_ascii_case(host));
    !text("host").is_some_and(is_host) && !site.public.is_origin(origin)
}

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Writes the body of a refused request: JSON for programs, a page for browsers.
fn write_problem(mut response: ServiceResponse<BoxBody>, seen: &Seen, looker: Option<String>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    if !is_refusal(status) || is_page {
        return response;
    }
    let refused = response.response_mut().extensions_mut().remove::<Refused>();
    let refused = refused.unwrap_or_else(|| {
        let error = HttpError::of_status(status);
        Refused { problem: error.problem, detail: error.detail, dialect: Dialect::Hub, url: None, moved_to: None }
    });
    if let Some(answer) = refused.moved_to.as_ref().and_then(|to| moved::answer(response.request(), to)) {
        return response.into_response(answer);
    }
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        tracing::error!(request_id = %seen.id, path = ?seen.path, status = status.as_u16(), detail = ?refused.detail, "a request failed");
    }
    // The framework and the extractors refuse in our words, whoever asked.
    let asked = Traits::of(response.request()).dialect;
    let dialect = if asked == Dialect::Hub { refused.dialect } else { asked };
    if dialect == Dialect::HuggingFace {
        for (name, value) in hf::headers(&refused.problem) {
            response.headers_mut().insert(name, value);
        }
    }
    let (content_type, body) = match dialect {
        Dialect::Hub => problem_body(status, refused.problem, seen, looker),
        Dialect::HuggingFace => ("application/json", hf::problem_body(refused.problem, refused.url)),
        Dialect::OpenAi => ("application/json", embeddings::refusals::openai(status, &refused.problem)),
        Dialect::Tei => ("application/json", embeddings::refusals::tei(status, &refused.problem)),
        Dialect::Text => ("text/plain; charset=utf-8", format!("{}; {}\n", refused.problem.message, refused.problem.hint)),
    };
    if content_type.starts_with("text/html") {
        response.response_mut().extensions_mut().insert(IsPage);
    }
    response.map_body(|head, _| {
        head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        head.headers_mut().remove(header::CONTENT_LENGTH);
        BoxBody::new(body)
    })
}

fn problem_body(status: StatusCode, mut problem: ProblemBody, seen: &Seen, looker: Option<String>) -> (&'static str, String) {
    problem.request_id.clone_from(&seen.id);
    if seen.browser
        && let Some(page) = error_page(status, &problem, looker)
    {
        return ("text/html; charset=utf-8", page);
    }
    ("application/problem+json", serde_json::to_string(&problem).unwrap_or_default())
}

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'";

/// On every answer; a handler's own stricter values stay.
const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CSP),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
    ("vary", "Authorization, Cookie"),
];

fn dress(headers: &mut HeaderMap, seen: &Seen, site: &Site) {
    for (name, value) in HEADERS {
        if !headers.contains_key(*name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    if site.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    if let Ok(id) = HeaderValue::from_str(&seen.id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Counts and logs a request. The query is left out: it may hold what people should not have put there.
fn tell(seen: &Seen, site: &Site, account: &str, route: &str, status: StatusCode, sent_bytes: u64) {
    let seconds = seen.start.elapsed().as_secs_f64();
    let method = known_method(&seen.method);
    let received_bytes = seen.received_bytes;
    site.metrics.answered(&Answered { route, method, status: status.as_u16(), seconds, sent_bytes, received_bytes });
    let ms = (seconds * 1e6).round() / 1e3;
    let (id, path, peer, status) = (&seen.id, &seen.path, &seen.peer, status.as_u16());
    if ["/healthz", "/readyz", "/metrics"].contains(&path.as_str()) {
        tracing::debug!(request_id = %id, method, ?path, status, ms, peer, account, "answered");
    } else {
        tracing::info!(request_id = %id, method, ?path, status, ms, bytes = sent_bytes, peer, account, "answered");
    }
}

/// Method names are the caller's to choose, label values must not be.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    known.into_iter().find(|name| method == *name).unwrap_or("other")
}

/// The answer of a request whose handler panicked.
fn panicked(seen: &Seen, site: &Site, account: &str, panic: &(dyn std::any::Any + Send)) -> Broken {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(request_id = %seen.id, path = ?seen.path, detail = ?text.unwrap_or_default(), "a handler panicked");
    given_up(seen, site, account, HttpError::internal(""), "panicked")
}

fn given_up(seen: &Seen, site: &Site, account: &str, error: HttpError, route: &str) -> Broken {
    let status = error.status;
    let (content_type, body) = problem_body(status, error.problem, seen, Some(account.to_owned()).filter(|account| account != "-"));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    dress(&mut headers, seen, site);
    tell(seen, site, account, route, status, body.len() as u64);
    Broken { status, body, headers, left: LeftBehind::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, HttpResponse, middleware::from_fn};

    async fn answer(request: TestRequest) -> (StatusCode, HeaderMap, String, String) {
        async fn panics() -> HttpResponse {
            panic!("a secret of the handler")
        }
        let site = web::Data::new(Site::new(None, &[], Metrics::new().unwrap()));
        let app = App::new().app_data(site.clone()).route("/panics", web::get().to(panics)).wrap(from_fn(frame));
        let app = init_service(app).await;
        let request = request.insert_header((header::HOST, "localhost")).to_request();
        let response = match try_call_service(&app, request).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap(), site.metrics.text().unwrap())
    }

    #[test]
    fn forms_come_from_our_own_pages() {
        let site = |public: Option<&str>| Site::new(public.map(String::from), &[], Metrics::new().unwrap());
        let elsewhere = |site: &Site, given: &[(&'static str, &str)]| {
            let headers = given.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            comes_from_elsewhere(&headers.collect(), site)
        };
        let (plain, proxied) = (site(None), site(Some("https://hub.example.org")));
        let host = ("host", "hub.lan:8080");
        for ours in [
            &[host][..],
            &[host, ("origin", "http://hub.lan:8080")],
            &[host, ("origin", "http://HUB.lan:8080")],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "http://hub.lan:8080")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!elsewhere(&plain, ours), "{ours:?}");
        }
        for theirs in [
            &[host, ("origin", "http://evil.lan")][..],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site"), ("origin", "http://hub.lan:8080")],
            &[host, ("origin", "https://hub.example.org")],
        ] {
            assert!(elsewhere(&plain, theirs), "{theirs:?}");
        }
        assert!(!elsewhere(&proxied, &[host, ("origin", "https://hub.example.org")]), "behind a proxy the page is the public one's");
        assert!(elsewhere(&proxied, &[host, ("origin", "https://hub.example.org.evil")]));
    }

    #[actix_web::test]
    async fn a_panic_is_a_500_that_tells_nothing() {
        let (status, headers, body, metrics) = answer(TestRequest::get().uri("/panics")).await;
        assert_eq!(status, 500);
        assert!(headers.contains_key("content-security-policy") && headers.contains_key("x-request-id"));
        let problem: ProblemBody = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (problem.code.as_str(), problem.request_id.as_str()),
            ("internal", headers.get("x-request-id").unwrap().to_str().unwrap())
        );
        assert!(!body.contains("secret"));
        assert!(metrics.contains(r#"hub_http_requests_total{method="GET",route="panicked",status="500"} 1"#), "{metrics}");
    }

    #[actix_web::test]
    async fn programs_get_json_and_browsers_something_to_read() {
        let (status, headers, body, _) = answer(TestRequest::get().uri("/nothing")).await;
        assert_eq!((status.as_u16(), headers.get("content-type").unwrap().to_str().unwrap()), (404, "application/problem+json"));
        assert!(body.contains("\"hint\""));
        let (_, headers, body, _) = answer(TestRequest::get().uri("/nothing").insert_header((header::ACCEPT, "text/html"))).await;
        assert!(headers.get("content-type").unwrap().to_str().unwrap().starts_with("text/"));
        assert!(!body.starts_with('{'));
    }
}
