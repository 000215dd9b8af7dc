//! Jobs of every kind as people meet them: put one in the queue, follow it, cancel it.

use std::path::PathBuf;

use super::super::{Error, Result, Service, access};
use super::state::{change_job, end, log_in, see_job, state_event};
use super::sweeps;
use crate::catalog::job_files::{self, Way};
use crate::catalog::jobs;
use crate::db::{News, Tx};
use crate::domain::id::{AccountId, JobId, UploadId};
use crate::domain::job::{Family, Job, JobFile, JobState};
use crate::domain::job_event::JobEvent;
use crate::domain::name::Name;
use crate::domain::page::{Page, PageRequest};
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Role};
use crate::domain::work::Work;
use crate::service::people::journal::note_act;

/// Events handed over at once; a caller asks again after the last one.
const EVENTS_AT_ONCE: usize = 1_000;

/// What happens in jobs, at whatever node.
pub struct JobNews(News);

impl JobNews {
    /// Is it told at present? Else the table is to be looked at more often.
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }

    /// Returns once something has happened in the job since the last call; now and then also for nothing.
    pub async fn wait_for(&mut self, job: &JobId) {
        self.0.wait_for(job.as_str()).await;
    }
}

impl Service {
    /// Puts admitted work in the queue, with files of this machine that it is given beside the versions it names.
    pub(super) async fn queue_work(&self, actor: &Actor, work: Work, given: Vec<(String, PathBuf)>) -> Result<Job> {
        access::scope(actor, Role::Write)?;
        let owner = match actor {
            Actor::User { account, name, .. } => (account.clone(), name.to_string()),
            _ => return Err(log_in()),
        };
        let now = self.now();
        let job = queued(JobId::new(now, self.random()?), owner, work, now);
        let holder = UploadId::new(now, self.random()?);
        let queued = self.store_and_queue(actor, job, given, &holder).await;
        self.release(&holder).await;
        queued
    }

    async fn store_and_queue(&self, actor: &Actor, job: Job, given: Vec<(String, PathBuf)>, holder: &UploadId) -> Result<Job> {
        let given = self.store_job_files(given, holder).await?;
        let (now, limit) = (job.created, self.policy().max_jobs_per_user);
        let (actor, note) = (actor.clone(), self.note()?);
        self.db
            .write(move |tx| {
                // Once more, inside the transaction that queues: the right may have gone meanwhile.
                may_publish(tx, &actor, &job.work)?;
                within_limit(tx, &job.owner, limit)?;
                jobs::insert(tx, &job)?;
                for file in &given {
                    job_files::insert(tx, &job.id, Way::Given, file)?;
                }
                state_event(tx, &job.id, now, JobState::Queued, None)?;
                note_act(tx, now, note, &actor, "job.create", &job.id.to_string(), &job.work.title())?;
                sweeps::open(tx, &job, now)?;
                jobs::find(tx, &job.id)?.ok_or_else(|| Error::Internal("a queued job vanished".into()))
            })
            .await
    }

    /// Stores files of this machine for a job; until `holder` is released the collector leaves them alone.
    pub(super) async fn store_job_files(&self, files: Vec<(String, PathBuf)>, holder: &UploadId) -> Result<Vec<JobFile>> {
        let mut stored = Vec::with_capacity(files.len());
        for (name, path) in files {
            let (digest, size_bytes) = self.store_passing_file(&path, holder).await?;
            stored.push(JobFile { name, digest, size_bytes });
        }
        Ok(stored)
    }

    pub async fn get_job(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db.read(move |tx| see_job(tx, &actor, &id)).await
    }

    /// The caller's jobs, newest first; a site administrator sees everybody's.
    pub async fn list_jobs(
        &self,
        actor: &Actor,
        (kind, state, family): (Option<&str>, Option<JobState>, Family),
        page: PageRequest,
    ) -> Result<Page<Job>> {
        let owner = match actor {
            Actor::Anonymous => return Err(log_in()),
            Actor::User { account, .. } if !access::sees_all_jobs(actor) => Some(account.clone()),
            _ => None,
        };
        let bad_cursor = || Error::invalid("bad_cursor", "the cursor is not one this list gave", "start again without a cursor");
        let before = page.cursor.as_deref().map(JobId::parse).transpose().map_err(|_| bad_cursor())?;
        let narrow = jobs::Narrow { owner, state, kind: kind.map(str::to_owned), family, ..jobs::Narrow::default() };
        self.db.read(move |tx| Ok(jobs::list(tx, &narrow, page.limit, before.as_ref())?)).await
    }

    /// The jobs that publish in a namespace, newest first, for its members: those of which they may see what they read.
    pub async fn list_jobs_in(&self, actor: &Actor, namespace: &Name, page: PageRequest) -> Result<Page<Job>> {
        let (actor, namespace) = (actor.clone(), namespace.clone());
        let bad_cursor = || Error::invalid("bad_cursor", "the cursor is not one this list gave", "start again without a cursor");
        let before = page.cursor.as_deref().map(JobId::parse).transpose().map_err(|_| bad_cursor())?;
        self.db
            .read(move |tx| {
                access::known(&actor)?;
                if access::role_in(tx, &actor, &namespace)?.is_none() {
                    return Ok(Page { items: Vec::new(), next: None });
                }
                let narrow = jobs::Narrow { namespace: namespace.folded(), ..jobs::Narrow::default() };
                let mut found = jobs::list(tx, &narrow, page.limit, before.as_ref())?;
                let mut items = Vec::with_capacity(found.items.len());
                for job in std::mem::take(&mut found.items) {
                    if access::sees_job(tx, &actor, &job)? {
                        items.push(job);
                    }
                }
                Ok(Page { items, next: found.next })
            })
            .await
    }

    /// Cancels: a waiting job at once, a running one when its worker next looks up. An ended one stays as it is.
    pub async fn cancel_job(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let job = change_job(tx, &actor, &id)?;
                match job.state {
                    JobState::Queued | JobState::Running if job.waits => sweeps::cancel(tx, &id, now)?,
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

    /// What happens in jobs from now on; `None` where nobody tells, and the table is to be looked at.
    pub fn job_news(&self) -> Option<JobNews> {
        self.db.news().map(JobNews)
    }

    /// How many jobs are in each state, for the metrics.
    pub async fn job_counts(&self) -> Result<Vec<(JobState, u64)>> {
        self.db.read(|tx| Ok(jobs::count_by_state(tx)?)).await
    }
}

/// Nobody has more jobs that wait or run than are allowed.
pub(super) fn within_limit(tx: &mut Tx<'_>, owner: &AccountId, limit: u64) -> Result<()> {
    let unfinished = jobs::count_unfinished(tx, owner)?;
    if unfinished >= limit {
        let message = format!("{unfinished} of your jobs wait or run, and {limit} are allowed");
        return Err(Error::busy("too_many_jobs", message, "wait for one to end, or cancel one"));
    }
    Ok(())
}

/// Who asks for a job that publishes may write where it will.
pub(super) fn may_publish(tx: &mut Tx<'_>, actor: &Actor, work: &Work) -> Result<()> {
    work.publishes().map_or(Ok(()), |name| access::write_namespace(tx, actor, name.namespace()))
}

pub(super) fn queued(id: JobId, (owner, owner_name): (AccountId, String), work: Work, now: Timestamp) -> Job {
    Job {
        id,
        owner,
        owner_name,
        parent: None,
        waits: false,
        work,
        state: JobState::Queued,
        attempt: 0,
        cancel_requested: false,
        priority: 0,
        urgency: 0,
        paused: false,
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
