//! `/{kind}/{ns}/{name}/versions/{rev}/segments`: what of a file a client may have already.

use actix_web::http::header::{CACHE_CONTROL, VARY};
use actix_web::{HttpResponse, web};

use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::http::extract::FileAt;
use crate::service::Service;
use crate::wire::error::ProblemBody;
use crate::wire::files::{Segment, Segments};

/// Where a file's bytes lie in other blobs the caller may read: a client that has one of those fetches only the rest,
/// by `Range`, and proves the whole by its sha256.
#[utoipa::path(get, path = "/api/v1/{kind}/{ns}/{name}/versions/{rev}/segments/{path}", tag = "files", responses(
    (status = 200, body = Segments),
    (status = 404, body = ProblemBody),
))]
pub async fn show(service: web::Data<Service>, caller: Caller, at: FileAt) -> Answer {
    let (file, layout) = service.segments(&caller.0, at.kind, &at.id, &at.revision, &at.path).await?;
    let segments = layout.segments().iter().map(|segment| Segment {
        offset_bytes: segment.offset,
        size_bytes: segment.size_bytes,
        source: segment.source.to_hex(),
        source_offset: segment.source_offset,
    });
    let body = Segments { sha256: file.digest.to_hex(), size_bytes: file.size_bytes, segments: segments.collect() };
    // What a caller may read changes; caches between are to ask again, as for the bytes themselves.
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-cache")).insert_header((VARY, "Authorization")).json(body))
}
