//! The worker: a process of its own that leases jobs and runs them, so that training that runs out of memory
//! or crashes never takes the server down.
//!
//! ```text
//! FOLDER/<name>.lock        locked while the worker lives; whoever can lock it knows that it died, and reads in it how
//! FOLDER/<name>/<job id>/   scratch of the job in hand, gone when it ends
//! FOLDER/frozen/            features of frozen stages, for the next job on the same base and data
//! FOLDER/hold               made by hand: jobs stand still after the epoch it names, as long as it lies here
//! ```
//!
//! What must survive a worker is elsewhere: checkpoints are blobs, progress and events are rows.

pub mod death;
mod error;
mod gate;
mod heartbeat;
pub mod limits;
mod presence;
mod run;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{Error, Result};
use presence::Presence;
use run::Place;
use tokio::sync::watch;

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
    /// Room for what jobs leave each other; 0 keeps nothing.
    pub frozen_cache_bytes: u64,
    /// End when nothing is ready to run, rather than wait for more.
    pub once: bool,
}

/// Works until `stopping` turns true (a job in hand is then given back), or the queue is empty with
/// [`Options::once`]. The number of jobs that were taken on.
pub async fn work(service: Service, options: Options, stopping: watch::Receiver<bool>) -> Result<u64> {
    let presence = Presence::claim(&options.folder)?;
    let store = FeatureStore::new(options.folder.join("frozen"), options.frozen_cache_bytes);
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
                let place = Place { folder: &options.folder, scratch: &scratch, store: &store };
                run::run(&service, &lease, &job, place, &stopping).await;
                remove(&scratch);
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
