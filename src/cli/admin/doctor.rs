//! `hub admin doctor`: what in the set-up of this hub needs a person.

use clap::Args;
use serde_json::json;

use super::super::{Output, Result};
use crate::app::Administration;
use crate::config::Config;

/// Look for what in the set-up of this server needs a person: names that clash, files that others can read
///
/// It looks at the server. What is wrong with a data set is told by `hub doctor NAME`.
#[derive(Debug, Args)]
#[command(after_help = "Reads the settings as 'hub serve' would: give it the same file and environment. It changes nothing.\n\
    What it finds is for a person to judge: the exit code is 0.")]
pub(super) struct Doctor {}

impl Doctor {
    pub async fn run(self, house: &Administration, config: &Config) -> Result<Output> {
        let found = house.ailments(config).await?;
        let lines: Vec<String> = found.iter().map(|ailment| format!("{}\n  {}", ailment.what, ailment.advice)).collect();
        let human = if lines.is_empty() { "nothing needs you".to_owned() } else { lines.join("\n") };
        let list: Vec<_> =
            found.iter().map(|ailment| json!({ "code": ailment.code, "what": ailment.what, "advice": ailment.advice })).collect();
        Ok(Output::new(human, json!(list), found.len().to_string()))
    }
}
