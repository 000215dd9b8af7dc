//! `hub worker`: runs jobs from the queue of a data directory, or of a hub that is elsewhere. `hub serve` starts its own; more may be
//! started beside them by hand, by Slurm or by Kubernetes.
//!
//! Its exit status says how the job ended that it was started for (`--job`, `--after`, `--once`):
//!
//! ```text
//! 0    it succeeded, or (--once) none was ready
//! 1    it failed, or was cancelled; the job says why
//! 3    there is no such job, or (--after) none follows it
//! 4    the hub refuses the token
//! 75   it was given back: this worker was stopped, or the same again may succeed (EX_TEMPFAIL: requeue it)
//! ```

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::remote::placed;
use super::table::plural;
use super::{CliError, Context, Output, Result};
use crate::app::{self, Far, Manner, Outcome, Until};
use crate::domain::id::JobId;
use crate::telemetry;

/// `EX_TEMPFAIL` of sysexits.h: engines start such a worker again.
const GIVEN_BACK: u8 = 75;

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Directory of the database and the blobs [env: HUB_DATA] [default: ~/.local/share/backbone-hub]
    #[arg(long, value_name = "DIR", conflicts_with = "hub")]
    data: Option<PathBuf>,
    /// Work for the hub at this address, over HTTP: needs neither database nor data directory
    #[arg(long, value_name = "URL", requires = "token_file")]
    hub: Option<String>,
    /// The file with the token that `hub admin worker-token create` printed
    #[arg(long, value_name = "FILE", requires = "hub")]
    token_file: Option<PathBuf>,
    /// With --hub: where inputs are kept and jobs work [default: worker/ in the cache directory]
    #[arg(long, value_name = "DIR", requires = "hub")]
    folder: Option<PathBuf>,
    /// The PostgreSQL database of a hub that has one [env: HUB_DB]
    #[arg(long, value_name = "ADDRESS")]
    db: Option<String>,
    /// Threads for training [env: HUB_THREADS] [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// End after one job, or at once when none is ready. Exit status: 0 well, 1 badly, 75 given back
    #[arg(long, conflicts_with = "job")]
    once: bool,
    /// Run this job and end. Exit status: 0 well, 1 badly, 75 given back
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Run the job that follows this one by itself (the fine-tune after a race of bases) and end, as with --job
    #[arg(long, value_name = "ID", conflicts_with_all = ["job", "once"])]
    after: Option<String>,
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

    fn until(&self) -> Result<Until> {
        let id = |flag: &str, text: &str| {
            JobId::parse(text).map_err(|e| CliError::usage(format!("{flag}: {e}"), "`hub jobs list --all` shows the ids"))
        };
        match (&self.job, &self.after) {
            (Some(job), _) => Ok(Until::Job(id("--job", job)?)),
            (None, Some(job)) => Ok(Until::After(id("--after", job)?)),
            (None, None) if self.once => Ok(Until::One),
            (None, None) => Ok(Until::Stopped),
        }
    }

    fn elsewhere(&self, context: &Context) -> Result<Option<Far>> {
        let Some((hub, file)) = self.hub.as_ref().zip(self.token_file.as_ref()) else { return Ok(None) };
        let token = read_token(file)?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => placed(&context.config.cache, "cache directory", "HUB_CACHE")?.join("worker"),
        };
        Ok(Some(Far { hub: hub.clone(), token, insecure: context.globals.insecure, folder }))
    }
}

/// The first line of a file.
pub(super) fn read_token(file: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        CliError::failed(format!("the token cannot be read from {}: {e}", file.display()), "check the path and who may read it")
    })?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

pub fn run(args: WorkerArgs, context: &Context) -> Result<Output> {
    let config = context.config.clone();
    let (until, elsewhere) = (args.until()?, args.elsewhere(context)?);
    if elsewhere.is_none() {
        placed(&config.data, "data directory", "HUB_DATA")?;
    }
    telemetry::start(&config.log, &config.log_format);
    let stopped = until == Until::Stopped;
    let asked_for_one = matches!(until, Until::Job(_) | Until::After(_));
    let done = context.block_on(app::work(&config, Manner { until, parent: args.parent, elsewhere }))??;
    let taken = done.taken;
    let (word, failure) = match done.outcome {
        _ if stopped => ("", None),
        Some(Outcome::Succeeded) => ("; it succeeded", None),
        Some(Outcome::Failed) => ("; it failed", Some(CliError::new(1, "job_failed", "the job failed", "`hub jobs show ID` says why"))),
        Some(Outcome::Cancelled) => {
            ("; it was cancelled", Some(CliError::new(1, "job_cancelled", "the job was cancelled", "`hub jobs retry ID` starts it again")))
        }
        None if !asked_for_one => ("", None),
        Some(Outcome::GivenBack) | None => {
            let hint = "start the same command again: it goes on from the last checkpoint";
            ("; it was given back", Some(CliError::new(GIVEN_BACK, "given_back", "the job was given back", hint)))
        }
    };
    let text = format!("took on {}{word}", plural(taken, "job"));
    let output =
        Output::new(text, json!({ "jobs": taken, "code": failure.as_ref().map(|failure| failure.code.clone()) }), taken.to_string());
    Ok(match failure {
        Some(failure) => output.but(failure),
        None => output,
    })
}
