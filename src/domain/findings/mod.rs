//! What is found out about a fine-tune beside its measures: whether it was worth it, how far its probabilities can be believed, how fast
//! it is, what training from nothing gives. One JSON form, for `metrics.json`, reports, pages and cards.

mod changes;
mod comparison;
mod paragraphs;
mod statistics;
mod usage;
mod verdict;

use serde::{Deserialize, Serialize};

pub use changes::{Change, changes};
pub use comparison::Comparison;
pub use paragraphs::{paragraphs, speed};
pub use statistics::{Spread, mean_recall, paired};
pub use usage::{Usage, usage};
pub use verdict::{Compared, Scores, Verdict, Word};

/// The file that a job keeps of it: every number, the lineage, the worst mistakes.
pub const REPORT: &str = "report.json";

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
}

impl Findings {
    /// Why the result is not to be published unless that is asked for: it is not better than always the same answer.
    pub fn objection(&self) -> Option<String> {
        let baseline = self.verdict.iter().find(|verdict| verdict.against == Compared::Baseline)?;
        (!baseline.is_worth_it()).then(|| baseline.sentence.clone())
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
