//! `/models/.../results` and `/admin/results`: numbers of models with where they come from.

use actix_web::{HttpResponse, web};

use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Json, RepoAt};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::results::{ImportResults, ImportedResults, ResultNumber};

/// What is known of a model in numbers: what its card says, what tables say that an administrator took over, what this hub measured. Evaluations
/// are listed apart, signed.
#[utoipa::path(get, path = "/api/v1/models/{ns}/{name}/results", tag = "evaluations", responses(
    (status = 200, body = List<ResultNumber>),
    (status = 404, body = ProblemBody),
))]
pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    let items: Vec<ResultNumber> = service.list_results(&caller.0, &at.id).await?.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Takes a table of results over, in place of an earlier one of its name; site administrators only. A model is named as timm names it, then an
/// entry of the library gets its numbers, or as `namespace/name`.
#[utoipa::path(post, path = "/api/v1/admin/results", tag = "admin", request_body = ImportResults, responses(
    (status = 200, body = ImportedResults),
    (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "it is no such table"),
))]
pub async fn import(service: web::Data<Service>, caller: Caller, body: Json<ImportResults>) -> Answer {
    let ImportResults { name, on, text } = body.0;
    let done = service.import_results(&caller.0, &name, on.as_deref(), &text).await?;
    let crate::service::repos::results::Imported { models, numbers, unknown, such_as } = done;
    Ok(HttpResponse::Ok().json(ImportedResults { models, numbers, unknown, such_as }))
}
