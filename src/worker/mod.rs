//! The worker: a process of its own that leases jobs and runs them, so that training that runs out of memory
//! or crashes never takes the server down.
//!
//! ```text
//! FOLDER/<name>.lock        locked while the worker lives; whoever can lock it knows that it died, and reads in it how
//! FOLDER/<name>/<job id>/   scratch of the job in hand, gone when it ends
//!                train/     what the confined process that trains may write into, beside
//! FOLDER/frozen/<account>/  features of frozen stages, for the next job of that account on the same base and data
//! FOLDER/hold               made by hand: jobs stand still after the epoch it names, as long as it lies here
//! ```
//!
//! What must survive a worker is elsewhere: checkpoints are blobs, progress and events are rows.
//!
//! The worker has the database and the store, and reads nobody's files itself. What trains is a confined process of its own (`confined`):
//! it has the files of one job, no database, no token and no network, and tells by its pipe what happens; `training` listens.

mod confined;
pub mod death;
mod error;
mod gate;
mod heartbeat;
mod keeper;
mod order;
mod presence;
mod run;
mod training;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use confined::train;
pub use error::{Error, Result};
use presence::Presence;
use run::Place;
use tokio::sync::watch;

use crate::confine::Choice;
use crate::confine::child::Program;
use crate::service::Service;
use crate::train::FeatureStore;

/// How long an idle worker waits before it looks at the queue again.
const IDLE: Duration = Duration::from_millis(500);
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
    /// End when nothing is ready to run, rather than wait for more.
    pub once: bool,
}

impl Options {
    fn features(&self) -> PathBuf {
        self.folder.join("frozen")
    }
}

/// Works until `stopping` turns true (a job in hand is then given back), or the queue is empty with
/// [`Options::once`]. The number of jobs that were taken on.
pub async fn work(service: Service, options: Options, stopping: watch::Receiver<bool>) -> Result<u64> {
    let presence = Presence::claim(&options.folder)?;
    tracing::info!(worker = presence.name(), "worker started");
    let (mut taken, mut looks) = (0, 0);
    while !*stopping.borrow() {
        if looks % LOOKS_PER_ROUND == 0 {
            bury_the_dead(&service, &presence).await;
        }
        looks += 1;
        match service.lease_job(presence.name()).await {
            Ok(Some((lease, job))) => {
                taken += 1;
                let scratch = presence.scratch(job.id.as_str());
                let place = Place { options: &options, scratch: &scratch };
                run::run(&service, &lease, &job, place, &stopping).await;
                remove(&scratch);
                // Each account's features have the whole room while its job runs; afterwards all of them share it.
                FeatureStore::keep_within(&options.features(), options.frozen_cache_bytes);
            }
            Ok(None) if options.once => break,
            Ok(None) => idle(stopping.clone()).await,
            Err(error) => {
                tracing::warn!(%error, "cannot look at the queue");
                idle(stopping.clone()).await;
            }
        }
    }
    tracing::info!(worker = presence.name(), taken, "worker ends");
    Ok(taken)
}

/// Jobs of workers that died go back to the queue now, not when their leases run out.
async fn bury_the_dead(service: &Service, presence: &Presence) {
    for dead in presence.dead() {
        match service.bury_worker(dead.name(), dead.death()).await {
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
