//! `/admin/worker-tokens`: an administrator makes, lists and revokes the tokens of workers.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Json, WorkerTokenAt};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::worker::{CreateWorkerToken, CreatedWorkerToken, WorkerToken};

/// The tokens of workers, newest first; for site administrators.
#[utoipa::path(get, path = "/api/v1/admin/worker-tokens", tag = "workers", responses(
    (status = 200, body = List<WorkerToken>), (status = 403, body = ProblemBody),
))]
pub async fn list(service: Data<Service>, caller: Caller) -> Answer {
    let items = service.list_worker_tokens(&caller.0).await?.into_iter().map(WorkerToken::from).collect();
    Ok(HttpResponse::Ok().json(List::<WorkerToken> { items, next: None }))
}

/// Make one, for a machine or a cluster. It is good for the routes of workers alone, and its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/admin/worker-tokens", tag = "workers", request_body = CreateWorkerToken, responses(
    (status = 201, body = CreatedWorkerToken), (status = 403, body = ProblemBody),
    (status = 409, body = ProblemBody, description = "the name is taken"),
))]
pub async fn create(service: Data<Service>, caller: Caller, body: Json<CreateWorkerToken>) -> Answer {
    let (token, secret) = service.create_worker_token(&caller.0, &body.0.name, body.0.expires_in_days).await?;
    Ok(HttpResponse::Created().json(CreatedWorkerToken { token: token.into(), secret }))
}

/// End one, by its id or its name, at once.
#[utoipa::path(delete, path = "/api/v1/admin/worker-tokens/{token}", tag = "workers", responses(
    (status = 204), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
))]
pub async fn revoke(service: Data<Service>, caller: Caller, at: WorkerTokenAt) -> Answer {
    service.revoke_worker_token(&caller.0, &at.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
