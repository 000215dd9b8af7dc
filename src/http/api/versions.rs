//! `/{kind}/{ns}/{name}/versions`.

use actix_web::{HttpResponse, web};

use super::users::word;
use crate::domain::repo::VersionState;
use crate::domain::revision::Revision;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{Json, Query, RepoAt, VersionAt};
use crate::http::stream;
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::files::{File, Manifest, Tensor};
use crate::wire::repos::{PatchVersion, RepoDetail, Version};

/// All versions, newest first, with yanked ones and the tombstones of deleted ones.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions", tag = "versions", params(
    ("limit" = Option<u32>, Query, description = "1 to 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = List<Version>), (status = 404, body = ProblemBody)))]
pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let page = service.list_versions(&caller.0, at.kind, &at.id, query.page()?).await?;
    Ok(HttpResponse::Ok().json(List::<Version>::from(page)))
}

/// The repo as it stands at a version, with what was read in that version.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}", tag = "versions", responses(
    (status = 200, body = RepoDetail),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let found = service.get_repo_at(&caller.0, at.kind, &at.id, &at.revision).await?;
    Ok(HttpResponse::Ok().json(RepoDetail::from(found)))
}

/// Yanks a version (`main` leaves it, those who pinned it keep it) or makes it live again.
#[utoipa::path(patch, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}", tag = "versions", request_body = PatchVersion, responses(
    (status = 200, body = Version),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn change(service: web::Data<Service>, caller: Caller, at: VersionAt, body: Json<PatchVersion>) -> Answer {
    let settable = |text: &str| VersionState::parse(text).filter(|state| *state != VersionState::Deleted);
    let state = word(&body.0.state, settable, "state", "live, yanked")?;
    let number = service.get_version(&caller.0, at.kind, &at.id, &at.revision).await?.number;
    let version = service.set_version_state(&caller.0, at.kind, &at.id, number, state).await?;
    Ok(HttpResponse::Ok().json(Version::from(version)))
}

/// Deletes a version; a tombstone with its number stays.
#[utoipa::path(delete, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}", tag = "versions", responses(
    (status = 204),
    (status = 403, body = ProblemBody),
    (status = 404, body = ProblemBody),
))]
pub async fn remove(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let number = service.get_version(&caller.0, at.kind, &at.id, &at.revision).await?.number;
    service.delete_version(&caller.0, at.kind, &at.id, number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Everything a client needs to fetch and prove a version.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/manifest", tag = "versions", responses(
    (status = 200, body = Manifest),
    (status = 404, body = ProblemBody),
))]
pub async fn manifest(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let (repo, version, _) = service.named_manifest(&caller.0, at.kind, &at.id, &at.revision).await?;
    let (_, files) = service.list_files(&caller.0, at.kind, &repo, &Revision::Number(version.number)).await?;
    let files = files.into_iter().map(File::from).collect();
    Ok(HttpResponse::Ok().json(Manifest { repo: repo.to_string(), kind: at.kind.to_string(), version: version.into(), files }))
}

/// The tensors of a version's safetensors files, in the order of their bytes.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/tensors", tag = "versions", responses(
    (status = 200, body = List<Tensor>),
    (status = 404, body = ProblemBody),
))]
pub async fn tensors(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let found = service.list_tensors(&caller.0, at.kind, &at.id, &at.revision).await?;
    let items: Vec<Tensor> = found.into_iter().map(Tensor::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// The text `sha256sum -c` reads.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/SHA256SUMS", tag = "versions", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 404, body = ProblemBody),
))]
pub async fn sums(service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let (_, manifest) = service.manifest(&caller.0, at.kind, &at.id, &at.revision).await?;
    Ok(stream::text(manifest.sha256sums()))
}
