//! `/admin/workers`: which machines work on jobs.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::http::caller::Caller;
use crate::http::error::Answer;
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::worker::KnownWorker;

/// The workers that were heard of within the hour, by machine; for site administrators.
#[utoipa::path(get, path = "/api/v1/admin/workers", tag = "workers", responses(
    (status = 200, body = List<KnownWorker>), (status = 403, body = ProblemBody),
))]
pub async fn list(service: Data<Service>, caller: Caller) -> Answer {
    let (found, now) = (service.list_workers(&caller.0).await?, service.now());
    let items = found.into_iter().map(|worker| KnownWorker::of(worker, now)).collect();
    Ok(HttpResponse::Ok().json(List::<KnownWorker> { items, next: None }))
}
