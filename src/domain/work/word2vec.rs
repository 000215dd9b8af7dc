//! A training of Word2Vec: a data set of text becomes a model of word vectors.

use serde::{Deserialize, Serialize};

use super::fine_tune::{BASE, DATASET};
use super::{Input, Kind};
use crate::domain::name::RepoId;
use crate::domain::word2vec::Settings;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainWord2vec {
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// Vectors to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<(RepoId, u32)>,
    /// Where the result is published.
    pub name: RepoId,
    #[serde(default)]
    pub private: bool,
    #[serde(default)]
    pub settings: Settings,
    /// `f32`, `f16` or `int8`.
    #[serde(default = "f32")]
    pub dtype: String,
    /// 0: as many as the worker has.
    #[serde(default)]
    pub threads: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

fn f32() -> String {
    "f32".into()
}

impl Kind for TrainWord2vec {
    fn inputs(&self) -> Vec<Input> {
        let from = self.from.iter().map(|(id, version)| Input::model(BASE, id, *version));
        std::iter::once(Input::dataset(DATASET, &self.dataset, self.dataset_version)).chain(from).collect()
    }

    fn publishes(&self) -> Option<&RepoId> {
        Some(&self.name)
    }

    fn title(&self) -> String {
        format!("word vectors of {}@{} as {}", self.dataset, self.dataset_version, self.name)
    }
}
