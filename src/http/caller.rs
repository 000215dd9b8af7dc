//! Who is asking: a token on `/api`, a cookie on pages, never one in the place of the other.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use subtle::ConstantTimeEq as _;

use super::Site;
use super::error::HttpError;
use super::rates::admit;
use crate::domain::secret;
use crate::domain::user::Actor;
use crate::service::people::sessions::Session;
use crate::service::{self, Service};

/// The caller of the API: `Authorization: Bearer hub_...`, or Basic with the token as password (git-lfs),
/// or nobody. A cookie says nothing here, so that no other site can make a browser act.
pub struct Caller(pub Actor);

impl FromRequest for Caller {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Caller, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let actor = match token_of(&request)? {
                None => Actor::Anonymous,
                Some(token) => log_in(&request, &token, |service, token| async move { service.authenticate(&token).await }).await?,
            };
            admit(&request, &actor)?;
            Ok(Caller(actor))
        })
    }
}

/// The caller of a page: the session its cookie names, or none.
pub struct Visitor(pub Option<Session>);

impl Visitor {
    pub fn actor(&self) -> Actor {
        self.0.as_ref().map_or(Actor::Anonymous, |session| session.actor.clone())
    }

    /// The token every form of this visitor carries; empty for nobody.
    pub fn csrf(&self) -> &str {
        self.0.as_ref().map_or("", |session| &session.csrf)
    }

    /// 403 unless the form was ours.
    pub fn check_csrf(&self, given: &str) -> Result<(), HttpError> {
        let good = self.0.as_ref().is_some_and(|session| bool::from(session.csrf.as_bytes().ct_eq(given.as_bytes())));
        let message = "the form is stale or came from elsewhere";
        if good {
            Ok(())
        } else {
            Err(HttpError::new(StatusCode::FORBIDDEN, "csrf", message, "go back, reload the page and send it again"))
        }
    }
}

impl FromRequest for Visitor {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Visitor, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (site, service) = (Site::of(&request)?, service_of(&request)?);
            let session = match request.cookie(site.cookie_name()) {
                Some(cookie) => service.find_session(cookie.value()).await?,
                None => None,
            };
            let visitor = Visitor(session);
            admit(&request, &visitor.actor())?;
            Ok(visitor)
        })
    }
}

/// Opens a session for the token a person typed in; wrong ones count against their address.
pub async fn open_session(request: &HttpRequest, token: &str) -> Result<Session, HttpError> {
    log_in(request, token, |service, token| async move { service.open_session(&token).await }).await
}

/// The cookie of a session: out of reach of scripts, and not sent along by other sites' forms.
pub fn session_cookie(site: &Site, session: &Session) -> Cookie<'static> {
    cookie(site, session.cookie.clone(), Duration::milliseconds(session.lasts_ms))
}

/// Takes the cookie away.
pub fn no_cookie(site: &Site) -> Cookie<'static> {
    cookie(site, String::new(), Duration::ZERO)
}

fn cookie(site: &Site, value: String, lasts: Duration) -> Cookie<'static> {
    let cookie = Cookie::build(site.cookie_name(), value).path(site.outer_path("")).http_only(true).same_site(SameSite::Lax);
    cookie.secure(site.is_https()).max_age(lasts).finish()
}

/// Tries a token under the eye of the guard against guessing.
async fn log_in<T, F>(request: &HttpRequest, token: &str, story: impl FnOnce(Service, String) -> F) -> Result<T, HttpError>
where
    F: Future<Output = service::Result<T>>,
{
    let site = Site::of(request)?;
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let hash = secret::hash(token);
    if let Err(seconds) = site.attempts.check(peer, &hash, Instant::now()) {
        site.metrics.refused("too_many_logins");
        let hint = format!("wait {} minutes, or use a token that worked before", seconds.div_ceil(60));
        let error = HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_logins", "too many wrong tokens from your address", hint);
        return Err(error.with_header(RETRY_AFTER, seconds.to_string()));
    }
    match story(service_of(request)?, token.to_owned()).await {
        Ok(found) => {
            site.attempts.succeeded(&hash, Instant::now());
            Ok(found)
        }
        Err(error) => {
            if matches!(error, service::Error::Unauthorized(_)) {
                site.attempts.failed(peer, Instant::now());
            }
            Err(error.into())
        }
    }
}

fn service_of(request: &HttpRequest) -> Result<Service, HttpError> {
    let service = request.app_data::<actix_web::web::Data<Service>>();
    service.map(|data| data.get_ref().clone()).ok_or_else(|| HttpError::internal("the service is not registered"))
}

/// The token in the Authorization header.
fn token_of(request: &HttpRequest) -> Result<Option<String>, HttpError> {
    let Some(value) = request.headers().get(AUTHORIZATION) else { return Ok(None) };
    let malformed = || {
        let hint = "send 'Authorization: Bearer hub_...'";
        let error = HttpError::new(StatusCode::UNAUTHORIZED, "bad_authorization", "the Authorization header could not be read", hint);
        error.with_header(WWW_AUTHENTICATE, "Bearer realm=\"hub\"")
    };
    let (scheme, rest) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.trim().to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
        let (_, password) = decoded.split_once(':').ok_or_else(malformed)?;
        return Ok(Some(password.to_owned()));
    }
    Err(malformed())
}
