//! What a worker and the confined process that trains for it say to each other.
//!
//! ```text
//! worker -> training   one Order, then after each line that came a Reply
//! training -> worker   Said: ready first, then events and checkpoints, at last done or failed
//! ```
//!
//! The order is trusted. What is said is not: whoever trains has read other people's files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use crate::confine::{Grant, Kernel};
use crate::domain::data_limits::DataLimits;
use crate::domain::recipe::Recipe;
use crate::train::Lineage;

/// The longest line that is listened to: the names and numbers of ten thousand classes have no place in one.
pub(super) const LONGEST: usize = 256 << 10;

/// Everything a training needs; files are granted before they are named.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub grant: Grant,
    pub recipe: Recipe,
    /// The base's files and the data set's, each with its path in its repo.
    pub base: Vec<(String, PathBuf)>,
    pub data: Vec<(String, PathBuf)>,
    pub resume: Option<PathBuf>,
    pub scratch: PathBuf,
    /// Where the result is to lie.
    pub result: PathBuf,
    pub features: PathBuf,
    pub features_bytes: u64,
    pub limits: DataLimits,
    pub lineage: Lineage,
    pub device: String,
    pub backend: String,
    pub threads: usize,
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
            Error::Never(_) => Why::Never,
            Error::Checkpoint(_) => Why::Checkpoint,
            Error::Later(_) | Error::Io { .. } => Why::Later,
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
