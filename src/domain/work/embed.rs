//! The features of every item of a data set, by a model.

use serde::{Deserialize, Serialize};

use super::{Input, Kind};
use crate::domain::name::RepoId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbedDataset {
    pub model: RepoId,
    pub model_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
}

impl Kind for EmbedDataset {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::model("model", &self.model, self.model_version), Input::dataset("dataset", &self.dataset, self.dataset_version)]
    }

    fn title(&self) -> String {
        format!("features of {}@{} by {}@{}", self.dataset, self.dataset_version, self.model, self.model_version)
    }
}
