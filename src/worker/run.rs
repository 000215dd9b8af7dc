//! One job, from lease to end: fetch what it names, train, publish. However it ends, the queue hears of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::gate::Gate;
use super::heartbeat::Heartbeat;
use super::{Error, Result};
use crate::data::{Dataset, Limits, Source};
use crate::domain::config::ModelConfig;
use crate::domain::job::{Job, Lease};
use crate::domain::job_event::{self, Level};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::Service;
use crate::train::{self, Event, FeatureStore, Keep, Report, Training};

/// Between two tries to tell how a job ended.
const TELL_AGAIN: Duration = Duration::from_secs(2);
/// Storing checkpoints may take this share of a job's time.
const CHECKPOINT_SHARE: u32 = 20;

/// Where a job runs.
pub(super) struct Place<'a> {
    /// The workers' own, where somebody may shut the gate.
    pub folder: &'a Path,
    /// The job's own.
    pub scratch: &'a Path,
    /// What jobs leave each other.
    pub store: &'a FeatureStore,
}

/// Runs the job and ends it, or gives it back.
pub(super) async fn run(service: &Service, lease: &Lease, job: &Job, place: Place<'_>, stopping: &watch::Receiver<bool>) {
    tracing::info!(job = %job.id, attempt = job.attempt, name = %job.fine_tune.name, "job begins");
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
        Ok(version) => tracing::info!(job = %job.id, version, "job succeeded"),
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

/// All an attempt needs.
struct Attempt<'a> {
    service: &'a Service,
    lease: &'a Lease,
    job: &'a Job,
    place: Place<'a>,
    heartbeat: Arc<Heartbeat>,
}

impl Attempt<'_> {
    async fn make(&self) -> Result<u32> {
        let task = &self.job.fine_tune;
        std::fs::create_dir_all(self.place.scratch).map_err(Error::io(self.place.scratch))?;
        let owner = self.service.job_owner(self.job).await?;
        let base = self.files(&owner, RepoKind::Model, &task.base, task.base_version).await?;
        let images = self.files(&owner, RepoKind::Dataset, &task.dataset, task.dataset_version).await?;
        let resume = self.service.fetch_checkpoint(self.lease, &self.place.scratch.join("checkpoint")).await?;
        let report = match self.train(base.clone(), images.clone(), resume.clone()).await {
            // A checkpoint that does not fit (another release wrote it) costs the epochs behind it, not the job.
            Err(Error::Checkpoint(why)) => {
                self.heartbeat.note(job_event::Event::log(Level::Warn, format!("{why}; starting from the beginning")));
                self.train(base, images, None).await
            }
            result => result,
        }?;
        let folder = self.place.scratch.join("result");
        let lineage = self.service.lineage(&owner, task).await?;
        let written = (folder.clone(), report);
        let report = blocking(move || {
            train::write_folder(&written.1, &lineage, &written.0)?;
            Ok(written.1)
        })
        .await?;
        self.heartbeat.beat(self.service, self.lease).await;
        let version = self.service.publish_result(self.lease, self.job, &folder, report.outcome.headline()).await?;
        Ok(version.number)
    }

    async fn files(&self, owner: &Actor, kind: RepoKind, id: &RepoId, number: u32) -> Result<Vec<(String, PathBuf)>> {
        let folder = self.place.scratch.join(kind.as_str());
        Ok(self.service.materialize(owner, kind, id, &Revision::Number(number), &folder).await?.1)
    }

    /// Runs the training loop on a thread of its own; the heartbeat goes on beside it.
    async fn train(&self, base: Vec<(String, PathBuf)>, images: Vec<(String, PathBuf)>, resume: Option<PathBuf>) -> Result<Report> {
        let (recipe, scratch, store) = (self.job.fine_tune.recipe.clone(), self.place.scratch.join("train"), self.place.store.clone());
        let (heartbeat, keeper) = (self.heartbeat.clone(), Keeper::new(self.service, self.lease));
        let limits = Limits::of(&self.service.policy().data_limits);
        let (device, gate) = (self.service.device().clone(), Gate::new(self.place.folder));
        blocking(move || {
            std::fs::create_dir_all(&scratch).map_err(Error::io(&scratch))?;
            let config = read_config(&find(&base, "config.json")?)?;
            let weights = find(&base, "model.safetensors")?;
            let dataset = Arc::new(Dataset::open(&Source::Files(images), &limits).map_err(train::Error::from)?);
            let (mut keeper, mut gate) = (keeper, gate);
            let mut sink = |event: Event| {
                if let Event::Checkpoint { path, .. } = &event {
                    keeper.keep(path, &heartbeat);
                }
                gate.pass(event, &heartbeat)
            };
            let training = Training {
                recipe: &recipe,
                config: &config,
                weights: &weights,
                dataset: &dataset,
                device: &device,
                scratch: &scratch,
                keep: Keep::Store(&store),
                resume: resume.as_deref(),
            };
            with_threads(recipe.threads, || train::fit(&training, &mut sink))
        })
        .await
    }
}

/// Heavy work off the async threads. A panic in it is a defect of ours, and would happen again.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let crashed = |e| Error::Never(format!("training crashed ({e}); the server's log says where: please report it"));
    tokio::task::spawn_blocking(work).await.map_err(crashed)?
}

/// A recipe that names a number of threads gets that many, since the sum of floats depends on it.
fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> train::Result<T> + Send) -> Result<T> {
    if threads == 0 {
        return Ok(work()?);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Later(format!("cannot start {threads} threads: {e}")))?;
    Ok(pool.install(work)?)
}

fn find(files: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    let found = files.iter().find(|(path, _)| path == name).map(|(_, file)| file.clone());
    found.ok_or_else(|| Error::Never(format!("the base has no {name}; choose another base")))
}

fn read_config(path: &Path) -> Result<ModelConfig> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    ModelConfig::read(&text).map_err(|e| Error::Never(e.to_string()))
}

/// Stores checkpoints, but not so often that a quick job spends its time on it.
struct Keeper {
    service: Service,
    lease: Lease,
    handle: Handle,
    last: Option<(Instant, Duration)>,
}

impl Keeper {
    fn new(service: &Service, lease: &Lease) -> Keeper {
        Keeper { service: service.clone(), lease: lease.clone(), handle: Handle::current(), last: None }
    }

    fn keep(&mut self, path: &Path, heartbeat: &Heartbeat) {
        if self.last.is_some_and(|(at, took)| at.elapsed() < took * CHECKPOINT_SHARE) {
            return;
        }
        let began = Instant::now();
        let saved = self.handle.block_on(self.service.save_checkpoint(&self.lease, path));
        self.last = Some((Instant::now(), began.elapsed()));
        if let Err(error) = saved {
            // Training goes on: without this checkpoint a later attempt only has more to do again.
            heartbeat.note(job_event::Event::log(Level::Warn, format!("a checkpoint could not be stored: {error}")));
        }
    }
}
