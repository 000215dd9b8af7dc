//! `/worker`: the queue for workers elsewhere. They have a token of theirs, no account, no database and no store; what they may read and
//! write is what the jobs they hold may, while they hold them.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::domain::digest::Digest;
use crate::domain::id::JobId;
use crate::domain::job::{Death, JobState, Lease, Wanted};
use crate::domain::job_event::{Event, short};
use crate::domain::manifest::ManifestEntry;
use crate::domain::path::RepoPath;
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker as KnownWorker;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Json;
use crate::http::worker::{Holder, Worker};
use crate::service::jobs::leases::Beat;
use crate::service::jobs::office::{Claimed, Delivery, Materials};
use crate::service::jobs::roll::node_of;
use crate::service::{self, Service};
use crate::wire::error::ProblemBody;
use crate::wire::files::File;
use crate::wire::worker::{
    Machine, WorkerBeat, WorkerClaim, WorkerDeath, WorkerEnd, WorkerEnded, WorkerHeard, WorkerInput, WorkerJob, WorkerMaterials,
    WorkerResult,
};

/// The longest a claim waits for a job.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// Of one sign of life.
const MOST_NEWS: usize = 1_000;
/// What JSON carries exactly.
const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// Claim a job. Waits for one as long as is asked.
#[utoipa::path(post, path = "/api/v1/worker/claims", tag = "workers", request_body = WorkerClaim, responses(
    (status = 200, body = WorkerJob),
    (status = 204, description = "No job is ready."),
    (status = 403, body = ProblemBody, description = "not a worker's token"),
    (status = 404, body = ProblemBody, description = "There is no such job, or `nothing_follows` it."),
    (status = 409, body = ProblemBody, description = "`job_not_ready`: another has it, or it waits; `job_succeeded`, `job_failed`, `job_cancelled`: it has ended."),
))]
pub async fn claim(worker: Worker, service: Data<Service>, body: Json<WorkerClaim>) -> Answer {
    let (WorkerClaim { worker: name, job, after, wait_seconds, machine }, begun) = (body.0, Instant::now());
    let wanted = wanted(job, after)?;
    let wait = Duration::from_secs(wait_seconds).min(LONGEST_WAIT);
    service.note_worker(Some(&worker.0), shown(&name, &machine)).await;
    loop {
        let ended = begun.elapsed() >= wait;
        match service.claim_job(&worker.0, &name, wanted.clone()).await? {
            Claimed::Job(lease, job) => {
                let (cpus, device) = (machine.cpus, short(&machine.device.chars().take(40).collect::<String>()));
                tracing::info!(job = %job.id, worker = %lease.worker, token = %worker.0.name, cpus, device, "a worker elsewhere took a job");
                let (kind, spec) = job.work.write();
                let (id, owner, limits) = (job.id.to_string(), job.owner.to_string(), service.policy().data_limits);
                let taken = WorkerJob { job: id, lease: lease.number, attempt: job.attempt, owner, kind, spec, limits };
                return Ok(HttpResponse::Ok().json(taken));
            }
            Claimed::Ended(state) => return Err(has_ended(state)),
            Claimed::NotReady(why) if ended => {
                return Err(service::Error::conflict("job_not_ready", why, "ask again in a minute").into());
            }
            Claimed::None if ended => return Ok(HttpResponse::NoContent().finish()),
            Claimed::None | Claimed::NotReady(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

fn wanted(job: Option<String>, after: Option<String>) -> Result<Wanted, HttpError> {
    let id = |key: &str, text: &str| {
        JobId::parse(text).map_err(|e| HttpError::bad_request("bad_job", format!("'{key}': {e}"), "`hub jobs list` shows the ids"))
    };
    match (job, after) {
        (None, None) => Ok(Wanted::Any),
        (Some(job), None) => Ok(Wanted::This(id("job", &job)?)),
        (None, Some(job)) => Ok(Wanted::After(id("after", &job)?)),
        (Some(_), Some(_)) => Err(HttpError::bad_request("bad_job", "'job' and 'after' both say which job is claimed", "send one of them")),
    }
}

/// The worker of a claim, as it says itself.
fn shown(name: &str, machine: &Machine) -> KnownWorker {
    let Machine { cpus, memory_bytes, device, release } = machine.clone();
    let (node, never) = (node_of(name).to_owned(), Timestamp::from_unix_ms(0));
    KnownWorker { name: name.to_owned(), token: None, node, cpus, memory_bytes, device, release, started: never, seen: never, job: None }
}

fn has_ended(state: JobState) -> HttpError {
    let code = match state {
        JobState::Succeeded => "job_succeeded",
        JobState::Cancelled => "job_cancelled",
        JobState::Failed | JobState::Queued | JobState::Running => "job_failed",
    };
    service::Error::conflict(code, format!("the job has ended: it {state}"), "`hub jobs retry` puts a failed one back").into()
}

/// Say that a worker of this token has died, so that what it held goes to others now.
#[utoipa::path(post, path = "/api/v1/worker/deaths", tag = "workers", request_body = WorkerDeath, responses((status = 204)))]
pub async fn bury(worker: Worker, service: Data<Service>, body: Json<WorkerDeath>) -> Answer {
    let how = match body.0 {
        WorkerDeath { out_of_memory: true, .. } => Death::OutOfMemory,
        WorkerDeath { signal: Some(signal), .. } => Death::Signal(signal),
        WorkerDeath { status: Some(status), .. } => Death::Exit(status),
        _ => Death::Unknown,
    };
    service.bury_named(&worker.0, &body.0.worker, how).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A sign of life, with what happened since the last one; 409 once the job is another's.
#[utoipa::path(post, path = "/api/v1/worker/jobs/{job}/beat", tag = "workers", request_body = WorkerBeat, responses(
    (status = 200, body = WorkerHeard),
    (status = 409, body = ProblemBody, description = "`lease_lost`: another worker has the job; stop."),
))]
pub async fn beat(holder: Holder, service: Data<Service>, body: Json<WorkerBeat>) -> Answer {
    if body.0.news.len() > MOST_NEWS {
        let message = format!("{} pieces of news, at most {MOST_NEWS} at a time", body.0.news.len());
        return Err(service::Error::too_large("too_much_news", message, "send them with several signs of life").into());
    }
    if body.0.news.iter().any(|news| news.number > LARGEST_NUMBER) {
        let message = format!("news has numbers up to {LARGEST_NUMBER}");
        return Err(service::Error::invalid("bad_number", message, "begin with 1 under each lease").into());
    }
    let news = body.0.news.into_iter().filter_map(|news| Some((news.number, Event::told(&news.kind, news.body)?))).collect();
    service.note_at_work(&holder.0).await;
    let say = match service.hear(&holder.0, news).await? {
        Beat::GoOn => "go_on",
        Beat::Cancel => "cancel",
        Beat::Pause => "pause",
        Beat::Lost => return Err(lost()),
    };
    Ok(HttpResponse::Ok().json(WorkerHeard { say: say.into() }))
}

fn lost() -> HttpError {
    service::Error::conflict("lease_lost", "this worker no longer has the job", "leave it to the worker that has it now").into()
}

/// What the job reads.
#[utoipa::path(get, path = "/api/v1/worker/jobs/{job}/materials", tag = "workers", responses(
    (status = 200, body = WorkerMaterials), (status = 409, body = ProblemBody),
))]
pub async fn materials(holder: Holder, service: Data<Service>) -> Answer {
    let (_, Materials { inputs, sent, checkpoint, notes }) = service.materials(&holder.0).await?;
    let file = |entry: &ManifestEntry| named(entry.path.as_str(), &entry.digest, entry.size_bytes);
    let inputs = inputs.into_iter().map(|input| {
        let files = input.files.iter().map(file).collect();
        WorkerInput { role: input.role, spare: input.spare, files }
    });
    Ok(HttpResponse::Ok().json(WorkerMaterials {
        inputs: inputs.collect(),
        given: sent.iter().map(|file| named(&file.name, &file.digest, file.size_bytes)).collect(),
        checkpoint: checkpoint.map(|(digest, size_bytes)| named("checkpoint", &digest, size_bytes)),
        notes,
    }))
}

fn named(path: &str, digest: &Digest, size_bytes: u64) -> File {
    File { path: path.into(), size_bytes, sha256: digest.to_hex(), mark: None }
}

/// What the job leaves. It is published and the job ended, once, however often this is sent.
#[utoipa::path(post, path = "/api/v1/worker/jobs/{job}/result", tag = "workers", request_body = WorkerResult, responses(
    (status = 200, body = WorkerEnded),
    (status = 409, body = ProblemBody, description = "`lease_lost`: another worker has the job; nothing was published."),
    (status = 422, body = ProblemBody, description = "The result is none of this kind of job, or a file of it was not sent."),
))]
pub async fn result(holder: Holder, service: Data<Service>, body: Json<WorkerResult>) -> Answer {
    let read = |files: Vec<File>| files.iter().map(entry).collect::<Result<Vec<_>, _>>();
    let WorkerResult { published, refused, kept, headline } = body.0;
    let published = published.map(read).transpose()?;
    let delivery = Delivery { published, refused: refused.map(|why| short(&why)), kept: read(kept)?, headline };
    let (service, lease) = (service.get_ref().clone(), holder.0);
    // On its own: a line that breaks must not leave half of what follows undone.
    let done = tokio::spawn(async move { service.complete_delivered(&lease, delivery).await });
    let (state, version) = done.await.map_err(|stopped| HttpError::internal(format!("a result was stopped: {stopped}")))??;
    Ok(HttpResponse::Ok().json(WorkerEnded { state: state.to_string(), version }))
}

fn entry(file: &File) -> Result<ManifestEntry, HttpError> {
    let path =
        RepoPath::parse(&file.path).map_err(|e| HttpError::bad_request("bad_path", e.to_string(), "use the worker of this release"))?;
    let digest =
        Digest::parse(&file.sha256).map_err(|e| HttpError::bad_request("bad_digest", e.to_string(), "hash the file with sha256sum"))?;
    Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
}

/// Give the job back, or end it without a result.
#[utoipa::path(post, path = "/api/v1/worker/jobs/{job}/end", tag = "workers", request_body = WorkerEnd, responses(
    (status = 204), (status = 409, body = ProblemBody),
))]
pub async fn end(holder: Holder, service: Data<Service>, body: Json<WorkerEnd>) -> Answer {
    let (lease, why) = (holder.0, short(&body.0.why));
    match settle(&service, &lease, &body.0.how, why).await {
        // The answer to the same request was lost.
        Err(error) if service.how_it_ended(&lease).await?.is_none() => Err(error),
        _ => Ok(HttpResponse::NoContent().finish()),
    }
}

async fn settle(service: &Service, lease: &Lease, how: &str, why: String) -> Result<(), HttpError> {
    match how {
        "failed" => service.fail_job(lease, why).await?,
        "cancelled" => service.stop_job(lease).await?,
        "retry" => service.retry_job(lease, &why).await?,
        "released" => service.release_job(lease).await?,
        _ => {
            let message = "'how' is none of failed, cancelled, retry and released";
            return Err(HttpError::bad_request("bad_end", message, "use the worker of this release"));
        }
    }
    Ok(())
}
