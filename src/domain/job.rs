//! Jobs: queued, leased, restartable pieces of work. A fine-tune is one.

use std::fmt;

use super::digest::Digest;
use super::id::{AccountId, JobId};
use super::task::Measure;
use super::time::Timestamp;
use super::work::Work;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}
super::user::words!(JobState, Queued = "queued", Running = "running", Succeeded = "succeeded", Failed = "failed", Cancelled = "cancelled");

impl JobState {
    pub fn is_final(self) -> bool {
        !matches!(self, JobState::Queued | JobState::Running)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub owner: AccountId,
    pub owner_name: String,
    /// The sweep it is a trial of.
    pub parent: Option<JobId>,
    /// For its trials: no worker takes it meanwhile.
    pub waits: bool,
    pub work: Work,
    pub state: JobState,
    /// Times a worker has started it.
    pub attempt: u32,
    pub cancel_requested: bool,
    /// An administrator's: jobs with more come first, whosever they are.
    pub priority: i64,
    /// Its owner's, among their own.
    pub urgency: i64,
    /// Not to be started, or gone on with, until it is resumed.
    pub paused: bool,
    /// Steps done and to do, in all epochs.
    pub step: u64,
    pub total_steps: u64,
    /// What a person reads: `caching features`, `epoch 3 of 10` ...
    pub stage: String,
    /// Why it failed, with a hint.
    pub error: Option<String>,
    /// The version published.
    pub result_version: Option<u32>,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
}

impl Job {
    /// What a fine-tune is judged by.
    pub fn measure(&self) -> &'static Measure {
        self.work.fine_tune().and_then(|work| work.recipe.task).unwrap_or_default().primary()
    }
}

/// Which jobs a list has, of those that are others' children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Family {
    /// None.
    #[default]
    Heads,
    /// All.
    All,
    /// Only the children of this one.
    Of(JobId),
}

/// A file a job has left, or was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFile {
    pub name: String,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// A worker's claim on a job. The number fences: only the holder of the newest lease may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub job: JobId,
    pub number: u64,
    pub worker: String,
    pub until: Timestamp,
}

/// Which job a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Any,
    This(JobId),
    /// The one that follows this one by itself: the fine-tune after a race of bases. It is not there before that has succeeded.
    After(JobId),
}

/// How a worker process ended that did not take its leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// An allocation beyond its limit failed.
    OutOfMemory,
    /// By this signal.
    Signal(i32),
    /// With this status.
    Exit(i32),
    /// Nobody saw it.
    Unknown,
}

/// SIGABRT, SIGKILL.
const ABORTED: i32 = 6;
const KILLED: i32 = 9;

impl fmt::Display for Death {
    /// What happened, only as far as it is known, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker stopped answering: ")?;
        match self {
            Death::OutOfMemory => {
                f.write_str("it ran out of memory; try a smaller batch_size or image_size, or give the server more memory")
            }
            Death::Signal(KILLED) => f.write_str(
                "it was killed from outside (signal 9), by hand or by a system that runs out of memory; the system's log says which",
            ),
            Death::Signal(ABORTED) => f.write_str("it crashed (signal 6); the server's log says where: please report it"),
            Death::Signal(signal) => write!(f, "it was ended by signal {signal}; the server's log says more"),
            Death::Exit(status) => write!(f, "it ended with status {status}; the server's log says why"),
            Death::Unknown => f.write_str("it crashed, was killed or could not reach the database; the server's log says more"),
        }
    }
}
