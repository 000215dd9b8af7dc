//! `hub admin results`: tables of results taken over, so that models can be chosen by them.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::super::{CliError, Output, Result};
use crate::app::Administration;
use crate::wire::results::ImportedResults;

/// Larger than any table of results.
const LARGEST: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum ResultsCommand {
    /// Take over a table with commas, as timm's project publishes them
    ///
    /// Its columns: model, and any of top1, top5 (per cent), infer_gmacs, infer_samples_per_sec. A later table of the same file name takes its place.
    #[command(after_help = "Examples:
  hub admin results import results-imagenet.csv
  hub admin results import benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv
  hub admin results import ours.csv --on acme/flowers")]
    Import {
        file: PathBuf,
        /// The data set its shares are of; the names of timm's tables say it themselves
        #[arg(long, value_name = "DATASET")]
        on: Option<String>,
    },
}

impl ResultsCommand {
    pub(super) async fn run(self, house: &Administration) -> Result<Output> {
        let ResultsCommand::Import { file, on } = self;
        let unreadable = |why: String| CliError::usage(format!("{} cannot be read: {why}", file.display()), "name a table with commas");
        let size = std::fs::metadata(&file).map_err(|e| unreadable(e.to_string()))?.len();
        if size > LARGEST {
            return Err(unreadable(format!("it has more than {} MiB", LARGEST >> 20)));
        }
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(e.to_string()))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let found = house.import_results(&name, on.as_deref(), &text).await?;
        let done = ImportedResults { models: found.models, numbers: found.numbers, unknown: found.unknown, such_as: found.such_as };
        let mut human = format!("{} numbers of {} models are known from {name}", done.numbers, done.models);
        if done.unknown > 0 {
            human += &format!("; {} models of it are not here, such as {}", done.unknown, done.such_as.join(", "));
        }
        let short = done.models.to_string();
        Ok(Output::new(human, json!(done), short))
    }
}
