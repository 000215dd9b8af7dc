//! From a service's error to an answer. Handlers return [`HttpError`]; it carries the problem beside an empty
//! body, and the frame (`guard.rs`) writes it once, as JSON for programs or as a page for browsers.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};

use crate::domain::name::RepoId;
use crate::service;
use crate::wire::error::{Kind, ProblemBody};

/// What handlers return.
pub type Answer = Result<HttpResponse, HttpError>;

/// A problem on its way out.
#[derive(Debug, Clone)]
pub struct HttpError {
    pub status: StatusCode,
    pub problem: ProblemBody,
    /// For the log only.
    pub detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    dialect: Dialect,
    /// The address of what stands in the way; clients of the Hugging Face Hub read it.
    url: Option<String>,
    moved_to: Option<Box<RepoId>>,
}

/// Whose clients read the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Hub,
    HuggingFace,
    /// Of `/v1/embeddings`.
    OpenAi,
    /// Of text-embeddings-inference.
    Tei,
    /// Clients that show a person whatever they were answered.
    Text,
}

/// What the frame finds beside the empty body of a refused request.
#[derive(Debug, Clone)]
pub struct Refused {
    pub problem: ProblemBody,
    pub detail: String,
    pub dialect: Dialect,
    pub url: Option<String>,
    /// The present name of the repo that was asked for.
    pub moved_to: Option<Box<RepoId>>,
}

impl HttpError {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: impl Into<String>) -> HttpError {
        let problem = ProblemBody { code: code.into(), message: message.into(), hint: hint.into(), request_id: String::new() };
        HttpError { status, problem, detail: String::new(), headers: Vec::new(), dialect: Dialect::Hub, url: None, moved_to: None }
    }

    /// 400: the request itself is malformed.
    pub fn bad_request(code: &str, message: impl Into<String>, hint: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::BAD_REQUEST, code, message, hint)
    }

    /// 500; `detail` goes to the log, the caller learns the request's id.
    pub fn internal(detail: impl Into<String>) -> HttpError {
        let mut error = HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on the server",
            "try again; if it stays, tell the server's administrator the request id",
        );
        error.detail = detail.into();
        error
    }

    pub fn with_header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> HttpError {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    pub fn with_url(self, url: String) -> HttpError {
        HttpError { url: Some(url), ..self }
    }

    /// The same refusal as a line of text.
    pub fn as_text(mut self) -> HttpError {
        self.dialect = Dialect::Text;
        self
    }

    /// The same refusal for clients of the Hugging Face Hub, which look for these headers.
    pub fn for_hugging_face(mut self, code: Option<&'static str>) -> HttpError {
        self.dialect = Dialect::HuggingFace;
        let line: String = self.problem.message.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        let error = self.with_header(HeaderName::from_static("x-error-message"), line);
        match code {
            Some(code) => error.with_header(HeaderName::from_static("x-error-code"), code),
            None => error,
        }
    }

    /// The problem of an answer that came without one: what the framework itself refused.
    pub fn of_status(status: StatusCode) -> HttpError {
        let (code, message, hint) = match status.as_u16() {
            404 => ("no_such_page", "there is nothing at this address", "the API is described at /api/v1/openapi.json"),
            405 => ("method_not_allowed", "this address does not take this method", "the header Allow lists those it takes"),
            408 => ("too_slow", "the request did not arrive in time", "try again on a better line"),
            413 => ("too_large", "the request is larger than this address takes", "send less at once"),
            416 => ("bad_range", "the range lies outside the file", "ask HEAD for the file's length"),
            _ => ("bad_request", "the request could not be read", "the API is described at /api/v1/openapi.json"),
        };
        if status.is_server_error() {
            let mut error = HttpError::internal("");
            error.status = status;
            return error;
        }
        HttpError::new(status, code, message, hint)
    }
}

impl From<service::Error> for HttpError {
    fn from(error: service::Error) -> HttpError {
        use service::Error as E;
        let (kind, problem) = match error {
            E::NotFound(p) => (Kind::NotFound, p),
            E::Unauthorized(p) => (Kind::Unauthorized, p),
            E::Forbidden(p) => (Kind::Forbidden, p),
            E::Conflict(p) => (Kind::Conflict, p),
            E::Invalid(p) => (Kind::Invalid, p),
            E::TooLarge(p) => (Kind::TooLarge, p),
            E::Busy(p) => (Kind::Busy, p),
            E::Corrupt(p) => (Kind::Corrupt, p),
            E::Internal(detail) => return HttpError::internal(detail),
        };
        let status = match problem.code {
            "disk_full" => 507,
            "too_many_jobs" | "too_many_repos" | "too_many_organisations" | "too_many_tokens" | "too_many_uploads" => 429,
            _ => kind.status(),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut error = HttpError::new(status, problem.code, problem.message, problem.hint);
        error.moved_to = problem.moved_to;
        match kind {
            Kind::Unauthorized => error.with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"hub\""),
            Kind::Busy => error.with_header(header::RETRY_AFTER, "2"),
            _ => error,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        let HttpError { problem, detail, dialect, url, moved_to, .. } = self.clone();
        response.extensions_mut().insert(Refused { problem, detail, dialect, url, moved_to });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_errors_keep_their_words_and_internal_ones_hide_them() {
        let error = HttpError::from(service::Error::unauthorized("login_required", "this needs a token", "log in"));
        assert_eq!(error.status, 401);
        assert_eq!(error.problem.code, "login_required");
        assert!(error.error_response().headers().contains_key("www-authenticate"));
        let error = HttpError::from(service::Error::Internal("secret path /data".into()));
        assert_eq!((error.status.as_u16(), error.detail.as_str()), (500, "secret path /data"));
        assert!(!format!("{:?}", error.problem).contains("secret"));
        let full = HttpError::from(service::Error::busy("disk_full", "full", "make room"));
        assert_eq!(full.status, 507);
    }
}
