//! Repos, versions, refs, search.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::results::ResultNumber;
use super::saved_model::SavedModel;
use crate::domain::repo as domain;
use crate::domain::search;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repo {
    /// `namespace/name`
    pub id: String,
    /// `model` or `dataset`
    pub kind: String,
    pub private: bool,
    pub summary: String,
    pub downloads: u64,
    pub created: String,
    pub updated: String,
}

/// A repo as lists and its own page show it: with its newest version and what was read in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepoDetail {
    #[serde(flatten)]
    pub repo: Repo,
    /// The version `main` names; absent while nothing is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    pub facts: Facts,
    /// In searches: what is known of a model in numbers, with where it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ResultNumber>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Version {
    pub number: u32,
    pub commit: String,
    /// sha256 of the canonical manifest
    pub manifest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// What it was made upon: a branch, or a pull request such as `refs/pr/1`
    #[serde(default = "main_branch")]
    pub branch: String,
    pub author: String,
    pub message: String,
    pub created: String,
    /// `live`, `yanked` or `deleted`
    pub state: String,
    pub files: u64,
    pub total_bytes: u64,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn main_branch() -> String {
    "main".into()
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Facts {
    pub license: String,
    pub tags: Vec<String>,
    pub task: String,
    pub modality: String,
    pub library: String,
    /// The data sets a model was trained on, as its card writes them.
    pub source_datasets: Vec<String>,
    pub base_models: Vec<String>,
    pub metrics: Vec<Metric>,
    pub architecture: String,
    pub num_features: u64,
    pub num_classes: u64,
    pub parameters: u64,
    /// Billions of multiplications with an addition for one input, where they are known.
    #[serde(skip_serializing_if = "is_zero")]
    pub gmacs: f64,
    pub image_size: u64,
    /// TensorFlow's SavedModel, where the version holds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_model: Option<SavedModel>,
    pub labels: Vec<String>,
    pub classes: u64,
    pub samples: u64,
    /// What was found in a data set's files when it was published.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub dataset_report: Value,
    pub warnings: Vec<String>,
    /// Nothing is published, and the library's index says all this: `not-fetched`, or `facts-only` where the index names no place its
    /// files could be fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Metric {
    pub dataset: String,
    pub name: String,
    pub value: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRepo {
    /// `model` or `dataset`
    pub kind: String,
    /// `namespace/name`
    pub id: String,
    #[serde(default)]
    pub private: bool,
    #[serde(default)]
    pub summary: String,
}

/// Absent keys stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PatchRepo {
    pub private: Option<bool>,
    pub summary: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ref {
    /// `main`, another branch or a tag
    pub name: String,
    /// `branch` or `tag`
    #[serde(default = "tag")]
    pub kind: String,
    pub number: u32,
    pub commit: String,
    pub updated: String,
}

fn tag() -> String {
    "tag".into()
}

/// Sets a tag or a branch to a version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRef {
    /// The version it shall name, as people type revisions.
    pub revision: String,
    /// The version number it was seen at; absent or null: it must not exist yet.
    #[serde(default)]
    pub expected: Option<u32>,
    /// True: it is a branch, which is made if it does not exist. False: a tag. Absent: what it is, a new one a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<bool>,
}

/// `{"state": "yanked"}` or `{"state": "live"}`
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchVersion {
    pub state: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchAnswer {
    pub items: Vec<RepoDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    pub total: u64,
    /// There may be more than `total`: to count on would cost too much.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    pub facets: Vec<Facet>,
    /// Where the facets are not those of all hits: of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facets_of: Option<u64>,
    /// The words that may have been meant, where nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
}

/// What somebody may be about to type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Suggestions {
    /// Names of repos, most downloaded first, then values of facets, most frequent first.
    pub items: Vec<SuggestedWord>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SuggestedWord {
    /// `model` or `dataset`
    pub kind: String,
    /// `name`, or the facet: `task`, `architecture`, `source_dataset`, `license`, `library`, `author`
    pub of: String,
    pub value: String,
    /// Downloads of a repo, or how many public repos have the value.
    pub count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Facet {
    pub name: String,
    pub values: Vec<FacetValue>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FacetValue {
    pub value: String,
    pub count: u64,
}

/// A data set a model was trained on, or a model trained on a data set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SourceDataset {
    /// As the card writes it.
    pub written: String,
    /// The repo it is here, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// `pretrained` or `fine-tuned`
    pub trained_as: String,
}

/// The models of a data set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelsOfDataset {
    pub pretrained: Vec<RepoDetail>,
    pub fine_tuned: Vec<RepoDetail>,
    /// There are others; a search by `source_dataset` pages through all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl From<domain::Repo> for Repo {
    fn from(r: domain::Repo) -> Repo {
        Repo {
            id: r.id.to_string(),
            kind: r.kind.to_string(),
            private: r.private,
            summary: r.summary,
            downloads: r.downloads,
            created: r.created.to_string(),
            updated: r.updated.to_string(),
        }
    }
}

impl From<domain::RepoSummary> for RepoDetail {
    fn from(s: domain::RepoSummary) -> RepoDetail {
        RepoDetail { repo: s.repo.into(), version: s.head.map(Version::from), facts: s.facts.into(), results: Vec::new() }
    }
}

impl From<domain::Version> for Version {
    fn from(v: domain::Version) -> Version {
        Version {
            number: v.number,
            commit: v.commit.to_string(),
            manifest: v.manifest.to_string(),
            parent: v.parent,
            branch: v.line.to_string(),
            author: v.author,
            message: v.message,
            created: v.created.to_string(),
            state: v.state.to_string(),
            files: v.files,
            total_bytes: v.total_bytes,
        }
    }
}

impl From<domain::Facts> for Facts {
    fn from(f: domain::Facts) -> Facts {
        Facts {
            license: f.license,
            tags: f.tags,
            task: f.task,
            modality: f.modality,
            library: f.library,
            source_datasets: f.source_datasets,
            base_models: f.base_models,
            metrics: f.metrics.into_iter().map(|m| Metric { dataset: m.dataset, name: m.name, value: m.value }).collect(),
            architecture: f.architecture,
            num_features: f.num_features,
            num_classes: f.num_classes,
            parameters: f.parameters,
            gmacs: f.gmacs,
            image_size: f.image_size,
            saved_model: f.saved_model.map(SavedModel::from),
            labels: f.labels,
            classes: f.classes,
            samples: f.samples,
            dataset_report: serde_json::from_str(&f.dataset_report).unwrap_or(Value::Null),
            warnings: f.warnings,
            listing: f.listing.map(|listing| listing.to_string()),
        }
    }
}

impl From<domain::Ref> for Ref {
    fn from(r: domain::Ref) -> Ref {
        Ref {
            name: r.name.to_string(),
            kind: r.kind.to_string(),
            number: r.number,
            commit: r.commit.to_string(),
            updated: r.updated.to_string(),
        }
    }
}

impl From<search::Facet> for Facet {
    fn from(f: search::Facet) -> Facet {
        Facet { name: f.name, values: f.values.into_iter().map(|(value, count)| FacetValue { value, count }).collect() }
    }
}

impl From<search::Suggestion> for SuggestedWord {
    fn from(s: search::Suggestion) -> SuggestedWord {
        SuggestedWord { kind: s.kind.to_string(), of: s.of, value: s.value, count: s.count }
    }
}

impl From<domain::SourceDataset> for SourceDataset {
    fn from(s: domain::SourceDataset) -> SourceDataset {
        SourceDataset { written: s.written, repo: s.repo.map(|id| id.to_string()), trained_as: s.trained_as.to_string() }
    }
}
