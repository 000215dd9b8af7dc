//! Repos of the hub behind this one: before a handler looks for a repo that is not here, it is fetched.

use actix_web::ResponseError as _;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::error::HttpError;
use super::route::Traits;
use crate::domain::name::{RepoId, RepoKind};
use crate::service::Service;

/// Longer ones are on the version's page.
const LONGEST_WARNING: usize = 1_000;

/// Around the handlers of routes that are about a repo.
pub async fn fetch_absent(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let service = request.app_data::<Data<Service>>().filter(|service| service.has_upstream()).cloned();
    let Some((service, (kind, id))) = service.and_then(|service| Some((service, repo_wanted(&request)?))) else {
        return next.call(request).await;
    };
    let said = match service.fetch_absent(kind, &id).await {
        Ok(said) => said,
        Err(error) => return Ok(request.into_response(HttpError::from(error).error_response())),
    };
    let mut response = next.call(request).await?;
    for warning in said {
        // Clients of the Hugging Face Hub show what this header says; before the semicolon stands what it is about.
        let line: String = warning.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(LONGEST_WARNING).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("mirror; {id}: {line}")) {
            response.headers_mut().append(HeaderName::from_static("x-hf-warning"), value);
        }
    }
    Ok(response)
}

/// The repo a question is about, in any dialect.
fn repo_wanted(request: &ServiceRequest) -> Option<(RepoKind, RepoId)> {
    let traits = Traits::of(request.request());
    if traits.reads(request.method()) { traits.repo(|part| request.match_info().get(part)) } else { None }
}
