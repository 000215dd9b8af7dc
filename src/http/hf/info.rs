//! `/api/models/{id}` and `/api/datasets/{id}`, also at a revision.

use actix_web::{HttpRequest, web};

use super::describe::{Asker, Wanted};
use super::refuse;
use crate::domain::repo::RepoSummary;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt, VersionAt};
use crate::http::rates::share;
use crate::http::rows;
use crate::service::Service;

/// A repo without versions is described too, without a `sha`.
pub async fn show(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.get_repo(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    answer(&request, &service, &caller, &query, found).await
}

pub async fn show_at(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    let found = service.get_repo_at(&caller.0, at.kind, &at.id, &at.revision).await.map_err(refuse)?;
    answer(&request, &service, &caller, &query, found).await
}

async fn answer(request: &HttpRequest, service: &Service, caller: &Caller, query: &Query, found: RepoSummary) -> Answer {
    let asker = Asker { actor: &caller.0, whose: share(request, &caller.0)? };
    let described = Wanted::of_one(query).describe(service, &asker, found).await?;
    rows::answer(rows::ok_json(), vec![described]).await.map_err(refuse)
}
