//! Ask a model about one image: its features, its classes. The body is the image file itself.

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;

use crate::domain::name::RepoId;
use crate::domain::repo::Version;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::wire::error::ProblemBody;
use crate::wire::predict::{Embedding, Prediction};

/// Classes told when the query does not say.
const TOP: usize = 5;

/// The pooled features of an image.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/embed", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = Embedding), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody),
))]
pub async fn embed(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let image = image(&service, body).await?;
    let (version, features) = service.embed(&caller.0, &at.id, &query.revision()?, image).await?;
    Ok(HttpResponse::Ok().json(Embedding { model: named(&at.id, &version), features }))
}

/// What a model says about an image: its likeliest classes, or the numbers it was trained to answer.
#[utoipa::path(post, path = "/api/v1/models/{ns}/{name}/predict", tag = "predict", params(
    ("ns" = String, Path), ("name" = String, Path), ("revision" = Option<String>, Query),
    ("top" = Option<usize>, Query, description = "how many classes, 5 if left out"),
), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = Prediction), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody),
))]
pub async fn predict(caller: Caller, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let top = query.parse("top")?.unwrap_or(TOP).clamp(1, 1_000);
    let image = image(&service, body).await?;
    let (version, answer) = service.predict(&caller.0, &at.id, &query.revision()?, image, top).await?;
    Ok(HttpResponse::Ok().json(Prediction::new(named(&at.id, &version), &answer)))
}

async fn image(service: &Service, body: Body) -> Result<Bytes, HttpError> {
    let limit = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX);
    body.gather(limit).await
}

fn named(id: &RepoId, version: &Version) -> String {
    format!("{id}@{}", version.number)
}
