//! What is found out about a fine-tune beside its measures: whether it was worth it, how far its probabilities can be believed, how fast
//! it is, what training from nothing gives. One JSON form, for `metrics.json`, reports, pages and cards.

mod anomalies;
mod changes;
mod comparison;
mod paragraphs;
mod rate;
mod statistics;
mod usage;
mod verdict;

use serde::{Deserialize, Serialize};

pub use anomalies::{Anomalies, ScoreBin};
pub use changes::{Change, changes};
pub use comparison::Comparison;
pub use paragraphs::{paragraphs, speed};
pub use rate::FoundRate;
pub use statistics::{Spread, mean_recall, paired};
pub use usage::{Usage, Used, usage};
pub use verdict::{Basis, Compared, Scores, Verdict, Word};

/// The file that a job keeps of it: every number, the lineage, the worst mistakes.
pub const REPORT: &str = "report.json";
/// Beside it what was said about each item, a line each.
pub const PREDICTIONS: &str = "predictions.csv";

/// Everything of a run that was looked into; what could not be is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Against simpler answers to the same items; always the same answer comes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdict: Vec<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomalies: Option<Anomalies>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<FoundRate>,
}

impl Findings {
    /// Why the result is not to be published unless that is asked for: it is not better than always the same answer, or worse than
    /// the best head on the base's features, which costs less.
    pub fn objection(&self) -> Option<String> {
        let objects = |verdict: &&Verdict| match verdict.against {
            Compared::Baseline => !verdict.is_worth_it(),
            Compared::Probe => verdict.is_worse(),
        };
        let verdict = self.verdict.iter().find(objects)?;
        Some(match verdict.against {
            Compared::Baseline => verdict.sentence.clone(),
            Compared::Probe => format!("{}; the strategies `auto`, `head` and `lp-ft` start from that head", verdict.sentence),
        })
    }
}

/// How far a classifier's probabilities are those of being right (Guo et al. 2017, "On Calibration of Modern Neural Networks").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The mean distance of probability and share of right answers, over bins of equal width, weighted by their items.
    pub expected_error: f64,
    /// What outputs are divided by to have the validation items' likelihood highest: above 1, the model is surer than it is right.
    /// Told only: what is published answers without it.
    pub temperature: f64,
    /// The expected error with it, on the items it was fitted on.
    pub expected_error_at_temperature: f64,
    pub bins: Vec<Bin>,
}

/// The items whose likeliest class has a probability between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    #[serde(rename = "images")]
    pub samples: u64,
    /// The mean probability of the answers.
    pub confidence: f64,
    /// The share of right ones.
    pub accuracy: f64,
}

/// Items in a second, on the machine that trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Trained on: of `head`, kept features.
    #[serde(rename = "trained_per_second")]
    pub trained: f64,
    /// Answered, from the encoded item to the outputs.
    #[serde(rename = "predicted_per_second")]
    pub predicted: f64,
}

/// The bound beyond which an item is called unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reject {
    /// How the distance is measured, for people.
    pub method: String,
    pub threshold: f64,
    /// Share of the items of known classes that stay below it, where it was set.
    pub kept: f64,
    /// Those items.
    #[serde(rename = "images")]
    pub samples: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(against: Compared, word: Word) -> Verdict {
        let sentence = format!("{} than {against:?}", word.as_str());
        let (own, other, samples, too_few) = (0.5, 0.5, 100, false);
        Verdict { against, word, own, other, gain: None, gain_95: None, class_gain_95: None, samples, too_few, likely: false, sentence }
    }

    #[test]
    fn what_is_no_better_than_always_the_same_or_worse_than_the_probe_is_objected_to() {
        let objection = |baseline, probe| {
            let verdict = vec![verdict(Compared::Baseline, baseline), verdict(Compared::Probe, probe)];
            Findings { verdict, ..Findings::default() }.objection()
        };
        assert_eq!(objection(Word::Better, Word::Better), None);
        assert_eq!(objection(Word::Better, Word::NotBetter), None, "said, and published");
        assert_eq!(objection(Word::NotBetter, Word::Better).unwrap(), "not better than Baseline");
        let worse = objection(Word::Better, Word::Worse).unwrap();
        assert!(worse.starts_with("worse than Probe; ") && worse.contains("`lp-ft`"), "{worse}");
        assert_eq!(Findings::default().objection(), None);
    }
}
