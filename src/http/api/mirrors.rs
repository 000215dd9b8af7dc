//! `/api/v1/mirrors`: what comes from the hub behind this one, for administrators.

use actix_web::{HttpResponse, web};

use crate::domain::name::{RepoId, RepoKind};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Json;
use crate::service::Service;
use crate::service::repos::mirror::Followed;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::mirrors::{Mirror, MirrorUpdated, UpdateMirror};

/// All repos that were asked for there, by name, with what is not taken and why.
#[utoipa::path(get, path = "/api/v1/mirrors", tag = "mirrors", responses(
    (status = 200, body = List<Mirror>),
    (status = 403, body = ProblemBody),
))]
pub async fn list(service: web::Data<Service>, caller: Caller) -> Answer {
    let items: Vec<Mirror> = service.list_mirrors(&caller.0).await?.into_iter().map(mirror).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Asks for a repo's commit there, and makes a new version of another one.
#[utoipa::path(post, path = "/api/v1/mirrors/update", tag = "mirrors", request_body = UpdateMirror, responses(
    (status = 200, body = MirrorUpdated),
    (status = 403, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "it does not come from there"),
))]
pub async fn update(service: web::Data<Service>, caller: Caller, body: Json<UpdateMirror>) -> Answer {
    let wrong = |problem: String| HttpError::bad_request("bad_name", problem, "name it as kind and namespace/name");
    let kind = RepoKind::parse(&body.0.kind).map_err(|e| wrong(e.to_string()))?;
    let id = RepoId::parse(&body.0.id).map_err(|e| wrong(e.to_string()))?;
    let done = service.update_mirror(&caller.0, kind, &id).await?;
    let (outcome, message) = (done.outcome.to_owned(), done.message);
    Ok(HttpResponse::Ok().json(MirrorUpdated { outcome, message, version: done.version, warnings: done.warnings }))
}

fn mirror(followed: Followed) -> Mirror {
    let Followed { mirror, here } = followed;
    let (repo, version) = here.map_or((None, None), |(id, version)| (Some(id.to_string()), version));
    Mirror {
        kind: mirror.kind.as_str().to_owned(),
        id: mirror.id.to_string(),
        repo,
        version,
        upstream: mirror.upstream,
        commit: mirror.commit,
        checked: mirror.checked.to_string(),
        refused: mirror.refused.map(|refusal| refusal.reason),
    }
}
