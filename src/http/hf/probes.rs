//! Small addresses that clients ask on their way: may I, who are your helpers; and names
//! without a namespace, which live in the library.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::refuse;
use crate::domain::name::{LIBRARY, RepoId};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::RepoAt;
use crate::service::Service;

/// 200 for those who may read the repo.
pub async fn may_read(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    service.get_repo(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// 200 for those who may make versions of it.
pub async fn may_write(service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    service.may_commit(&caller.0, at.kind, &at.id).await.map_err(refuse)?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// Which environment variables tell that an agent runs a client: we know none.
pub async fn harnesses() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "standardEnvVars": [], "harnesses": {} }))
}

/// What a client counts about itself is heard and forgotten.
pub async fn telemetry() -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

/// `resnet50` is `library/resnet50`. The address is relative: some clients follow no other for the headers of a file.
pub async fn to_library(request: HttpRequest) -> Answer {
    let wrong = |e| HttpError::bad_request("bad_path", format!("in the address: {e}"), "check the address for a typo");
    RepoId::parse(request.match_info().get("name").unwrap_or_default()).map_err(wrong)?;
    let pattern = request.match_pattern().unwrap_or_default();
    let (before, _) = pattern.split_once("{name}").unwrap_or_default();
    let kind = request.match_info().get("kind").unwrap_or_default();
    let before = before.replace("{kind:models|datasets}", kind).replace("{kind:datasets}", kind);
    let rest = request.uri().path().strip_prefix(&before).ok_or_else(|| HttpError::internal("a route does not match its own pattern"))?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{before}{LIBRARY}/{rest}{query}");
    Ok(HttpResponse::TemporaryRedirect().insert_header((LOCATION, location)).finish())
}
