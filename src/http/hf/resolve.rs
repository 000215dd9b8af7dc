//! `/{id}/resolve/{revision}/{path}`: a file's bytes, with the headers this dialect's clients name and prove
//! files by. The same stream as everywhere else.

use actix_web::http::header::{HeaderName, HeaderValue, RANGE};
use actix_web::{HttpRequest, web};

use super::refuse;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::FileAt;
use crate::http::stream;
use crate::service::{self, Service};

pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt) -> Answer {
    let file = match service.open_file(&caller.0, at.kind, &at.id, &at.revision, &at.path).await {
        Ok(file) => file,
        Err(error) => return Err(no_file(&service, &caller, &at, error).await),
    };
    let (mut response, begins) = stream::serve(&request, &service, &file).await?;
    let headers = response.headers_mut();
    let entry = &file.entry;
    for (name, value) in [("x-linked-etag", format!("\"{}\"", entry.digest)), ("x-linked-size", entry.size_bytes.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if begins && !is_probe(&request) {
        service.count_download(&file.repo);
    }
    Ok(response)
}

/// The Rust client asks for the first byte to learn the size; the download comes after it.
fn is_probe(request: &HttpRequest) -> bool {
    request.headers().get(RANGE).is_some_and(|range| range == "bytes=0-0")
}

/// That a version has no such file is worth remembering, for which clients need to know which version.
async fn no_file(service: &Service, caller: &Caller, at: &FileAt, error: service::Error) -> HttpError {
    let absent = matches!(&error, service::Error::NotFound(problem) if problem.code == "file_not_found");
    let refused = refuse(error);
    if !absent {
        return refused;
    }
    match service.get_version(&caller.0, at.kind, &at.id, &at.revision).await {
        Ok(version) => refused.with_header(HeaderName::from_static("x-repo-commit"), version.commit.as_str()),
        Err(_) => refused,
    }
}
