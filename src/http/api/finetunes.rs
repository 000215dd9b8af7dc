//! Fine-tune jobs: ask for one, follow it, cancel it.

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{jobs, recommend};
use crate::domain::job::{self as domain, JobState};
use crate::domain::name::RepoId;
use crate::domain::repo_ref::RepoRef;
use crate::domain::user::Actor;
use crate::domain::work::AUTO;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{JobAt, Json, Query};
use crate::http::job_events;
use crate::service::Service;
use crate::service::jobs::finetune::NewFineTune;
use crate::wire::List;
use crate::wire::error::ProblemBody;
use crate::wire::jobs::{CreateFineTune, Expected, Job, JobEvent, ReplayFineTune};

/// Ask for a fine-tune. What is wrong with it is said now; what is right waits for a worker. With `dry_run=true` nothing is queued, and
/// the answer is what it is expected to cost. With the base `auto` the answer is the job that chooses it; its result names the fine-tune that
/// follows as `next`.
#[utoipa::path(post, path = "/api/v1/finetunes", tag = "finetunes", params(
    ("dry_run" = Option<bool>, Query, description = "only say what it would cost"),
), request_body = CreateFineTune, responses(
    (status = 200, body = Expected, description = "With `dry_run=true`."),
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "The base or the data set is not there, or not for you."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn create(caller: Caller, service: Data<Service>, query: Query, body: Json<CreateFineTune>) -> Answer {
    if query.flag("dry_run")? {
        if body.0.base == AUTO {
            let message = "what a fine-tune costs depends on its base, and this one is still to be chosen";
            return Err(HttpError::bad_request("base_not_chosen", message, "ask `hub recommend` first, then name its first as the base"));
        }
        let expected = service.estimate_finetune(&caller.0, asked(body.0)?).await?;
        return Ok(HttpResponse::Ok().json(Expected {
            trials: expected.trials,
            runs: expected.runs,
            steps: expected.steps,
            memory_bytes: expected.memory_bytes,
            scratch_bytes: expected.scratch_bytes,
            seconds_at_most: expected.seconds_at_most(),
            sentence: expected.sentence(),
        }));
    }
    Ok(HttpResponse::Created().json(Job::from(start(&service, &caller.0, body.0).await?)))
}

/// Queues what is asked for, whichever dialect asks.
pub(in crate::http) async fn start(service: &Service, actor: &Actor, body: CreateFineTune) -> Result<domain::Job, HttpError> {
    Ok(match body.base.as_str() {
        AUTO => {
            let (dataset, asked) = recommend::choose_first(body)?;
            service.create_recommendation(actor, dataset, asked).await?
        }
        _ => service.create_finetune(actor, asked(body)?).await?,
    })
}

/// Run the recipe of a published fine-tune again. The job's log says whether the digest of the weights matched.
#[utoipa::path(post, path = "/api/v1/finetunes/replay", tag = "finetunes", request_body = ReplayFineTune, responses(
    (status = 201, body = Job),
    (status = 404, body = ProblemBody, description = "No fine-tune of this hub published that version."),
    (status = 422, body = ProblemBody, description = "It could not work: the message says why."),
))]
pub async fn replay(caller: Caller, service: Data<Service>, body: Json<ReplayFineTune>) -> Answer {
    let of = repo_at("model", &body.0.model)?;
    let job = service.replay_finetune(&caller.0, &of.id, &of.revision, repo("name", &body.0.name)?).await?;
    Ok(HttpResponse::Created().json(Job::from(job)))
}

/// Your fine-tunes, newest first; administrators see all. `/api/v1/jobs` has jobs of every kind.
#[utoipa::path(get, path = "/api/v1/finetunes", tag = "finetunes", params(
    ("state" = Option<String>, Query, description = "queued, running, succeeded, failed or cancelled"),
    ("all" = Option<bool>, Query, description = "also the trials of sweeps, which are left out without it"),
    ("parent" = Option<String>, Query, description = "only the trials of this sweep"),
    ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = List<Job>)))]
pub async fn list(caller: Caller, service: Data<Service>, query: Query) -> Answer {
    let page = service.list_jobs(&caller.0, (Some("fine-tune"), state(&query)?, jobs::family(&query)?), query.page()?).await?;
    Ok(HttpResponse::Ok().json(List::<Job>::from(page)))
}

/// The state a list is narrowed to.
pub(super) fn state(query: &Query) -> Result<Option<JobState>, HttpError> {
    let unknown = || HttpError::bad_request("bad_query", "no job has such a state", "use queued, running, succeeded, failed or cancelled");
    query.find("state").map(|text| JobState::parse(text).ok_or_else(unknown)).transpose()
}

/// One job; a sweep with the jobs of its trials.
#[utoipa::path(get, path = "/api/v1/finetunes/{id}", tag = "finetunes", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn get(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    let found = service.get_job(&caller.0, &job.0).await?;
    let trials = service.list_trials(&caller.0, &job.0).await?;
    Ok(HttpResponse::Ok().json(Job::with_trials(found, trials)))
}

/// Cancel a job: at once while it waits, within seconds while it runs. An ended one stays as it is.
#[utoipa::path(post, path = "/api/v1/finetunes/{id}/cancel", tag = "finetunes", params(("id" = String, Path)), responses(
    (status = 200, body = Job), (status = 404, body = ProblemBody),
))]
pub async fn cancel(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    Ok(HttpResponse::Ok().json(Job::from(service.cancel_job(&caller.0, &job.0).await?)))
}

/// What happens in a job, as server-sent events until it ends; with `Accept: application/json` a list of what
/// has happened so far. Of progress events only the newest is kept.
#[utoipa::path(get, path = "/api/v1/finetunes/{id}/events", tag = "finetunes", params(
    ("id" = String, Path),
    ("after" = Option<u64>, Query, description = "only events with a higher number"),
    ("Last-Event-ID" = Option<u64>, Header, description = "the same, as browsers send it"),
), responses(
    (status = 200, content((List<JobEvent> = "application/json"), (JobEvent = "text/event-stream"))),
    (status = 404, body = ProblemBody),
))]
pub async fn events(caller: Caller, service: Data<Service>, job: JobAt, query: Query, request: HttpRequest) -> Answer {
    let seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.trim().parse().ok());
    let after = query.number("after")?.or(seen).unwrap_or(0);
    let wants_json = request.headers().get(ACCEPT).is_some_and(|v| v.to_str().is_ok_and(|v| v.contains("application/json")));
    if wants_json {
        let events = service.job_events(&caller.0, &job.0, after).await?;
        return Ok(HttpResponse::Ok().json(List::<JobEvent> { items: events.into_iter().map(JobEvent::from).collect(), next: None }));
    }
    job_events::stream(service.get_ref().clone(), caller.0, job.0, after).await
}

/// The job's log as text, oldest line first.
#[utoipa::path(get, path = "/api/v1/finetunes/{id}/logs", tag = "finetunes", params(("id" = String, Path)), responses(
    (status = 200, content_type = "text/plain", body = String), (status = 404, body = ProblemBody),
))]
pub async fn logs(caller: Caller, service: Data<Service>, job: JobAt) -> Answer {
    let text = job_events::log(&service, &caller.0, &job.0).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}

/// The body's texts become names and revisions.
fn asked(body: CreateFineTune) -> Result<NewFineTune, HttpError> {
    let (base, dataset) = (repo_at("base", &body.base)?, repo_at("dataset", &body.dataset)?);
    Ok(NewFineTune {
        base: base.id,
        base_revision: base.revision,
        dataset: dataset.id,
        dataset_revision: dataset.revision,
        name: repo("name", &body.name)?,
        private: body.private,
        recipe: body.recipe,
        sweep: body.sweep,
    })
}

pub(super) fn repo_at(field: &str, text: &str) -> Result<RepoRef, HttpError> {
    let wrong = |e| HttpError::bad_request("bad_name", format!("{field}: {e}"), "write 'namespace/name' or 'namespace/name@revision'");
    RepoRef::parse(text).map_err(wrong)
}

pub(super) fn repo(field: &str, text: &str) -> Result<RepoId, HttpError> {
    let wrong = |e| HttpError::bad_request("bad_name", format!("{field}: {e}"), "write 'namespace/name'");
    RepoId::parse(text).map_err(wrong)
}
