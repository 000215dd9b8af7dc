//! Two models, or jobs, on the same items.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One of the two.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    /// The job that measured it.
    pub job: String,
    /// `namespace/name@version`, of a job that was about a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its measure over the items in common.
    pub value: f64,
    /// Items that only this one was measured on; they count for neither.
    pub left_out: u64,
    /// Items that only this one has right.
    pub alone_right: u64,
}

/// How two differ on the items both were measured on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    pub a: Compared,
    pub b: Compared,
    /// `namespace/name@version`
    pub dataset: String,
    /// In common.
    pub items: u64,
    /// `share right`, `mean score`, or `root mean squared error`, of which less is better.
    pub measure: String,
    /// Of `b` less that of `a`.
    pub difference: f64,
    /// Where it lies in 95 of 100 draws of the items, each asking both about the same ones (paired bootstrap).
    #[schema(value_type = Vec<f64>)]
    pub interval_95: (f64, f64),
    /// The share of draws in which `b` is better, ties counting half.
    pub b_better: f64,
    /// McNemar's exact test: how likely chance alone divides the items that only one has right so unevenly. Of right and wrong answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcnemar_p: Option<f64>,
    /// `a`, `b` or `neither`: whose interval is on one side of 0.
    pub better: String,
    pub verdict: String,
}
