//! `/api/jobs`: what `hf jobs run|ps|inspect|logs|cancel` asks, of the commands this hub has (`job_command.rs`). An account's jobs are under
//! its name. No container is run and nothing of the environment is passed on: an image that is named is forgotten.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::job_command::{self, Wanted};
use super::{next_page, refuse};
use crate::domain::job::{Family, Job, JobState};
use crate::domain::job_event::JobEvent;
use crate::domain::name::Name;
use crate::domain::page::PageRequest;
use crate::domain::user::Actor;
use crate::domain::work::Work;
use crate::http::api::{evaluations, finetunes};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{JobOf, JobsOf, Json, Query};
use crate::http::job_events;
use crate::service::{self, Service};
use crate::wire::hf::JobSpec;

/// What stands where an image is named.
const IMAGE: &str = "backbone-hub";

/// `hf jobs run`
pub async fn run(service: Data<Service>, caller: Caller, at: JobsOf, body: Json<JobSpec>) -> Answer {
    own(&caller.0, &at.0)?;
    let refused = |message: String| {
        let hint = "say it as on the command line: hub finetune --base B --dataset D --name N, or hub evaluate MODEL --dataset D";
        HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_command", message, hint).for_hugging_face(None)
    };
    if body.0.secrets.as_object().is_some_and(|secrets| !secrets.is_empty()) {
        return Err(refused("jobs here are given no secrets".into()));
    }
    let words: Vec<String> = body.0.command.into_iter().chain(body.0.arguments).collect();
    let job = match job_command::read(&words).map_err(refused)? {
        Wanted::FineTune(asked) => finetunes::start(&service, &caller.0, *asked).await,
        Wanted::Evaluate(asked) => evaluations::start(&service, &caller.0, asked).await,
    };
    Ok(HttpResponse::Ok().json(info(&job.map_err(|error| error.for_hugging_face(None))?)))
}

/// `hf jobs ps`
pub async fn list(request: HttpRequest, service: Data<Service>, caller: Caller, at: JobsOf, query: Query) -> Answer {
    own(&caller.0, &at.0)?;
    let page = PageRequest::new(Some(100), query.find("cursor").map(String::from));
    let page = service.list_jobs(&caller.0, (None, None, Family::Heads), page).await.map_err(refuse)?;
    let stages: Vec<&str> = query.all("stage").collect();
    // Jobs have no labels here, so none has one that is asked for.
    let unlabelled = query.find("label").is_none();
    let shown = page.items.iter().filter(|job| unlabelled && at.0.as_str().eq_ignore_ascii_case(&job.owner_name));
    let shown = shown.filter(|job| stages.is_empty() || stages.contains(&stage(job.state)));
    let mut answer = HttpResponse::Ok();
    if let Some(cursor) = &page.next {
        answer.insert_header(next_page(&request, cursor)?);
    }
    Ok(answer.json(shown.map(info).collect::<Vec<_>>()))
}

/// `hf jobs inspect`
pub async fn inspect(service: Data<Service>, caller: Caller, at: JobOf) -> Answer {
    Ok(HttpResponse::Ok().json(info(&find(&service, &caller.0, &at).await?)))
}

/// `hf jobs cancel`
pub async fn cancel(service: Data<Service>, caller: Caller, at: JobOf) -> Answer {
    find(&service, &caller.0, &at).await?;
    Ok(HttpResponse::Ok().json(info(&service.cancel_job(&caller.0, &at.job).await.map_err(refuse)?)))
}

/// `hf jobs logs`: lines as server-sent events, until the job ends; with `tail` from the so many last on.
pub async fn logs(service: Data<Service>, caller: Caller, at: JobOf, query: Query) -> Answer {
    find(&service, &caller.0, &at).await?;
    let after = match query.number::<usize>("tail")? {
        None => 0,
        Some(tail) => {
            let all = job_events::all(&service, &caller.0, &at.job).await?;
            all.len().checked_sub(tail + 1).and_then(|before| all.get(before)).map_or(0, |event| event.number)
        }
    };
    job_events::stream_as(service.get_ref().clone(), caller.0, at.job, after, line).await
}

fn line(event: JobEvent) -> String {
    let data = json!({ "data": job_events::line(&event).trim_end(), "timestamp": event.time.to_string() });
    format!("data: {data}\n\n")
}

/// A job of the account's that the caller may see.
async fn find(service: &Service, actor: &Actor, at: &JobOf) -> Result<Job, HttpError> {
    let job = service.get_job(actor, &at.job).await.map_err(refuse)?;
    if at.account.as_str().eq_ignore_ascii_case(&job.owner_name) {
        return Ok(job);
    }
    let message = format!("'{}' has no job {}", at.account, at.job);
    Err(refuse(service::Error::not_found("job_not_found", message, "`hf jobs ps` lists them")))
}

/// Jobs belong to people, and each asks for their own.
fn own(actor: &Actor, account: &Name) -> Result<(), HttpError> {
    match actor.name() {
        None => Err(refuse(service::Error::unauthorized("login_required", "jobs belong to somebody", "log in: hf auth login"))),
        Some(name) if name.folded() == account.folded() => Ok(()),
        Some(name) => {
            let message = format!("jobs are asked for and listed under one's own name, '{name}', and not '{account}'");
            Err(refuse(service::Error::not_found(
                "not_your_jobs",
                message,
                "leave --namespace out; --name says where a result is published",
            )))
        }
    }
}

fn stage(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "SCHEDULING",
        JobState::Running => "RUNNING",
        JobState::Succeeded => "COMPLETED",
        JobState::Failed => "ERROR",
        JobState::Cancelled => "CANCELED",
    }
}

/// As `hf` reads a job.
fn info(job: &Job) -> Value {
    let owner = json!({ "id": job.owner.to_string(), "name": job.owner_name, "type": "user" });
    let seconds = |from: Option<crate::domain::time::Timestamp>, to: Option<crate::domain::time::Timestamp>| {
        Some((to?.unix_ms() - from?.unix_ms()) / 1_000)
    };
    json!({
        "id": job.id.to_string(),
        "createdAt": job.created.to_string(),
        "startedAt": job.started.map(|at| at.to_string()),
        "finishedAt": job.finished.map(|at| at.to_string()),
        "dockerImage": IMAGE,
        "command": command(&job.work),
        "arguments": [],
        "environment": {},
        "flavor": "cpu-basic",
        "labels": {},
        "status": { "stage": stage(job.state), "message": job.error.clone().or_else(|| Some(job.stage.clone())) },
        "durations": {
            "schedulingSecs": seconds(Some(job.created), job.started),
            "runningSecs": seconds(job.started, job.finished),
            "totalSecs": seconds(Some(job.created), job.finished),
        },
        "owner": owner,
        "initiator": owner,
    })
}

/// How the job would be asked for.
fn command(work: &Work) -> Vec<String> {
    let words: Vec<String> = match work {
        Work::FineTune(task) => {
            let (base, dataset) = (format!("{}@{}", task.base, task.base_version), format!("{}@{}", task.dataset, task.dataset_version));
            ["finetune", "--base", &base, "--dataset", &dataset, "--name", &task.name.to_string()].map(str::to_owned).into()
        }
        Work::Evaluate(task) => {
            let (model, dataset) = (format!("{}@{}", task.model, task.model_version), format!("{}@{}", task.dataset, task.dataset_version));
            ["evaluate", &model, "--dataset", &dataset].map(str::to_owned).into()
        }
        other => vec![other.write().0],
    };
    std::iter::once("hub".to_owned()).chain(words).collect()
}
