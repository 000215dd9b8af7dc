//! What a worker and the confined process that works for it say to each other.
//!
//! ```text
//! worker -> process   one Order, then after each line that came a Reply
//! process -> worker   Said: ready first, then events and checkpoints, at last done or failed
//! ```
//!
//! The order is trusted. What is said is not: that process has read other people's files.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Result};
use crate::confine::{Grant, Kernel};
use crate::domain::data_limits::DataLimits;
use crate::domain::work::Work;

/// The longest line that is listened to: the names and numbers of ten thousand classes have no place in one.
pub(super) const LONGEST: usize = 256 << 10;

/// Where a headline says why its result is not to be published.
pub(super) const NOT_PUBLISHED: &str = "not_published";

/// Everything the work needs; files are granted before they are named.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub grant: Grant,
    pub work: Work,
    /// The files of each input by its role, each with its path in its repo.
    pub inputs: Vec<(String, Vec<(String, PathBuf)>)>,
    /// Files the job was sent along with.
    pub sent: Vec<(String, PathBuf)>,
    /// What only the service can tell; see the kind's file.
    pub notes: Value,
    pub resume: Option<PathBuf>,
    pub scratch: PathBuf,
    /// Where what is published is to lie.
    pub result: PathBuf,
    /// Where files lie that are kept with the job.
    pub files: PathBuf,
    pub features: PathBuf,
    pub features_bytes: u64,
    pub limits: DataLimits,
    pub device: String,
    pub backend: String,
    pub threads: usize,
}

impl Order {
    /// The files of an input.
    pub fn given(&self, role: &str) -> Result<&[(String, PathBuf)]> {
        let input = self.inputs.iter().find(|(known, _)| known == role);
        input.map(|(_, files)| files.as_slice()).ok_or_else(|| Error::Never(format!("the job has no '{role}'; ask for it again")))
    }

    pub fn read_notes<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.notes.clone()).map_err(|e| Error::Never(format!("the job's notes cannot be read: {e}")))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// It is confined so far, and begins.
    Ready(Kernel),
    Event {
        kind: String,
        body: Value,
    },
    /// A whole checkpoint lies in the scratch folder.
    Checkpoint,
    /// The result lies where it was asked for; its headline.
    Done(Value),
    Failed {
        why: Why,
        message: String,
    },
}

/// What the worker is to do about it: the names of [`Error`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    Cancelled,
    Later,
    Never,
    Checkpoint,
}

impl Why {
    pub fn of(error: &Error) -> Why {
        match error {
            Error::Cancelled | Error::Lost | Error::Stopping => Why::Cancelled,
            Error::Never(_) | Error::Refused(_) => Why::Never,
            Error::Checkpoint(_) => Why::Checkpoint,
            Error::Later(_) | Error::Busy(_) | Error::Io { .. } => Why::Later,
        }
    }

    pub fn error(self, message: String) -> Error {
        match self {
            Why::Cancelled => Error::Cancelled,
            Why::Later => Error::Later(message),
            Why::Never => Error::Never(message),
            Why::Checkpoint => Error::Checkpoint(message),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    GoOn,
    Stop,
}
