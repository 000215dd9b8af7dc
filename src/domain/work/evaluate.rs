//! How good a model is on a data set, measured by this hub.

use serde::{Deserialize, Serialize};

use super::{Input, Kind};
use crate::domain::name::RepoId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    pub model: RepoId,
    pub model_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// `test`, `val` or `train`; `None` for the first of them that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

impl Kind for Evaluate {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::model("model", &self.model, self.model_version), Input::dataset("dataset", &self.dataset, self.dataset_version)]
    }

    fn title(&self) -> String {
        format!("{}@{} measured on {}@{}", self.model, self.model_version, self.dataset, self.dataset_version)
    }
}
