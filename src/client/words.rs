//! The calls about words, of models of word vectors.

use std::time::Duration;

use super::send::Call;
use super::{Client, Result};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::wire::words::{WordAnalogy, WordNeighbors, WordSimilarity};

/// A model that nobody used for a while is opened first.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The model, and at which revision.
pub type WordModel<'a> = (&'a RepoId, &'a Revision);

impl Client {
    /// The `limit` words nearest to one; with `exact` every word is looked at.
    pub async fn word_neighbors(&self, model: WordModel<'_>, word: &str, limit: usize, exact: bool) -> Result<WordNeighbors> {
        self.json(self.of_words(model, "neighbors", &[("word", word)], (limit, exact))).await
    }

    /// What is to `c` as `b` is to `a`.
    pub async fn word_analogy(&self, model: WordModel<'_>, [a, b, c]: [&str; 3], limit: usize, exact: bool) -> Result<WordAnalogy> {
        self.json(self.of_words(model, "analogy", &[("a", a), ("b", b), ("c", c)], (limit, exact))).await
    }

    /// The cosine between two words.
    pub async fn word_similarity(&self, model: WordModel<'_>, [a, b]: [&str; 2]) -> Result<WordSimilarity> {
        self.json(self.of_words(model, "similarity", &[("a", a), ("b", b)], (1, false))).await
    }

    fn of_words(&self, (id, revision): WordModel<'_>, verb: &str, words: &[(&'static str, &str)], (limit, exact): (usize, bool)) -> Call {
        let mut query = vec![("revision", revision.to_string()), ("limit", limit.to_string()), ("exact", exact.to_string())];
        query.extend(words.iter().map(|(key, word)| (*key, (*word).to_owned())));
        Call::get(self.address.repo(RepoKind::Model, id, &["words", verb])).query(&query).patient(PATIENCE)
    }
}
