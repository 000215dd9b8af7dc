//! `hub completions`: what a shell needs to complete commands and flags.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::output::{Output, Result};

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: hub completions bash > ~/.local/share/bash-completion/completions/hub")]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<Output> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "hub", &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let text = text.trim_end().to_owned();
        Ok(Output::new(text.clone(), json!({"shell": self.shell.to_string(), "script": text}), text.clone()))
    }
}
