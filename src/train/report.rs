//! What a run hands back.

use serde::{Deserialize, Serialize};

use super::checkpoint::Probed;
use super::features::Frozen;
use super::judge::Mistake;
use super::reject::Reject;
use super::rounds::Rounds;
use crate::domain::config::ModelConfig;
use crate::domain::digest::Digest;
use crate::domain::evaluation::Outcome;
use crate::domain::findings::Findings;
use crate::domain::job_event::EpochNumbers;
use crate::domain::modality::Modality;
use crate::domain::recipe::Recipe;
use crate::domain::recommendation::Chosen;
use crate::nn::{Distance, Weights};

/// The result of a fine-tune. Its weights are those of the best epoch, and all of them are finite numbers.
#[derive(Debug, Clone)]
pub struct Report {
    pub epochs: Vec<EpochNumbers>,
    pub outcome: Outcome,
    /// Backbone and head under timm's names.
    pub weights: Weights,
    /// Of [`Self::weights`]; see [`Weights::digest`].
    pub digest: Digest,
    pub config: ModelConfig,
    pub recipe: Recipe,
    /// What its items are.
    pub modality: Modality,
    /// What it was trained on, for people: `120 images of 3 classes`.
    pub trained_on: String,
    pub train_samples: usize,
    /// How many of them are copies of another one.
    pub copies: usize,
    /// Which item was for what; see `Partition::table`.
    pub split: String,
    /// What a person should know of the data, in sentences.
    pub findings: Vec<String>,
    /// A name for the content, however it is packed: sha256 (hex) over the sorted lines `split TAB target TAB sha256` of its samples.
    pub dataset_digest: String,
    pub frozen: Frozen,
    /// How many stages of the backbone kept every bit, and how many there are.
    pub kept_stages: usize,
    pub stages: usize,
    /// The best head on the base's features, where it was asked for, and what followed from it.
    pub probe: Option<Probed>,
    /// What was found out about it beside its measures.
    pub found: Findings,
    /// What tells items of other kinds from those it was trained on.
    pub reject: Option<Reject>,
    /// Of what names no classes but measures distances: the items that are known.
    pub distances: Option<Distance>,
    /// Where it is most wrong. These and the table hold what is in the data set, and are no part of what is published.
    pub mistakes: Vec<Mistake>,
    /// What it says about every item it was measured on, as a table (CSV).
    pub predictions: String,
    /// Items that could not be read, `path: reason`.
    pub skipped: Vec<String>,
    /// What other runs of the same recipe have told.
    pub rounds: Rounds,
}

impl Report {
    /// Whether what is published is the probe: no epoch beat it, or there were none.
    pub fn published_probe(&self) -> bool {
        self.probe.is_some() && !self.epochs.iter().any(|epoch| epoch.best && self.kept_stages < self.stages)
    }
}

/// Where a result comes from, for its card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The result's own `namespace/name`.
    pub name: String,
    /// The base, `namespace/name@version`.
    pub base: String,
    /// The data set, `namespace/name@version`.
    pub dataset: String,
    /// The base's licence, which binds what is derived from it.
    pub license: Option<String>,
    pub license_name: Option<String>,
    pub license_link: Option<String>,
    /// Why it starts from this base, where that was chosen for it.
    #[serde(default)]
    pub chosen: Option<Chosen>,
}
