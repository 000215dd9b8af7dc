//! `/{kind}/{ns}/{name}/refs`: branches and tags.

use actix_web::{HttpResponse, web};

use crate::domain::repo::RefKind;
use crate::domain::revision::Revision;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, RefAt, RepoAt};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::repos::{Ref, SetRef};

/// `main` first, then branches, then tags, each by name.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/refs", tag = "refs", responses(
    (status = 200, body = List<Ref>),
    (status = 404, body = ProblemBody),
))]
pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    let found = service.list_refs(&caller.0, at.kind, &at.id).await?;
    let items: Vec<Ref> = found.into_iter().map(Ref::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Lets a ref name a version, if it still names the version it was seen at.
#[utoipa::path(put, path = "/api/v1/{kind}/{ns}/{name}/refs/{ref}", tag = "refs", request_body = SetRef, responses(
    (status = 200, body = Ref),
    (status = 404, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "it moved meanwhile"),
))]
pub async fn set(service: web::Data<Service>, caller: Caller, at: RefAt, body: Json<SetRef>) -> Answer {
    let wrong = |e| HttpError::bad_request("bad_revision", format!("{e}"), "name a version, such as its number");
    let revision = Revision::parse(&body.0.revision).map_err(wrong)?;
    let kind = body.0.branch.map(|branch| if branch { RefKind::Branch } else { RefKind::Tag });
    let set = service.set_ref(&caller.0, at.kind, &at.id, (at.name, kind), &revision, body.0.expected).await?;
    Ok(HttpResponse::Ok().json(Ref::from(set)))
}

/// Deletes a tag or a branch; `main` stays. Versions made upon a branch stay too, and are found by their numbers.
#[utoipa::path(delete, path = "/api/v1/{kind}/{ns}/{name}/refs/{ref}", tag = "refs", responses(
    (status = 204),
    (status = 404, body = ProblemBody),
))]
pub async fn remove(service: web::Data<Service>, caller: Caller, at: RefAt) -> Answer {
    service.delete_ref(&caller.0, at.kind, &at.id, &at.name, None).await?;
    Ok(HttpResponse::NoContent().finish())
}
