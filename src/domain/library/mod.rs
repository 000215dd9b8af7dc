//! The library: what this hub knows of models and data sets before their files are here. Facts come from published cards and
//! tables of results, each with its source; they lie as data in `library/*.toml`, one file a family (`shipped`), or in a file of
//! whoever runs the hub.

pub mod bundle;
mod card;
mod parse;
mod shipped;

use serde::{Deserialize, Serialize};

pub use parse::{FORMAT, IndexError};
pub use shipped::FILES as SHIPPED;

use super::digest::Digest;
use super::name::RepoKind;

/// Everything an index lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    pub entries: Vec<Entry>,
    /// Another text is another version.
    pub version: String,
}

/// A model or a data set, as the index describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    Model(Box<ModelEntry>),
    Dataset(Box<DatasetEntry>),
}

/// A model. What could not be checked is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelEntry {
    /// In the namespace `library`.
    pub name: String,
    /// Further names that lead here.
    pub aliases: Vec<String>,
    pub architecture: String,
    /// The library that loads it, as cards call it.
    pub library: String,
    /// As the Hugging Face Hub names tasks.
    pub task: String,
    pub modality: String,
    /// SPDX-like; empty where nobody says.
    pub license: String,
    pub parameters: u64,
    /// Width of the features.
    pub features: u64,
    pub classes: u64,
    /// Longest text.
    pub tokens: u64,
    /// Words it has vectors of.
    pub vocabulary: u64,
    /// Billions of multiplications with an addition, for one input of this size.
    pub gmacs: f64,
    /// Millions of numbers that its layers hand on.
    pub mactivations: f64,
    /// Channels, for video frames, height and width.
    pub input: Vec<u64>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    pub interpolation: String,
    pub crop_pct: f64,
    /// The data sets of each stage, in the order in which it saw them.
    pub trained_on: Vec<Vec<String>>,
    pub papers: Vec<String>,
    /// The repo at the upstream.
    pub upstream: String,
    /// Of that; empty for `main`.
    pub revision: String,
    /// Where its makers give it, when no upstream has it.
    pub elsewhere: String,
    /// The first hex digits of the sha256 of the file there.
    pub sha256_begins: String,
    /// Files that must hash to this; what is not listed is pinned when it comes for the first time.
    pub weights: Vec<Pin>,
    /// Where the facts come from.
    pub from: Vec<String>,
    pub results: Vec<Measured>,
}

/// A data set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetEntry {
    pub name: String,
    pub aliases: Vec<String>,
    pub pretty_name: String,
    pub modality: String,
    pub samples: u64,
    /// What is counted.
    pub unit: String,
    pub classes: u64,
    pub license: String,
    /// What the licence means, in words.
    pub terms: String,
    pub homepage: String,
    pub year: u64,
    pub papers: Vec<String>,
    /// What is known to be wrong with it.
    pub problems: Vec<String>,
}

/// A file and what it must hash to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub path: String,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// A number that somebody published.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The data set or benchmark.
    pub on: String,
    /// `top1`, `top5`, `zero-shot-top1` ... Shares are of one, averages of benchmarks as their source prints them.
    pub measure: String,
    pub value: f64,
    /// Side of the input, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    pub source: String,
}

/// How models of word vectors are called where networks have an architecture.
const WORD_VECTORS: [&str; 3] = ["word2vec", "glove", "fasttext"];

impl ModelEntry {
    /// Whether it is no network but a vector for each word.
    pub fn is_word_vectors(&self) -> bool {
        WORD_VECTORS.contains(&self.architecture.as_str())
    }
}

impl Index {
    /// The index that came with the program.
    pub fn shipped() -> Result<Index, IndexError> {
        parse::read(SHIPPED.iter().map(|(name, text)| (*name, *text)))
    }

    /// The version of the index that came with the program, without reading it.
    pub fn shipped_version() -> String {
        parse::version(SHIPPED.iter().map(|(_, text)| *text))
    }

    /// One of a file; `name` is for what is said of it.
    pub fn read(name: &str, text: &str) -> Result<Index, IndexError> {
        parse::read(std::iter::once((name, text)))
    }
}

impl Entry {
    pub fn kind(&self) -> RepoKind {
        match self {
            Entry::Model(_) => RepoKind::Model,
            Entry::Dataset(_) => RepoKind::Dataset,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Entry::Model(model) => &model.name,
            Entry::Dataset(dataset) => &dataset.name,
        }
    }

    pub fn aliases(&self) -> &[String] {
        match self {
            Entry::Model(model) => &model.aliases,
            Entry::Dataset(dataset) => &dataset.aliases,
        }
    }

    /// The repo at the upstream its files are fetched from, if the index names one.
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Entry::Model(model) => Some(model.upstream.as_str()).filter(|upstream| !upstream.is_empty()),
            Entry::Dataset(_) => None,
        }
    }

    /// What its files must hash to.
    pub fn pins(&self) -> &[Pin] {
        match self {
            Entry::Model(model) => &model.weights,
            Entry::Dataset(_) => &[],
        }
    }

    /// The data sets of each stage of its training.
    pub fn stages(&self) -> &[Vec<String>] {
        match self {
            Entry::Model(model) => &model.trained_on,
            Entry::Dataset(_) => &[],
        }
    }
}

impl Pin {
    /// `None`: nothing is said of this file, or it is what is said.
    pub fn problem(pins: &[Pin], path: &str, digest: &Digest) -> Option<String> {
        let pin = pins.iter().find(|pin| pin.path == path)?;
        let found = digest.to_hex();
        (pin.sha256 != found).then(|| format!("'{path}' is sha256 {found} instead of {}", pin.sha256))
    }
}
