//! `/api/repos/...` and a repo's settings: making, deleting, moving, hiding.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::first_files;
use super::refusal::{bad, refused};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RepoAt};
use crate::service::{Error, Service};
use crate::wire::hf_write::{RepoMade, RepoMoved, RepoWanted, Settings};

pub async fn create(request: HttpRequest, service: web::Data<Service>, caller: Caller, body: Json<RepoWanted>) -> Answer {
    service.may_upload(&caller.0).map_err(refused)?;
    let (kind, id) = named(&caller.0, &body.0)?;
    let private = privacy(body.0.private, body.0.visibility.as_deref())?.unwrap_or(false);
    let files = first_files::read(&body.0)?;
    let url = address_of(&request, kind, &id)?;
    match service.create_repo(&caller.0, kind, &id, private, String::new()).await {
        // Clients that do not mind go on with the repo at this address.
        Err(taken @ Error::Conflict(_)) => Err(refused(taken).with_url(url)),
        other => {
            let id = other.map_err(refused)?.repo.id;
            service.begin_history(&caller.0, kind, &id).await.map_err(refused)?;
            first_files::publish(&service, &caller.0, kind, &id, files).await?;
            Ok(HttpResponse::Ok().json(RepoMade { url: address_of(&request, kind, &id)?, name: id.to_string(), id: id.to_string() }))
        }
    }
}

pub async fn remove(service: web::Data<Service>, caller: Caller, body: Json<RepoWanted>) -> Answer {
    service.may_upload(&caller.0).map_err(refused)?;
    let (kind, id) = named(&caller.0, &body.0)?;
    service.delete_repo(&caller.0, kind, &id).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

pub async fn rename(request: HttpRequest, service: web::Data<Service>, caller: Caller, body: Json<RepoMoved>) -> Answer {
    service.may_upload(&caller.0).map_err(refused)?;
    let kind = kind_of(body.0.kind.as_deref())?;
    let (from, to) = (id_of(&body.0.from)?, id_of(&body.0.to)?);
    let moved = service.move_repo(&caller.0, kind, &from, &to).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({ "url": address_of(&request, kind, &moved.id)? })))
}

pub async fn change(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<Settings>) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    if body.0.gated.as_ref().is_some_and(|gated| *gated != json!(false)) {
        return Err(bad("not_gated", "repos here are public or private, not gated", "make the repo private and add members"));
    }
    if let Some(private) = privacy(body.0.private, body.0.visibility.as_deref())? {
        service.patch_repo(&caller.0, at.kind, &at.id, Some(private), None).await.map_err(refused)?;
    }
    Ok(HttpResponse::Ok().json(json!({})))
}

/// The address people see a repo at, which clients take its name from.
pub fn address_of(request: &HttpRequest, kind: RepoKind, id: &RepoId) -> Result<String, HttpError> {
    let below = match kind {
        RepoKind::Model => "",
        RepoKind::Dataset => "datasets/",
    };
    Ok(format!("{}/{below}{id}", Site::of(request)?.address(request)))
}

/// Which repo is meant; without an organisation one of the caller's own.
fn named(actor: &Actor, wanted: &RepoWanted) -> Result<(RepoKind, RepoId), HttpError> {
    let kind = kind_of(wanted.kind.as_deref())?;
    let own = actor.name().map_or("", |name| name.as_str());
    let namespace = wanted.organization.as_deref().filter(|name| !name.is_empty()).unwrap_or(own);
    let full = if wanted.name.contains('/') { wanted.name.clone() } else { format!("{namespace}/{}", wanted.name) };
    Ok((kind, id_of(&full)?))
}

fn kind_of(text: Option<&str>) -> Result<RepoKind, HttpError> {
    RepoKind::parse(text.unwrap_or("model")).map_err(|e| bad("bad_kind", e.to_string(), "spaces and other kinds are not kept here"))
}

fn id_of(text: &str) -> Result<RepoId, HttpError> {
    RepoId::parse(text).map_err(|e| bad("bad_name", e.to_string(), "choose another name"))
}

fn privacy(private: Option<bool>, visibility: Option<&str>) -> Result<Option<bool>, HttpError> {
    match visibility {
        None => Ok(private),
        Some("private") => Ok(Some(true)),
        Some("public") => Ok(Some(false)),
        Some(_) => Err(bad("bad_visibility", "a repo is 'public' or 'private'", "choose one of them")),
    }
}
