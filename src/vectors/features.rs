//! Features of texts: the mean of their words' vectors, or the weighted mean of Arora et al. (2017, "A Simple but Tough-to-Beat
//! Baseline for Sentence Embeddings"): a word counts a / (a + p), p its share of the corpus, and what all texts have in common (the
//! first principal component, not centred) is taken away.

use rayon::prelude::*;

use super::error::{Error, Result};
use super::model::{Found, WordVectors};
use super::tokens::{Tokenizer, Tokens};

/// How words' vectors become a text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    #[default]
    Mean,
    Sif,
}

impl Pooling {
    pub const ALL: [(&'static str, Pooling); 2] = [("mean", Pooling::Mean), ("sif", Pooling::Sif)];

    pub fn parse(text: &str) -> Option<Pooling> {
        Pooling::ALL.iter().find(|(name, _)| *name == text).map(|(_, pooling)| *pooling)
    }
}

/// `a` of the weights, as the paper has it.
const SIF_A: f64 = 1e-3;
/// Rounds of the power iteration; the first component of texts stands far before the second.
const ROUNDS: usize = 50;

/// Features of some texts, and what their words were.
#[derive(Debug, Clone, PartialEq)]
pub struct TextFeatures {
    /// A row of the model's width for each text; zeros where no word has a vector.
    pub rows: Vec<Vec<f32>>,
    /// The words of each text, and those of all.
    pub each: Vec<WordCounts>,
    pub words: WordCounts,
    /// What all texts had in common and was taken away, of length 1; `None` without SIF, or where there is one text only.
    pub common: Option<Vec<f32>>,
}

/// Words of texts by where their vectors came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WordCounts {
    pub known: usize,
    /// Put together of n-grams.
    pub by_subwords: usize,
    pub unknown: usize,
    /// Texts none of whose words has a vector.
    pub empty_texts: usize,
}

impl WordCounts {
    /// Words with a vector.
    pub fn used(&self) -> usize {
        self.known + self.by_subwords
    }

    pub fn all(&self) -> usize {
        self.used() + self.unknown
    }
}

impl WordVectors {
    /// How texts are cut: as those were that the model was trained on, where it says so. Words are looked up as they stand, then in
    /// lower case.
    fn tokenizer(&self) -> Tokenizer {
        let said = self.config.model_args.as_ref().and_then(|args| args.get("tokenizer")).and_then(|name| name.as_str());
        said.and_then(Tokenizer::parse).unwrap_or_default()
    }

    /// The share of the corpus that a row's word had: by its count, else by its rank (Zipf's law: the rows of most models are
    /// sorted by frequency).
    fn share(&self, row: usize, total: f64) -> f64 {
        match self.vocabulary.count(row) {
            Some(count) => count as f64 / total,
            None => 1.0 / ((row as f64 + 1.0) * total),
        }
    }

    /// What shares are parts of: all counts, else the harmonic number that makes Zipf's shares sum to 1.
    fn total(&self) -> f64 {
        let words = self.vocabulary.len();
        match self.vocabulary.has_counts() {
            true => (0..words).filter_map(|row| self.vocabulary.count(row)).map(|count| count as f64).sum::<f64>().max(1.0),
            false => (words as f64).ln() + 0.577_215_664_901_532_9,
        }
    }

    /// Features of texts, `[texts, width]`. With SIF the common component is that of these texts, or `common` where it is given: what is
    /// compared must have lost the same.
    pub fn features<T: AsRef<str> + Sync>(&self, texts: &[T], pooling: Pooling, common: Option<&[f32]>) -> Result<TextFeatures> {
        if common.is_some_and(|common| common.len() != self.width()) {
            return Err(Error::invalid("common", format!("it is not as wide as the model, {}", self.width())));
        }
        let total = if pooling == Pooling::Sif { self.total() } else { 1.0 };
        let made: Vec<(Vec<f32>, WordCounts)> = texts.par_iter().map(|text| self.pooled(text.as_ref(), pooling, total)).collect();
        let mut words = WordCounts::default();
        let (mut rows, mut each) = (Vec::with_capacity(made.len()), Vec::with_capacity(made.len()));
        for (row, of) in made {
            each.push(of);
            words.known += of.known;
            words.by_subwords += of.by_subwords;
            words.unknown += of.unknown;
            words.empty_texts += of.empty_texts;
            rows.push(row);
        }
        let common = match (pooling, common) {
            (Pooling::Mean, _) => None,
            (Pooling::Sif, Some(common)) => Some(common.to_vec()),
            (Pooling::Sif, None) if rows.len() > 1 => first_component(&rows),
            (Pooling::Sif, None) => None,
        };
        if let Some(common) = &common {
            rows.par_iter_mut().for_each(|row| {
                let along: f32 = row.iter().zip(common).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(common).for_each(|(value, common)| *value -= along * common);
            });
        }
        Ok(TextFeatures { rows, each, words, common })
    }

    fn pooled(&self, text: &str, pooling: Pooling, total: f64) -> (Vec<f32>, WordCounts) {
        let mut tokens = Tokens::default();
        self.tokenizer().cut(text, &mut tokens);
        let (mut sum, mut vector) = (vec![0.0f32; self.width()], vec![0.0f32; self.width()]);
        let mut counts = WordCounts::default();
        for word in tokens.iter() {
            let found = self.look_up(word, &mut vector);
            let found = match found {
                Some(Found::Word(_)) => found,
                // A known word in lower case says more than parts of the word as it stands.
                _ => match self.vocabulary.find(&word.to_lowercase()) {
                    Some(row) => {
                        self.vectors.read(row, &mut vector);
                        Some(Found::Word(row))
                    }
                    None => found,
                },
            };
            let weight = match (pooling, found) {
                (_, None) => {
                    counts.unknown += 1;
                    continue;
                }
                (Pooling::Mean, _) | (Pooling::Sif, Some(Found::Subwords(_))) => 1.0,
                (Pooling::Sif, Some(Found::Word(row))) => (SIF_A / (SIF_A + self.share(row, total))) as f32,
            };
            match found {
                Some(Found::Subwords(_)) => counts.by_subwords += 1,
                _ => counts.known += 1,
            }
            sum.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += weight * value);
        }
        let used = counts.used();
        counts.empty_texts = usize::from(used == 0);
        sum.iter_mut().for_each(|value| *value /= used.max(1) as f32);
        (sum, counts)
    }
}

/// The direction in which rows are longest together, by power iteration; `None` where all are zeros.
fn first_component(rows: &[Vec<f32>]) -> Option<Vec<f32>> {
    let width = rows.first()?.len();
    // The mean is seldom at right angles to it, and the same on every machine.
    let mut direction = vec![0.0f64; width];
    rows.iter().for_each(|row| direction.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value)));
    if direction.iter().all(|value| *value == 0.0) {
        direction = rows.iter().find(|row| row.iter().any(|value| *value != 0.0))?.iter().map(|value| f64::from(*value)).collect();
    }
    for _ in 0..ROUNDS {
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length <= 0.0 {
            return None;
        }
        direction.iter_mut().for_each(|value| *value /= length);
        let mut next = vec![0.0f64; width];
        for row in rows {
            let along: f64 = row.iter().zip(&direction).map(|(value, direction)| f64::from(*value) * direction).sum();
            next.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * f64::from(*value));
        }
        direction = next;
    }
    let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
    (length > 0.0).then(|| direction.iter().map(|value| (value / length) as f32).collect())
}
