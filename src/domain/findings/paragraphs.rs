//! What was found out, in Markdown, for a model's card.

use std::fmt::Write as _;

use super::{Calibration, Findings, Reject, Throughput};

/// A paragraph with a title for each thing there is to tell.
pub fn paragraphs(findings: &Findings) -> String {
    let mut text = String::new();
    let mut tell = |title: &str, told: Option<String>| {
        if let Some(told) = told {
            let _ = write!(text, "## {title}\n\n{told}\n\n");
        }
    };
    tell("From random weights", findings.comparison.as_ref().map(|comparison| comparison.sentence.clone()));
    tell("Learning rate", findings.rate.as_ref().map(|rate| rate.sentence.clone()));
    tell("Calibration", findings.calibration.as_ref().map(Calibration::sentence));
    tell("Scores", findings.anomalies.as_ref().map(|anomalies| format!("{}\n\n{}", anomalies.sentence(), anomalies.table())));
    tell("Unknown items", findings.reject.as_ref().map(Reject::sentence));
    tell("Speed", findings.throughput.as_ref().map(speed));
    text
}

/// On the machine that trained.
pub fn speed(throughput: &Throughput) -> String {
    format!("{:.0} items a second were trained on, {:.0} predicted, on the machine that trained.", throughput.trained, throughput.predicted)
}

impl Calibration {
    pub fn sentence(&self) -> String {
        let (error, cooled) = (100.0 * self.expected_error, 100.0 * self.expected_error_at_temperature);
        let word = match self.temperature {
            t if t > 1.05 => "surer than it is right",
            t if t < 0.95 => "less sure than it is right",
            _ => "as sure as it is right",
        };
        format!(
            "Its probabilities are off by {error:.1} points on average (expected calibration error): it is {word}. Outputs divided by a temperature of {:.2} would be off by {cooled:.1}.",
            self.temperature
        )
    }
}

impl Reject {
    pub fn sentence(&self) -> String {
        format!(
            "Items that are unlike all it was trained on are answered with `known: false`: beyond {:.3} by the {}, which keeps {:.1} % of the {} items that the bound was set by.",
            self.threshold,
            self.method,
            100.0 * self.kept,
            self.samples
        )
    }
}
