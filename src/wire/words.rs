//! What models of word vectors say about words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A word and its cosine with what was asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NearWord {
    pub word: String,
    /// From -1 to 1.
    pub similarity: f32,
}

/// The words nearest to one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WordNeighbors {
    /// `namespace/name@version`
    pub model: String,
    pub word: String,
    /// So many n-grams the word was put together of, where it has no row of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subwords: Option<usize>,
    /// Nearest first.
    pub neighbors: Vec<NearWord>,
    /// Whether every word was looked at; of large vocabularies the most promising lists are, unless `exact` asks for more.
    pub exact: bool,
}

/// What is to `c` as `b` is to `a`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WordAnalogy {
    /// `namespace/name@version`
    pub model: String,
    pub a: String,
    pub b: String,
    pub c: String,
    /// Nearest first.
    pub answers: Vec<NearWord>,
    pub exact: bool,
}

/// The cosine between two words.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WordSimilarity {
    /// `namespace/name@version`
    pub model: String,
    pub a: String,
    pub b: String,
    /// From -1 to 1.
    pub similarity: f32,
}

/// Train word vectors on a data set of text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWord2vec {
    /// A data set, `namespace/name` with an optional `@revision`: its files of text, packed ones and those in archives, too.
    pub dataset: String,
    /// Where the result is published.
    pub name: String,
    #[serde(default)]
    pub private: bool,
    /// Vectors to go on from, `namespace/name` with an optional `@revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Keys left out take their defaults: `architecture` (skipgram or cbow), `width`, `window`, `min_count`, `negative`, `sample`, `epochs`,
    /// `rate`, `seed`, `tokenizer` (words or whitespace), `phrases` ...
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: crate::domain::word2vec::Settings,
    /// `f32`, `f16` or `int8`: how the result is stored; f32 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Threads; as many as the worker has if left out. With one the same seed makes the same vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Of the result, such as `apache-2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}
