//! Refusals of what clients of the Hugging Face Hub send: where they look for other statuses than ours.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;

use super::{refuse, truth};
use crate::http::error::HttpError;
use crate::http::extract::Query;
use crate::service;

/// Wrong input is 400 to them, and a commit upon another version than `main` names is 412. 409 they read as "it is
/// there already", which a name that is not given again is not.
pub fn refused(error: service::Error) -> HttpError {
    let mut error = refuse(error);
    error.status = match (error.status.as_u16(), error.problem.code.as_str()) {
        (422, _) | (_, "name_reserved") => StatusCode::BAD_REQUEST,
        (_, "head_moved") => StatusCode::PRECONDITION_FAILED,
        _ => error.status,
    };
    error
}

/// The same for what has met a body's own trouble on its way.
pub fn told(mut error: HttpError) -> HttpError {
    if error.status == StatusCode::UNPROCESSABLE_ENTITY {
        error.status = StatusCode::BAD_REQUEST;
    }
    error.for_hugging_face(None)
}

pub fn bad(code: &'static str, message: impl Into<String>, hint: &str) -> HttpError {
    HttpError::bad_request(code, message, hint).for_hugging_face(None)
}

/// For git-lfs, which asks for a name and a token only where it sees this header.
pub fn with_login(error: HttpError) -> HttpError {
    match error.status {
        StatusCode::UNAUTHORIZED => error.with_header(HeaderName::from_static("lfs-authenticate"), "Basic realm=\"hub\""),
        _ => error,
    }
}

/// Does this request open a pull request?
pub fn proposes(query: &Query) -> bool {
    query.find("create_pr").is_some_and(truth)
}
