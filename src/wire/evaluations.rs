//! Measurements as JSON: asked for, of a model, and as the leaderboard of a data set.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `POST /api/v1/evaluations`
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEvaluation {
    /// `namespace/name[@revision]`
    pub model: String,
    /// `namespace/name[@revision]`
    pub dataset: String,
    /// `test`, `val` or `train`; the first of them that the data set has, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// `namespace/name[@revision]` of a data set of examples: the model is measured by its features, on these classes, without its head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
    /// Without examples: the classes of the data set are told by their names alone, by a model that reads texts, or has a network for
    /// texts beside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_names: bool,
    /// With `by_names`: a text in which the names are read, `a photo of a {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

/// What this hub measured.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// The model's and the data set's present names.
    pub model: String,
    pub model_version: u32,
    pub dataset: String,
    pub dataset_version: u32,
    /// `true`: this hub measured it and signs it.
    pub verified: bool,
    /// The statement that is signed: versions with commits, split, measures with their interval, items, what was left out, the digest of
    /// the data, who asked, when.
    pub statement: Value,
    /// Whose the model is; on leaderboards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The same as a JSON Web Signature in compact form; `/api/v1/signing-keys` has the key.
    pub signed: String,
}

/// Whose a model is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Author {
    pub name: String,
    pub full_name: String,
    /// `user` or `organisation`
    pub kind: String,
}

/// A number on a model's card.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Claimed {
    pub model: String,
    pub model_version: u32,
    /// `false`: the card says so, and nobody here has checked it.
    pub verified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// As the card calls it: `accuracy`.
    pub metric: String,
    pub value: f64,
}

/// A data set's leaderboard.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaderboardBody {
    /// Best first, one of each model: `test` before other splits, what was measured on all items before what was measured on some.
    pub measured: Vec<Measured>,
    pub claimed: Vec<Claimed>,
}
