//! Everything that decides a training of Word2Vec: what a job is asked, and what stands in its plan.

use serde::{Deserialize, Serialize};

/// What predicts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// A word predicts each of its neighbours.
    #[default]
    SkipGram,
    /// The mean of a word's neighbours predicts it.
    Cbow,
}

impl Architecture {
    pub const ALL: [(&'static str, Architecture); 2] = [("skipgram", Architecture::SkipGram), ("cbow", Architecture::Cbow)];

    pub fn parse(text: &str) -> Option<Architecture> {
        Architecture::ALL.iter().find(|(name, _)| *name == text).map(|(_, architecture)| *architecture)
    }

    pub fn as_str(self) -> &'static str {
        Architecture::ALL.iter().find(|(_, architecture)| *architecture == self).map_or("skipgram", |(name, _)| name)
    }
}

/// By gensim's and word2vec's names where the words differ: `rate` is alpha.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `skipgram` or `cbow`.
    pub architecture: Architecture,
    /// Numbers of a vector.
    pub width: usize,
    /// Words on either side, at most; each time a number from 1 to this is drawn.
    pub window: usize,
    /// Rarer words are left out.
    pub min_count: u64,
    /// Words drawn as wrong answers for each right one.
    pub negative: usize,
    /// Words whose share of the corpus is above are dropped at random; 0 keeps all.
    pub sample: f64,
    /// Wrong answers are drawn by count to this power.
    pub ns_exponent: f64,
    pub epochs: usize,
    /// The learning rate falls from the first to the second in a straight line.
    pub rate: f32,
    pub min_rate: f32,
    pub seed: u64,
    /// `words` or `whitespace`.
    pub tokenizer: String,
    /// Rounds in which neighbours that stand together more often than by chance become one word.
    pub phrases: usize,
    /// The score from which they do.
    pub phrase_threshold: f64,
    /// Words counted at once; of more the rarest are forgotten.
    pub max_counted: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            architecture: Architecture::SkipGram,
            width: 100,
            window: 5,
            min_count: 5,
            negative: 5,
            sample: 1e-3,
            ns_exponent: 0.75,
            epochs: 5,
            rate: 0.025,
            min_rate: 0.0001,
            seed: 1,
            tokenizer: "words".into(),
            phrases: 0,
            phrase_threshold: 10.0,
            max_counted: 20_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_left_out_take_their_defaults_and_unknown_ones_are_refused() {
        let read: Settings = serde_json::from_str(r#"{"architecture": "cbow", "epochs": 3}"#).unwrap();
        assert_eq!(read, Settings { architecture: Architecture::Cbow, epochs: 3, ..Settings::default() });
        assert!(serde_json::from_str::<Settings>(r#"{"epoch": 3}"#).is_err());
        assert!(Architecture::ALL.iter().all(|(name, architecture)| Architecture::parse(name) == Some(*architecture)));
    }
}
