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

    /// Of word2vec's own program (Mikolov et al. 2013): CBOW, whose steps are averages over windows, learns at twice the rate of skip-gram.
    pub fn usual_rate(self) -> f32 {
        match self {
            Architecture::SkipGram => 0.025,
            Architecture::Cbow => 0.05,
        }
    }

    pub fn as_str(self) -> &'static str {
        Architecture::ALL.iter().find(|(_, architecture)| *architecture == self).map_or("skipgram", |(name, _)| name)
    }
}

impl Settings {
    /// The learning rate at the beginning.
    pub fn rate(&self) -> f32 {
        self.rate.unwrap_or(self.architecture.usual_rate())
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
    /// The learning rate falls from the first to the second in a straight line; where none is said from that of [`Architecture::usual_rate`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
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
            rate: None,
            min_rate: 0.0001,
            seed: 1,
            tokenizer: "words".into(),
            phrases: 0,
            phrase_threshold: 10.0,
            max_counted: 20_000_000,
        }
    }
}

/// Bytes of text that become a word, with the space behind it; fewer are rare.
const WORD_BYTES: f64 = 5.0;
/// A corpus of n words has about K n^B different ones (Heaps 1978). English prose has K 10 to 100 and B 0.4 to 0.6: this is beyond that,
/// for many languages, numbers and slips of the pen.
const HEAPS_K: f64 = 200.0;
const HEAPS_B: f64 = 0.6;
/// What counting takes for each different word, and for each pair that may become a phrase; and the vocabulary's own share of a word.
const COUNTED_BYTES: f64 = 112.0;
const KEPT_BYTES: f64 = 160.0;
/// The program, its buffers and those of its threads.
const FIXED_BYTES: f64 = 256.0 * 1024.0 * 1024.0;

/// What a training will need at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen {
    /// Words of the vocabulary.
    pub words: u64,
    pub memory_bytes: u64,
}

impl Settings {
    /// Of a corpus of so many bytes of text; `before` are words of the vectors it goes on from.
    pub fn foreseen(&self, corpus_bytes: u64, before: u64) -> Foreseen {
        let all = corpus_bytes as f64 / WORD_BYTES;
        let counted = (HEAPS_K * all.powf(HEAPS_B)).min(all).min(self.max_counted as f64);
        // Words that come so often at least: by Zipf's law, and never more than there is room for.
        let often = self.min_count.max(1) as f64;
        let words = (counted / often.sqrt()).min(all / often) + before as f64;
        let pairs = if self.phrases > 0 { (all / 2.0).min(self.max_counted as f64) } else { 0.0 };
        // The vectors and what they are told apart by; at the end what is stored beside them.
        let training = words * (self.width as f64 * 4.0 * 3.0 + KEPT_BYTES);
        let counting = (counted + pairs) * COUNTED_BYTES;
        Foreseen { words: words as u64, memory_bytes: (FIXED_BYTES + training.max(counting)) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_the_vocabulary_and_the_width() {
        let of = |settings: &Settings, bytes: u64| settings.foreseen(bytes, 0);
        let usual = Settings::default();
        // 20 million words: 4.8 million different at the most, 2.1 million of them often enough.
        let prose = of(&usual, 100 << 20);
        assert!((1_500_000..3_000_000).contains(&prose.words) && prose.memory_bytes < 5 << 30, "{prose:?}");
        let small = of(&usual, 10_000);
        assert!(small.words <= 400 && small.memory_bytes < 300 << 20, "{small:?}");
        let wide = of(&Settings { width: 4_096, ..usual.clone() }, 100 << 20);
        assert!(wide.words == prose.words && wide.memory_bytes > 20 * prose.memory_bytes / 2, "{wide:?}");
        let capped = of(&Settings { max_counted: 10_000, ..usual.clone() }, 1 << 40);
        assert!(capped.words <= 10_000, "{capped:?}");
        assert_eq!(usual.foreseen(10_000, 1_000).words, small.words + 1_000);
        assert!(of(&Settings { min_count: 100, ..usual.clone() }, 1 << 30).words < of(&usual, 1 << 30).words);
    }

    #[test]
    fn settings_left_out_take_their_defaults_and_unknown_ones_are_refused() {
        let read: Settings = serde_json::from_str(r#"{"architecture": "cbow", "epochs": 3}"#).unwrap();
        assert_eq!(read, Settings { architecture: Architecture::Cbow, epochs: 3, ..Settings::default() });
        assert!(serde_json::from_str::<Settings>(r#"{"epoch": 3}"#).is_err());
        assert!(Architecture::ALL.iter().all(|(name, architecture)| Architecture::parse(name) == Some(*architecture)));
    }
}
