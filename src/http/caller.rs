//! Who is asking: a token on `/api`, a cookie on pages, never one in the place of the other.
//!
//! Tools send one token to every hub they ask, and go on sending one that is stale. What is public is there for them as it
//! is for those who send none; only where a token is needed they are told that theirs is wrong.

use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::dev::{Payload, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, ResponseError as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use subtle::ConstantTimeEq as _;

use super::error::{HttpError, Refused};
use super::rates::admit;
use super::rights::{self, Rights};
use super::route::{About, Traits};
use super::{Site, worker};
use crate::domain::secret::{self, Secret};
use crate::domain::user::Actor;
use crate::service::people::sessions::Session;
use crate::service::{self, Service};

/// git-lfs asks for a name and a token only where it sees this header.
const LFS_AUTHENTICATE: HeaderName = HeaderName::from_static("lfs-authenticate");

/// The caller of the API: `Authorization: Bearer hub_...`, or Basic with the token as password (git-lfs),
/// or nobody. A cookie says nothing here, so that no other site can make a browser act.
pub struct Caller(pub Actor);

impl FromRequest for Caller {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Caller, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            if let Some(Known(actor)) = found_out(&request) {
                return Ok(Caller(actor));
            }
            if Traits::of(&request).worker {
                return worker::owner_of(&request).await.map(Caller);
            }
            let known = identify(&request).await;
            admit(&request, known.as_ref().unwrap_or(&Actor::Anonymous))?;
            match known {
                Ok(actor) => {
                    rights::claim(&request, &actor, None);
                    Ok(Caller(actor))
                }
                Err(wrong) if wrong.error.status.is_client_error() && may_matter_later(&request, &wrong) => {
                    request.extensions_mut().insert(wrong);
                    rights::claim(&request, &Actor::Anonymous, None);
                    Ok(Caller(Actor::Anonymous))
                }
                Err(wrong) => Err(wrong.error),
            }
        })
    }
}

/// Who asks, where that was found out before the handler wants to know; it is counted and looked up once.
#[derive(Clone)]
struct Known(Actor);

#[derive(Clone)]
struct KnownVisitor(Option<Session>);

fn found_out<T: Clone + 'static>(request: &HttpRequest) -> Option<T> {
    request.extensions().get::<T>().cloned()
}

/// Who asks, and whether they may: before anything is done for them.
pub async fn find_out(request: &HttpRequest) -> Result<Actor, HttpError> {
    if Traits::of(request).page {
        let visitor = Visitor::extract(request).await?;
        let actor = visitor.actor();
        request.extensions_mut().insert(KnownVisitor(visitor.0));
        return Ok(actor);
    }
    let Caller(actor) = Caller::extract(request).await?;
    request.extensions_mut().insert(Known(actor.clone()));
    Ok(actor)
}

/// A token that is none of ours, and what its sender is told where it matters.
struct WrongToken {
    error: HttpError,
    /// It was not meant for a hub of this kind.
    foreign: bool,
}

async fn identify(request: &HttpRequest) -> Result<Actor, WrongToken> {
    let token = token_of(request).map_err(|error| WrongToken { error, foreign: true })?;
    let Some(token) = token else { return Ok(Actor::Anonymous) };
    let foreign = !secret::is_ours(&token);
    log_in(request, &token, |service, token| async move { service.authenticate(&token).await })
        .await
        .map_err(|error| WrongToken { error, foreign })
}

/// May the request go on without the token? A repo is there or not, and so says whether the token was needed; a list would
/// only be shorter, which is what a stranger here expects, and not who has a token of ours.
fn may_matter_later(request: &HttpRequest, wrong: &WrongToken) -> bool {
    // A token of ours that is for something else was not sent by habit.
    if wrong.error.status == StatusCode::FORBIDDEN {
        return false;
    }
    let traits = Traits::of(request);
    traits.reads(request.method()) && (wrong.foreign || traits.about != About::NoRepo)
}

/// The answer to a request that went on without its token, if that was needed after all: then the token is what is wrong.
pub fn blame_token(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let wrong = response.request().extensions_mut().remove::<WrongToken>();
    let needs_one = |refused: &Refused| ["login_required", "repo_not_found"].contains(&refused.problem.code.as_str());
    match wrong {
        Some(wrong) if response.response().extensions().get::<Refused>().is_some_and(needs_one) => {
            let mut answer = wrong.error.error_response();
            for (name, value) in response.headers().iter().filter(|(name, _)| *name == LFS_AUTHENTICATE) {
                answer.headers_mut().insert(name.clone(), value.clone());
            }
            response.into_response(answer)
        }
        _ => response,
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
            if let Some(KnownVisitor(session)) = found_out(&request) {
                return Ok(Visitor(session));
            }
            let (site, service) = (Site::of(&request)?, service_of(&request)?);
            let session = match request.cookie(site.cookie_name()) {
                Some(cookie) => service.find_session(cookie.value()).await?,
                None => None,
            };
            let visitor = Visitor(session);
            rights::claim(&request, &visitor.actor(), visitor.0.as_ref().map(|session| session.cookie.as_str()));
            admit(&request, &visitor.actor())?;
            Ok(visitor)
        })
    }
}

/// Who looks at the page of a refusal, which says so and nothing else; its handler may have ended before it asked.
pub async fn who_looks(request: &HttpRequest, rights: &Rights) -> Option<String> {
    if let Some(actor) = rights.actor() {
        return actor.name().map(ToString::to_string);
    }
    let (site, service) = (Site::of(request).ok()?, service_of(request).ok()?);
    let cookie = request.cookie(site.cookie_name())?;
    let session = service.find_session(cookie.value()).await.ok()??;
    session.actor.name().map(ToString::to_string)
}

/// Opens a session for the token a person typed in; wrong ones count as guesses.
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

/// Tries a token. Whether it is right is looked up first: nobody is refused for what others behind their address have tried.
pub(super) async fn log_in<T, F>(request: &HttpRequest, token: &str, story: impl FnOnce(Service, String) -> F) -> Result<T, HttpError>
where
    F: Future<Output = service::Result<T>>,
{
    let site = Site::of(request)?;
    let error = match story(service_of(request)?, token.to_owned()).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    // What no hub has given out is a mistake, not a guess.
    if let (service::Error::Unauthorized(_), Ok(guess)) = (&error, Secret::parse(token.trim()))
        && let Err(seconds) = site.attempts.guessed(site.client(request).address, &guess.hash(), Instant::now())
    {
        site.metrics.refused("too_many_logins");
        let hint = format!("use a token that is right, or wait {} minutes", seconds.div_ceil(60));
        let error = HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_logins", "too many wrong tokens from your address", hint);
        return Err(error.with_header(RETRY_AFTER, seconds.to_string()));
    }
    Err(error.into())
}

fn service_of(request: &HttpRequest) -> Result<Service, HttpError> {
    let service = request.app_data::<actix_web::web::Data<Service>>();
    service.map(|data| data.get_ref().clone()).ok_or_else(|| HttpError::internal("the service is not registered"))
}

/// The token in the Authorization header.
pub(super) fn token_of(request: &HttpRequest) -> Result<Option<String>, HttpError> {
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
