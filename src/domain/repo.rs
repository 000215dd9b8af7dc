//! Repos, their versions, and the facts the server read out of them.

use super::digest::{CommitId, Digest};
use super::id::RepoKey;
use super::mark::Mark;
use super::name::{RepoId, RepoKind};
use super::revision::{Line, RefName};
use super::saved_model::SavedModel;
use super::time::Timestamp;

/// A named place for versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    pub key: RepoKey,
    pub kind: RepoKind,
    pub id: RepoId,
    pub private: bool,
    /// One line, from the card or the owner.
    pub summary: String,
    pub downloads: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// One immutable snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub number: u32,
    pub commit: CommitId,
    pub manifest: Digest,
    pub parent: Option<u32>,
    /// What it was made upon.
    pub line: Line,
    pub author: String,
    pub message: String,
    pub created: Timestamp,
    pub state: VersionState,
    pub files: u64,
    pub total_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    Live,
    /// Hidden from `main` and lists, still there for those who pinned it.
    Yanked,
    /// Gone; the number is never given again.
    Deleted,
}
super::user::words!(VersionState, Live = "live", Yanked = "yanked", Deleted = "deleted");

/// A movable name for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    pub name: RefName,
    pub kind: RefKind,
    pub number: u32,
    pub commit: CommitId,
    pub updated: Timestamp,
}

/// A branch grows with what is committed to it, a tag stays where it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    Branch,
    Tag,
}
super::user::words!(RefKind, Branch = "branch", Tag = "tag");

/// One file of a version as pages and APIs list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    pub path: String,
    pub size_bytes: u64,
    pub digest: Digest,
    /// `None` where nobody has looked into it, or was asked for what was found.
    pub mark: Option<Mark>,
}

/// One tensor of a safetensors file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    pub file: String,
    pub name: String,
    /// As safetensors spells it: `F32`, `BF16` ...
    pub dtype: String,
    pub shape: Vec<u64>,
    pub size_bytes: u64,
}

/// What the server read in a version when it was published. Empty strings and lists mean "not said".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    // from the card
    pub license: String,
    pub tags: Vec<String>,
    /// `image-classification`, `image-feature-extraction` ...
    pub task: String,
    /// `image`, `text`, `video`, `audio`, or empty.
    pub modality: String,
    pub library: String,
    /// The data sets a model was trained on, as written in the card (`imagenet-1k`, `acme/cats`).
    pub source_datasets: Vec<String>,
    pub base_models: Vec<String>,
    pub metrics: Vec<Metric>,
    // from config.json and the weights
    pub architecture: String,
    /// Why nothing can be built here from a config.json that names an architecture; empty where it can.
    pub config_problem: String,
    pub num_features: u64,
    pub num_classes: u64,
    pub parameters: u64,
    /// Billions of multiplications with an addition for one input; 0 where nobody knows.
    pub gmacs: f64,
    pub image_size: u64,
    pub labels: Vec<String>,
    /// TensorFlow's, where the version holds one.
    pub saved_model: Option<SavedModel>,
    // of a data set
    pub classes: u64,
    pub samples: u64,
    /// The data set check's report as JSON, or empty.
    pub dataset_report: String,
    /// The card's body as safe HTML, rendered once.
    pub card_html: String,
    /// What looked wrong but did not stop the publish.
    pub warnings: Vec<String>,
    /// Nothing is published: the library's index says all this.
    pub listing: Option<Listing>,
}

/// How a repo of which nothing is published stands in the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Its files can be fetched from the upstream.
    NotFetched,
    /// The index names no place they could be fetched from.
    FactsOnly,
}
super::user::words!(Listing, NotFetched = "not-fetched", FactsOnly = "facts-only");

impl Facts {
    /// The share of items whose first answer is right, as the card says it: its first such number.
    pub fn top1(&self) -> Option<f64> {
        let named = |metric: &&Metric| matches!(metric.name.as_str(), "top1" | "top-1" | "accuracy" | "acc1" | "acc@1");
        let value = self.metrics.iter().find(named)?.value;
        match value {
            _ if (0.0..=1.0).contains(&value) => Some(value),
            // Some cards count to a hundred.
            _ if (1.0..=100.0).contains(&value) => Some(value / 100.0),
            _ => None,
        }
    }

    /// May it be the base of a fine-tune, and predict here, as far as its config.json goes?
    pub fn can_be_run(&self) -> bool {
        !self.architecture.is_empty() && self.config_problem.is_empty()
    }
}

/// A number somebody measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub dataset: String,
    pub name: String,
    pub value: f64,
}

/// A repo as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RepoSummary {
    pub repo: Repo,
    /// Absent while nothing is published.
    pub head: Option<Version>,
    pub facts: Facts,
    /// `head` is the one that lists show, or would be.
    pub is_newest: bool,
}

/// How a model relates to a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainedAs {
    /// Its card names the data set and no base model.
    Pretrained,
    /// It was made from a base model on this data set.
    FineTuned,
}
super::user::words!(TrainedAs, Pretrained = "pretrained", FineTuned = "fine-tuned");

/// A data set named by a model's card: a repo here, or only a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDataset {
    pub written: String,
    pub repo: Option<RepoId>,
    pub trained_as: TrainedAs,
}
