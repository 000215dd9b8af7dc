//! `hub jobs curves`: the numbers of every epoch, for spreadsheets and TensorBoard.

use std::path::PathBuf;

use serde_json::json;

use super::output::{CliError, Output, Result};
use crate::client::Client;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CurveFormat {
    Csv,
    Tensorboard,
    Json,
}

impl CurveFormat {
    fn as_str(self) -> &'static str {
        match self {
            CurveFormat::Csv => "csv",
            CurveFormat::Tensorboard => "tensorboard",
            CurveFormat::Json => "json",
        }
    }

    /// TensorBoard reads what has `tfevents` in its name.
    fn file_name(self, id: &str) -> String {
        match self {
            CurveFormat::Tensorboard => format!("events.out.tfevents.0.{id}"),
            other => format!("curves-{id}.{}", other.as_str()),
        }
    }
}

/// Saves them, or prints a table that was to go nowhere.
pub async fn save(client: &Client, id: &str, format: CurveFormat, output: Option<PathBuf>) -> Result<Output> {
    let bytes = client.job_curves(id, format.as_str()).await?;
    if output.is_none() && format == CurveFormat::Csv {
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        return Ok(Output::new(text.clone(), json!({"id": id, "csv": text}), text));
    }
    let path = match output {
        Some(folder) if folder.is_dir() => folder.join(format.file_name(id)),
        Some(path) => path,
        None => format.file_name(id).into(),
    };
    let failed = |e| CliError::failed(format!("cannot write {}: {e}", path.display()), "name another place with --output");
    std::fs::write(&path, &bytes).map_err(failed)?;
    let hint = if format == CurveFormat::Tensorboard { "; `tensorboard --logdir` with its folder shows them" } else { "" };
    let shown = path.display().to_string();
    Ok(Output::new(format!("Wrote {shown}{hint}"), json!({"id": id, "file": shown, "bytes": bytes.len()}), shown))
}
