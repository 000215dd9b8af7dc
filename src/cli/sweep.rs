//! What `hub finetune --sweep` is told: settings and the values to try.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::output::{CliError, Result};
use crate::domain::sweep::{Sweep, Tried};

/// Several fine-tunes, of which the best is published.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub(super) struct SweepArgs {
    /// Values to try, such as lr=1e-4,3e-4 or, with --samples, lr=1e-5..1e-2; every combination, and the best is published (may be repeated)
    #[arg(long, value_name = "KEY=VALUES")]
    sweep: Vec<String>,
    /// Draw so many combinations instead of trying every one
    #[arg(long, value_name = "COUNT", requires = "sweep")]
    samples: Option<u32>,
    /// Begin with few epochs; only the better half of the trials goes on with twice as many
    #[arg(long, requires = "sweep")]
    halving: bool,
    /// Publish the average of the best trials where it is better than the best one
    #[arg(long, requires = "sweep")]
    soup: bool,
}

impl SweepArgs {
    pub fn read(&self) -> Result<Option<Sweep>> {
        if self.sweep.is_empty() {
            return Ok(None);
        }
        let settings = self.sweep.iter().map(|text| setting(text)).collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Some(Sweep { settings, samples: self.samples.unwrap_or(0), halving: self.halving, soup: self.soup }))
    }
}

fn setting(text: &str) -> Result<(String, Tried)> {
    let wrong =
        |what: &str| CliError::usage(format!("--sweep {text}: {what}"), "write --sweep lr=1e-4,3e-4 or --sweep lr=1e-5..1e-2 --samples 8");
    let (key, values) = text.split_once('=').ok_or_else(|| wrong("no '='"))?;
    if let Some((from, to)) = values.split_once("..") {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong("a range goes from a number to a number"));
        return Ok((key.to_owned(), Tried::Range { from: number(from)?, to: number(to)? }));
    }
    // What does not read as JSON is a word, such as adamw.
    let value = |text: &str| serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
    Ok((key.to_owned(), Tried::Values(values.split(',').map(value).collect())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_lists_or_ranges() {
        assert_eq!(setting("lr=1e-4,3e-4").unwrap().1, Tried::Values(vec![json!(1e-4), json!(3e-4)]));
        assert_eq!(setting("optimizer=sgd, adamw").unwrap().1, Tried::Values(vec![json!("sgd"), json!("adamw")]));
        assert_eq!(setting("lr=1e-5..1e-2").unwrap().1, Tried::Range { from: 1e-5, to: 1e-2 });
        assert!(setting("lr").is_err() && setting("lr=1..fast").is_err());
    }
}
