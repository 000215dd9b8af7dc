//! How good a model is on a data set, measured by this hub.

use serde::{Deserialize, Serialize};

use super::{Input, Kind, SUPPORT};
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
    /// A data set of examples whose classes are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<(RepoId, u32)>,
    /// A text with `{}`, in which the names of the data set's classes are read: they alone tell what is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
}

impl Kind for Evaluate {
    fn inputs(&self) -> Vec<Input> {
        let support = self.support.as_ref().map(|(id, version)| Input::dataset(SUPPORT, id, *version));
        let both = [Input::model("model", &self.model, self.model_version), Input::dataset("dataset", &self.dataset, self.dataset_version)];
        both.into_iter().chain(support).collect()
    }

    fn title(&self) -> String {
        let by = self.support.as_ref().map(|(id, version)| format!(" by examples of {id}@{version}")).unwrap_or_default();
        let by = if self.names.is_some() { " by the names of its classes".into() } else { by };
        format!("{}@{} measured on {}@{}{by}", self.model, self.model_version, self.dataset, self.dataset_version)
    }
}
