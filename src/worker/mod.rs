//! The worker: a process of its own that leases jobs and runs them, so that training that runs out of memory
//! or crashes never takes the server down.
//!
//! ```text
//! FOLDER/<name>.lock        locked while the worker lives; whoever can lock it knows that it died, and reads in it how. The name of one that
//!                           works for a hub elsewhere begins with its machine's: machines may share such a folder
//! FOLDER/<name>/<job id>/   scratch of the job in hand, gone when it ends
//!                train/     what the confined process that trains may write into, beside
//! FOLDER/frozen/<account>/  features of frozen stages, for the next job of that account on the same base and data
//! FOLDER/hold               made by hand: jobs stand still after the epoch it names, as long as it lies here
//! ```
//!
//! What must survive a worker is elsewhere: checkpoints are blobs, progress and events are rows.
//!
//! What the worker asks of the hub is one trait (`office`), with a tenant beside the database (`here`) and one that has an address and a
//! worker's token (`elsewhere`). It reads nobody's files itself. What trains is a confined process of its own (`confined`):
//! it has the files of one job, no database, no token and no network, and tells by its pipe what happens; `training` listens.

mod confined;
pub mod death;
mod elsewhere;
mod error;
mod gate;
mod heartbeat;
mod here;
mod keeper;
mod office;
mod order;
mod presence;
mod run;
mod training;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use confined::train;
pub use elsewhere::Elsewhere;
use elsewhere::Remote;
pub use error::{Error, Result};
use here::Here;
use office::{Claim, Office};
use presence::Presence;
pub use run::Outcome;
use run::Place;
use tokio::sync::watch;

use crate::confine::Choice;
use crate::confine::child::Program;
use crate::domain::id::JobId;
use crate::domain::job::{JobState, Wanted};
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::service::Service;
use crate::train::FeatureStore;

/// How long an idle worker waits before it looks at the queue again.
const IDLE: Duration = Duration::from_millis(500);
/// How long a job is waited for that another worker has, who may be dead: longer than a lease lasts.
const WANTED_PATIENCE: Duration = Duration::from_secs(60);
/// Idle looks between two searches for dead workers.
const LOOKS_PER_ROUND: u32 = 4;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where locks and scratch files lie.
    pub folder: PathBuf,
    /// The data directory, which no training sees.
    pub data: PathBuf,
    /// This program, for the processes that train.
    pub program: Program,
    pub confinement: Choice,
    /// What one of them may allocate.
    pub memory_bytes: u64,
    /// Where networks run, with what arithmetic, on how many threads.
    pub device: String,
    pub backend: String,
    pub threads: usize,
    /// Room for what jobs leave each other; 0 keeps nothing.
    pub frozen_cache_bytes: u64,
    pub until: Until,
}

/// When a worker ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// Not before it is told to.
    Stopped,
    /// After one job, or at once where none is ready.
    One,
    /// After this job; it is waited for a while where another worker has it.
    Job(JobId),
    /// After the job that follows this one by itself.
    After(JobId),
}

impl Until {
    fn wanted(&self) -> Wanted {
        match self {
            Until::Stopped | Until::One => Wanted::Any,
            Until::Job(job) => Wanted::This(job.clone()),
            Until::After(job) => Wanted::After(job.clone()),
        }
    }
}

/// Whom a worker works for.
pub enum Hub {
    /// The database and the store of this machine.
    Here(Box<Service>),
    Elsewhere(Elsewhere),
}

/// What a worker has done when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Jobs that were taken on.
    pub taken: u64,
    /// How the last of them ended; `None` where there was none to take.
    pub outcome: Option<Outcome>,
}

impl Options {
    fn features(&self) -> PathBuf {
        self.folder.join("frozen")
    }
}

/// Works until `stopping` turns true (a job in hand is then given back with its checkpoint), or as [`Options::until`] says.
pub async fn work(hub: Hub, options: Options, stopping: watch::Receiver<bool>) -> Result<Done> {
    let (presence, office) = enter(hub, &options)?;
    let (mut done, mut looks, begun) = (Done { taken: 0, outcome: None }, 0, Instant::now());
    let wanted = options.until.wanted();
    while !*stopping.borrow() {
        if looks % LOOKS_PER_ROUND == 0 {
            bury_the_dead(office.as_ref(), &presence).await;
        }
        looks += 1;
        match office.claim(&wanted, options.until != Until::One).await {
            // It was asked for before this worker was told to stop.
            Ok(Claim::Job(task)) if *stopping.borrow() => {
                office.end(&task.lease, &Error::Stopping).await?;
                done.outcome = Some(Outcome::GivenBack);
            }
            Ok(Claim::Job(task)) => {
                done.taken += 1;
                let scratch = presence.scratch(task.lease.job.as_str());
                let place = Place { options: &options, scratch: &scratch };
                done.outcome = Some(run::run(&office, &task, place, &stopping).await);
                remove(&scratch);
                // Each account's features have the whole room while its job runs; afterwards all of them share it.
                FeatureStore::keep_within(&options.features(), options.frozen_cache_bytes);
                if options.until != Until::Stopped {
                    break;
                }
            }
            Ok(Claim::Ended(state)) => {
                done.outcome = Some(ended(state));
                break;
            }
            Ok(Claim::None) if options.until == Until::One => break,
            Ok(Claim::NotReady(why)) if begun.elapsed() >= WANTED_PATIENCE => {
                tracing::warn!(why, "the job cannot be had");
                done.outcome = Some(Outcome::GivenBack);
                break;
            }
            Ok(Claim::None | Claim::NotReady(_)) => idle(stopping.clone()).await,
            Err(error @ Error::Refused(_)) => return Err(error),
            Err(error @ Error::Never(_)) if wanted != Wanted::Any => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot look at the queue");
                idle(stopping.clone()).await;
            }
        }
    }
    office.leave().await;
    tracing::info!(worker = presence.name(), taken = done.taken, "worker ends");
    Ok(done)
}

/// Takes a name in the worker's folder, and the road to the hub.
fn enter(hub: Hub, options: &Options) -> Result<(Presence, Arc<dyn Office>)> {
    let machine = match &hub {
        Hub::Here(_) => String::new(),
        Hub::Elsewhere(_) => elsewhere::host(),
    };
    let presence = Presence::claim(&options.folder, &machine)?;
    tracing::info!(worker = presence.name(), "worker started");
    let office: Arc<dyn Office> = match hub {
        Hub::Here(service) => {
            Arc::new(Here { service: *service, name: presence.name().to_owned(), worker: shown(presence.name(), options) })
        }
        Hub::Elsewhere(at) => Arc::new(Remote::new(&at, &options.folder, options.frozen_cache_bytes, presence.name())?),
    };
    Ok((presence, office))
}

/// A worker of this machine, for those who look which there are.
fn shown(name: &str, options: &Options) -> Worker {
    let never = Timestamp::from_unix_ms(0);
    Worker {
        name: name.to_owned(),
        token: None,
        node: elsewhere::host(),
        cpus: u32::try_from(options.threads).unwrap_or(u32::MAX),
        memory_bytes: options.memory_bytes,
        device: options.device.clone(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        started: never,
        seen: never,
        job: None,
    }
}

/// A job that had ended when it was asked for: whoever asks for it again is told how.
fn ended(state: JobState) -> Outcome {
    match state {
        JobState::Succeeded => Outcome::Succeeded,
        JobState::Cancelled => Outcome::Cancelled,
        JobState::Failed | JobState::Queued | JobState::Running => Outcome::Failed,
    }
}

/// Jobs of workers that died go back to the queue now, not when their leases run out.
async fn bury_the_dead(office: &dyn Office, presence: &Presence) {
    for dead in presence.dead() {
        match office.bury(dead.name(), dead.death()).await {
            Ok(orphans) => {
                tracing::warn!(worker = dead.name(), orphans, "a worker had died");
                dead.forget();
            }
            Err(error) => tracing::warn!(%error, worker = dead.name(), "cannot judge the jobs of a dead worker yet"),
        }
    }
}

async fn idle(mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(IDLE) => {}
        _ = stopping.changed() => {}
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "cannot remove a scratch folder");
    }
}
