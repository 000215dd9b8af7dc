//! Repos of the hub behind this one: before a handler looks for a repo that is not here, it is fetched.

use actix_web::ResponseError as _;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use percent_encoding::percent_decode_str;

use super::error::HttpError;
use crate::domain::name::{RepoId, RepoKind};
use crate::service::Service;

pub async fn fetch_absent(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let service = request.app_data::<Data<Service>>().filter(|service| service.has_upstream()).cloned();
    if let (Some(service), &Method::GET | &Method::HEAD) = (service, request.method())
        && let Some((kind, id)) = repo_of(request.path())
        && let Err(error) = service.fetch_absent(kind, &id).await
    {
        return Ok(request.into_response(HttpError::from(error).error_response()));
    }
    next.call(request).await
}

/// The repo an address is about, in any dialect.
fn repo_of(path: &str) -> Option<(RepoKind, RepoId)> {
    let mut parts = path.split('/').skip(1).peekable();
    let api = parts.next_if_eq(&"api").is_some();
    if api {
        parts.next_if_eq(&"v1");
    }
    let kind = match parts.next_if(|part| matches!(*part, "models" | "datasets")) {
        Some("datasets") => RepoKind::Dataset,
        Some(_) => RepoKind::Model,
        // Of our API's other addresses none is about a repo.
        None if api => return None,
        None => RepoKind::Model,
    };
    let mut decoded = || percent_decode_str(parts.next()?).decode_utf8().ok();
    RepoId::from_parts(&decoded()?, &decoded()?).ok().map(|id| (kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_repos() {
        let model = [
            "/ada/net",
            "/ada/net/resolve/main/a/b",
            "/api/models/ada/net",
            "/api/models/ada/net/revision/main",
            "/ada/net/1",
            "/api/v1/models/ada/net/versions",
        ];
        for path in model {
            assert_eq!(repo_of(path), Some((RepoKind::Model, RepoId::from_parts("ada", "net").unwrap())), "{path}");
        }
        for path in ["/datasets/ada/net", "/datasets/ada/net/resolve/main/x", "/api/datasets/%61da/net", "/api/v1/datasets/ada/net"] {
            assert_eq!(repo_of(path).unwrap().0, RepoKind::Dataset, "{path}");
        }
        for path in [
            "/",
            "/healthz",
            "/api/v1/whoami",
            "/api/v1/finetunes/abc",
            "/api/models",
            "/api/models/ada",
            "/..%2f/x",
            "/static/style.css",
            "/jobs/1/x",
        ] {
            assert_eq!(repo_of(path), None, "{path}");
        }
    }
}
