//! What is shown once, such as the secret of a new token: the answer to the form leads to the page, so that a reload makes no
//! second one, and takes the secret along in a cookie that the page takes away again. No script can read it, no other site sends it.

use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::{HttpRequest, HttpResponse};

use super::frame::see_other;
use crate::http::Site;
use crate::http::error::{Answer, HttpError};

const NAME: &str = "hub-once";
/// The page is asked for at once.
const LASTS_SECONDS: i64 = 60;

/// Leads to the page at `path`, which shows `secret`.
pub fn lead(request: &HttpRequest, path: &str, secret: &str) -> Answer {
    let mut answer = see_other(path);
    put(request, &mut answer, path, secret, Duration::seconds(LASTS_SECONDS))?;
    Ok(answer)
}

/// The secret that was taken along to this page, if one was.
pub fn shown(request: &HttpRequest) -> Option<String> {
    let fits = |text: &String| !text.is_empty() && text.len() <= 500 && text.chars().all(|c| c.is_ascii_graphic());
    request.cookie(NAME).map(|cookie| cookie.value().to_owned()).filter(fits)
}

/// Takes it away again.
pub fn forget(request: &HttpRequest, answer: &mut HttpResponse, path: &str) -> Result<(), HttpError> {
    if request.cookie(NAME).is_some() {
        put(request, answer, path, "", Duration::ZERO)?;
    }
    Ok(())
}

fn put(request: &HttpRequest, answer: &mut HttpResponse, path: &str, value: &str, lasts: Duration) -> Result<(), HttpError> {
    let site = Site::of(request)?;
    let cookie = Cookie::build(NAME, value.to_owned()).path(site.outer_path(path)).http_only(true).same_site(SameSite::Strict);
    let cookie = cookie.secure(site.is_https()).max_age(lasts).finish();
    answer.add_cookie(&cookie).map_err(|e| HttpError::internal(format!("the cookie was not set: {e}")))
}
