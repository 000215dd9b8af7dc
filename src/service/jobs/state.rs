//! The state of a job: who may see it, and how a change of it is written down. People (`finetune`) and workers
//! (`leases`, `result`) both go through here.

use super::super::{Error, Result, access};
use super::sweeps;
use crate::catalog::jobs::{self, Ending};
use crate::db::Tx;
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobState};
use crate::domain::job_event::Event;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::service::people::journal::note_own_act;
use crate::service::webhooks::outbox;

pub(super) fn log_in() -> Error {
    Error::unauthorized("login_required", "fine-tunes belong to somebody", "log in, or send a token of scope 'write'")
}

pub(super) fn see_job(tx: &mut Tx<'_>, actor: &Actor, id: &JobId) -> Result<Job> {
    match jobs::find(tx, id)? {
        Some(job) if access::sees_job(tx, actor, &job)? => Ok(job),
        _ => Err(Error::not_found("job_not_found", format!("there is no job {id}"), "list your jobs with `hub jobs list`")),
    }
}

/// The job, if the caller may say what becomes of it.
pub(super) fn change_job(tx: &mut Tx<'_>, actor: &Actor, id: &JobId) -> Result<Job> {
    let job = see_job(tx, actor, id)?;
    access::change_job(tx, actor, &job)?;
    Ok(job)
}

/// Writes down that a job changed its state, in the transaction that changes it.
pub(super) fn state_event(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, state: JobState, error: Option<&str>) -> Result<()> {
    jobs::append_event(tx, job, now, &Event::State { state, error: error.map(String::from) })?;
    outbox::job_changed(tx, job, state, now)
}

/// Ends a job and says so in its events.
pub(super) fn end(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, state: JobState, error: Option<String>) -> Result<()> {
    jobs::finish(tx, job, &Ending { state, error: error.clone(), result_version: None }, now)?;
    note_end(tx, job, now, state)?;
    state_event(tx, job, now, state, error.as_deref())?;
    sweeps::note_end(tx, job, now)
}

/// The line of the audit log.
pub(super) fn note_end(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, state: JobState) -> Result<()> {
    note_own_act(tx, now, job.as_str(), "job.end", job.as_str(), state.as_str())
}
