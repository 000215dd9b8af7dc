//! `/blobs/missing` and `/uploads`: sending bytes.

use std::ops::Range;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, TRANSFER_ENCODING};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::digest::Digest;
use crate::domain::pieces::Piece;
use crate::domain::upload;
use crate::http::body::{Body, Poured};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{BlobAt, Json, UploadAt};
use crate::http::rates::share;
use crate::service::{self, Service};
use crate::wire::error::ProblemBody;
use crate::wire::files::{CheckBlobs, CreateUpload, MissingBlobs, OfferedTensor, Upload};

/// The byte a PATCH begins at.
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Which of these blobs must be sent before a commit may name them?
#[utoipa::path(post, path = "/api/v1/blobs/missing", tag = "uploads", request_body = CheckBlobs, responses(
    (status = 200, body = MissingBlobs),
    (status = 401, body = ProblemBody),
))]
pub async fn missing(request: HttpRequest, service: web::Data<Service>, caller: Caller, body: Json<CheckBlobs>) -> Answer {
    service.may_upload(&caller.0)?;
    let whose = share(&request, &caller.0)?;
    let read = move || body.0.sha256.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>();
    let asked = service.work().run(&whose, read).await??;
    let missing = service.missing_blobs(&caller.0, asked).await?;
    let write = move || serde_json::to_vec(&MissingBlobs { missing: missing.iter().map(Digest::to_hex).collect() });
    let written = service.work().run(&whose, write).await?.map_err(|e| HttpError::internal(e.to_string()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(written))
}

/// Stores a file of at most 64 MiB in one request: its bytes are the body.
#[utoipa::path(put, path = "/api/v1/blobs/{sha256}", tag = "uploads", request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = Upload),
    (status = 401, body = ProblemBody),
    (status = 411, body = ProblemBody, description = "no Content-Length"),
    (status = 413, body = ProblemBody, description = "announce it, and send it in parts"),
    (status = 422, body = ProblemBody, description = "not the sha256 of the address"),
))]
pub async fn store(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: BlobAt) -> Answer {
    service.may_upload(&caller.0)?;
    let length = content_length(&request)?.ok_or_else(|| {
        HttpError::new(StatusCode::LENGTH_REQUIRED, "length_required", "the body comes without its length", "send Content-Length")
    })?;
    take(body, async |body| service.store_blob(&caller.0, at.0, length, body).await).await
}

/// Announces bytes; the same announcement again continues the same upload. Of the tensors that are offered, those that
/// lie in blobs the caller may read are received at once.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "uploads", request_body = CreateUpload, responses(
    (status = 201, body = Upload),
    (status = 401, body = ProblemBody),
    (status = 413, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "another size, or tensors that overlap or lie outside the file"),
))]
pub async fn create(service: web::Data<Service>, caller: Caller, body: Json<CreateUpload>) -> Answer {
    service.may_upload(&caller.0)?;
    let offered = body.0.tensors.iter().map(piece).collect::<Result<_, _>>()?;
    let upload = service.create_upload_of(&caller.0, digest(&body.0.sha256)?, body.0.size_bytes, offered).await?;
    Ok(answer(StatusCode::CREATED, upload))
}

/// What of an upload has been received.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "uploads", responses(
    (status = 200, body = Upload),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    Ok(answer(StatusCode::OK, service.get_upload(&caller.0, &at.0).await?))
}

/// Takes a part of at most 64 MiB, in any order and several at once; what was received before may be sent again. When
/// all parts are here the upload is proved and complete. Of a body that breaks off, what arrived is kept.
#[utoipa::path(put, path = "/api/v1/uploads/{id}", tag = "uploads", request_body(content = Vec<u8>, content_type = "application/octet-stream"), params(
    ("Content-Range" = String, Header, description = "which bytes the body has: `bytes 0-8388607/104857600`"),
), responses(
    (status = 200, body = Upload),
    (status = 400, body = ProblemBody, description = "no Content-Range, or not the body's"),
    (status = 404, body = ProblemBody, description = "no such upload, or the server has lost its bytes: announce it again"),
    (status = 413, body = ProblemBody),
    (status = 422, body = ProblemBody, description = "another size than announced, or not the announced sha256: announce it again"),
))]
pub async fn part(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    service.may_upload(&caller.0)?;
    let range = content_range(&request)?;
    take(body, async |body| service.put_part(&caller.0, &at.0, range, body).await).await
}

/// Takes the raw bytes of the body from `Upload-Offset` on, in order. With the last byte the upload is proved and complete.
#[utoipa::path(patch, path = "/api/v1/uploads/{id}", tag = "uploads", request_body(content = Vec<u8>, content_type = "application/octet-stream"), params(
    ("Upload-Offset" = u64, Header, description = "the byte the body begins at"),
), responses(
    (status = 200, body = Upload),
    (status = 409, body = ProblemBody, description = "the upload stands at another byte"),
    (status = 422, body = ProblemBody, description = "more bytes than announced, or not the announced sha256"),
))]
pub async fn append(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: UploadAt) -> Answer {
    service.may_upload(&caller.0)?;
    let offset = offset_of(&request)?;
    take(body, async |body| service.append_upload(&caller.0, &at.0, offset, body).await).await
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

/// Hands a request's body to the service.
async fn take(body: Body, story: impl AsyncFnOnce(Poured<'_>) -> service::Result<upload::Upload>) -> Answer {
    Ok(answer(StatusCode::OK, body.pour(story).await?))
}

fn answer(status: StatusCode, upload: upload::Upload) -> HttpResponse {
    let body = Upload {
        id: upload.id.to_string(),
        sha256: upload.digest.to_hex(),
        size_bytes: upload.size_bytes,
        offset: upload.offset(),
        received: upload.received.runs().iter().map(|run| [run.start, run.end]).collect(),
        complete: upload.complete,
        expires: upload.expires.to_string(),
    };
    HttpResponse::build(status).insert_header((UPLOAD_OFFSET, upload.offset().to_string())).json(body)
}

fn piece(offered: &OfferedTensor) -> Result<Piece, HttpError> {
    Ok(Piece { offset: offered.offset_bytes, size_bytes: offered.size_bytes, sha256: digest(&offered.sha256)? })
}

fn digest(text: &str) -> Result<Digest, HttpError> {
    Digest::parse(text).map_err(|e| HttpError::bad_request("bad_digest", e.to_string(), "hash the file with sha256sum"))
}

fn offset_of(request: &HttpRequest) -> Result<u64, HttpError> {
    let given = request.headers().get(UPLOAD_OFFSET).and_then(|value| value.to_str().ok());
    given.and_then(number).ok_or_else(|| {
        HttpError::bad_request("bad_offset", "the header Upload-Offset says which byte the body begins at", "send 'Upload-Offset: 0' first")
    })
}

/// The length a request promises; none where its body says itself where it ends. A request that says nothing has no
/// body, which is how some clients send an empty one.
pub fn content_length(request: &HttpRequest) -> Result<Option<u64>, HttpError> {
    let Some(given) = request.headers().get(CONTENT_LENGTH) else {
        return Ok((!request.headers().contains_key(TRANSFER_ENCODING)).then_some(0));
    };
    let length = given.to_str().ok().and_then(number);
    let wrong = || HttpError::bad_request("bad_length", "the header Content-Length is no number of bytes", "send the body's length");
    length.ok_or_else(wrong).map(Some)
}

/// `Content-Range: bytes <first>-<last>/<size>` as a half-open run, and the size. It must be the body's.
fn content_range(request: &HttpRequest) -> Result<(Range<u64>, u64), HttpError> {
    let wrong = |problem: &str| {
        let hint = "send a header such as 'Content-Range: bytes 0-8388607/104857600': first and last byte, size of the file";
        HttpError::bad_request("bad_content_range", problem, hint)
    };
    let given = request.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| wrong("the header Content-Range says which bytes of the file the body has"))?;
    let (run, size) = parse_range(given).map_err(wrong)?;
    match content_length(request)? {
        Some(length) if length != run.end - run.start => Err(wrong("the body has another length than Content-Range says")),
        _ => Ok((run, size)),
    }
}

fn parse_range(text: &str) -> Result<(Range<u64>, u64), &'static str> {
    let parts = text.trim().strip_prefix("bytes ").and_then(|rest| {
        let (run, size) = rest.split_once('/')?;
        let (first, last) = run.split_once('-')?;
        Some((number(first)?, number(last)?, number(size)?))
    });
    match parts {
        None => Err("the header Content-Range could not be read"),
        Some((first, last, _)) if last < first => Err("the range ends before it begins"),
        Some((_, last, size)) if last >= size => Err("the range ends behind the file's last byte"),
        Some((first, last, size)) => Ok((first..last + 1, size)),
    }
}

/// Digits only, and no more than fit.
fn number(text: &str) -> Option<u64> {
    Some(text).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(parse_range("bytes 0-0/1"), Ok((0..1, 1)));
        assert_eq!(parse_range(" bytes 5-9/10 "), Ok((5..10, 10)));
        let most = u64::MAX;
        assert_eq!(parse_range(&format!("bytes 0-{}/{most}", most - 1)), Ok((0..most, most)));
        for text in [
            "",
            "bytes",
            "bytes ",
            "bytes 0-9",
            "bytes */10",
            "bytes 0-9/*",
            "bytes -9/10",
            "bytes 0-/10",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes 0-0/0",
            "bytes=0-9/10",
            "items 0-9/10",
            "bytes +0-9/10",
            "bytes 0 -9/10",
            "bytes 0x0-9/10",
            "bytes 0-1,3-4/10",
            "bytes 0-18446744073709551615/18446744073709551616",
            "bytes 0-18446744073709551615/18446744073709551615",
            "bytes ٠-٩/10",
        ] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}
