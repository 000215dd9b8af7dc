//! One job, from lease to end: fetch what it names, let the work be done, keep what it leaves. However it ends, the queue hears of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::gate::Gate;
use super::heartbeat::Heartbeat;
use super::keeper::Keeper;
use super::order::Order;
use super::training::Run;
use super::{Error, Options, Result};
use crate::confine::Grant;
use crate::domain::job::{Job, Lease};
use crate::domain::job_event::{self, Level};
use crate::domain::revision::Revision;
use crate::service::Service;
use crate::service::jobs::result::Left;

/// Between two tries to tell how a job ended.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Where a job runs.
pub(super) struct Place<'a> {
    pub options: &'a Options,
    /// The job's own.
    pub scratch: &'a Path,
}

/// Runs the job and ends it, or gives it back.
pub(super) async fn run(service: &Service, lease: &Lease, job: &Job, place: Place<'_>, stopping: &watch::Receiver<bool>) {
    tracing::info!(job = %job.id, attempt = job.attempt, name = %job.work.title(), "job begins");
    let heartbeat = Arc::new(Heartbeat::default());
    let scratch = place.scratch;
    let attempt = Attempt { service, lease, job, place, heartbeat: heartbeat.clone() };
    let making = async {
        let result = attempt.make().await;
        heartbeat.finish();
        result
    };
    let (result, ()) = tokio::join!(making, heartbeat.run(service, lease, stopping.clone()));
    match result {
        Ok(version) => tracing::info!(job = %job.id, ?version, "job succeeded"),
        // The loop only knows that it was told to stop; the heartbeat knows why.
        Err(error) => {
            let error = heartbeat.verdict().filter(|_| matches!(error, Error::Cancelled)).unwrap_or(error);
            tracing::warn!(job = %lease.job, %error, "job did not succeed");
            // What the attempt wrote may be what leaves no room to tell of it.
            super::remove(scratch);
            tell(service, lease, &error, stopping).await;
        }
    }
}

/// Tells how the job ended. A database that is busy, or has no room, is waited for: told by nobody, the job would be judged
/// as one whose worker died.
async fn tell(service: &Service, lease: &Lease, error: &Error, stopping: &watch::Receiver<bool>) {
    let mut stopping = stopping.clone();
    while let Err(failed) = end(service, lease, error).await {
        tracing::warn!(job = %lease.job, error = %failed, "cannot tell how the job ended");
        if !matches!(failed, crate::service::Error::Busy(_)) {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_AGAIN) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn end(service: &Service, lease: &Lease, error: &Error) -> crate::service::Result<()> {
    match error {
        Error::Lost => Ok(()),
        Error::Cancelled => service.stop_job(lease).await,
        Error::Stopping => service.release_job(lease).await,
        Error::Never(message) | Error::Checkpoint(message) => service.fail_job(lease, message.clone()).await,
        Error::Later(_) | Error::Io { .. } => service.retry_job(lease, &error.to_string()).await,
    }
}

/// What an attempt has fetched.
struct Given {
    inputs: Vec<(String, Vec<(String, PathBuf)>)>,
    sent: Vec<(String, PathBuf)>,
    notes: serde_json::Value,
    resume: Option<PathBuf>,
}

/// All an attempt needs.
struct Attempt<'a> {
    service: &'a Service,
    lease: &'a Lease,
    job: &'a Job,
    place: Place<'a>,
    heartbeat: Arc<Heartbeat>,
}

impl Attempt<'_> {
    async fn make(&self) -> Result<Option<u32>> {
        let scratch = self.place.scratch;
        std::fs::create_dir_all(scratch).map_err(Error::io(scratch))?;
        let owner = self.service.job_owner(self.job).await?;
        let mut inputs = Vec::new();
        for input in self.job.work.inputs() {
            let (folder, revision) = (scratch.join(input.kind.as_str()), Revision::Number(input.version));
            // A repo that was moved meanwhile keeps its versions.
            let id = self.service.name_now(input.kind, &input.id).await?;
            let files = match self.service.materialize(&owner, input.kind, &id, &revision, &folder).await {
                Ok((_, files)) => files,
                // Busy, or ours to mend: the same again may well succeed.
                Err(error @ (crate::service::Error::Busy(_) | crate::service::Error::Internal(_))) => return Err(error.into()),
                Err(error) if input.spare => {
                    tracing::warn!(job = %self.job.id, input = %input.id, %error, "the job goes on without an input");
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
            inputs.push((input.role, files));
        }
        let sent = self.service.given_files(self.lease, &scratch.join("sent")).await?;
        let resume = self.service.fetch_checkpoint(self.lease, &scratch.join("checkpoint")).await?;
        let notes = self.service.notes_for(&owner, self.job).await?;
        let order = self.order(Given { inputs, sent, notes, resume })?;
        let left = match self.train(order.clone()).await {
            // A checkpoint that does not fit (another release wrote it) costs the epochs behind it, not the job.
            Err(Error::Checkpoint(why)) => {
                self.heartbeat.note(job_event::Event::log(Level::Warn, format!("{why}; starting from the beginning")));
                self.train(Order { resume: None, ..order.clone() }).await
            }
            result => result,
        }?;
        self.heartbeat.beat(self.service, self.lease).await;
        Ok(self.service.complete_job(self.lease, self.job, left).await?)
    }

    /// What the work is given: its files to read, a folder of its own, and what earlier jobs of the same owner left it.
    fn order(&self, given: Given) -> Result<Order> {
        let Given { inputs, sent, notes, resume } = given;
        let options = self.place.options;
        let scratch = self.place.scratch.join("train");
        let (result, left) = (scratch.join("result"), scratch.join("files"));
        let features = options.features().join(self.job.owner.as_str());
        for folder in [&scratch, &left, &features] {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let files = inputs.iter().flat_map(|(_, files)| files).chain(&sent).map(|(_, file)| file.clone());
        let read: BTreeSet<PathBuf> = files.chain(resume.clone()).collect();
        let grant = Grant {
            read: read.into_iter().collect(),
            write: vec![scratch.clone(), features.clone()],
            never: options.data.clone(),
            card: options.device != "cpu",
            memory_bytes: options.memory_bytes,
            parent: std::process::id(),
            choice: options.confinement,
        };
        Ok(Order {
            grant,
            work: self.job.work.clone(),
            inputs,
            sent,
            notes,
            resume,
            scratch,
            result,
            files: left,
            features,
            features_bytes: options.frozen_cache_bytes,
            limits: self.service.policy().data_limits,
            device: options.device.clone(),
            backend: options.backend.clone(),
            threads: options.threads,
        })
    }

    /// Does the work in a process of its own, which a thread listens to; the heartbeat goes on beside it.
    async fn train(&self, order: Order) -> Result<Left> {
        let (heartbeat, mut keeper) = (self.heartbeat.clone(), Keeper::new(self.service, self.lease));
        let (mut gate, program) = (Gate::new(&self.place.options.folder), self.place.options.program.clone());
        let listening = tokio::task::spawn_blocking(move || {
            let mut run = Run { program: &program, order: &order, gate: &mut gate, keeper: &mut keeper, heartbeat: &heartbeat };
            run.finish()
        });
        let crashed = |e| Error::Never(format!("the worker crashed ({e}); the server's log says where: please report it"));
        listening.await.map_err(crashed)?
    }
}
