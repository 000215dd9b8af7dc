//! `/{kind}/{ns}/{name}/versions`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::users::word;
use crate::domain::manifest::sum_line;
use crate::domain::repo::{FileEntry, VersionState};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, RepoAt, VersionAt};
use crate::http::rates::share;
use crate::http::rows::{self, Rows};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::files::{Manifest, Tensor};
use crate::wire::repos::{PatchVersion, RepoDetail, Version};

/// All versions, newest first, with yanked ones and the tombstones of deleted ones.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions", tag = "versions", params(
    ("limit" = Option<u64>, Query, description = "1 to 100"),
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
pub async fn manifest(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let whose = share(&request, &caller.0)?;
    let listing = service.open_listing(&caller.0, whose, at.kind, &at.id, &at.revision).await?;
    let (repo, version) = (listing.repo().id.to_string(), Version::from(listing.version().clone()));
    let head = serde_json::to_string(&Manifest { repo, kind: at.kind.to_string(), version, files: Vec::new() });
    let head = head.map_err(|e| HttpError::internal(e.to_string()))?;
    // The list of files is the last of its keys.
    let before = head.trim_end_matches("]}").as_bytes().to_vec();
    let rows = Rows { before, listing: Some(listing), write: super::files::write, separator: b",", after: b"]}".to_vec() };
    Ok(rows::answer(rows::ok_json(), vec![rows]).await?)
}

/// The tensors of a version's safetensors files, in the order of their bytes.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/tensors", tag = "versions", responses(
    (status = 200, body = List<Tensor>),
    (status = 404, body = ProblemBody),
))]
pub async fn tensors(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let _turn = service.work().turn(&share(&request, &caller.0)?).await?;
    let found = service.list_tensors(&caller.0, at.kind, &at.id, &at.revision).await?;
    let written = move || serde_json::to_vec(&List { items: found.into_iter().map(Tensor::from).collect::<Vec<_>>(), next: None });
    let written = web::block(written).await.map_err(|e| HttpError::internal(e.to_string()))?;
    let written = written.map_err(|e| HttpError::internal(e.to_string()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(written))
}

/// The text `sha256sum -c` reads.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/SHA256SUMS", tag = "versions", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 404, body = ProblemBody),
))]
pub async fn sums(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let whose = share(&request, &caller.0)?;
    let listing = service.open_listing(&caller.0, whose, at.kind, &at.id, &at.revision).await?;
    let write = |file: &FileEntry, to: &mut Vec<u8>| {
        to.extend_from_slice(sum_line(&file.path, &file.digest).as_bytes());
        Ok(())
    };
    let rows = Rows { before: Vec::new(), listing: Some(listing), write, separator: b"", after: Vec::new() };
    let mut response = HttpResponse::Ok();
    response.content_type("text/plain; charset=utf-8");
    Ok(rows::answer(response, vec![rows]).await?)
}
