//! A look at the labels of a data set, on the features of a base.

use serde::{Deserialize, Serialize};

use super::{Input, Kind};
use crate::domain::name::RepoId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExamineDataset {
    pub base: RepoId,
    pub base_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
}

impl Kind for ExamineDataset {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::model("base", &self.base, self.base_version), Input::dataset("dataset", &self.dataset, self.dataset_version)]
    }

    fn title(&self) -> String {
        format!("labels of {}@{} by {}@{}", self.dataset, self.dataset_version, self.base, self.base_version)
    }
}
