//! The queue as a dispatcher meets it, which hands jobs to an engine outside (Slurm, Kubernetes): what is ready and what it needs, and what
//! the engine calls it. The engine starts a worker for each (`hub worker --job ID`), and that claims it as any worker does: whatever the
//! engine loses, retries or starts twice, a job is worked on by whoever holds its lease.

use std::collections::HashMap;

use super::super::{Error, Result, Service};
use super::cost::Expected;
use crate::catalog::{engines, jobs};
use crate::domain::dataset_report::DatasetReport;
use crate::domain::engine::{Handed, Needs, Next, Place, State};
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::job_event::{Event, Level};
use crate::domain::name::RepoKind;
use crate::domain::revision::Revision;
use crate::domain::user::WorkerToken;
use crate::domain::work::{FineTune, Work};

/// Jobs a dispatcher is shown at once: those that are ready, and those it was handed.
const MOST_READY: usize = 200;
const MOST_HANDED: usize = 5_000;
/// Races at once whose followers are named beforehand: for each is asked what a fine-tune from any of its bases would need.
const MOST_RACES: usize = 16;
const LONGEST_WORD: usize = 100;

/// A job as a dispatcher sees it: nothing of what it reads or makes.
#[derive(Debug, Clone)]
pub struct Queued {
    pub job: Job,
    /// A worker may start it now.
    pub ready: bool,
    pub handed: Option<Handed>,
    /// What it needs, where that is known; asked only of those that are to be handed over.
    pub needs: Option<Needs>,
    /// What becomes ready by itself once it has ended, and the other trials of its sweep.
    pub next: Option<Next>,
}

impl Service {
    /// What is ready to be handed over, and what lies with this place.
    pub async fn list_for_engine(&self, token: &WorkerToken, place: &Place) -> Result<Vec<Queued>> {
        check(place)?;
        let (now, at) = (self.now(), place.clone());
        let told = self.db.read(move |tx| {
            Ok::<_, Error>((engines::list_ready(tx, &at, now, MOST_READY)?, engines::list_submitted(tx, &at, MOST_HANDED)?))
        });
        let (ready, submitted) = told.await?;
        tracing::debug!(token = %token.name, ready = ready.len(), submitted = submitted.len(), "a dispatcher looks at the queue");
        let (mut all, mut sweeps, mut races) = (Vec::new(), HashMap::new(), 0);
        for (job, handed) in ready {
            let (mut needs, mut next) = (None, None);
            if handed.as_ref().is_none_or(|handed| handed.state != State::Submitted) {
                needs = self.needs_of(&job).await;
                races += usize::from(matches!(job.work, Work::Recommend(_)));
                next = if races <= MOST_RACES || job.parent.is_some() { self.next_once(&job, &mut sweeps).await? } else { None };
            }
            all.push(Queued { job, ready: true, handed, needs, next });
        }
        for (job, handed) in submitted {
            if !all.iter().any(|known: &Queued| known.job.id == job.id) {
                let next = self.queued_after(&job).await?;
                all.push(Queued { job, ready: false, handed: Some(handed), needs: None, next });
            }
        }
        Ok(all)
    }

    /// What follows a job; of the trials of a sweep it is asked once.
    async fn next_once(&self, job: &Job, sweeps: &mut HashMap<JobId, Option<Next>>) -> Result<Option<Next>> {
        let Some(sweep) = &job.parent else { return self.next_of(job).await };
        if let Some(known) = sweeps.get(sweep) {
            return Ok(known.clone());
        }
        let next = self.next_of(job).await?;
        sweeps.insert(sweep.clone(), next.clone());
        Ok(next)
    }

    /// Writes down what became of a job at a place; the job's log says so.
    pub async fn note_engine(&self, token: &WorkerToken, job: &JobId, place: &Place, (number, state): (&str, State)) -> Result<()> {
        check(place)?;
        check_word(number)?;
        tracing::info!(token = %token.name, %job, engine = place.engine, number, %state, "a dispatcher says what became of a job");
        let (now, job, place, number) = (self.now(), job.clone(), place.clone(), number.to_owned());
        self.db
            .write(move |tx| {
                let none = || Error::not_found("job_not_found", format!("there is no job {job}"), "ask for the queue again");
                jobs::find(tx, &job)?.ok_or_else(none)?;
                let before = engines::find(tx, &job)?;
                let again = before.as_ref().is_some_and(|(at, handed)| *at == place && handed.number == number);
                if again && before.as_ref().is_some_and(|(_, handed)| handed.state == state) {
                    return Ok(());
                }
                let (submitted, times) = match &before {
                    Some((_, handed)) if again => (handed.submitted, handed.times),
                    before => (now, before.as_ref().map_or(1, |(_, handed)| handed.times + 1)),
                };
                engines::put(tx, &job, &place, &Handed { number: number.clone(), state, submitted, times }, now)?;
                let (level, said) = match state {
                    State::Submitted => (Level::Info, format!("handed to {} ({}) as {number}", place.engine, place.name)),
                    State::Lost => (Level::Warn, format!("{} ({}) does not have {number} any more", place.engine, place.name)),
                    State::Ended => return Ok(()),
                };
                jobs::append_event(tx, &job, now, &Event::log(level, said))?;
                Ok(())
            })
            .await
    }

    /// What a fine-tune needs, by the estimate it was admitted with; of other work, and where an input is gone, nothing is known.
    pub(super) async fn needs_of(&self, job: &Job) -> Option<Needs> {
        let task = job.work.fine_tune()?;
        match self.expected_of(job, task).await {
            Ok(expected) => Some(expected.needs(&task.recipe)),
            Err(error) => {
                tracing::debug!(job = %job.id, %error, "what a job needs is not known");
                None
            }
        }
    }

    async fn expected_of(&self, job: &Job, task: &FineTune) -> Result<Expected> {
        let owner = self.job_owner(job).await?;
        let base = self.name_now(RepoKind::Model, &task.base).await?;
        let (version, manifest) = self.manifest(&owner, RepoKind::Model, &base, &Revision::Number(task.base_version)).await?;
        let config = self.model_config(&base, &version, &manifest).await?;
        let dataset = self.name_now(RepoKind::Dataset, &task.dataset).await?;
        let found = self.get_repo_at(&owner, RepoKind::Dataset, &dataset, &Revision::Number(task.dataset_version)).await?;
        let report = DatasetReport::read(&found.facts.dataset_report);
        let report = report.ok_or_else(|| super::admit::unlearnable(&dataset, task.dataset_version, &found.facts.dataset_report))?;
        Expected::of((&task.recipe, None), &config, &report, self.policy())
    }
}

fn check(place: &Place) -> Result<()> {
    check_word(&place.engine)?;
    check_word(&place.name)
}

fn check_word(word: &str) -> Result<()> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !word.is_empty() && word.len() <= LONGEST_WORD && word.bytes().all(known) {
        return Ok(());
    }
    let message = format!("a name of an engine, a place or its job has 1 to {LONGEST_WORD} letters, digits, '-', '_' and '.'");
    Err(Error::invalid("bad_engine_name", message, "use the dispatcher of this release"))
}
