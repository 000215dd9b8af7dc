//! `hub worker`: runs fine-tunes from the queue of a data directory. `hub serve` starts its own; more may be
//! started beside them by hand.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::remote::placed;
use super::{Context, Output, Result};
use crate::{app, telemetry};

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Directory of the database and the blobs [env: HUB_DATA] [default: ~/.local/share/backbone-hub]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The PostgreSQL database of a hub that has one [env: HUB_DB]
    #[arg(long, value_name = "ADDRESS")]
    db: Option<String>,
    /// Threads for training [env: HUB_THREADS] [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// End when no job is ready to run
    #[arg(long)]
    once: bool,
    /// The server to end with
    #[arg(long, hide = true, value_name = "PID")]
    parent: Option<u32>,
}

impl WorkerArgs {
    /// The settings these flags set.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let data = self.data.as_ref().map(|path| ("data", path.to_string_lossy().into_owned()));
        data.into_iter().chain(self.db.clone().map(|db| ("db", db))).chain(self.threads.map(|n| ("threads", n.to_string()))).collect()
    }
}

pub fn run(args: WorkerArgs, context: &Context) -> Result<Output> {
    placed(&context.config.data, "data directory", "HUB_DATA")?;
    let config = context.config.clone();
    telemetry::start(&config.log, &config.log_format);
    let taken = context.block_on(app::work(&config, args.once, args.parent))??;
    let text = format!("took on {taken} job{}", if taken == 1 { "" } else { "s" });
    Ok(Output::new(text, json!({ "jobs": taken }), taken.to_string()))
}
