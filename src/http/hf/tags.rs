//! Tags and branches as clients of the Hugging Face Hub set them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::refusal::{bad, refused};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::RefKind;
use crate::domain::revision::{RefName, Revision};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RefAt, VersionAt};
use crate::service::{Error, Service};
use crate::wire::hf_write::{BranchWanted, TagWanted};

pub async fn create_tag(service: web::Data<Service>, caller: Caller, at: VersionAt, body: Json<TagWanted>) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let tag = RefName::parse(&body.0.tag).map_err(|e| bad("bad_tag", e.to_string(), "choose another tag"))?;
    service.set_ref(&caller.0, at.kind, &at.id, (tag, Some(RefKind::Tag)), &at.revision, None).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

pub async fn delete_tag(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let Revision::Ref(tag) = &at.revision else {
        let message = format!("'{}' has no tag '{}'", at.id, at.revision);
        return Err(refused(Error::not_found("revision_not_found", message, "list its refs to see what there is")));
    };
    remove(&service, &caller, at.kind, &at.id, tag, RefKind::Tag).await
}

async fn remove(service: &Service, caller: &Caller, kind: RepoKind, id: &RepoId, name: &RefName, ref_kind: RefKind) -> Answer {
    match service.delete_ref(&caller.0, kind, id, name, Some(ref_kind)).await {
        Err(Error::NotFound(problem)) if problem.code == "ref_not_found" => {
            Err(refused(Error::not_found("revision_not_found", problem.message, problem.hint)))
        }
        other => other.map(|()| HttpResponse::Ok().json(json!({}))).map_err(refused),
    }
}

pub async fn create_branch(service: web::Data<Service>, caller: Caller, at: RefAt, body: Json<BranchWanted>) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let start = body.0.starting_point.as_deref().filter(|text| !text.is_empty());
    let start = start.map_or(Ok(Revision::main()), Revision::parse);
    let start = start.map_err(|e| bad("bad_revision", e.to_string(), "begin at a branch, a tag or a commit"))?;
    service.set_ref(&caller.0, at.kind, &at.id, (at.name, Some(RefKind::Branch)), &start, None).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

pub async fn delete_branch(service: web::Data<Service>, caller: Caller, at: RefAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    remove(&service, &caller, at.kind, &at.id, &at.name, RefKind::Branch).await
}

/// A history that people pinned is not rewritten.
pub async fn squash(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refused)?;
    let message = "this hub does not squash histories: a version that somebody pinned stays what it was";
    let error =
        HttpError::new(StatusCode::NOT_IMPLEMENTED, "not_offered", message, "delete single versions with DELETE /api/v1/.../versions/N");
    Err(error.for_hugging_face(None))
}
