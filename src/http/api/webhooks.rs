//! `/webhooks`: addresses that are told what happens.

use actix_web::web::Data;
use actix_web::{HttpResponse, web};

use super::users::word;
use crate::domain::name::{RepoId, RepoKind};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, WebhookAt};
use crate::service::Service;
use crate::service::webhooks::{NewWebhook, ShownWebhook};
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::webhooks::{CreateWebhook, CreatedWebhook, Delivery, Webhook, WebhookSecret};

/// Your webhooks, newest first. Nobody else sees them, administrators neither.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", responses((status = 200, body = List<Webhook>), (status = 403, body = ProblemBody)))]
pub async fn list(service: web::Data<Service>, caller: Caller) -> Answer {
    let items: Vec<Webhook> = service.list_webhooks(&caller.0).await?.into_iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Have an address told what happens: a POST each, signed as Standard Webhooks has it. The secret is shown this once. It ends with the token
/// that made it.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", request_body = CreateWebhook, responses(
    (status = 201, body = CreatedWebhook),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody, description = "The repo is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "The address is none that may be told, or there is no such event."),
))]
pub async fn create(service: Data<Service>, caller: Caller, body: Json<CreateWebhook>) -> Answer {
    let CreateWebhook { url, events, repo, repo_kind } = body.0;
    let kind = word(repo_kind.as_deref().unwrap_or("model"), |text| RepoKind::parse(text).ok(), "repo_kind", "model, dataset")?;
    let repo = repo.as_deref().map(|text| repo_named(kind, text)).transpose()?;
    let (webhook, secret) = service.create_webhook(&caller.0, NewWebhook { url, events, repo }).await?;
    Ok(HttpResponse::Created().json(CreatedWebhook { webhook: shown(webhook), secret }))
}

/// Take a webhook away, with all it was told and was to be told.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", responses((status = 204), (status = 404, body = ProblemBody)))]
pub async fn remove(service: Data<Service>, caller: Caller, at: WebhookAt) -> Answer {
    service.remove_webhook(&caller.0, &at.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tell it something that means nothing, to see whether it arrives. `deliveries` says what was answered.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", responses(
    (status = 201, body = Delivery), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "It is off."),
))]
pub async fn test(service: Data<Service>, caller: Caller, at: WebhookAt) -> Answer {
    Ok(HttpResponse::Created().json(Delivery::from(service.test_webhook(&caller.0, &at.0).await?)))
}

/// Give it a new secret, shown this once; the one before signs beside it for a day.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/rotate", tag = "webhooks", responses(
    (status = 200, body = WebhookSecret), (status = 404, body = ProblemBody),
))]
pub async fn rotate(service: Data<Service>, caller: Caller, at: WebhookAt) -> Answer {
    Ok(HttpResponse::Ok().json(WebhookSecret { secret: service.rotate_webhook(&caller.0, &at.0).await? }))
}

/// Switch it on again; from now on it ends with the token in use.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/enable", tag = "webhooks", responses(
    (status = 200, body = Webhook), (status = 404, body = ProblemBody),
))]
pub async fn enable(service: Data<Service>, caller: Caller, at: WebhookAt) -> Answer {
    Ok(HttpResponse::Ok().json(shown(service.enable_webhook(&caller.0, &at.0).await?)))
}

/// What it was told, newest first, and what was answered; the last hundred. They are kept for 30 days.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks", responses(
    (status = 200, body = List<Delivery>), (status = 404, body = ProblemBody),
))]
pub async fn deliveries(service: Data<Service>, caller: Caller, at: WebhookAt) -> Answer {
    let items: Vec<Delivery> = service.webhook_deliveries(&caller.0, &at.0).await?.into_iter().map(Delivery::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

fn shown(webhook: ShownWebhook) -> Webhook {
    Webhook::new(webhook.webhook, webhook.repo)
}

fn repo_named(kind: RepoKind, text: &str) -> Result<(RepoKind, RepoId), HttpError> {
    let wrong = |e| HttpError::bad_request("bad_name", format!("'{text}': {e}"), "write namespace/name");
    RepoId::parse(text).map(|id| (kind, id)).map_err(wrong)
}
