//! How the scores of good items and of anomalies lie, and where the threshold between them is.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::domain::human;

/// Bins that scores are counted in.
const BINS: usize = 20;

/// Of a model that measures how unlike an item is the good ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomalies {
    /// Scores above it are called anomalies.
    pub threshold: f64,
    /// Share of good items that may be: what the threshold was set for.
    pub false_alarms: f64,
    /// Good items that it was set by.
    #[serde(rename = "images")]
    pub samples: u64,
    /// The split whose scores are counted here.
    pub split: String,
    /// Of equal width, from the least score to the greatest.
    pub bins: Vec<ScoreBin>,
}

/// Items with scores between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreBin {
    pub from: f64,
    pub to: f64,
    pub good: u64,
    pub anomalies: u64,
}

impl ScoreBin {
    /// Of scores, each with whether its item is an anomaly; none of no scores.
    pub fn counted(scores: &[(f64, bool)]) -> Vec<ScoreBin> {
        let (least, most) =
            scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (score, _)| (low.min(*score), high.max(*score)));
        if !(least.is_finite() && most.is_finite()) {
            return Vec::new();
        }
        let width = (most - least).max(1e-9) / BINS as f64;
        let bound = |at: usize| least + width * at as f64;
        let mut bins: Vec<ScoreBin> = (0..BINS).map(|at| ScoreBin { from: bound(at), to: bound(at + 1), good: 0, anomalies: 0 }).collect();
        for (score, anomaly) in scores {
            let bin = &mut bins[(((score - least) / width) as usize).min(BINS - 1)];
            *(if *anomaly { &mut bin.anomalies } else { &mut bin.good }) += 1;
        }
        bins
    }
}

impl Anomalies {
    pub fn sentence(&self) -> String {
        format!(
            "An image is called an anomaly where its score is above {:.4}. That was set for at most {} false alarms, by {} good images.",
            self.threshold,
            human::percent(self.false_alarms),
            self.samples
        )
    }

    /// The counts in Markdown.
    pub fn table(&self) -> String {
        let mut text = format!("| score ({}) | good | anomalies |\n| --- | --- | --- |\n", self.split);
        for bin in self.bins.iter().filter(|bin| bin.good + bin.anomalies > 0) {
            let _ = writeln!(text, "| {:.4} to {:.4} | {} | {} |", bin.from, bin.to, bin.good, bin.anomalies);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_counted_once() {
        let bins = ScoreBin::counted(&[(0.0, false), (0.04, false), (1.0, true), (0.97, false)]);
        assert_eq!(bins.len(), BINS);
        assert_eq!((bins[0].good, bins[0].anomalies, bins[19].good, bins[19].anomalies), (2, 0, 1, 1));
        assert!(ScoreBin::counted(&[]).is_empty() && ScoreBin::counted(&[(f64::NAN, true)]).is_empty());
        assert_eq!(ScoreBin::counted(&[(0.3, true)]).iter().map(|bin| bin.anomalies).sum::<u64>(), 1, "all scores alike");
        let told = Anomalies { threshold: 0.25, false_alarms: 0.05, samples: 40, split: "test".into(), bins };
        assert!(told.sentence().contains("above 0.2500") && told.sentence().contains("5.0 %"), "{}", told.sentence());
        assert_eq!(told.table().lines().count(), 4, "{}", told.table());
    }
}
