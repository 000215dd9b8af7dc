//! Holding jobs, putting them first, and starting them once more.

use super::super::{Error, Result, Service, access};
use super::finetune::NewFineTune;
use super::state::{change_job, see_job, state_event};
use super::sweeps;
use crate::catalog::jobs;
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobState};
use crate::domain::job_event::{Event, Level};
use crate::domain::name::RepoId;
use crate::domain::user::Actor;
use crate::domain::work::Work;
use crate::service::people::journal::note_act;

/// How far a job can be put before or behind others.
const FARTHEST: i64 = 100;

impl Service {
    /// Lets a job stand still, or go on. One that runs is given back after the step it is in, with its last checkpoint.
    pub async fn pause_job(&self, actor: &Actor, id: &JobId, paused: bool) -> Result<Job> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let job = change_job(tx, &actor, &id)?;
                if job.state.is_final() {
                    return Err(ended(&job, "start it once more with `hub jobs retry`"));
                }
                if job.paused == paused {
                    return Ok(job);
                }
                jobs::set_paused(tx, &id, paused)?;
                if job.state == JobState::Queued {
                    jobs::set_stage(tx, &id, if paused { "paused" } else { "waiting for a worker" })?;
                }
                sweeps::pause(tx, &job, paused, now)?;
                let (word, act) = if paused { ("to be paused", "job.pause") } else { ("resumed", "job.resume") };
                jobs::append_event(tx, &id, now, &Event::log(Level::Info, word))?;
                note_act(tx, now, note, &actor, act, &id.to_string(), "")?;
                see_job(tx, &actor, &id)
            })
            .await
    }

    /// Puts a job before or behind others: an administrator among everybody's, its owner among their own.
    pub async fn place_job(&self, actor: &Actor, id: &JobId, place: i64) -> Result<Job> {
        if !(-FARTHEST..=FARTHEST).contains(&place) {
            let message = format!("priority is {place}, and goes from -{FARTHEST} to {FARTHEST}");
            return Err(Error::invalid("bad_priority", message, "0 is everybody's; more comes first"));
        }
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let job = change_job(tx, &actor, &id)?;
                let (priority, urgency) = if access::sees_all_jobs(&actor) { (place, job.urgency) } else { (job.priority, place) };
                jobs::set_place(tx, &id, priority, urgency)?;
                sweeps::place(tx, &id, (priority, urgency))?;
                note_act(tx, now, note, &actor, "job.place", &id.to_string(), &place.to_string())?;
                see_job(tx, &actor, &id)
            })
            .await
    }

    /// Puts a job that failed or was cancelled back in the queue.
    pub async fn restart_job(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        let limit = self.policy().max_jobs_per_user;
        self.db
            .write(move |tx| {
                let job = change_job(tx, &actor, &id)?;
                match job.state {
                    JobState::Failed | JobState::Cancelled => {}
                    _ => return Err(ended(&job, "`hub jobs clone` asks for the same once more")),
                }
                if job.parent.is_none() {
                    super::queue::within_limit(tx, &job.owner, limit)?;
                }
                sweeps::may_restart(tx, &job)?;
                jobs::restart(tx, &id, now)?;
                jobs::append_event(tx, &id, now, &Event::log(Level::Info, "to be tried once more"))?;
                state_event(tx, &id, now, JobState::Queued, None)?;
                sweeps::restart(tx, &job, now)?;
                note_act(tx, now, note, &actor, "job.retry", &id.to_string(), "")?;
                see_job(tx, &actor, &id)
            })
            .await
    }

    /// Asks for the same once more, for the caller, on the same versions; a fine-tune may be published under another name.
    pub async fn clone_job(&self, actor: &Actor, id: &JobId, name: Option<RepoId>) -> Result<Job> {
        let job = self.get_job(actor, id).await?;
        match job.work {
            Work::FineTune(task) => {
                let again = NewFineTune::again(task);
                let name = name.unwrap_or_else(|| again.name.clone());
                self.create_finetune(actor, NewFineTune { name, ..again }).await
            }
            other => {
                let folder = tempfile::tempdir().map_err(|e| Error::of_file("no temporary folder", &e))?;
                let given = self.given_again(id, folder.path()).await?;
                self.queue_work(actor, other, given).await
            }
        }
    }
}

fn ended(job: &Job, hint: &str) -> Error {
    Error::conflict("job_state", format!("job {} is {}", job.id, job.state), hint)
}
