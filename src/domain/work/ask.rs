//! What a model says about every item of a data set.

use serde::{Deserialize, Serialize};

use super::{Input, Kind, SUPPORT};
use crate::domain::answers::Format;
use crate::domain::name::RepoId;
use crate::domain::timeline::Every;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskDataset {
    pub model: RepoId,
    pub model_version: u32,
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// `test`, `val` or `train`; `None` for all items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Each item piece by piece, instead of as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
    /// A data set of examples whose classes are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<(RepoId, u32)>,
    /// Names of classes that are answered, and a text with `{}` in which they are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<(Vec<String>, String)>,
    /// Of classes the so many likeliest; `None` for the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<usize>,
    pub format: Format,
}

impl Kind for AskDataset {
    fn inputs(&self) -> Vec<Input> {
        let support = self.support.as_ref().map(|(id, version)| Input::dataset(SUPPORT, id, *version));
        let both = [Input::model("model", &self.model, self.model_version), Input::dataset("dataset", &self.dataset, self.dataset_version)];
        both.into_iter().chain(support).collect()
    }

    fn title(&self) -> String {
        let what = if self.top.is_some() { "answers" } else { "features" };
        format!("{what} of {}@{} about {}@{}", self.model, self.model_version, self.dataset, self.dataset_version)
    }
}
