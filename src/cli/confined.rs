//! `hub confined`: what a server starts to read other people's files with; nobody else calls it. It reads no configuration and no
//! environment.

use clap::{Args, ValueEnum};

use super::{CliError, Output, Result};
use crate::app::confinement::{self, Part};

#[derive(Debug, Args)]
pub struct Confined {
    part: Which,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Train,
    Check,
    Scan,
    Import,
    Probe,
}

impl Confined {
    /// Before there is a second thread.
    pub fn run(self) -> Result<Output> {
        let part = match self.part {
            Which::Train => Part::Train,
            Which::Check => Part::Check,
            Which::Scan => Part::Scan,
            Which::Import => Part::Import,
            Which::Probe => Part::Probe,
        };
        let failed = |e: std::io::Error| CliError::failed(format!("a confined process: {e}"), "it is started by a server, not by hand");
        confinement::run(part).map(|()| Output::none()).map_err(failed)
    }
}
