//! A JSON body, as handlers receive it.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::body::Body;
use super::error::HttpError;
use super::rates::share;
use super::strict;
use crate::domain::user::Actor;
use crate::service::Service;

/// Largest JSON body: a commit of some ten thousand files.
const MAX_JSON_BYTES: usize = 8 << 20;

/// Up to this size a body is read where it arrives: that takes less than a change of threads is worth.
const SMALL_JSON_BYTES: usize = 64 << 10;

/// Reads a body that has arrived; a large one in the turn of the address it came from, since its caller may not be known yet.
pub async fn read_json<T: DeserializeOwned + Send + 'static>(
    request: &HttpRequest,
    body: Bytes,
) -> Result<serde_json::Result<T>, HttpError> {
    if body.len() <= SMALL_JSON_BYTES {
        return Ok(strict::from_slice(&body));
    }
    let service = request.app_data::<Data<Service>>().ok_or_else(|| HttpError::internal("the service is not registered"))?;
    Ok(service.work().run(&share(request, &Actor::Anonymous)?, move || strict::from_slice(&body)).await?)
}

/// A JSON body, bounded in size, depth and patience.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest for Json<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Json<T>, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_json = content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"));
        let body = Body::of(request, payload.take());
        let request = request.clone();
        Box::pin(async move {
            if !is_json {
                let hint = "send JSON with the header Content-Type: application/json";
                return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "this address takes JSON", hint));
            }
            let body = body?.gather(MAX_JSON_BYTES).await?;
            let wrong = |e| HttpError::bad_request("bad_json", format!("the body: {e}"), "the API is described at /api/v1/openapi.json");
            read_json(&request, body).await?.map(Json).map_err(wrong)
        })
    }
}
