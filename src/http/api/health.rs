//! For machines that watch: alive, ready, numbers.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};

use crate::http::Site;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;

/// The process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// The database answers, too; 503 while it does not.
pub async fn ready(service: web::Data<Service>) -> Answer {
    service.ready().await?;
    Ok(alive().await)
}

/// Prometheus' text form.
pub async fn metrics(site: web::Data<Site>, service: web::Data<Service>) -> Answer {
    for (state, count) in service.count_jobs().await? {
        site.metrics.jobs(state.as_str(), count);
    }
    let text = site.metrics.text().map_err(|e| HttpError::internal(e.to_string()))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(text))
}
