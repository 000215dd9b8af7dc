//! What a dispatcher asks of an engine, and how a worker is started by one.

use std::collections::HashSet;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::client;

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
    /// The command but for the job's id, which comes last.
    pub fn words(&self, threads: u32) -> Vec<String> {
        let mut words = vec![self.program.display().to_string(), "worker".into(), "--hub".into(), self.hub.clone()];
        words.extend(["--token-file".into(), self.token_file.display().to_string(), "--threads".into(), threads.to_string()]);
        if let Some(folder) = &self.folder {
            words.extend(["--folder".into(), folder.display().to_string()]);
        }
        if self.insecure {
            words.push("--insecure".into());
        }
        words.push("--job".into());
        words
    }
}

#[async_trait]
pub trait Engine: Send + Sync {
    /// As the catalog has it.
    fn name(&self) -> &'static str;

    /// The numbers of this dispatcher's jobs that wait or run there.
    async fn alive(&self) -> Result<HashSet<String>>;

    /// Hands over jobs that need the same; their numbers, in order.
    async fn submit(&self, tasks: &[Task]) -> Result<Vec<String>>;

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
        let words = launch.words(3).join(" ");
        assert_eq!(
            words,
            "/opt/hub worker --hub https://hub.example.com --token-file /etc/hub/token --threads 3 --folder /scratch/hub --job"
        );
    }
}
