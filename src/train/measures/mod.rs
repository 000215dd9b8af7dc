//! Measures that take every answer at once, and how sure a measure is of itself. Each of them takes a weight for each item, so
//! that drawing the items anew is drawing weights.

mod bootstrap;
mod correlation;
pub mod detection;
mod ranking;
pub mod segmentation;

pub use bootstrap::{Paired, intervals, paired};
pub use correlation::{pearson, spearman};
pub use ranking::{Ranked, mean_of};

/// Bins of [`calibration_error`].
const BINS: usize = 15;

/// One weight an item: each counts once.
pub fn even(items: usize) -> Vec<f32> {
    vec![1.0; items]
}

/// The mean of numbers with their weights; 0 of nothing.
pub fn weighted_mean(values: impl Iterator<Item = f64>, weights: &[f32]) -> f64 {
    let (sum, weight) = values.zip(weights).fold((0.0, 0.0), |(sum, all), (value, w)| (sum + value * f64::from(*w), all + f64::from(*w)));
    if weight > 0.0 { sum / weight } else { 0.0 }
}

/// The score that at least this share of as many again are expected to stay at or below: the `ceil(share (n + 1))`-th of n (split
/// conformal prediction), the largest where there are few. `None` of none.
pub fn conformal(scores: &[f32], share: f64) -> Option<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let place = (share * (sorted.len() + 1) as f64).ceil() as usize;
    sorted.get(place.min(sorted.len()).checked_sub(1)?).copied()
}

/// How far (probability, whether it was so) are from each other: in bins of equal width of the probability, the mean distance of
/// its mean from the share that was so, weighted by what falls in (Guo 2017).
pub fn calibration_error(said: &[(f32, bool)], weights: &[f32]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); BINS];
    for ((probability, right), weight) in said.iter().zip(weights) {
        // Bins are open below, as in the paper: a probability on the edge belongs to the lower one.
        let at = ((f64::from(*probability) * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let weight = f64::from(*weight);
        bins[at].0 += weight;
        bins[at].1 += weight * f64::from(*probability);
        bins[at].2 += weight * f64::from(u8::from(*right));
    }
    let all: f64 = bins.iter().map(|bin| bin.0).sum();
    if all > 0.0 { bins.iter().map(|bin| (bin.1 - bin.2).abs()).sum::<f64>() / all } else { 0.0 }
}

/// Mean F1 over the classes that occur or are answered, of (truth, answer) pairs.
pub fn macro_f1(pairs: &[(u32, u32)], classes: usize, weights: &[f32]) -> f64 {
    let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); classes];
    for (&(truth, answer), weight) in pairs.iter().zip(weights) {
        let weight = f64::from(*weight);
        sums[truth as usize].0 += weight;
        sums[answer as usize].1 += weight;
        if truth == answer {
            sums[truth as usize].2 += weight;
        }
    }
    let seen = sums.iter().filter(|sum| sum.0 + sum.1 > 0.0);
    let (sum, count) = seen.fold((0.0, 0usize), |(sum, count), s| (sum + 2.0 * s.2 / (s.0 + s.1), count + 1));
    sum / count.max(1) as f64
}

/// Agreement of (truth, answer) ranks beyond chance, where a miss counts by its square (Cohen 1968): 1 of equal ones, 0 of chance.
pub fn weighted_kappa(pairs: &[(u32, u32)], classes: usize, weights: &[f32]) -> f64 {
    let (mut truths, mut answers, mut missed, mut all) = (vec![0.0f64; classes], vec![0.0f64; classes], 0.0, 0.0);
    for (&(truth, answer), weight) in pairs.iter().zip(weights) {
        let weight = f64::from(*weight);
        truths[truth as usize] += weight;
        answers[answer as usize] += weight;
        missed += weight * (f64::from(truth) - f64::from(answer)).powi(2);
        all += weight;
    }
    // The mean square of the distance of two that are drawn apart, from their moments.
    let moments = |counts: &[f64]| {
        let sum = |power: i32| counts.iter().enumerate().map(|(rank, count)| count * (rank as f64).powi(power)).sum::<f64>() / all;
        (sum(1), sum(2))
    };
    if all <= 0.0 {
        return 0.0;
    }
    let ((a, a2), (b, b2)) = (moments(&truths), moments(&answers));
    let chance = a2 - 2.0 * a * b + b2;
    if chance > 1e-12 { 1.0 - missed / all / chance } else { 0.0 }
}

/// The share of the truths' variance that answers explain, of (truth, answer) pairs; 0 where there is none to explain.
pub fn r2(pairs: &[(f64, f64)], weights: &[f32]) -> f64 {
    let average = weighted_mean(pairs.iter().map(|pair| pair.0), weights);
    let spread = weighted_mean(pairs.iter().map(|pair| (pair.0 - average).powi(2)), weights);
    let missed = weighted_mean(pairs.iter().map(|pair| (pair.0 - pair.1).powi(2)), weights);
    if spread > 0.0 { 1.0 - missed / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_that_of_a_worked_example() {
        // scikit-learn: cohen_kappa_score([0, 1, 2, 2, 1], [0, 2, 2, 1, 1], weights="quadratic") = 0.642857.
        let pairs = [(0, 0), (1, 2), (2, 2), (2, 1), (1, 1)];
        assert!((weighted_kappa(&pairs, 3, &even(5)) - 0.642_857).abs() < 1e-5);
        assert_eq!(weighted_kappa(&[(1, 1), (2, 2)], 3, &even(2)), 1.0);
        assert_eq!(weighted_kappa(&[(1, 1), (1, 1)], 3, &even(2)), 0.0, "nothing to agree about");
        assert_eq!(weighted_kappa(&[], 3, &[]), 0.0);
    }

    #[test]
    fn calibration_error_is_the_mean_distance_in_its_bins() {
        let said = [(0.95, true), (0.95, false), (0.1, false), (0.1, false)];
        assert!((calibration_error(&said, &even(4)) - (0.5 * 0.45 + 0.5 * 0.1)).abs() < 1e-6);
        assert_eq!(calibration_error(&[(1.0, true), (0.0, false)], &even(2)), 0.0);
        assert_eq!(calibration_error(&[], &[]), 0.0);
    }

    #[test]
    fn a_weight_of_two_is_the_item_twice() {
        let pairs = [(0u32, 0u32), (1, 0), (1, 1)];
        let twice = [(0, 0), (1, 0), (1, 0), (1, 1)];
        assert_eq!(macro_f1(&pairs, 2, &[1.0, 2.0, 1.0]), macro_f1(&twice, 2, &even(4)));
        assert_eq!(weighted_kappa(&pairs, 2, &[1.0, 2.0, 1.0]), weighted_kappa(&twice, 2, &even(4)));
        assert!((r2(&[(1.0, 1.0), (3.0, 2.0)], &even(2)) - 0.5).abs() < 1e-12);
    }
}
