//! For machines that watch: alive, ready, numbers.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};

use crate::domain::time::Timestamp;
use crate::http::Site;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;
use crate::service::upkeep::Numbers;
use crate::service::upkeep::soundness::Soundness;
use crate::service::work::Busyness;
use crate::telemetry::Metrics;

/// The process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// The database answers, too; 503 while it does not.
pub async fn ready(service: web::Data<Service>) -> Answer {
    service.ready().await?;
    Ok(alive().await)
}

/// Numbers of the whole site tell a stranger what is none of their business.
pub async fn metrics(site: web::Data<Site>, service: web::Data<Service>, caller: Caller) -> Answer {
    service.may_watch(&caller.0)?;
    open_metrics(site, service).await
}

/// Prometheus' text form, on a listener of its own: whoever reaches that may read it.
pub async fn open_metrics(site: web::Data<Site>, service: web::Data<Service>) -> Answer {
    for (state, count) in service.count_jobs().await? {
        site.metrics.jobs(state.as_str(), count);
    }
    let shown = show_work(&site.metrics, service.work().busyness());
    shown.map_err(|e| HttpError::internal(e.to_string()))?;
    show_upkeep(&site.metrics, &service.upkeep_numbers().await?).map_err(|e| HttpError::internal(e.to_string()))?;
    show_soundness(&site.metrics, service.soundness()).map_err(|e| HttpError::internal(e.to_string()))?;
    let text = site.metrics.text().map_err(|e| HttpError::internal(e.to_string()))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(text))
}

fn show_soundness(metrics: &Metrics, soundness: Soundness) -> prometheus::Result<()> {
    let shown = match soundness {
        Soundness::Sound => 1,
        Soundness::Damaged => 0,
        Soundness::Unknown => -1,
    };
    metrics.gauge("hub_database_sound", "1: the database was read through and is sound; 0: it is damaged; -1: not read through yet.", shown)
}

fn show_work(metrics: &Metrics, work: Busyness) -> prometheus::Result<()> {
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.gauge("hub_work_running", "Heavy work that is being done.", whole(work.running))?;
    metrics.gauge("hub_work_waiting", "Heavy work that waits for its caller's turn.", whole(work.waiting))?;
    metrics.total("hub_work_done_total", "Heavy work that was done.", work.done)
}

fn show_upkeep(metrics: &Metrics, numbers: &Numbers) -> prometheus::Result<()> {
    for (name, help, value) in &numbers.totals {
        metrics.total(name, help, *value)?;
    }
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.unix_ms() / 1_000);
    metrics.gauge("hub_store_blobs", "Blobs the catalog has a row of.", whole(numbers.stored.blobs))?;
    metrics.gauge("hub_store_bytes", "Bytes of those blobs.", whole(numbers.stored.bytes))?;
    metrics.gauge("hub_store_shared_bytes", "Of those, bytes that lie in other blobs and cost no room.", whole(numbers.shared_bytes))?;
    metrics.gauge("hub_gc_last_timestamp_seconds", "When a collection last ended well.", seconds(numbers.last_collection))?;
    metrics.gauge("hub_backup_last_timestamp_seconds", "When a backup was last completed.", seconds(numbers.last_backup))
}
