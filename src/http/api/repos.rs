//! `/repos`, `/{kind}/{ns}/{name}` and how repos hang together.

use actix_web::{HttpResponse, web};

use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, RepoAt};
use crate::service::Service;
use crate::service::repos::relations::{Relatives, Wanted};
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::repos::{CreateRepo, ModelsOfDataset, PatchRepo, RepoDetail, SourceDataset};

/// Makes an empty repo in a namespace the caller may write to.
#[utoipa::path(post, path = "/api/v1/repos", tag = "repos", request_body = CreateRepo, responses(
    (status = 201, body = RepoDetail),
    (status = 403, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the name is taken, or was by a repo that is gone"),
))]
pub async fn create(service: web::Data<Service>, caller: Caller, body: Json<CreateRepo>) -> Answer {
    let CreateRepo { kind, id, private, summary } = body.0;
    let wrong = |e| HttpError::bad_request("bad_name", format!("{e}"), "choose another name");
    let (kind, id) = (RepoKind::parse(&kind).map_err(wrong)?, RepoId::parse(&id).map_err(wrong)?);
    let made = service.create_repo(&caller.0, kind, &id, private, summary).await?;
    Ok(HttpResponse::Created().json(RepoDetail::from(made)))
}

/// A repo with its newest version and what was read in it.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}", tag = "repos", responses(
    (status = 200, body = RepoDetail),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    let found = service.get_repo(&caller.0, at.kind, &at.id).await?;
    Ok(HttpResponse::Ok().json(RepoDetail::from(found)))
}

/// Changes what is given: private or public (admin role), the summary (write role).
#[utoipa::path(patch, path = "/api/v1/{kind}/{ns}/{name}", tag = "repos", request_body = PatchRepo, responses(
    (status = 200, body = RepoDetail),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn change(service: web::Data<Service>, caller: Caller, at: RepoAt, body: Json<PatchRepo>) -> Answer {
    let PatchRepo { private, summary } = body.0;
    let changed = service.patch_repo(&caller.0, at.kind, &at.id, private, summary).await?;
    Ok(HttpResponse::Ok().json(RepoDetail::from(changed)))
}

/// Deletes a repo with all its versions; its name is never given again.
#[utoipa::path(delete, path = "/api/v1/{kind}/{ns}/{name}", tag = "repos", responses(
    (status = 204),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn remove(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    service.delete_repo(&caller.0, at.kind, &at.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The data sets a model's card names.
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/datasets", tag = "repos", params(
    ("revision" = Option<String>, Query, description = "another version than `main`"),
), responses((status = 200, body = List<SourceDataset>), (status = 404, body = ProblemBody)))]
pub async fn datasets(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.datasets_of(&caller.0, &at.id, &query.revision()?).await?;
    let items: Vec<SourceDataset> = found.into_iter().map(SourceDataset::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// The models trained on a data set: pretrained, and fine-tuned from another model; the most downloaded of each.
#[utoipa::path(get, path = "/api/v1/datasets/{ns}/{name}/models", tag = "repos", params(
    ("limit" = Option<u64>, Query, description = "of each sort at most: 1 to 100"),
), responses(
    (status = 200, body = ModelsOfDataset),
    (status = 404, body = ProblemBody),
))]
pub async fn models(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let limit = PageRequest::new(Some(query.number("limit")?.unwrap_or(PageRequest::MAX_LIMIT as u64)), None).limit;
    let (pretrained, fine_tuned) = service.models_of(&caller.0, &at.id, Wanted { shown: limit, named: 0 }).await?;
    let more = pretrained.more || fine_tuned.more;
    let detail = |all: Relatives| all.models.into_iter().map(RepoDetail::from).collect();
    Ok(HttpResponse::Ok().json(ModelsOfDataset { pretrained: detail(pretrained), fine_tuned: detail(fine_tuned), more }))
}
