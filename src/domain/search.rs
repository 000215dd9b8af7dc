//! What a catalog search may ask, and what comes back beside the hits.

use super::name::RepoKind;

/// All given filters must hold; empty means "any".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchQuery {
    pub kind: Option<RepoKind>,
    /// Words; each must match the start of a word of name, summary, tags or card.
    pub text: String,
    pub task: String,
    pub modality: String,
    pub architecture: String,
    pub source_dataset: String,
    pub base_model: String,
    pub license: String,
    pub tag: String,
    pub library: String,
    /// Namespace.
    pub author: String,
    pub min_parameters: Option<u64>,
    pub max_parameters: Option<u64>,
    /// Without what the library only lists.
    pub here: bool,
    /// Further filters; all must hold.
    pub labels: Vec<Label>,
    pub sort: Sort,
    /// The other way round.
    pub reversed: bool,
}

/// A filter as one word of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// A tag, a library or a task.
    Word(String),
    License(String),
    SourceDataset(String),
    BaseModel(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// By match when there are words, else by downloads.
    #[default]
    Relevance,
    Downloads,
    Newest,
    /// By birth of the repo, youngest first.
    Created,
    /// By parameters for models, bytes for data sets; largest first.
    Size,
    /// By the share of first answers that are right, as cards say it; best first.
    Top1,
    Name,
}
super::user::words!(
    Sort,
    Relevance = "relevance",
    Downloads = "downloads",
    Newest = "newest",
    Created = "created",
    Size = "size",
    Top1 = "top1",
    Name = "name"
);

/// How many of the hits (before paging) have each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// `task`, `modality`, `architecture`, `source_dataset`, `license`, `author`.
    pub name: String,
    /// Most frequent first, at most 20.
    pub values: Vec<(String, u64)>,
}
