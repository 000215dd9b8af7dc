//! What a model says about every item of a data set.

use serde::{Deserialize, Serialize};

use super::{Input, Kind};
use crate::domain::answers::Format;
use crate::domain::name::RepoId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskDataset {
    pub model: RepoId,
    pub model_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// `test`, `val` or `train`; `None` for all items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Of classes the so many likeliest; `None` for the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<usize>,
    pub format: Format,
}

impl Kind for AskDataset {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::model("model", &self.model, self.model_version), Input::dataset("dataset", &self.dataset, self.dataset_version)]
    }

    fn title(&self) -> String {
        let what = if self.top.is_some() { "answers" } else { "features" };
        format!("{what} of {}@{} about {}@{}", self.model, self.model_version, self.dataset, self.dataset_version)
    }
}
