//! TF-Hub's dialect: `hub.load("https://.../{ns}/{name}/{version}")` asks that address with
//! `?tf-hub-format=compressed` and unpacks the tar it is answered. The client never asks again what it has once
//! unpacked, so an address must name a version that stays what it is; `main` does not.

mod archive;

use std::io;

use actix_web::http::header::{CONTENT_DISPOSITION, ETAG, HeaderName, IF_NONE_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;

use super::caller::Caller;
use super::error::{Answer, HttpError};
use super::extract::{Query, VersionAt};
use crate::domain::revision::Revision;
use crate::service::Service;

pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    check(&at.revision, &query).map_err(HttpError::as_text)?;
    let model = service.get_saved_model(&caller.0, &at.id, &at.revision).await.map_err(|e| HttpError::from(e).as_text())?;
    // The same version is always written as the same bytes.
    let etag = format!("\"{}.tar.gz\"", model.version.manifest);
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/x-tar")
        .insert_header((ETAG, etag.as_str()))
        .insert_header((HeaderName::from_static("x-repo-commit"), model.version.commit.as_str()))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"saved_model.tar.gz\""));
    if request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == etag.as_str()) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    // How long it will be is not known before it is written; HEAD says so too.
    if request.method() == Method::HEAD {
        return Ok(response.streaming(stream::empty::<io::Result<Bytes>>()));
    }
    service.count_download(&model.repo);
    Ok(response.streaming(archive::stream(service.get_ref().clone(), caller.0, model)))
}

fn check(revision: &Revision, query: &Query) -> Result<(), HttpError> {
    let format = query.text("tf-hub-format");
    if format != "compressed" {
        let message = format!("this server has no SavedModels in the form '{format}'");
        let hint = "ask for tf-hub-format=compressed, as tensorflow_hub does unless TFHUB_MODEL_LOAD_FORMAT says otherwise";
        return Err(HttpError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message, hint));
    }
    if *revision == Revision::main() {
        let hint = "name a version by its number or tag: what was loaded once is never asked for again";
        return Err(HttpError::new(StatusCode::NOT_FOUND, "revision_not_found", "'main' moves, and a handle must not", hint));
    }
    Ok(())
}
