//! What follows a job by itself: the fine-tune after a race of bases, which is queued in the transaction that ends the race; the run of a
//! sweep that publishes the best, once its last trials have ended. A dispatcher is told beforehand, so that its engine may hold a place.

use super::super::{Error, Result, Service};
use super::finetune::NewFineTune;
use super::queue::queued;
use super::recommend::{read_answer, unreadable};
use super::result::Left;
use super::state::state_event;
use super::sweeps;
use crate::catalog::{engines, jobs};
use crate::db::Tx;
use crate::domain::engine::{Needs, Next};
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobState};
use crate::domain::job_event::Event;
use crate::domain::revision::Revision;
use crate::domain::work::{Contender, Recommend, Then, Work};
use crate::service::people::journal::note_own_act;

/// Whether the job that follows another one is there.
pub(super) enum Followed {
    By(JobId),
    /// The other one has not succeeded.
    NotYet(JobState),
}

impl Service {
    /// The fine-tune that is to follow a recommendation, admitted with the rights its owner has now.
    pub(super) async fn following(&self, job: &Job, work: &Recommend, left: &Left) -> Result<Option<Job>> {
        let Some(then) = &work.then else { return Ok(None) };
        let owner = self.job_owner(job).await?;
        let answer = read_answer(left)?;
        let first = answer.first().map(|first| first.known.model.as_str()).unwrap_or_default();
        // What the process says is untrusted: only what it was given may come first.
        let Some(chosen) = work.contenders.iter().find(|contender| contender.known.model == first) else { return Err(unreadable()) };
        let (mut task, _) = self.admit(&owner, asked(work, then, chosen)).await?;
        task.chosen = Some(answer.chosen(job.id.as_str()));
        let now = self.now();
        Ok(Some(queued(JobId::new(now, self.random()?), (job.owner.clone(), job.owner_name.clone()), Work::FineTune(task), now)))
    }

    /// The job that follows one.
    pub(super) async fn followed(&self, id: &JobId) -> Result<Followed> {
        let job = self.job_by_id(id).await?;
        if job.state != JobState::Succeeded {
            return Ok(Followed::NotYet(job.state));
        }
        let next = self.db.read(move |tx| find_next(tx, &job)).await?;
        let none = || Error::not_found("nothing_follows", format!("no job follows {id} by itself"), "name the job itself");
        next.map(|next| Followed::By(next.id)).ok_or_else(none)
    }

    /// What follows a job that is about to be handed over, if that is one job. What it needs is the most that any of its bases would.
    pub(super) async fn next_of(&self, job: &Job) -> Result<Option<Next>> {
        match &job.work {
            // A fine-tune with settings to try becomes several jobs.
            Work::Recommend(work) => match &work.then {
                Some(then) if then.sweep.is_none() => Ok(Some(Next { job: None, needs: self.dearest(job, work, then).await })),
                _ => Ok(None),
            },
            Work::FineTune(_) => {
                let Some(parent) = job.parent.clone() else { return Ok(None) };
                let sweep = self.db.read(move |tx| sweeps::find_in_last_rung(tx, &parent)).await?;
                let Some(sweep) = sweep else { return Ok(None) };
                let needs = self.needs_of(&sweep).await;
                Ok(Some(Next { job: Some(sweep.id), needs }))
            }
            Work::Embed(_) | Work::Evaluate(_) | Work::Ask(_) | Work::Examine(_) | Work::Word2vec(_) => Ok(None),
        }
    }

    /// What follows a job that lies with an engine: known once it is there, for as long as nobody has it.
    pub(super) async fn queued_after(&self, job: &Job) -> Result<Option<Next>> {
        if job.state != JobState::Succeeded || !matches!(job.work, Work::Recommend(_)) {
            return Ok(None);
        }
        let job = job.clone();
        self.db
            .read(move |tx| {
                let Some(next) = find_next(tx, &job)?.filter(|next| !next.state.is_final() && !next.waits) else { return Ok(None) };
                let free = engines::find(tx, &next.id)?.is_none();
                Ok::<_, Error>(free.then_some(Next { job: Some(next.id), needs: None }))
            })
            .await
    }

    /// The most that a fine-tune from any of these bases would need.
    async fn dearest(&self, job: &Job, work: &Recommend, then: &Then) -> Option<Needs> {
        let owner = self.job_owner(job).await.ok()?;
        let mut most: Option<Needs> = None;
        for contender in &work.contenders {
            // One that would be refused is not chosen either.
            let Ok((task, expected)) = self.admit(&owner, asked(work, then, contender)).await else { continue };
            let one = expected.needs(&task.recipe);
            most = Some(most.map_or(one, |most| Needs {
                cpus: most.cpus.max(one.cpus),
                memory_bytes: most.memory_bytes.max(one.memory_bytes),
                slowest_seconds: most.slowest_seconds.max(one.slowest_seconds),
            }));
        }
        most
    }
}

/// The fine-tune that follows if this base comes first.
fn asked(work: &Recommend, then: &Then, base: &Contender) -> NewFineTune {
    NewFineTune {
        base: base.id.clone(),
        base_revision: Revision::Number(base.version),
        dataset: work.dataset.clone(),
        dataset_revision: Revision::Number(work.dataset_version),
        name: then.name.clone(),
        private: then.private,
        recipe: then.recipe.clone(),
        sweep: then.sweep.clone(),
    }
}

/// The fine-tune that a recommendation has queued.
fn find_next(tx: &mut Tx<'_>, job: &Job) -> Result<Option<Job>> {
    let Work::Recommend(Recommend { then: Some(_), .. }) = &job.work else { return Ok(None) };
    let Some(Event::Result { metrics, .. }) = jobs::find_result(tx, &job.id)? else { return Ok(None) };
    let Some(next) = metrics["next"].as_str().and_then(|id| JobId::parse(id).ok()) else { return Ok(None) };
    // Its process had a hand in what the result says; whose choice a fine-tune is, it had not.
    let chosen_here =
        |next: &Job| next.work.fine_tune().and_then(|work| work.chosen.as_ref()).is_some_and(|chosen| chosen.job == job.id.as_str());
    Ok(jobs::find(tx, &next)?.filter(chosen_here))
}

/// Queues the fine-tune that follows, in the transaction that ends the job before it.
pub(super) fn queue_next(tx: &mut Tx<'_>, next: &Job) -> Result<()> {
    jobs::insert(tx, next)?;
    state_event(tx, &next.id, next.created, JobState::Queued, None)?;
    note_own_act(tx, next.created, next.id.as_str(), "job.create", next.id.as_str(), &next.work.title())?;
    sweeps::open(tx, next, next.created)
}
