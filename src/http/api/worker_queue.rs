//! `/worker/queue`: the queue for a dispatcher, which hands jobs to an engine outside.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::domain::engine::{Next, Place, State};
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, QueuedAt};
use crate::http::worker::Worker;
use crate::service::Service;
use crate::service::jobs::engines::Queued;
use crate::wire::error::ProblemBody;
use crate::wire::worker::{EngineHanded, EngineJob, EngineNext, EngineNote, EngineQueue};

/// What is ready to be handed to an engine, and what lies with it: ids, states and needs, and nothing of what jobs read or make.
#[utoipa::path(get, path = "/api/v1/worker/queue", tag = "workers", params(
    ("engine" = String, Query, description = "slurm or kubernetes"),
    ("place" = String, Query, description = "which cluster, by the dispatcher's name for it"),
), responses((status = 200, body = EngineQueue), (status = 403, body = ProblemBody)))]
pub async fn list(worker: Worker, service: Data<Service>, query: Query) -> Answer {
    let word = |key: &str| query.find(key).unwrap_or_default().to_owned();
    let place = Place { engine: word("engine"), name: word("place") };
    let now = service.now();
    let jobs = service.list_for_engine(&worker.0, &place).await?.into_iter().map(|Queued { job, ready, handed, needs, next }| EngineJob {
        job: job.id.to_string(),
        kind: job.work.write().0,
        state: job.state.to_string(),
        ready,
        parent: job.parent.map(|parent| parent.to_string()),
        cpus: needs.map_or(0, |needs| needs.cpus),
        memory_bytes: needs.map(|needs| needs.memory_bytes),
        slowest_seconds: needs.map(|needs| needs.slowest_seconds),
        handed: handed.map(|handed| EngineHanded {
            number: handed.number,
            state: handed.state.to_string(),
            seconds_ago: u64::try_from((now.unix_ms() - handed.submitted.unix_ms()) / 1_000).unwrap_or(0),
            times: handed.times,
        }),
        next: next.map(|Next { job, needs }| EngineNext {
            job: job.map(|job| job.to_string()),
            cpus: needs.map_or(0, |needs| needs.cpus),
            memory_bytes: needs.map(|needs| needs.memory_bytes),
            slowest_seconds: needs.map(|needs| needs.slowest_seconds),
        }),
    });
    Ok(HttpResponse::Ok().json(EngineQueue { jobs: jobs.collect() }))
}

/// Say what became of a job at an engine.
#[utoipa::path(put, path = "/api/v1/worker/queue/{job}", tag = "workers", request_body = EngineNote, responses(
    (status = 204), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody),
))]
pub async fn note(worker: Worker, service: Data<Service>, at: QueuedAt, body: Json<EngineNote>) -> Answer {
    let EngineNote { engine, place, number, state } = body.0;
    let unknown =
        || HttpError::bad_request("bad_state", "'state' is none of submitted, lost and ended", "use the dispatcher of this release");
    let state = State::parse(&state).ok_or_else(unknown)?;
    service.note_engine(&worker.0, &at.0, &Place { engine, name: place }, (&number, state)).await?;
    Ok(HttpResponse::NoContent().finish())
}
