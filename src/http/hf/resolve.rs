//! `/{id}/resolve/{revision}/{path}`: a file's bytes, with the headers this dialect's clients name and prove
//! files by. The same stream as everywhere else.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, web};

use super::refuse;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::FileAt;
use crate::http::stream;
use crate::service::Service;

pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt) -> Answer {
    let file = service.open_file(&caller.0, at.kind, &at.id, &at.revision, &at.path).await.map_err(refuse)?;
    let (mut response, begins) = stream::serve(&request, &service, &file).await?;
    let headers = response.headers_mut();
    let entry = &file.entry;
    for (name, value) in [("x-linked-etag", format!("\"{}\"", entry.digest)), ("x-linked-size", entry.size_bytes.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if begins {
        service.count_download(&file.repo);
    }
    Ok(response)
}
