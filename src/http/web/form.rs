//! Forms: a small urlencoded body that must come from one of our own pages.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;
use subtle::ConstantTimeEq as _;

use crate::http::Site;
use crate::http::body::Body;
use crate::http::error::HttpError;
use crate::http::extract::Query;
use crate::http::guard::comes_from_elsewhere;

/// No form of ours is larger, but those with a card.
const MAX_FORM_BYTES: usize = 64 << 10;
/// A card as a form sends it: what is no letter takes three bytes, in UTF-8 up to four of these.
const MAX_CARD_FORM_BYTES: usize = 6 << 20;

/// The field every form carries.
pub const CSRF: &str = "csrf";

/// Ties the log-in form to the browser it was shown to, before there is a session to do so.
const LOGIN_COOKIE: &str = "hub-form";

/// The fields of a form that was sent from our own origin. Its token is checked by the handler, which knows the
/// visitor.
pub struct Form(pub Query);

/// The same of a form with a whole card in it.
pub struct CardForm(pub Query);

impl FromRequest for Form {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Form, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload, MAX_FORM_BYTES);
        Box::pin(async move { read.await.map(Form) })
    }
}

impl FromRequest for CardForm {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<CardForm, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload, MAX_CARD_FORM_BYTES);
        Box::pin(async move { read.await.map(CardForm) })
    }
}

fn read(request: &HttpRequest, payload: &mut Payload, most: usize) -> impl Future<Output = Result<Query, HttpError>> + use<> {
    let foreign_page = Site::of(request).map(|site| comes_from_elsewhere(request.headers(), &site));
    let urlencoded = request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let body = Body::of(request, payload.take());
    async move {
        if foreign_page? {
            return Err(foreign());
        }
        if !urlencoded {
            let hint = "send the form from its page";
            return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_a_form", "this address takes a form", hint));
        }
        let body = body?.gather(most).await?;
        Ok(Query::new(&String::from_utf8_lossy(&body)))
    }
}

/// Of a form that no page of ours has sent.
pub fn foreign() -> HttpError {
    let message = "the form is stale or came from elsewhere";
    HttpError::new(StatusCode::FORBIDDEN, "csrf", message, "go back, reload the page and send it again")
}

/// The cookie and field value of a new log-in form.
pub fn login_cookie(site: &Site) -> Result<Cookie<'static>, HttpError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| HttpError::internal(format!("no randomness: {e}")))?;
    let cookie = Cookie::build(LOGIN_COOKIE, hex::encode(random)).path(site.outer_path("/login")).http_only(true);
    Ok(cookie.same_site(SameSite::Strict).secure(site.is_https()).finish())
}

/// 403 unless the log-in form was shown to this browser.
pub fn check_login(request: &HttpRequest, form: &Query) -> Result<(), HttpError> {
    let given = form.text(CSRF);
    let same = |cookie: Cookie<'_>| !given.is_empty() && bool::from(cookie.value().as_bytes().ct_eq(given.as_bytes()));
    if request.cookie(LOGIN_COOKIE).is_some_and(same) { Ok(()) } else { Err(foreign()) }
}

/// A `next` that stays on this site; anything else leads home.
pub fn local_path(next: &str) -> &str {
    let local = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if local { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_never_leaves_the_site() {
        assert_eq!(local_path("/jobs?x=1"), "/jobs?x=1");
        for evil in ["//evil", "/\\evil", "https://evil", "javascript:x", "", "/a\r\nb", "/\t/evil"] {
            assert_eq!(local_path(evil), "/", "{evil:?}");
        }
    }
}
