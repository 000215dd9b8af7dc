//! Repos that come from the hub behind this one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One that was asked for there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Mirror {
    /// `model` or `dataset`
    pub kind: String,
    /// Its name there.
    pub id: String,
    /// Its name here; absent while nothing of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The newest version here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub upstream: String,
    /// The commit there that was taken last, or empty.
    pub commit: String,
    pub checked: String,
    /// Why its newest commit is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Asks for a repo again, by its name here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMirror {
    /// `model` or `dataset`
    pub kind: String,
    /// `namespace/name`
    pub id: String,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MirrorUpdated {
    /// `updated`, `unchanged`, `absent` (gone there, and kept here), `refused`, `failed`, or `running`: ask again
    pub outcome: String,
    pub message: String,
    /// The newest version here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub warnings: Vec<String>,
}
