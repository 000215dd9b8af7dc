//! Fine-tunes as people meet them: ask for one, follow it, cancel it. What a worker does with the queue is
//! in `leases.rs`.

use super::super::{Error, Result, Service, access};
use super::state::{end, log_in, see_job, state_event};
use crate::catalog::jobs;
use crate::domain::id::JobId;
use crate::domain::job::{FineTune, Job, JobState};
use crate::domain::job_event::JobEvent;
use crate::domain::name::RepoId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::recipe::Recipe;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Role};
use crate::service::people::journal::note_act;

/// A fine-tune as it is asked for; admission pins its revisions to version numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFineTune {
    pub base: RepoId,
    pub base_revision: Revision,
    pub dataset: RepoId,
    pub dataset_revision: Revision,
    /// Where the result is published.
    pub name: RepoId,
    pub private: bool,
    pub recipe: Recipe,
}

/// Events handed over at once; a caller asks again after the last one.
const EVENTS_AT_ONCE: usize = 1_000;

impl Service {
    /// Admits a fine-tune and puts it in the queue. Whatever is wrong with it is said now, not after hours.
    pub async fn create_finetune(&self, actor: &Actor, asked: NewFineTune) -> Result<Job> {
        let owner = match actor {
            Actor::User { account, name, .. } => (account.clone(), name.to_string()),
            _ => return Err(log_in()),
        };
        let task = self.admit(actor, asked).await?;
        let (now, limit) = (self.now(), self.policy().max_jobs_per_user);
        let job = queued(JobId::new(now, self.random()?), owner, task, now);
        let (actor, note) = (actor.clone(), self.note()?);
        self.db
            .write(move |tx| {
                // Once more, inside the transaction that queues: the right may have gone meanwhile.
                access::write_namespace(tx, &actor, job.fine_tune.name.namespace())?;
                let unfinished = jobs::count_unfinished(tx, &job.owner)?;
                if unfinished >= limit {
                    let message = format!("{unfinished} of your jobs wait or run, and {limit} are allowed");
                    return Err(Error::busy("too_many_jobs", message, "wait for one to end, or cancel one"));
                }
                jobs::insert(tx, &job)?;
                state_event(tx, &job.id, now, JobState::Queued, None)?;
                note_act(tx, now, note, &actor, "job.create", &job.id.to_string(), &job.fine_tune.name.to_string())?;
                Ok(job)
            })
            .await
    }

    pub async fn get_job(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db.read(move |tx| see_job(tx, &actor, &id)).await
    }

    /// The caller's jobs, newest first; a site administrator sees everybody's.
    pub async fn list_jobs(&self, actor: &Actor, state: Option<JobState>, page: PageRequest) -> Result<Page<Job>> {
        let owner = match actor {
            Actor::Anonymous => return Err(log_in()),
            Actor::User { account, .. } if !access::sees_all_jobs(actor) => Some(account.clone()),
            _ => None,
        };
        let bad_cursor = || Error::invalid("bad_cursor", "the cursor is not one this list gave", "start again without a cursor");
        let before = page.cursor.as_deref().map(JobId::parse).transpose().map_err(|_| bad_cursor())?;
        self.db.read(move |tx| Ok(jobs::list(tx, owner.as_ref(), state, page.limit, before.as_ref())?)).await
    }

    /// Cancels: a waiting job at once, a running one when its worker next looks up. An ended one stays as it is.
    pub async fn cancel_job(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let job = see_job(tx, &actor, &id)?;
                access::scope(&actor, Role::Write)?;
                match job.state {
                    JobState::Queued => end(tx, &id, now, JobState::Cancelled, None)?,
                    JobState::Running => jobs::request_cancel(tx, &id)?,
                    _ => return Ok(job),
                }
                note_act(tx, now, note, &actor, "job.cancel", &id.to_string(), "")?;
                see_job(tx, &actor, &id)
            })
            .await
    }

    /// What happened in a job after event number `after`, in order; at most a thousand events.
    pub async fn job_events(&self, actor: &Actor, id: &JobId, after: u64) -> Result<Vec<JobEvent>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                see_job(tx, &actor, &id)?;
                Ok(jobs::events_after(tx, &id, after, EVENTS_AT_ONCE)?)
            })
            .await
    }

    /// How many jobs are in each state, for the metrics.
    pub async fn job_counts(&self) -> Result<Vec<(JobState, u64)>> {
        self.db.read(|tx| Ok(jobs::count_by_state(tx)?)).await
    }
}

pub(super) fn queued(id: JobId, (owner, owner_name): (crate::domain::id::AccountId, String), fine_tune: FineTune, now: Timestamp) -> Job {
    Job {
        id,
        owner,
        owner_name,
        fine_tune,
        state: JobState::Queued,
        attempt: 0,
        cancel_requested: false,
        step: 0,
        total_steps: 0,
        stage: "waiting for a worker".into(),
        error: None,
        result_version: None,
        created: now,
        started: None,
        finished: None,
    }
}
