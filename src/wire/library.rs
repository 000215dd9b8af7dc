//! What the library lists, and how a fetch of it goes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::files::File;

/// An entry in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LibraryEntry {
    /// `namespace/name`
    pub id: String,
    /// `model` or `dataset`
    pub kind: String,
    /// Further names that lead here.
    pub aliases: Vec<String>,
    pub summary: String,
    /// `here`, `not-fetched`, or `facts-only` where the index names no place its files could be fetched from
    pub state: String,
    /// The newest version, where its files are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub architecture: String,
    pub license: String,
    pub parameters: u64,
    /// The share of first answers that are right, on the data set the index names first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// The data sets of each stage of its training, in order.
    pub trained_on: Vec<Vec<String>>,
    /// The repo at the upstream; empty where the index names none.
    pub upstream: String,
}

/// Everything the index says of an entry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LibraryDetail {
    #[serde(flatten)]
    pub entry: LibraryEntry,
    /// What was fetched: the upstream's commit, or where a bundle came from; empty before.
    pub commit: String,
    /// As `library/*.toml` has it, each figure with its source.
    pub facts: Value,
    /// The same as Markdown.
    pub card: String,
}

/// Fetch an entry.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FetchEntry {
    /// The number an earlier answer gave: tell how that fetch goes on, or how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// Also where its files are here: a new version of what the upstream has now. For administrators.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
}

/// How a fetch goes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntryFetched {
    /// `namespace/name`
    pub id: String,
    /// `here`, `running` (ask again with its number), or `failed`
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// The newest version, where its files are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub files: u64,
    pub bytes: u64,
    pub done_bytes: u64,
    /// Why it stands still for now; empty where it does not.
    pub trouble: String,
    pub warnings: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<FetchProblem>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FetchProblem {
    /// `library_network`, `library_gate`, `library_digest`, `library_off`, `library_unsafe`, `library_unfit`, `facts_only`, `disk_full` ...
    pub code: String,
    pub message: String,
    pub hint: String,
}

/// Publish files that were sent as those of an entry; they are held against the index.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptEntry {
    /// Where they come from, in words.
    pub origin: String,
    pub files: Vec<File>,
}
