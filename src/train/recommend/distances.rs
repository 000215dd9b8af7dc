//! Of anomalies: how well the distance to good items tells them from other good ones, which is all that a run of that task does with
//! a backbone's features.

use crate::data::{Sample, Split, Target};
use crate::nn::Distance;
use crate::train::error::{Error, Result};
use crate::train::tasks::NEIGHBOURS;

/// What distances on the features of one backbone are worth. More is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    /// Of each anomaly, the share of good items that are nearer; an equal one counts half. None where there are no anomalies.
    above: Vec<f64>,
    /// Of each good item, the share of anomalies that are further.
    below: Vec<f64>,
}

/// Scores features in rows of `width`, one for each of `samples`: the good ones of the training split are known; those of the validation
/// split, or the known ones each without itself where that has none, are held against all anomalies.
///
/// # Errors
/// There are no features of good items to know.
pub fn measure(rows: &[f32], width: usize, samples: &[&Sample]) -> Result<Distances> {
    let of = |wanted: &dyn Fn(&Sample) -> bool| -> Vec<f32> {
        let own = rows.chunks_exact(width.max(1)).zip(samples).filter(|(_, sample)| wanted(sample));
        own.flat_map(|(row, _)| row).copied().collect()
    };
    let nothing = "its features of the good items are zeros, or none of these can be read; check that they open in a viewer";
    let known = Distance::new(width, &of(&|sample| is_good(sample) && sample.split == Split::Train), NEIGHBOURS)
        .map_err(|_| Error::Unsupported(nothing.into()))?;
    let scores = |rows: Vec<f32>| -> Vec<f32> { rows.chunks_exact(width.max(1)).map(|row| known.of(row)).collect() };
    let anomalies = scores(of(&|sample| !is_good(sample)));
    let held = scores(of(&|sample| is_good(sample) && sample.split != Split::Train));
    let good = if held.is_empty() && !anomalies.is_empty() { known.left_out() } else { held };
    Ok(Distances::between(&good, &anomalies))
}

/// Whether it is no anomaly.
pub fn is_good(sample: &Sample) -> bool {
    matches!(sample.target, Target::Class(0))
}

impl Distances {
    fn between(good: &[f32], anomalies: &[f32]) -> Distances {
        Distances {
            above: placements(anomalies, good),
            // The same pairs from the other side: the share that is not nearer.
            below: placements(good, anomalies).into_iter().map(|share| 1.0 - share).collect(),
        }
    }

    /// The share of pairs of an anomaly and a good item in which the anomaly is further away; `None` where there is no pair.
    pub fn auroc(&self) -> Option<f64> {
        let pairs = !self.above.is_empty() && !self.below.is_empty();
        pairs.then(|| self.above.iter().sum::<f64>() / self.above.len() as f64)
    }

    /// By how much its AUROC is ahead of another one's on the same items, and the standard error of that (DeLong, DeLong and
    /// Clarke-Pearson 1988).
    pub fn ahead(&self, other: &Distances) -> (f64, f64) {
        if self.auroc().is_none() || other.auroc().is_none() {
            return (0.0, 0.0);
        }
        let ((mean, of_anomalies), (_, of_good)) = (super::ahead(&self.above, &other.above), super::ahead(&self.below, &other.below));
        (mean, of_anomalies.hypot(of_good))
    }

    /// Anomalies, and good items they were held against.
    pub fn counts(&self) -> (usize, usize) {
        (self.above.len(), self.below.len())
    }
}

/// Of each, the share of the others that are smaller; equal ones count half.
fn placements(of: &[f32], others: &[f32]) -> Vec<f64> {
    let mut sorted = others.to_vec();
    sorted.sort_by(f32::total_cmp);
    let share = |value: &f32| {
        let smaller = sorted.partition_point(|other| other.total_cmp(value).is_lt());
        let not_larger = sorted.partition_point(|other| other.total_cmp(value).is_le());
        0.5 * (smaller + not_larger) as f64 / sorted.len().max(1) as f64
    };
    of.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(split: Split, class: u32) -> Sample {
        Sample { id: 0, target: Target::Class(class), split, path: String::new() }
    }

    #[test]
    fn pairs_are_counted_as_by_hand() {
        // Of nine pairs seven stand right and one is even.
        let found = Distances::between(&[0.1, 0.2, 0.6], &[0.2, 0.8, 0.9]);
        assert!((found.auroc().unwrap() - 7.5 / 9.0).abs() < 1e-12);
        let from_below = found.below.iter().sum::<f64>() / 3.0;
        assert!((from_below - 7.5 / 9.0).abs() < 1e-12, "from either side the same: {from_below}");
        assert_eq!((found.counts(), found.ahead(&found)), ((3, 3), (0.0, 0.0)));
        let better = Distances::between(&[0.1, 0.2, 0.3], &[0.7, 0.8, 0.9]);
        let (ahead, error) = better.ahead(&found);
        assert!((ahead - 1.5 / 9.0).abs() < 1e-12 && error > 0.0);
        let none = Distances::between(&[0.1], &[]);
        assert_eq!((none.auroc(), none.ahead(&found)), (None, (0.0, 0.0)));
    }

    #[test]
    fn known_items_stand_for_good_ones_where_none_are_held_out() {
        let rows = [1.0, 0.0, 1.0, 0.1, 1.0, 0.2, 0.0, 1.0];
        let train = [0, 0, 0, 1].map(|class| sample(Split::Train, class));
        let found = measure(&rows, 2, &train.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((found.counts(), found.auroc()), ((1, 3), Some(1.0)), "an anomaly in train is none of those known");
        let held = [(Split::Train, 0), (Split::Train, 0), (Split::Val, 0), (Split::Val, 2)].map(|(split, class)| sample(split, class));
        let found = measure(&rows, 2, &held.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((found.counts(), found.auroc()), ((1, 1), Some(1.0)));
        let good = [0, 0, 0, 0].map(|class| sample(Split::Train, class));
        assert_eq!(measure(&rows, 2, &good.iter().collect::<Vec<_>>()).unwrap().auroc(), None, "there is nothing to tell from them");
        assert!(measure(&rows[..2], 2, &[&sample(Split::Val, 1)]).is_err());
    }
}
