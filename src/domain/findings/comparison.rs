//! Two runs over the same items: one from a base, one from random weights.

use serde::{Deserialize, Serialize};

use crate::domain::job_event::EpochNumbers;
use crate::domain::task::Task;

/// Share of the way from always the same answer to the best that is to be gone.
const MOST_OF_THE_WAY: f64 = 0.9;

/// The same items and epochs from random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Of the run from random weights.
    pub epochs: Vec<EpochNumbers>,
    /// The best validation value of the first measure, from the base and from random weights.
    pub tuned_best: f64,
    pub scratch_best: f64,
    /// The first epoch with 90 % of the way from always the same answer to the better of the two; none where it was never gone.
    pub tuned_epochs_to_90: Option<u32>,
    pub scratch_epochs_to_90: Option<u32>,
    /// In all epochs.
    pub tuned_seconds: f64,
    pub scratch_seconds: f64,
    pub sentence: String,
}

impl Comparison {
    /// Of the epochs of both; `None` where one of them has none.
    pub fn of(task: Task, baseline: f64, tuned: &[EpochNumbers], scratch: Vec<EpochNumbers>) -> Option<Comparison> {
        let rises = task.primary().rises;
        let best = |epochs: &[EpochNumbers]| {
            let values = epochs.iter().map(EpochNumbers::val_primary).filter(|value| value.is_finite());
            if rises { values.reduce(f64::max) } else { values.reduce(f64::min) }
        };
        let (tuned_best, scratch_best) = (best(tuned)?, best(&scratch)?);
        let goal = if rises { tuned_best.max(scratch_best) } else { tuned_best.min(scratch_best) };
        let bar = baseline + MOST_OF_THE_WAY * (goal - baseline);
        let there = |epochs: &[EpochNumbers]| {
            let reached = |value: f64| if rises { value >= bar } else { value <= bar };
            epochs.iter().find(|epoch| reached(epoch.val_primary())).map(|epoch| epoch.epoch)
        };
        let seconds = |epochs: &[EpochNumbers]| epochs.iter().map(|epoch| epoch.seconds).sum();
        let mut comparison = Comparison {
            tuned_best,
            scratch_best,
            tuned_epochs_to_90: there(tuned),
            scratch_epochs_to_90: there(&scratch),
            tuned_seconds: seconds(tuned),
            scratch_seconds: seconds(&scratch),
            epochs: scratch,
            sentence: String::new(),
        };
        comparison.sentence = comparison.said(task, rises);
        Some(comparison)
    }

    fn said(&self, task: Task, rises: bool) -> String {
        let primary = task.primary();
        let (tuned, scratch) = (primary.show(self.tuned_best, 3), primary.show(self.scratch_best, 3));
        let ahead = if rises { self.tuned_best > self.scratch_best } else { self.tuned_best < self.scratch_best };
        let way = |epoch: Option<u32>| epoch.map_or("not at all".to_owned(), |epoch| format!("in epoch {epoch}"));
        let word = match (ahead, self.tuned_best == self.scratch_best) {
            (_, true) => "The base ended level with random weights",
            (true, _) => "The base ended ahead of random weights",
            _ => "Random weights ended ahead of the base",
        };
        format!(
            "{word}: {} {tuned} from the base, {scratch} from random weights over as many epochs. 90 % of the way was gone {} from the base and {} from random weights.",
            primary.title,
            way(self.tuned_epochs_to_90),
            way(self.scratch_epochs_to_90),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(values: &[f64]) -> Vec<EpochNumbers> {
        let epoch = |(at, value): (usize, &f64)| EpochNumbers {
            task: Task::Classification,
            epoch: at as u32 + 1,
            epochs: values.len() as u32,
            train_loss: 1.0,
            train_primary: 0.5,
            val_loss: 1.0,
            val: vec![*value, 1.0, 0.5],
            lr: 0.01,
            samples_per_second: 100.0,
            seconds: 2.0,
            eta_seconds: 1.0,
            best: true,
        };
        values.iter().enumerate().map(epoch).collect()
    }

    #[test]
    fn faster_and_not_always_better() {
        // From 0.5 to 0.9: 90 % of the way is 0.86.
        let found = Comparison::of(Task::Classification, 0.5, &epochs(&[0.8, 0.87, 0.88]), epochs(&[0.5, 0.6, 0.9])).unwrap();
        assert_eq!((found.tuned_epochs_to_90, found.scratch_epochs_to_90), (Some(2), Some(3)));
        assert_eq!((found.tuned_best, found.scratch_best, found.scratch_seconds), (0.88, 0.9, 6.0));
        assert!(found.sentence.starts_with("Random weights ended ahead of the base: top-1 88.00 %"), "{}", found.sentence);
        let slow = Comparison::of(Task::Classification, 0.5, &epochs(&[0.9]), epochs(&[0.6])).unwrap();
        assert_eq!(slow.scratch_epochs_to_90, None);
        assert!(slow.sentence.contains("in epoch 1 from the base and not at all from random weights"), "{}", slow.sentence);
        assert!(Comparison::of(Task::Classification, 0.5, &[], epochs(&[0.6])).is_none());
    }
}
