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
    /// The trial of a sweep that it is: it publishes nothing, and keeps its model for the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialOf>,
}

/// Which trial of its sweep a fine-tune is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialOf {
    /// From 1.
    pub number: u32,
    /// So many there are.
    pub of: u32,
    /// What it tries: `epochs=5, lr=0.001`.
    pub settings: String,
}

pub const BASE: &str = "base";
pub const DATASET: &str = "dataset";

impl Kind for FineTune {
    fn inputs(&self) -> Vec<Input> {
        let dataset = Input::dataset(DATASET, &self.dataset, self.dataset_version);
        // The trials of a sweep have learned from it: the best is published without another look, a soup is measured on it.
        let looks = self.sweep.as_ref().is_none_or(|sweep| sweep.soup);
        vec![Input::model(BASE, &self.base, self.base_version), if looks { dataset } else { dataset.if_there() }]
    }

    fn publishes(&self) -> Option<&RepoId> {
        if self.trial.is_none() { Some(&self.name) } else { None }
    }

    fn title(&self) -> String {
        match &self.trial {
            Some(trial) => format!("{}, trial {} of {} ({})", self.name, trial.number, trial.of, trial.settings),
            None => self.name.to_string(),
        }
    }
}
