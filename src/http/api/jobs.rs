//! Jobs of every kind: lists them, follows and cancels them, and hands out the files they leave.

use actix_web::body::SizedStream;
use actix_web::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, ETAG, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::finetunes;
use crate::domain::id::JobId;
use crate::domain::job::Family;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{JobAt, JobFileAt, Json, Query};
use crate::service::Service;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::jobs::{CloneJob, CreateEmbedding, Job, JobEvent, JobFile, PlaceJob};

/// Your jobs of every kind, newest first; administrators see all.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(
    ("kind" = Option<String>, Query, description = "fine-tune, embed ..."),
    ("state" = Option<String>, Query, description = "queued, running, succeeded, failed or cancelled"),
    ("all" = Option<bool>, Query, description = "also the trials of sweeps, which are left out without it"),
    ("parent" = Option<String>, Query, description = "only the trials of this sweep"),
    ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = List<Job>)))]
pub async fn list(caller: Caller, service: Data<Service>, query: Query) -> Answer {
    let page = service.list_jobs(&caller.0, (query.find("kind"), finetunes::state(&query)?, family(&query)?), query.page()?).await?;
    Ok(HttpResponse::Ok().json(List::<Job>::from(page)))
}

/// Which children a list has.
pub(super) fn family(query: &Query) -> Result<Family, HttpError> {
    let unknown = || HttpError::bad_request("bad_query", "parent: this is no id of a job", "`hub jobs list` shows the ids");
    let all = query.flag("all")?;
    match query.find("parent") {
        Some(parent) => Ok(Family::Of(JobId::parse(parent).map_err(|_| unknown())?)),
        None if all => Ok(Family::All),
        None => Ok(Family::Heads),
    }
}

/// Ask for the features of every item of a data set by a model: the job leaves `features.npy` and `items.csv`.
#[utoipa::path(post, path = "/api/v1/embeddings", tag = "jobs", request_body = CreateEmbedding, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The model or the data set is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn embed(caller: Caller, service: Data<Service>, body: Json<CreateEmbedding>) -> Answer {
    let (model, dataset) = (finetunes::repo_at("model", &body.0.model)?, finetunes::repo_at("dataset", &body.0.dataset)?);
    let job = service.create_embedding(&caller.0, (model.id, model.revision), (dataset.id, dataset.revision)).await?;
    Ok(HttpResponse::Created().json(Job::from(job)))
}

/// One job; a sweep with the jobs of its trials.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn get(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    finetunes::get(caller, service, job).await
}

/// Cancel a job: at once while it waits, within seconds while it runs. An ended one stays as it is.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn cancel(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    finetunes::cancel(caller, service, job).await
}

/// Let a job stand still: it is given back with its last checkpoint and not started until it is resumed.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/pause", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "It has ended."),
))]
pub async fn pause(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    Ok(HttpResponse::Ok().json(Job::from(service.pause_job(&caller.0, &job.0, true).await?)))
}

/// Let a paused job go on.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/resume", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "It has ended."),
))]
pub async fn resume(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    Ok(HttpResponse::Ok().json(Job::from(service.pause_job(&caller.0, &job.0, false).await?)))
}

/// Put a job that failed or was cancelled back in the queue.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody, description = "It has not failed."),
))]
pub async fn retry(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    Ok(HttpResponse::Ok().json(Job::from(service.restart_job(&caller.0, &job.0).await?)))
}

/// Ask for the same once more, on the same versions.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/clone", tag = "jobs", params(("id" = String, Path)), request_body = CloneJob, responses(
    (status = 201, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn clone(caller: Caller, service: Data<Service>, job: JobAt, body: Json<CloneJob>) -> Answer {
    let name = body.0.name.map(|name| finetunes::repo("name", &name)).transpose()?;
    Ok(HttpResponse::Created().json(Job::from(service.clone_job(&caller.0, &job.0, name).await?)))
}

/// Put a job before or behind others.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/priority", tag = "jobs", params(("id" = String, Path)), request_body = PlaceJob, responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn place(caller: Caller, service: Data<Service>, job: JobAt, body: Json<PlaceJob>) -> Answer {
    Ok(HttpResponse::Ok().json(Job::from(service.place_job(&caller.0, &job.0, body.0.priority).await?)))
}

/// What happens in a job, as server-sent events until it ends; with `Accept: application/json` a list of what
/// has happened so far. Of progress events only the newest is kept.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs", params(
    ("id" = String, Path),
    ("after" = Option<u64>, Query, description = "only events with a higher number"),
    ("Last-Event-ID" = Option<u64>, Header, description = "the same, as browsers send it"),
), responses(
    (status = 200, content((List<JobEvent> = "application/json"), (JobEvent = "text/event-stream"))),
    (status = 404, body = ProblemBody),
))]
pub async fn events(caller: Caller, service: Data<Service>, job: JobAt, query: Query, request: HttpRequest) -> Answer {
    finetunes::events(caller, service, job, query, request).await
}

/// The job's log as text, oldest line first. It is kept as long as the job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/logs", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, content_type = "text/plain", body = String), (status = 404, body = ProblemBody),
))]
pub async fn logs(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    finetunes::logs(caller, service, job).await
}

/// The files a job has left, by name. They are kept as long as the job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/files", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = List<JobFile>), (status = 404, body = ProblemBody),
))]
pub async fn files(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    let items = service.job_files(&caller.0, &job.0).await?.into_iter().map(JobFile::from).collect();
    Ok(HttpResponse::Ok().json(List::<JobFile> { items, next: None }))
}

/// The bytes of one of them. `ETag` is the sha256.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/files/{path}", tag = "jobs", params(("id" = String, Path)), responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, body = ProblemBody),
))]
pub async fn file(caller: Caller, service: Data<Service>, at: JobFileAt) -> Answer {
    let (file, reader) = service.open_job_file(&caller.0, &at.job, at.name.as_str()).await?;
    let bytes = reader.begin(0..file.size_bytes).await.map_err(crate::service::Error::from)?;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((ETAG, format!("\"{}\"", file.digest)))
        .insert_header((ACCEPT_RANGES, "none"))
        // Names are those the kinds of work give, plain letters; what is in the files is not for a browser to run.
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", file.name)))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .body(SizedStream::new(file.size_bytes, bytes)))
}
