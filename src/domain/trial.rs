//! The trials of a sweep as they go: each run of one is a job of its own, and the sweep publishes the best of them.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::JobId;
use super::job::JobState;
/// The files that a trial keeps for its sweep beside its report; those of a trial that is not the best are not kept to the end.
pub use super::model_files::MADE as MODEL_FILES;
pub use super::model_files::WEIGHTS;

/// Which item was for what, among those of its report.
pub const SPLIT: &str = "split.csv";

/// One run of a trial. A trial that goes on to the next rung of a halving has another, from the beginning: with more epochs it learns
/// at other rates.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRun {
    pub job: JobId,
    /// Of the trial, from 1, in the order of the sweep.
    pub number: u32,
    /// From 0; each gives its trials more epochs.
    pub rung: u32,
    pub epochs: u32,
    /// What it tries: `epochs=5, lr=0.001`.
    pub settings: String,
    pub state: JobState,
    /// By the task's first measure on the validation items; nothing until it has come to its end.
    pub reached: Option<f64>,
    pub loss: Option<f64>,
    /// Why it came to nothing.
    pub error: Option<String>,
}

impl TrialRun {
    /// The better first: by the measure, then by the loss, then by their order.
    fn order(&self, other: &TrialRun, rises: bool) -> Ordering {
        let merit = |run: &TrialRun| run.reached.map_or(f64::NEG_INFINITY, |reached| if rises { reached } else { -reached });
        let loss = |run: &TrialRun| run.loss.unwrap_or(f64::INFINITY);
        merit(other).total_cmp(&merit(self)).then(loss(self).total_cmp(&loss(other))).then(self.number.cmp(&other.number))
    }

    pub fn has_succeeded(&self) -> bool {
        self.state == JobState::Succeeded
    }
}

/// Those of a rung that came to their end, the best first. `rises`: more of the measure is better.
pub fn ranked(runs: &[TrialRun], rung: u32, rises: bool) -> Vec<&TrialRun> {
    let mut done: Vec<&TrialRun> = runs.iter().filter(|run| run.rung == rung && run.has_succeeded()).collect();
    done.sort_by(|a, b| a.order(b, rises));
    done
}

/// Those that can be published: of the highest rung that has any, the best first. More epochs count for more than better numbers.
pub fn standing(runs: &[TrialRun], rises: bool) -> Vec<&TrialRun> {
    let rung = runs.iter().filter(|run| run.has_succeeded()).map(|run| run.rung).max();
    rung.map(|rung| ranked(runs, rung, rises)).unwrap_or_default()
}

/// The rung that runs now, or ran last.
pub fn newest_rung(runs: &[TrialRun]) -> u32 {
    runs.iter().map(|run| run.rung).max().unwrap_or(0)
}

/// What the job of a sweep is told when its trials are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concluded {
    /// Each trial as its longest run ended, in their order.
    pub trials: Vec<Tried>,
    /// Those whose models it is given, the best first.
    pub standing: Vec<Standing>,
    /// The headline of the best.
    pub headline: Value,
}

/// A trial that could be published.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub trial: u32,
    pub reached: f64,
}

/// A line of the table that a sweep leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    pub trial: u32,
    pub settings: String,
    /// It was given at last.
    pub epochs: u32,
    pub reached: Option<f64>,
    pub loss: Option<f64>,
    pub error: Option<String>,
}

/// Each trial as its longest run ended.
pub fn table(runs: &[TrialRun]) -> Vec<Tried> {
    let mut last: Vec<&TrialRun> = Vec::new();
    for run in runs {
        match last.iter_mut().find(|known| known.number == run.number) {
            Some(known) if known.rung < run.rung => *known = run,
            Some(_) => {}
            None => last.push(run),
        }
    }
    last.sort_by_key(|run| run.number);
    let line = |run: &TrialRun| Tried {
        trial: run.number,
        settings: run.settings.clone(),
        epochs: run.epochs,
        reached: run.reached,
        loss: run.loss,
        error: run.error.clone(),
    };
    last.into_iter().map(line).collect()
}

/// What a file of a trial is called where the sweep's own job is given it.
pub fn given_name(trial: u32, file: &str) -> String {
    format!("trial-{trial}-{file}")
}

#[cfg(test)]
mod tests {
    use super::super::time::Timestamp;
    use super::*;

    fn run(number: u32, rung: u32, reached: Option<f64>) -> TrialRun {
        TrialRun {
            job: JobId::new(Timestamp::from_unix_ms(i64::from(rung)), [number as u8; 10]),
            number,
            rung,
            epochs: 1 << rung,
            settings: format!("lr={number}"),
            state: if reached.is_some() { JobState::Succeeded } else { JobState::Failed },
            reached,
            loss: reached.map(|reached| 1.0 - reached),
            error: reached.is_none().then(|| "it diverged".to_owned()),
        }
    }

    #[test]
    fn the_best_is_of_the_highest_rung_that_came_to_anything() {
        let numbers = |runs: Vec<&TrialRun>| runs.iter().map(|run| run.number).collect::<Vec<_>>();
        let mut runs = vec![run(1, 0, Some(0.5)), run(2, 0, Some(0.9)), run(3, 0, None), run(4, 0, Some(0.9))];
        assert_eq!(numbers(standing(&runs, true)), [2, 4, 1], "among equals the first");
        assert_eq!(numbers(ranked(&runs, 0, false)), [1, 2, 4], "of an error the least is best");
        runs.push(run(2, 1, None));
        assert_eq!(numbers(standing(&runs, true)), [2, 4, 1], "a rung of failures changes nothing");
        runs.push(run(4, 1, Some(0.8)));
        assert_eq!((numbers(standing(&runs, true)), newest_rung(&runs)), (vec![4], 1));
        let lines: Vec<_> = table(&runs).into_iter().map(|line| (line.trial, line.epochs, line.reached)).collect();
        assert_eq!(lines, [(1, 1, Some(0.5)), (2, 2, None), (3, 1, None), (4, 2, Some(0.8))]);
    }
}
