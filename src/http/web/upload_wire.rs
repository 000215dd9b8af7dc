//! What the upload page's script asks: the API's own handlers behind the session's cookie, since `/api` takes tokens only. Every
//! request carries the token of the page's forms in a header, which no other site's page can set.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::card::href;
use crate::domain::digest::Digest;
use crate::domain::manifest::ManifestEntry;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::http::api::uploads;
use crate::http::body::Body;
use crate::http::caller::{Caller, Visitor};
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{BlobAt, Json, Query, RepoAt, UploadAt};
use crate::service::repos::publish::Committed;
use crate::service::repos::sent::{Place, Sent, Standing};
use crate::service::{Error, Service};
use crate::wire::files::{CheckBlobs, CreateUpload, File};

/// The header with the token of the page's forms.
const TOKEN: &str = "x-form-token";

/// The visitor as a caller, if the request is from one of our pages.
fn ours(request: &HttpRequest, visitor: &Visitor) -> Result<Caller, HttpError> {
    let given = request.headers().get(TOKEN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    visitor.check_csrf(given)?;
    Ok(Caller(visitor.actor()))
}

pub async fn missing(request: HttpRequest, visitor: Visitor, service: Data<Service>, body: Json<CheckBlobs>) -> Answer {
    let caller = ours(&request, &visitor)?;
    uploads::missing(request, service, caller, body).await
}

pub async fn store(request: HttpRequest, visitor: Visitor, body: Body, service: Data<Service>, at: BlobAt) -> Answer {
    let caller = ours(&request, &visitor)?;
    uploads::store(request, body, service, caller, at).await
}

pub async fn announce(request: HttpRequest, visitor: Visitor, service: Data<Service>, body: Json<CreateUpload>) -> Answer {
    let caller = ours(&request, &visitor)?;
    uploads::create(service, caller, body).await
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: UploadAt) -> Answer {
    uploads::show(service, Caller(visitor.actor()), at).await
}

pub async fn part(request: HttpRequest, visitor: Visitor, body: Body, service: Data<Service>, at: UploadAt) -> Answer {
    let caller = ours(&request, &visitor)?;
    uploads::part(request, body, service, caller, at).await
}

pub async fn cancel(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: UploadAt) -> Answer {
    let caller = ours(&request, &visitor)?;
    uploads::cancel(service, caller, at).await
}

/// What a name stands for, told while it is typed.
pub async fn check(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    let kind = if query.text("kind") == RepoKind::Model.as_str() { RepoKind::Model } else { RepoKind::Dataset };
    let (state, said) = match RepoId::parse(query.text("id").trim()) {
        Err(wrong) => ("refused", wrong.to_string()),
        Ok(id) => match service.look_at_name(&visitor.actor(), kind, &id).await {
            Ok(Standing::Free) => ("free", format!("'{id}' is free")),
            Ok(Standing::Taken) => ("taken", format!("'{id}' is there already: what is published becomes its next version")),
            Ok(Standing::Gone) => ("refused", format!("'{id}' was deleted, and its name is not given again")),
            Err(Error::Internal(why)) => return Err(Error::Internal(why).into()),
            Err(refused) => ("refused", refused.to_string()),
        },
    };
    Ok(HttpResponse::Ok().json(json!({ "state": state, "message": said })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    #[serde(default)]
    message: String,
    #[serde(default)]
    place: String,
    /// The repo is to be made.
    #[serde(default)]
    new: bool,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    summary: String,
    files: Vec<File>,
}

/// Makes the version of the files that were sent, and the repo where it is a new one.
pub async fn publish(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, body: Json<Publish>) -> Answer {
    let Caller(actor) = ours(&request, &visitor)?;
    let files = body.0.files.iter().map(entry).collect::<Result<_, _>>()?;
    let new = body.0.new.then(|| (body.0.private, body.0.summary.trim().to_owned()));
    let sent = Sent { message: message(&body.0.message), place: place(&body.0.place), files, new };
    let done = service.publish_sent(&actor, at.kind, &at.id, sent).await?;
    Ok(HttpResponse::Ok().json(told(&at, &done)))
}

fn told(at: &RepoAt, done: &Committed) -> serde_json::Value {
    let href = href(at.kind, &at.id);
    json!({ "href": href, "version": done.version.number, "created": done.created, "warnings": done.warnings })
}

/// What is said of a version whose maker says nothing.
pub(super) fn message(given: &str) -> String {
    let given = given.trim();
    if given.is_empty() { "Uploaded in the browser".to_owned() } else { given.to_owned() }
}

pub(super) fn place(given: &str) -> Place {
    Place::parse(given).unwrap_or_default()
}

fn entry(file: &File) -> Result<ManifestEntry, HttpError> {
    let refused = |problem: String| HttpError::from(Error::invalid("bad_path", problem, "rename the file and send it again"));
    let path = RepoPath::parse(&file.path).map_err(|e| refused(e.to_string()))?;
    let digest = Digest::parse(&file.sha256);
    let digest = digest.map_err(|e| HttpError::bad_request("bad_digest", format!("'{path}': {e}"), "reload the page"))?;
    Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
}
