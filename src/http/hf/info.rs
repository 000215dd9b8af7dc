//! `/api/models/{id}` and `/api/datasets/{id}`, also at a revision.

use actix_web::{HttpResponse, web};

use super::describe::Wanted;
use super::refuse;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt, VersionAt};
use crate::service::Service;

/// A repo without versions is described too, without a `sha`.
pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.get_repo(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(Wanted::of_one(&query).describe(&service, &caller.0, found).await?))
}

pub async fn show_at(service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let found = service.get_repo_at(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(Wanted::of_one(&query).describe(&service, &caller.0, found).await?))
}
