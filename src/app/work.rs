//! Opens the house for a worker process and lets it work until it is told to stop.

use std::path::PathBuf;

use super::{Error, Result, StopSignals, confinement, modes, open_service};
use crate::config::Config;
use crate::confine::{last_word, limits};
use crate::worker::{self, Done, Elsewhere, Hub, Options, Until};

/// What the program itself needs beside any job.
const LEAST_MEMORY: u64 = 2 << 30;

/// The allocator has nothing left to give: a worker leaves word of it. Allocates nothing.
pub fn note_out_of_memory() {
    last_word::note_out_of_memory();
}

/// What a worker process is asked to do.
#[derive(Debug, Clone)]
pub struct Manner {
    pub until: Until,
    /// The process it ends with.
    pub parent: Option<u32>,
    /// Without one it works beside the database of `config.data`.
    pub elsewhere: Option<Far>,
}

/// A hub that is elsewhere, and the folder a worker needs here.
#[derive(Debug, Clone)]
pub struct Far {
    pub hub: String,
    pub token: String,
    pub insecure: bool,
    pub folder: PathBuf,
}

/// Works through a queue until SIGTERM or SIGINT, or as `manner` says.
pub async fn work(config: &Config, manner: Manner) -> Result<Done> {
    let refused = |e: std::io::Error| Error::failed(format!("the worker cannot set its limits: {e}"), "start it from a running hub");
    if let Some(parent) = manner.parent {
        limits::die_with(parent).map_err(refused)?;
    }
    super::limits::huge_pages(true);
    let memory_bytes = (limits::machine_memory_bytes() / 10 * 9).max(LEAST_MEMORY);
    limits::restrain(memory_bytes).map_err(refused)?;
    let choice = confinement::agree(config)?;
    let (hub, folder, data) = match manner.elsewhere {
        None => {
            let data = confinement::real(&config.data);
            (Hub::Here(Box::new(open_service(config).await?)), data.join("workers"), data)
        }
        Some(far) => {
            modes::make_private();
            std::fs::create_dir_all(&far.folder).map_err(|e| Error::data(&far.folder, &e))?;
            let folder = confinement::real(&far.folder);
            let (threads, device) = (config.threads, config.device.clone());
            let at = Elsewhere { hub: far.hub, token: far.token, insecure: far.insecure, memory_bytes, threads, device };
            (Hub::Elsewhere(at), folder.clone(), folder.join("cache"))
        }
    };
    let options = Options {
        folder,
        data,
        program: confinement::program()?,
        confinement: choice,
        memory_bytes,
        device: config.device.clone(),
        backend: config.backend.clone(),
        threads: config.threads,
        frozen_cache_bytes: config.frozen_cache_bytes,
        until: manner.until,
    };
    worker::work(hub, options, told_to_stop()?).await.map_err(|error| match error {
        worker::Error::Refused(message) => {
            Error::Refused { message, hint: "a worker's token is made with `hub admin worker-token create NAME`".into() }
        }
        worker::Error::Never(message) => Error::NotFound { message, hint: "`hub jobs list --all` shows what there is".into() },
        other => Error::failed(other.to_string(), "check the owner and the free space of the worker's folder"),
    })
}

/// Turns true at SIGTERM or SIGINT.
pub fn told_to_stop() -> Result<tokio::sync::watch::Receiver<bool>> {
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut signals = StopSignals::catch()?;
    tokio::spawn(async move {
        signals.wait().await;
        tracing::info!("the worker was asked to stop");
        // Nobody listening means that the work is done.
        let _ = stop.send(true);
        stop.closed().await;
    });
    Ok(stopping)
}
