//! Opens the house for a worker process and lets it work until it is told to stop.

use super::{Error, Result, StopSignals, confinement, open_service};
use crate::config::Config;
use crate::confine::{last_word, limits};
use crate::worker::{self, Options};

/// What the program itself needs beside any job.
const LEAST_MEMORY: u64 = 2 << 30;

/// The allocator has nothing left to give: a worker leaves word of it. Allocates nothing.
pub fn note_out_of_memory() {
    last_word::note_out_of_memory();
}

/// Works through the queue of `config.data`; with `once` until nothing is ready, else until SIGTERM or SIGINT.
/// A worker whose `parent` is given ends with that process. The number of jobs that were taken on.
pub async fn work(config: &Config, once: bool, parent: Option<u32>) -> Result<u64> {
    let refused = |e: std::io::Error| Error::failed(format!("the worker cannot set its limits: {e}"), "start it from a running hub");
    if let Some(parent) = parent {
        limits::die_with(parent).map_err(refused)?;
    }
    let memory_bytes = (limits::machine_memory_bytes() / 10 * 9).max(LEAST_MEMORY);
    limits::restrain(memory_bytes).map_err(refused)?;
    let choice = confinement::agree(config)?;
    let service = open_service(config).await?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut signals = StopSignals::catch()?;
    tokio::spawn(async move {
        signals.wait().await;
        tracing::info!("the worker was asked to stop");
        // Nobody listening means that the work is done.
        let _ = stop.send(true);
        stop.closed().await;
    });
    let options = Options {
        folder: confinement::real(&config.data).join("workers"),
        data: confinement::real(&config.data),
        program: confinement::program()?,
        confinement: choice,
        memory_bytes,
        device: config.device.clone(),
        backend: config.backend.clone(),
        threads: config.threads,
        frozen_cache_bytes: config.frozen_cache_bytes,
        once,
    };
    let failed = |e: worker::Error| Error::failed(e.to_string(), "check the data directory's owner and free space");
    worker::work(service, options, stopping).await.map_err(failed)
}
