//! A fine-tune: a base and a data set become a model.

use serde::{Deserialize, Serialize};

use super::{Input, Kind};
use crate::domain::name::RepoId;
use crate::domain::recipe::Recipe;
use crate::domain::recommendation::Chosen;
use crate::domain::sweep::Sweep;

/// What a fine-tune is asked to do; revisions are pinned to version numbers when it is admitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FineTune {
    pub base: RepoId,
    pub base_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// Where the result is published.
    pub name: RepoId,
    pub private: bool,
    pub recipe: Recipe,
    /// Settings to try; the best of them is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// The published model whose recipe this is, `namespace/name` and version: the job says whether the weights are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<(RepoId, u32)>,
    /// Why it starts from this base, where that was chosen for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
}

pub const BASE: &str = "base";
pub const DATASET: &str = "dataset";

impl Kind for FineTune {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::model(BASE, &self.base, self.base_version), Input::dataset(DATASET, &self.dataset, self.dataset_version)]
    }

    fn publishes(&self) -> Option<&RepoId> {
        Some(&self.name)
    }

    fn title(&self) -> String {
        self.name.to_string()
    }
}
