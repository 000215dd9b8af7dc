//! Engines outside the hub that start workers for jobs: Slurm, Kubernetes.

use super::id::JobId;
use super::time::Timestamp;

/// Where jobs are handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `slurm` or `kubernetes`
    pub engine: String,
    /// Which cluster, by its dispatcher's name for it.
    pub name: String,
}

/// A job that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// What the engine calls it.
    pub number: String,
    pub state: State,
    pub submitted: Timestamp,
    /// How often it was handed over.
    pub times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The engine has it, as far as is known.
    Submitted,
    /// The engine knows it no more, and the job has not ended.
    Lost,
    /// The job has ended.
    Ended,
}
super::user::words!(State, Submitted = "submitted", Lost = "lost", Ended = "ended");

/// What a job asks of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    /// 0: as many as are given.
    pub cpus: u32,
    pub memory_bytes: u64,
    /// If the machine were an old one with one core.
    pub slowest_seconds: f64,
}

/// What follows a job by itself, as a dispatcher sees it beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// Where it is there yet, and no engine has it.
    pub job: Option<JobId>,
    /// The most that it may need, where that is known.
    pub needs: Option<Needs>,
}
