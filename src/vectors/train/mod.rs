//! Word2Vec (Mikolov et al. 2013, "Efficient Estimation of Word Representations in Vector Space" and "Distributed Representations of
//! Words and Phrases and their Compositionality"): skip-gram and CBOW with negative sampling, subsampling of frequent words, dynamic
//! windows and phrases.
//!
//! The corpus is read once (`corpus`, `tokens`), counted, and written as numbers of words into the working folder (`prepare`, `phrases`);
//! epochs read those. Threads take batches of sentences and change the same matrices without locks (`kernel`, `weights`: hogwild). The
//! working folder holds all that a run needs to go on after it was ended (`checkpoint`, `run`).

mod checkpoint;
mod corpus;
mod kernel;
mod phrases;
mod prepare;
mod run;
mod sampling;
mod weights;

pub use checkpoint::{PLAN_FILE, STATE_FILE};
pub use corpus::Corpus;
pub use run::{Request, train};
#[cfg(test)]
pub(super) use sampling::Random;

pub use crate::domain::word2vec::{Architecture, Settings};

use super::error::{Error, Result};
use super::tokens::Tokenizer;

impl Settings {
    pub fn tokenizer(&self) -> Tokenizer {
        Tokenizer::parse(&self.tokenizer).unwrap_or_default()
    }

    /// Refuses what no training has.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the setting's name.
    pub fn check(&self) -> Result<()> {
        let within = |setting, is_good: bool, problem: &str| if is_good { Ok(()) } else { Err(Error::invalid(setting, problem)) };
        let is_rate = |rate: f32| rate.is_finite() && rate > 0.0 && rate <= 1.0;
        within("width", (1..=4096).contains(&self.width), "not between 1 and 4096")?;
        within("window", (1..=1000).contains(&self.window), "not between 1 and 1000")?;
        within("negative", (1..=100).contains(&self.negative), "not between 1 and 100")?;
        within("epochs", (1..=10_000).contains(&self.epochs), "not between 1 and 10000")?;
        within("min-count", self.min_count >= 1, "not 1 or more")?;
        within("sample", self.sample.is_finite() && (0.0..1.0).contains(&self.sample), "not from 0 to below 1")?;
        within("ns-exponent", self.ns_exponent.is_finite() && self.ns_exponent.abs() <= 4.0, "not between -4 and 4")?;
        within("rate", is_rate(self.rate()), "not above 0 and up to 1")?;
        within("min-rate", is_rate(self.min_rate) && self.min_rate <= self.rate(), "not above 0 and up to the rate")?;
        within("phrases", self.phrases <= 4, "more than 4 rounds")?;
        within("phrase-threshold", self.phrase_threshold.is_finite() && self.phrase_threshold > 0.0, "not above 0")?;
        within("tokenizer", Tokenizer::parse(&self.tokenizer).is_some(), "choose `words` or `whitespace`")?;
        within("max-counted", self.max_counted >= 1000, "not 1000 or more")
    }
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Lines of text are read for the first time: words so far, and how many different ones.
    Counting { words: u64, different: usize },
    /// Words trained on, of all in all epochs; the mean loss of a word's predictions lately, in nats.
    Training { words: u64, total: u64, epoch: usize, loss: f64, words_per_second: f64 },
    /// What a run needs to go on was written.
    Checkpoint,
}

/// Whether to go on, asked after each report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoOn {
    Yes,
    /// End after a checkpoint.
    No,
}

/// What a training made.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub stored: super::Stored,
    /// Words of the corpus.
    pub corpus_words: u64,
    /// Of them those that are in the vocabulary.
    pub known_words: u64,
    /// Words taken over from earlier vectors, and those that stand in the corpus too.
    pub taken_over: (usize, usize),
    pub words_per_second: f64,
    pub notes: Vec<String>,
}
