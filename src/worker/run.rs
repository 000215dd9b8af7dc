//! One job, from claim to end: fetch what it names, let the work be done, keep what it leaves. However it ends, the queue hears of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::gate::Gate;
use super::heartbeat::Heartbeat;
use super::keeper::Keeper;
use super::office::{Given, Office, Task};
use super::order::Order;
use super::training::Run;
use super::{Error, Options, Result};
use crate::confine::Grant;
use crate::data::video::needed_for as films;
use crate::domain::job::Lease;
use crate::domain::job_event::{self, Level};
use crate::service::jobs::result::Left;

/// Between two tries to tell how a job ended.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Where a job runs.
pub(super) struct Place<'a> {
    pub options: &'a Options,
    /// The job's own.
    pub scratch: &'a Path,
}

/// How an attempt at a job ended, for whoever started the worker for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    /// Another attempt may succeed: it is back in the queue, or another worker has it.
    GivenBack,
}

/// Runs the job and ends it, or gives it back.
pub(super) async fn run(office: &Arc<dyn Office>, task: &Task, place: Place<'_>, stopping: &watch::Receiver<bool>) -> Outcome {
    let lease = &task.lease;
    tracing::info!(job = %lease.job, attempt = task.attempt, name = %task.work.title(), "job begins");
    let heartbeat = Arc::new(Heartbeat::default());
    let scratch = place.scratch;
    let attempt = Attempt { office, task, place, heartbeat: heartbeat.clone() };
    let making = async {
        let result = attempt.make().await;
        heartbeat.finish();
        result
    };
    let (result, ()) = tokio::join!(making, heartbeat.run(office.as_ref(), lease, stopping.clone()));
    match result {
        Ok((_, true)) => {
            tracing::info!(job = %lease.job, "the job's result is not published");
            Outcome::Failed
        }
        Ok((version, false)) => {
            tracing::info!(job = %lease.job, ?version, "job succeeded");
            Outcome::Succeeded
        }
        // The loop only knows that it was told to stop; the heartbeat knows why.
        Err(error) => {
            let error = heartbeat.verdict().filter(|_| matches!(error, Error::Cancelled)).unwrap_or(error);
            tracing::warn!(job = %lease.job, %error, "job did not succeed");
            // What the attempt wrote may be what leaves no room to tell of it.
            super::remove(scratch);
            tell(office.as_ref(), lease, &error, stopping).await;
            match error {
                Error::Cancelled => Outcome::Cancelled,
                Error::Never(_) | Error::Checkpoint(_) => Outcome::Failed,
                Error::Lost | Error::Stopping | Error::Later(_) | Error::Busy(_) | Error::Refused(_) | Error::Io { .. } => {
                    Outcome::GivenBack
                }
            }
        }
    }
}

/// Tells how the job ended. A database that is busy, or has no room, is waited for, and so is a hub that does not answer: told by nobody,
/// the job would be judged as one whose worker died.
async fn tell(office: &dyn Office, lease: &Lease, error: &Error, stopping: &watch::Receiver<bool>) {
    let mut stopping = stopping.clone();
    while let Err(failed) = office.end(lease, error).await {
        tracing::warn!(job = %lease.job, error = %failed, "cannot tell how the job ended");
        if !matches!(failed, Error::Busy(_)) {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_AGAIN) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// All an attempt needs.
struct Attempt<'a> {
    office: &'a Arc<dyn Office>,
    task: &'a Task,
    place: Place<'a>,
    heartbeat: Arc<Heartbeat>,
}

impl Attempt<'_> {
    /// The version, of work that publishes one; and whether its result was not worth publishing.
    async fn make(&self) -> Result<(Option<u32>, bool)> {
        let (scratch, lease) = (self.place.scratch, &self.task.lease);
        std::fs::create_dir_all(scratch).map_err(Error::io(scratch))?;
        let given = tokio::select! {
            given = self.office.bring(self.task, scratch) => given?,
            // What has arrived stays where it is.
            () = self.heartbeat.halted() => return Err(Error::Cancelled),
        };
        let order = self.order(given)?;
        let left = match self.train(order.clone()).await {
            // A checkpoint that does not fit (another release wrote it) costs the epochs behind it, not the job.
            Err(Error::Checkpoint(why)) => {
                self.heartbeat.note(job_event::Event::log(Level::Warn, format!("{why}; starting from the beginning")));
                self.train(Order { resume: None, ..order.clone() }).await
            }
            result => result,
        }?;
        let refused = left.refused.is_some();
        self.heartbeat.beat(self.office.as_ref(), lease).await;
        Ok((self.office.complete(self.task, left).await?, refused))
    }

    /// What the work is given: its files to read, a folder of its own, and what earlier jobs of the same owner left it.
    fn order(&self, given: Given) -> Result<Order> {
        let Given { inputs, sent, notes, resume } = given;
        let options = self.place.options;
        let scratch = self.place.scratch.join("train");
        let (result, left) = (scratch.join("result"), scratch.join("files"));
        let features = options.features().join(&self.task.owner);
        for folder in [&scratch, &left, &features] {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let files = inputs.iter().flat_map(|(_, files)| files).chain(&sent).map(|(_, file)| file.clone());
        let read: BTreeSet<PathBuf> = files.chain(resume.clone()).collect();
        let grant = Grant {
            read: read.into_iter().collect(),
            write: vec![scratch.clone(), features.clone()],
            never: options.data.clone(),
            programs: films(inputs.iter().flat_map(|(_, files)| files).map(|(path, _)| path.as_str())),
            card: options.device != "cpu",
            memory_bytes: options.memory_bytes,
            parent: std::process::id(),
            choice: options.confinement,
        };
        Ok(Order {
            grant,
            work: self.task.work.clone(),
            inputs,
            sent,
            notes,
            resume,
            scratch,
            result,
            files: left,
            features,
            features_bytes: options.frozen_cache_bytes,
            limits: self.task.limits,
            device: options.device.clone(),
            backend: options.backend.clone(),
            threads: options.threads,
        })
    }

    /// Does the work in a process of its own, which a thread listens to; the heartbeat goes on beside it.
    async fn train(&self, order: Order) -> Result<Left> {
        let (heartbeat, mut keeper) = (self.heartbeat.clone(), Keeper::new(self.office, &self.task.lease));
        let (mut gate, program) = (Gate::new(&self.place.options.folder), self.place.options.program.clone());
        let listening = tokio::task::spawn_blocking(move || {
            let mut run = Run { program: &program, order: &order, gate: &mut gate, keeper: &mut keeper, heartbeat: &heartbeat };
            run.finish()
        });
        let crashed = |e| Error::Never(format!("the worker crashed ({e}); the server's log says where: please report it"));
        listening.await.map_err(crashed)?
    }
}
