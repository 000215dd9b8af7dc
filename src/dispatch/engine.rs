//! What a dispatcher asks of an engine, and how a worker is started by one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use async_trait::async_trait;

use crate::client;
use crate::wire::worker::{EngineJob, EngineNext};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Hub(#[from] client::Error),
    /// The engine does not answer, or refuses.
    #[error("{0}")]
    Engine(String),
}

impl Error {
    /// Another try would end the same way.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::Hub(error) if error.exit_code() == 4)
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Error::Hub(error) => error.hint(),
            Error::Engine(_) => "try the engine's own command by hand; the next round tries again".into(),
        }
    }
}

/// A job to hand over.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub job: String,
    pub needs: Needs,
    /// The sweep it is a trial of.
    pub parent: Option<String>,
    /// How often it was handed over before.
    pub times: u64,
    /// What is to run is not this job but the one that follows it by itself, which is not there yet.
    pub follows: bool,
}

impl Task {
    pub fn of(job: &EngineJob) -> Task {
        let (memory_bytes, slowest_seconds) = (job.memory_bytes, job.slowest_seconds);
        Task {
            job: job.job.clone(),
            needs: Needs { cpus: job.cpus, memory_bytes, slowest_seconds },
            parent: job.parent.clone(),
            times: job.handed.as_ref().map_or(0, |handed| handed.times),
            follows: false,
        }
    }
}

/// When a job may start that is handed over behind others, by the engine's numbers of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Once this one has ended well. If it ends otherwise, never.
    Success(String),
    /// Once all of these have ended, however they did.
    End(Vec<String>),
}

/// What an engine has of this dispatcher's.
#[derive(Debug, Default, PartialEq)]
pub struct There {
    /// The numbers of what waits or runs.
    pub numbers: HashSet<String>,
    /// Of them those that were handed over to run what follows a job, by that job.
    pub following: HashMap<String, String>,
}

/// What a job needs, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Needs {
    /// 0: as many as are given.
    pub cpus: u32,
    pub memory_bytes: Option<u64>,
    /// On one thread of an old machine.
    pub slowest_seconds: Option<f64>,
}

/// What a job is given where nothing is known of its needs.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    pub cpus: u32,
    pub memory_bytes: u64,
    pub minutes: u64,
    /// Cards of a job that is worth them; 0 where there are none.
    pub gpus: u32,
    /// A job is worth a card from so many minutes on, by its estimate for processors.
    pub gpus_from_minutes: u64,
}

/// The program itself, what it reads meanwhile and what the machine's other processes need.
const BESIDE_BYTES: u64 = 512 << 20;
/// An estimate is for an old machine, and still a guess.
const SPARE: f64 = 1.5;
const LEAST_MINUTES: u64 = 10;

impl From<&EngineNext> for Needs {
    fn from(next: &EngineNext) -> Needs {
        Needs { cpus: next.cpus, memory_bytes: next.memory_bytes, slowest_seconds: next.slowest_seconds }
    }
}

impl Needs {
    pub fn cpus(&self, usual: &Usual) -> u32 {
        if self.cpus == 0 { usual.cpus } else { self.cpus }
    }

    pub fn memory_bytes(&self, usual: &Usual) -> u64 {
        self.memory_bytes.map_or(usual.memory_bytes, |bytes| bytes.saturating_add(BESIDE_BYTES))
    }

    /// Cards it is given. Of other work than fine-tunes nothing is known, and none is.
    pub fn gpus(&self, usual: &Usual) -> u32 {
        let takes = self.slowest_seconds.map_or(0.0, |seconds| seconds / f64::from(self.cpus(usual).max(1)) / 60.0);
        if takes >= usual.gpus_from_minutes as f64 && self.slowest_seconds.is_some() { usual.gpus } else { 0 }
    }

    /// How long it may take. A job that takes longer is stopped, and goes on from its checkpoint.
    pub fn minutes(&self, usual: &Usual) -> u64 {
        let Some(slowest) = self.slowest_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) else { return usual.minutes };
        let seconds = slowest / f64::from(self.cpus(usual).max(1)) * SPARE;
        LEAST_MINUTES + (seconds / 60.0).ceil() as u64
    }
}

/// How an engine's machine starts a worker.
#[derive(Debug, Clone)]
pub struct Launch {
    /// This program there.
    pub program: PathBuf,
    pub hub: String,
    /// The worker's token there.
    pub token_file: PathBuf,
    /// Where it keeps inputs and works there.
    pub folder: Option<PathBuf>,
    pub insecure: bool,
}

impl Launch {
    /// The command but for the job's id, which comes last: the job, or the one that follows it.
    pub fn words(&self, threads: u32, follows: bool) -> Vec<String> {
        let mut words = vec![self.program.display().to_string(), "worker".into(), "--hub".into(), self.hub.clone()];
        words.extend(["--token-file".into(), self.token_file.display().to_string(), "--threads".into(), threads.to_string()]);
        if let Some(folder) = &self.folder {
            words.extend(["--folder".into(), folder.display().to_string()]);
        }
        if self.insecure {
            words.push("--insecure".into());
        }
        words.push(if follows { "--after" } else { "--job" }.into());
        words
    }
}

#[async_trait]
pub trait Engine: Send + Sync {
    /// As the catalog has it.
    fn name(&self) -> &'static str;

    /// This dispatcher's jobs that wait or run there.
    async fn there(&self) -> Result<There>;

    /// Hands over jobs that need the same; their numbers, in order.
    async fn submit(&self, tasks: &[Task]) -> Result<Vec<String>>;

    /// Hands over a job that is to wait for others there; its number. `None` where the engine knows no such thing.
    async fn submit_after(&self, _task: &Task, _after: &After) -> Result<Option<String>> {
        Ok(None)
    }

    /// Ends jobs; a worker among them gives its job back.
    async fn cancel(&self, numbers: &[String]) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_becomes_a_request_with_room_to_spare() {
        let usual = Usual { cpus: 2, memory_bytes: 4 << 30, minutes: 60, gpus: 0, gpus_from_minutes: 30 };
        let none = Needs::default();
        assert_eq!((none.cpus(&usual), none.memory_bytes(&usual), none.minutes(&usual)), (2, 4 << 30, 60));
        let known = Needs { cpus: 4, memory_bytes: Some(1 << 30), slowest_seconds: Some(2_400.0) };
        assert_eq!((known.cpus(&usual), known.memory_bytes(&usual)), (4, (1 << 30) + BESIDE_BYTES));
        assert_eq!(known.minutes(&usual), 10 + 15);
        let odd = Needs { slowest_seconds: Some(f64::NAN), ..known };
        assert_eq!(odd.minutes(&usual), 60);
    }

    #[test]
    fn a_card_is_for_what_takes_long_without_one() {
        let usual = Usual { cpus: 2, memory_bytes: 4 << 30, minutes: 60, gpus: 1, gpus_from_minutes: 30 };
        let takes = |seconds: f64| Needs { cpus: 2, memory_bytes: None, slowest_seconds: Some(seconds) };
        assert_eq!((takes(3_599.0).gpus(&usual), takes(3_600.0).gpus(&usual), Needs::default().gpus(&usual)), (0, 1, 0));
        assert_eq!(takes(1e9).gpus(&Usual { gpus: 0, ..usual }), 0, "there are none");
        let always = Usual { gpus_from_minutes: 0, ..usual };
        assert_eq!((takes(0.0).gpus(&always), Needs::default().gpus(&always)), (1, 0));
    }

    #[test]
    fn the_job_comes_last() {
        let launch = Launch {
            program: "/opt/hub".into(),
            hub: "https://hub.example.com".into(),
            token_file: "/etc/hub/token".into(),
            folder: Some("/scratch/hub".into()),
            insecure: false,
        };
        let words = "/opt/hub worker --hub https://hub.example.com --token-file /etc/hub/token --threads 3 --folder /scratch/hub";
        assert_eq!(launch.words(3, false).join(" "), format!("{words} --job"));
        assert_eq!(launch.words(3, true).join(" "), format!("{words} --after"));
    }
}
