//! Repos of the hub behind this one: before a handler looks for a repo that is not here, it is fetched.

use actix_web::ResponseError as _;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::error::HttpError;
use super::route::Traits;
use crate::domain::name::{RepoId, RepoKind};
use crate::service::Service;

/// Around the handlers of routes that are about a repo.
pub async fn fetch_absent(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let service = request.app_data::<Data<Service>>().filter(|service| service.has_upstream()).cloned();
    if let Some(service) = service
        && let Some((kind, id)) = repo_wanted(&request)
        && let Err(error) = service.fetch_absent(kind, &id).await
    {
        return Ok(request.into_response(HttpError::from(error).error_response()));
    }
    next.call(request).await
}

/// The repo a question is about, in any dialect.
fn repo_wanted(request: &ServiceRequest) -> Option<(RepoKind, RepoId)> {
    let traits = Traits::of(request.request());
    if traits.reads(request.method()) { traits.repo(|part| request.match_info().get(part)) } else { None }
}
