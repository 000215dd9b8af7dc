//! What a catalog search may ask, and what comes back beside the hits.

use super::name::RepoKind;
use super::repo::TrainedAs;

/// All given filters must hold; empty means "any".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchQuery {
    pub kind: Option<RepoKind>,
    /// Words; each must match the start of a word of name, summary, tags or card.
    pub text: String,
    pub task: String,
    pub modality: String,
    pub architecture: String,
    /// A data set it comes from, through any number of bases.
    pub source_dataset: String,
    /// What its card names as its base.
    pub base_model: String,
    pub license: String,
    pub tag: String,
    pub library: String,
    /// Namespace.
    pub author: String,
    pub min_parameters: Option<u64>,
    pub max_parameters: Option<u64>,
    /// The share of first answers that are right, as cards say it: 0 to 1.
    pub min_top1: Option<f64>,
    pub max_top1: Option<f64>,
    /// Filters that several values pass; all filters must hold.
    pub choices: Vec<Choice>,
    /// Without what the library only lists.
    pub here: bool,
    /// Only what can be run and fine-tuned here.
    pub runs: bool,
    /// Further filters; all must hold.
    pub labels: Vec<Label>,
    pub sort: Sort,
    /// Sorted by this number of cards instead, highest first, without what does not say it. Its name as cards write it.
    pub measure: String,
    /// Without facets, for those who would not look at them.
    pub plain: bool,
    /// The other way round.
    pub reversed: bool,
}

/// One of these values of a facet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub by: ChoiceBy,
    pub values: Vec<String>,
}

/// What several values may be given of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceBy {
    Task,
    Modality,
    Architecture,
    SourceDataset,
    BaseModel,
    License,
    Tag,
    Library,
    Author,
}
super::user::words!(
    ChoiceBy,
    Task = "task",
    Modality = "modality",
    Architecture = "architecture",
    SourceDataset = "source_dataset",
    BaseModel = "base_model",
    License = "license",
    Tag = "tag",
    Library = "library",
    Author = "author"
);

/// A filter as one word of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// A tag, a library or a task.
    Word(String),
    License(String),
    /// Its card names the data set.
    SourceDataset(String),
    BaseModel(String),
    /// Its card names the data set, and a base or none.
    TrainedOn(TrainedAs, String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// By match when there are words, else by what speaks for a repo: downloads, that it is here and runs here, its first answers that are right,
    /// its age.
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
    /// By the licence's name; what has none comes last.
    License,
    /// By the name of the first data set it was trained on.
    Dataset,
}
super::user::words!(
    Sort,
    Relevance = "relevance",
    Downloads = "downloads",
    Newest = "newest",
    Created = "created",
    Size = "size",
    Top1 = "top1",
    Name = "name",
    License = "license",
    Dataset = "dataset"
);

/// How many of the hits (before paging) have each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// `task`, `modality`, `architecture`, `source_dataset`, `license`, `author`.
    pub name: String,
    /// Most frequent first, at most 20.
    pub values: Vec<(String, u64)>,
}

/// Something that what was typed may become: the name of a repo, or a value of a facet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Of a repo, or of the repos that have the value.
    pub kind: RepoKind,
    /// `name` of a repo, else the facet.
    pub of: String,
    pub value: String,
    /// Downloads of a repo; how many public repos have a value.
    pub count: u64,
}
