//! `/blobs/missing` and `/uploads`: sending bytes.

use std::cell::RefCell;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use crate::domain::digest::Digest;
use crate::domain::upload;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, UploadAt};
use crate::service::{self, Service};
use crate::wire::error::ProblemBody;
use crate::wire::files::{CheckBlobs, CreateUpload, MissingBlobs, Upload};

/// As much of a refused body is read and thrown away; clients send pieces of this order.
const DRAINED_BYTES: usize = 16 << 20;

/// The byte a PATCH begins at.
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Which of these blobs must be sent before a commit may name them?
#[utoipa::path(post, path = "/api/v1/blobs/missing", tag = "uploads", request_body = CheckBlobs, responses(
    (status = 200, body = MissingBlobs),
    (status = 401, body = ProblemBody),
))]
pub async fn missing(service: web::Data<Service>, caller: Caller, body: Json<CheckBlobs>) -> Answer {
    let asked = body.0.sha256.iter().map(|text| digest(text)).collect::<Result<_, _>>()?;
    let missing = service.missing_blobs(&caller.0, asked).await?;
    Ok(HttpResponse::Ok().json(MissingBlobs { missing: missing.iter().map(Digest::to_hex).collect() }))
}

/// Announces bytes; the same announcement again continues the same upload.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "uploads", request_body = CreateUpload, responses(
    (status = 201, body = Upload),
    (status = 401, body = ProblemBody),
    (status = 413, body = ProblemBody),
))]
pub async fn create(service: web::Data<Service>, caller: Caller, body: Json<CreateUpload>) -> Answer {
    let upload = service.create_upload(&caller.0, digest(&body.0.sha256)?, body.0.size_bytes).await?;
    Ok(answer(StatusCode::CREATED, upload))
}

/// How far an upload is.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "uploads", responses(
    (status = 200, body = Upload),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    Ok(answer(StatusCode::OK, service.get_upload(&caller.0, &at.0).await?))
}

/// Takes the raw bytes of the body from `Upload-Offset` on. With the last byte the upload is proved and complete.
#[utoipa::path(patch, path = "/api/v1/uploads/{id}", tag = "uploads", request_body(content = Vec<u8>, content_type = "application/octet-stream"), params(
    ("Upload-Offset" = u64, Header, description = "the byte the body begins at"),
), responses(
    (status = 200, body = Upload),
    (status = 409, body = ProblemBody, description = "the upload stands at another byte"),
    (status = 422, body = ProblemBody, description = "more bytes than announced, or not the announced sha256"),
))]
pub async fn append(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    let offset = offset_of(&request)?;
    // The body's own trouble (a stall, a broken line) keeps its status on its way through the service.
    let trouble = RefCell::new(None);
    let body = stream::unfold(body, |mut body| async {
        let part = body.next().await.map_err(|error| {
            *trouble.borrow_mut() = Some(error);
            service::Error::invalid("body_broke_off", "the body broke off", "ask the upload for its offset and go on from there")
        });
        part.transpose().map(|part| (part, body))
    });
    // Fused: what was read to its end may be asked once more.
    let mut body = Box::pin(body.fuse());
    let appended = service.append_upload(&caller.0, &at.0, offset, &mut body).await;
    if appended.is_err() && trouble.borrow().is_none() {
        drain(body).await;
    }
    match (trouble.take(), appended) {
        (Some(error), Err(service::Error::Invalid(_))) => Err(error),
        (_, appended) => Ok(answer(StatusCode::OK, appended?)),
    }
}

/// Forgets an upload and what was sent of it.
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", tag = "uploads", responses(
    (status = 204),
    (status = 404, body = ProblemBody),
))]
pub async fn cancel(service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    service.cancel_upload(&caller.0, &at.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads on for a while after a refusal: closing upon unsent bytes would lose the answer on its way.
async fn drain(mut body: impl Stream<Item = service::Result<Bytes>> + Unpin) {
    let mut left = DRAINED_BYTES;
    while let (1.., Some(Ok(part))) = (left, body.next().await) {
        left = left.saturating_sub(part.len());
    }
}

fn answer(status: StatusCode, upload: upload::Upload) -> HttpResponse {
    let body = Upload {
        id: upload.id.to_string(),
        sha256: upload.digest.to_hex(),
        size_bytes: upload.size_bytes,
        offset: upload.offset,
        complete: upload.complete,
        expires: upload.expires.to_string(),
    };
    HttpResponse::build(status).insert_header((UPLOAD_OFFSET, upload.offset.to_string())).json(body)
}

fn digest(text: &str) -> Result<Digest, HttpError> {
    Digest::parse(text).map_err(|e| HttpError::bad_request("bad_digest", e.to_string(), "hash the file with sha256sum"))
}

fn offset_of(request: &HttpRequest) -> Result<u64, HttpError> {
    let given = request.headers().get(UPLOAD_OFFSET).and_then(|value| value.to_str().ok());
    let digits = given.filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok());
    digits.ok_or_else(|| {
        HttpError::bad_request("bad_offset", "the header Upload-Offset says which byte the body begins at", "send 'Upload-Offset: 0' first")
    })
}
