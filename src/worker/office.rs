//! What a worker asks of the hub, and nothing else: a job, what it reads, a place for its checkpoints, and to be heard. A worker beside the
//! database asks the service (`here`); one elsewhere asks over HTTP with a worker's token (`elsewhere`). The work is the same.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::Value;

use super::{Error, Result};
use crate::domain::data_limits::DataLimits;
use crate::domain::job::{Death, JobState, Lease, Wanted};
use crate::domain::job_event::Event;
use crate::domain::work::Work;
pub(super) use crate::service::jobs::leases::Beat;
use crate::service::jobs::result::Left;

/// A job as its worker has it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub lease: Lease,
    pub attempt: u32,
    /// Whose it is: what jobs of one owner leave each other is kept apart from others'.
    pub owner: String,
    pub work: Work,
    pub limits: DataLimits,
}

/// What became of a claim.
#[derive(Debug)]
pub(super) enum Claim {
    Job(Box<Task>),
    None,
    /// The job that was asked for has ended.
    Ended(JobState),
    /// It is another worker's, or waits for something.
    NotReady(String),
}

/// What a job reads, as files of this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// The files of each input by its role, each with its path in its repo.
    pub inputs: Vec<(String, Vec<(String, PathBuf)>)>,
    /// Files the job was sent along with.
    pub sent: Vec<(String, PathBuf)>,
    pub notes: Value,
    pub resume: Option<PathBuf>,
}

#[async_trait]
pub(super) trait Office: Send + Sync {
    /// A job, any or the one that is wanted. May wait a few seconds for one where `patient`.
    async fn claim(&self, wanted: &Wanted, patient: bool) -> Result<Claim>;

    /// Judges the jobs of a worker of this folder that is known to be dead. How many they were, where that is told.
    async fn bury(&self, worker: &str, how: Death) -> Result<usize>;

    /// Everything the job reads, proved, as files that lie in `folder` or must not be changed.
    async fn bring(&self, task: &Task, folder: &Path) -> Result<Given>;

    /// A sign of life, with numbered news: what is told twice is heard once.
    async fn beat(&self, lease: &Lease, news: &[(u64, Event)]) -> Result<Beat>;

    /// Keeps a checkpoint where any worker finds it.
    async fn keep(&self, lease: &Lease, path: &Path) -> Result<()>;

    /// Ends the job with what it has left; the version, of work that publishes one.
    async fn complete(&self, task: &Task, left: Left) -> Result<Option<u32>>;

    /// The worker ends in good order. Who works elsewhere is missed by itself.
    async fn leave(&self) {}

    /// Ends the job without a result, or gives it back, by why.
    async fn end(&self, lease: &Lease, why: &Error) -> Result<()>;
}
