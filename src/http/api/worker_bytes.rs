//! `/worker/jobs/{job}/...`: the bytes a worker elsewhere fetches for its job, and those it sends. What it sends is sent for the job's
//! owner, by the road on which people publish, as long as it holds the job.

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::Stream;

use super::uploads::{self, content_length};
use crate::domain::digest::Digest;
use crate::domain::job::JobFile;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{BlobAt, GivenAt, InputAt, Json, Query, UploadAt};
use crate::http::stream;
use crate::http::worker::Holder;
use crate::service::{self, Service};
use crate::wire::error::ProblemBody;
use crate::wire::files::{CheckBlobs, CreateUpload, MissingBlobs, Upload};

/// A file of a version the job reads; with `Range`, some of it.
#[utoipa::path(get, path = "/api/v1/worker/jobs/{job}/inputs/{role}/files/{path}", tag = "workers", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 307, description = "a short-lived address in the store itself, where the server is set up so"),
    (status = 404, body = ProblemBody, description = "The job does not read that."),
    (status = 409, body = ProblemBody, description = "`lease_lost`"),
))]
pub async fn input(request: HttpRequest, holder: Holder, service: Data<Service>, at: InputAt) -> Answer {
    let file = service.open_input(&holder.0, &at.role, &at.path).await?;
    Ok(stream::serve(&request, &service, &file).await?.0)
}

/// A file the job was given beside versions.
#[utoipa::path(get, path = "/api/v1/worker/jobs/{job}/given/{path}", tag = "workers", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
))]
pub async fn given(holder: Holder, service: Data<Service>, at: GivenAt) -> Answer {
    let (file, reader) = service.open_given(&holder.0, at.0.as_str()).await?;
    let bytes = reader.begin(0..file.size_bytes).await.map_err(service::Error::from)?;
    Ok(whole(&file, bytes))
}

/// The job's newest checkpoint.
#[utoipa::path(get, path = "/api/v1/worker/jobs/{job}/checkpoint", tag = "workers", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
))]
pub async fn checkpoint(holder: Holder, service: Data<Service>) -> Answer {
    let (file, reader) = service.open_checkpoint(&holder.0).await?;
    let bytes = reader.begin(0..file.size_bytes).await.map_err(service::Error::from)?;
    Ok(whole(&file, bytes))
}

/// Keep a checkpoint: its bytes are the body.
#[utoipa::path(put, path = "/api/v1/worker/jobs/{job}/checkpoint", tag = "workers",
    params(("sha256" = String, Query, description = "of the body")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 204),
    (status = 409, body = ProblemBody, description = "`lease_lost`"),
    (status = 413, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "not the sha256 that was announced"),
))]
pub async fn keep(request: HttpRequest, body: Body, holder: Holder, service: Data<Service>, query: Query) -> Answer {
    let wrong = |e: String| HttpError::bad_request("bad_digest", format!("'sha256': {e}"), "hash the file with sha256sum");
    let digest = Digest::parse(query.find("sha256").unwrap_or_default()).map_err(|e| wrong(e.to_string()))?;
    let length = content_length(&request)?.ok_or_else(|| {
        HttpError::new(StatusCode::LENGTH_REQUIRED, "length_required", "the body comes without its length", "send Content-Length")
    })?;
    body.pour(async |body| service.take_checkpoint(&holder.0, (digest, length), body).await).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn whole<E: Into<Box<dyn std::error::Error>> + 'static>(
    file: &JobFile,
    bytes: impl Stream<Item = Result<Bytes, E>> + 'static,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((ETAG, format!("\"{}\"", file.digest)))
        .insert_header((ACCEPT_RANGES, "none"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .body(SizedStream::new(file.size_bytes, bytes))
}

/// Which blobs of a result must be sent; see `/blobs/missing`.
#[utoipa::path(post, path = "/api/v1/worker/jobs/{job}/blobs/missing", tag = "workers", request_body = CheckBlobs, responses(
    (status = 200, body = MissingBlobs), (status = 409, body = ProblemBody),
))]
pub async fn missing(request: HttpRequest, service: Data<Service>, caller: Caller, body: Json<CheckBlobs>) -> Answer {
    uploads::missing(request, service, caller, body).await
}

/// Send a file of at most 64 MiB in one request; see `/blobs/{sha256}`.
#[utoipa::path(put, path = "/api/v1/worker/jobs/{job}/blobs/{sha256}", tag = "workers",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = Upload), (status = 409, body = ProblemBody),
))]
pub async fn store(request: HttpRequest, body: Body, service: Data<Service>, caller: Caller, at: BlobAt) -> Answer {
    uploads::store(request, body, service, caller, at).await
}

/// Announce a file of a result; see `/uploads`.
#[utoipa::path(post, path = "/api/v1/worker/jobs/{job}/uploads", tag = "workers", request_body = CreateUpload, responses(
    (status = 201, body = Upload), (status = 409, body = ProblemBody),
))]
pub async fn announce(service: Data<Service>, caller: Caller, body: Json<CreateUpload>) -> Answer {
    uploads::create(service, caller, body).await
}

/// What of it has been received.
#[utoipa::path(get, path = "/api/v1/worker/jobs/{job}/uploads/{id}", tag = "workers", responses(
    (status = 200, body = Upload), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
))]
pub async fn received(service: Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    uploads::show(service, caller, at).await
}

/// Send a part of it; see `/uploads/{id}`.
#[utoipa::path(put, path = "/api/v1/worker/jobs/{job}/uploads/{id}", tag = "workers",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("Content-Range" = String, Header, description = "which bytes the body has: `bytes 0-8388607/104857600`")), responses(
    (status = 200, body = Upload), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
))]
pub async fn part(request: HttpRequest, body: Body, service: Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    uploads::part(request, body, service, caller, at).await
}
