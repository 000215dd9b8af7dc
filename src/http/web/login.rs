//! Logging in with a token, and out again.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::{self, CSRF, Form};
use super::frame::{Frame, page_with, see_other};
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::caller::{self, Visitor};
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    frame: Frame,
    csrf: String,
    next: String,
    error: Option<String>,
}

pub async fn show(visitor: Visitor, request: HttpRequest, query: Query) -> Answer {
    login_page(&visitor, &request, &query.text("next"), StatusCode::OK, None)
}

fn login_page(visitor: &Visitor, request: &HttpRequest, next: &str, status: StatusCode, error: Option<String>) -> Answer {
    let cookie = form::login_cookie(&*Site::of(request)?)?;
    let next = form::local_path(next).to_owned();
    let login = Login { frame: Frame::of(visitor, "login"), csrf: cookie.value().to_owned(), next, error };
    let mut answer = page_with(status, &login)?;
    answer.add_cookie(&cookie).map_err(|e| HttpError::internal(format!("the cookie was not set: {e}")))?;
    Ok(answer)
}

pub async fn submit(visitor: Visitor, request: HttpRequest, service: Data<Service>, form: Form) -> Answer {
    form::check_login(&request, &form.0)?;
    let (token, next) = (form.0.text("token"), form.0.text("next"));
    match caller::open_session(&request, token.trim()).await {
        Ok(session) => {
            let mut answer = see_other(form::local_path(&next));
            let cookie = caller::session_cookie(&*Site::of(&request)?, &session);
            answer.add_cookie(&cookie).map_err(|e| HttpError::internal(format!("the cookie was not set: {e}")))?;
            Ok(answer)
        }
        Err(error) if error.status.is_client_error() => {
            let origin = Site::of(&request)?.origin(&request);
            service.note_event(&origin, &Actor::Anonymous, "login.failed", "", &error.problem.code);
            let text = format!("{}; {}", error.problem.message, error.problem.hint);
            login_page(&visitor, &request, &next, error.status, Some(text))
        }
        Err(error) => Err(error),
    }
}

pub async fn leave(visitor: Visitor, request: HttpRequest, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    if let Some(session) = &visitor.0 {
        service.close_session(&session.cookie).await?;
        service.note_event(&Site::of(&request)?.origin(&request), &session.actor, "logout", "", "");
    }
    left(&request)
}

/// Ends all sessions of this person, on whatever machine.
pub async fn leave_everywhere(visitor: Visitor, request: HttpRequest, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.close_all_sessions(&visitor.actor()).await?;
    left(&request)
}

fn left(request: &HttpRequest) -> Answer {
    let mut answer = see_other("/");
    let cookie = caller::no_cookie(&*Site::of(request)?);
    answer.add_cookie(&cookie).map_err(|e| HttpError::internal(format!("the cookie was not set: {e}")))?;
    Ok(answer)
}
