//! `/{kind}/{ns}/{name}/versions/{rev}/files`: lists them, and serves their bytes.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::repo::FileEntry;
use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::{FileAt, VersionAt};
use crate::http::rates::share;
use crate::http::rows::{self, Rows};
use crate::http::stream;
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::files::File;

/// The files of a version, by path.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/files", tag = "files", responses(
    (status = 200, body = List<File>),
    (status = 404, body = ProblemBody),
))]
pub async fn list(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt) -> Answer {
    let whose = share(&request, &caller.0)?;
    let listing = service.open_listing(&caller.0, whose, at.kind, &at.id, &at.revision).await?;
    let (before, after) = (br#"{"items":["#.to_vec(), b"]}".to_vec());
    let rows = Rows { before, listing: Some(listing), write, separator: b",", after };
    Ok(rows::answer(rows::ok_json(), vec![rows]).await?)
}

/// A file as every list of this API has it.
pub(super) fn write(file: &FileEntry, to: &mut Vec<u8>) -> serde_json::Result<()> {
    rows::json(&File::from(file.clone()), to)
}

/// A file's bytes; with `Range`, some of them. `ETag` is the sha256, `Repr-Digest` says it as RFC 9530 does.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/files/{path}", tag = "files", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 307, description = "a short-lived address in the store itself, where the server is set up so; \
        or, for a repo that was moved, this address with its present name"),
    (status = 304, description = "If-None-Match names these bytes"),
    (status = 404, body = ProblemBody),
    (status = 416, body = ProblemBody),
    (status = 502, body = ProblemBody, description = "the stored bytes are damaged"),
))]
pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FileAt) -> Answer {
    let file = service.open_file(&caller.0, at.kind, &at.id, &at.revision, &at.path).await?;
    let (response, begins): (HttpResponse, bool) = stream::serve(&request, &service, &file).await?;
    if begins {
        service.count_download(&file.repo);
    }
    Ok(response)
}
