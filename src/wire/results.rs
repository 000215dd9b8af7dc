//! Numbers of models with where they come from, and tables of them that an administrator takes over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::results as domain;

/// A number of a model.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultNumber {
    /// `top1`, `gmacs`, `items_per_second` ...; shares are 0 to 1
    pub measure: String,
    /// The data set, where it is about one
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset: String,
    pub value: f64,
    /// `claimed` (by its card), `imported` (from a table) or `measured` (here)
    pub origin: String,
    /// The table, or the job
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// A table of results, such as timm's `results-imagenet.csv`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportResults {
    /// Its file's name; a later table of this name takes its place
    pub name: String,
    /// The data set its shares are of; the names of timm's tables say it themselves
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The table with commas, its first line naming the columns
    pub text: String,
}

/// What became of a table.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedResults {
    /// Models here that have numbers from it
    pub models: u64,
    pub numbers: u64,
    /// Models of the table that are not here
    pub unknown: u64,
    /// Some of them
    pub such_as: Vec<String>,
}

impl From<domain::ModelResult> for ResultNumber {
    fn from(r: domain::ModelResult) -> ResultNumber {
        ResultNumber { measure: r.measure, dataset: r.dataset, value: r.value, origin: r.origin.to_string(), source: r.source }
    }
}
