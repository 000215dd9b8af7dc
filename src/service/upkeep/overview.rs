//! How the site fares, for its administrators: what was done last, what is stored and by whom, who works on what.

use super::super::{Error, Result, Service, access};
use super::Numbers;
use super::soundness::Soundness;
use crate::catalog::upkeep::{self, Scrubbing};
use crate::catalog::{jobs, usage, users};
use crate::domain::job::{Family, Job, JobState};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

/// Jobs of a state that are listed.
const MOST_JOBS: usize = 100;
/// Namespaces that are listed, the fullest first.
const MOST_NAMESPACES: usize = 200;

/// The site in numbers.
#[derive(Debug, Clone)]
pub struct Overview {
    pub soundness: Soundness,
    pub numbers: Numbers,
    pub scrubbing: Scrubbing,
    /// Users and organisations.
    pub accounts: u64,
    pub jobs: Vec<(JobState, u64)>,
}

/// What a namespace holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub namespace: String,
    /// Different bytes of each repo.
    pub stored_bytes: u64,
    pub repos: u64,
}

/// A job under way, by whom, and until when they have it.
#[derive(Debug, Clone)]
pub struct Working {
    pub job: Job,
    pub worker: String,
    pub until: Timestamp,
}

impl Service {
    /// How the site fares.
    pub async fn overview(&self, actor: &Actor) -> Result<Overview> {
        access::watch_site(actor)?;
        let (scrubbing, accounts) = self.db.read(|tx| Ok::<_, Error>((upkeep::scrubbing(tx)?, users::count(tx)?))).await?;
        Ok(Overview {
            soundness: self.soundness(),
            numbers: self.upkeep_numbers().await?,
            scrubbing,
            accounts,
            jobs: self.count_jobs().await?,
        })
    }

    /// What each namespace holds, the fullest first.
    pub async fn storage_by_namespace(&self, actor: &Actor) -> Result<Vec<Held>> {
        access::watch_site(actor)?;
        let held = self.db.read(|tx| Ok::<_, Error>(usage::by_namespace(tx, MOST_NAMESPACES)?)).await?;
        Ok(held.into_iter().map(|(namespace, stored_bytes, repos)| Held { namespace, stored_bytes, repos }).collect())
    }

    /// The jobs under way and those that wait, the next ones last in the list of the newest.
    pub async fn queue(&self, actor: &Actor) -> Result<(Vec<Working>, Vec<Job>)> {
        access::watch_site(actor)?;
        self.db
            .read(|tx| {
                let narrow = |state| jobs::Narrow { state: Some(state), family: Family::All, ..jobs::Narrow::default() };
                let leases = jobs::leases(tx)?;
                let running = jobs::list(tx, &narrow(JobState::Running), MOST_JOBS, None)?.items;
                let waiting = jobs::list(tx, &narrow(JobState::Queued), MOST_JOBS, None)?.items;
                let of = |job: Job| {
                    let (worker, until) = leases.get(job.id.as_str()).cloned().unwrap_or_default();
                    Working { job, worker, until }
                };
                Ok((running.into_iter().map(of).collect(), waiting))
            })
            .await
    }
}
