//! A question for backbones that suit a data set.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRecommendation {
    /// A data set, `namespace/name` with an optional `@revision`.
    pub dataset: String,
    /// Models to choose from, each with an optional `@revision`; none means all that you may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub among: Vec<String>,
    /// The data set's own, if left out; another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The most parameters a backbone may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parameters: Option<u64>,
    /// Any of these licences, such as `apache-2.0`; none means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub license: Vec<String>,
    /// Also models that were made from others.
    #[serde(default)]
    pub fine_tunes: bool,
    /// How long it may take; time that is short is shared by looking at fewer items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5, maximum = 86_400)]
    pub seconds: Option<u32>,
    /// Let the best three race: short fine-tunes, of which the better ones go on for longer.
    #[serde(default)]
    pub race: bool,
}
