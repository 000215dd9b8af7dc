//! The data doctor: what is known of a data set's health, and labels put right.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::repos::Version;

/// What is known of a data set's version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Checkup {
    pub version: Version,
    /// All findings in sentences that say what to do.
    pub findings: Vec<String>,
    /// Evaluation sets you may read (their cards have the tag `evaluation` or `benchmark`) that hold items of this data set, too.
    pub elsewhere: Vec<Elsewhere>,
    /// What was found in its files when it was published: splits, classes, balance, copies, histograms, odd items.
    pub report: Value,
    /// What the last examination of its labels found: suspects and outliers, the first 200 of each; `null` before the first.
    pub examination: Value,
}

/// Items that an evaluation set has, too.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Elsewhere {
    /// `namespace/name@version`
    pub dataset: String,
    pub copies: usize,
    /// Those of them that are the same but for small changes.
    pub near: usize,
    /// Items of this data set that were held against that one's; of large data sets some.
    pub looked_at: usize,
    pub among: usize,
    /// The first of them, with what they are copies of.
    pub pairs: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RelabelDataset {
    /// A table in CSV with the columns `path` and `label`. Where it has `given`, too, lines whose `label` is that one still ask for nothing.
    pub table: String,
    /// Such lines take their `suggested` label where their `score` is at least this.
    #[serde(default)]
    pub accept: Option<f64>,
    /// Of the version that is made.
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Relabelled {
    pub version: Version,
    /// Files that went into the folder of another class.
    pub moved: usize,
    /// Labels that `corrections.csv` gives from now on, because the files are packed or a table names them.
    pub listed: usize,
    pub warnings: Vec<String>,
}

/// Ask for an examination of a data set's labels.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExamineDataset {
    /// The model whose features are looked at, `namespace/name` or `namespace/name@revision`; left out, a small one of this hub.
    pub base: Option<String>,
    /// Another version than `main`.
    pub revision: Option<String>,
}
