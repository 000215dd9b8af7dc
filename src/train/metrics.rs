//! How good the answers are: loss, top-1, top-5, precision, recall and F1 per class, the confusion matrix.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Numbers over one set of images. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub images: u64,
    /// Mean cross entropy in nats, without label smoothing.
    pub loss: f64,
    pub top1: f64,
    pub top5: f64,
    /// Mean F1 over the classes that occur or are predicted.
    pub macro_f1: f64,
    /// In the order of the model's outputs.
    pub per_class: Vec<ClassScore>,
    /// (true class, predicted class, images), sorted; pairs that never happened are left out.
    pub confusion: Vec<(u32, u32, u64)>,
}

/// Precision, recall and F1 (their harmonic mean) of one class; 0 where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    pub class: String,
    /// Images of this class.
    pub support: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Collects answers batch by batch.
#[derive(Debug, Clone)]
pub struct Tally {
    classes: usize,
    images: u64,
    loss: f64,
    top1: u64,
    top5: u64,
    confusion: BTreeMap<(u32, u32), u64>,
}

impl Tally {
    pub fn new(classes: usize) -> Tally {
        Tally { classes, images: 0, loss: 0.0, top1: 0, top5: 0, confusion: BTreeMap::new() }
    }

    /// Adds a batch: `logits` is `(labels.len(), classes)` row by row.
    pub fn add(&mut self, logits: &[f32], labels: &[u32]) {
        for (row, &label) in logits.chunks_exact(self.classes).zip(labels) {
            let own = row[label as usize];
            // Among equals the smaller index wins, as argmax has it. A NaN is never right.
            let ahead = |(index, value): (usize, &f32)| *value > own || (*value == own && index < label as usize) || value.is_nan();
            let rank = row.iter().enumerate().filter(|(index, value)| ahead((*index, value))).count();
            self.images += 1;
            self.loss += cross_entropy(row, label as usize);
            self.top1 += u64::from(rank == 0);
            self.top5 += u64::from(rank < 5);
            *self.confusion.entry((label, argmax(row) as u32)).or_default() += 1;
        }
    }

    pub fn images(&self) -> u64 {
        self.images
    }

    pub fn loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    pub fn top1(&self) -> f64 {
        self.top1 as f64 / self.images.max(1) as f64
    }

    /// The numbers; `names` are the classes in the order of the outputs.
    pub fn finish(self, names: &[String]) -> Evaluation {
        let mut sums = vec![(0u64, 0u64, 0u64); self.classes];
        for (&(truth, predicted), &count) in &self.confusion {
            sums[truth as usize].0 += count;
            sums[predicted as usize].1 += count;
            if truth == predicted {
                sums[truth as usize].2 += count;
            }
        }
        let score = |(name, &(support, predicted, right)): (&String, &(u64, u64, u64))| ClassScore {
            class: name.clone(),
            support,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
        };
        let per_class: Vec<ClassScore> = names.iter().zip(&sums).map(score).collect();
        let seen: Vec<f64> = per_class.iter().zip(&sums).filter(|(_, s)| s.0 + s.1 > 0).map(|(score, _)| score.f1).collect();
        Evaluation {
            images: self.images,
            loss: self.loss(),
            top1: self.top1(),
            top5: self.top5 as f64 / self.images.max(1) as f64,
            macro_f1: seen.iter().sum::<f64>() / seen.len().max(1) as f64,
            per_class,
            confusion: self.confusion.into_iter().map(|((truth, predicted), count)| (truth, predicted, count)).collect(),
        }
    }
}

impl Evaluation {
    /// Rows are the true classes, columns the predicted ones.
    pub fn confusion_matrix(&self) -> Vec<Vec<u64>> {
        let classes = self.per_class.len();
        let mut matrix = vec![vec![0; classes]; classes];
        for &(truth, predicted, count) in &self.confusion {
            matrix[truth as usize][predicted as usize] = count;
        }
        matrix
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The index of the largest value; the first among equals.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// Shares that sum to 1, computed so that large logits do not overflow.
pub fn softmax(row: &[f32]) -> Vec<f32> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|value| f64::from(value - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

fn cross_entropy(row: &[f32], label: usize) -> f64 {
    if row.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
    largest + sum.ln() - f64::from(row[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("c{i}")).collect()
    }

    #[test]
    fn the_numbers_are_those_of_a_worked_example() {
        // Truths 0 0 0 1 1 2, answers 0 0 1 1 2 2 of 3 classes and one that never occurs.
        let mut tally = Tally::new(4);
        let answer = |class: usize| -> Vec<f32> { (0..4).map(|i| if i == class { 2.0 } else { 0.0 }).collect() };
        tally.add(&[answer(0), answer(0), answer(1), answer(1)].concat(), &[0, 0, 0, 1]);
        tally.add(&[answer(2), answer(2)].concat(), &[1, 2]);
        let found = tally.finish(&names(4));
        assert_eq!(found.images, 6);
        assert!((found.top1 - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(found.top5, 1.0, "with four classes everything is in the first five");
        let scores: Vec<_> = found.per_class.iter().map(|s| (s.support, s.precision, s.recall)).collect();
        assert_eq!(scores, [(3, 1.0, 2.0 / 3.0), (2, 0.5, 0.5), (1, 0.5, 1.0), (0, 0.0, 0.0)]);
        assert!((found.per_class[0].f1 - 0.8).abs() < 1e-12);
        assert!((found.macro_f1 - (0.8 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12, "the absent class does not count");
        assert_eq!(found.confusion_matrix(), [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]);
        let (right, wrong) = (2f64 - (2f64.exp() + 3.0).ln(), -(2f64.exp() + 3.0).ln());
        assert!((found.loss - -(4.0 * right + 2.0 * wrong) / 6.0).abs() < 1e-9);
    }

    #[test]
    fn top5_counts_the_first_five_and_ties_go_to_the_smaller_index() {
        let mut tally = Tally::new(7);
        let falling: Vec<f32> = (0..7).map(|i| -(i as f32)).collect();
        for label in 0..7 {
            tally.add(&falling, &[label]);
        }
        tally.add(&[1.0; 7], &[0]);
        tally.add(&[1.0; 7], &[5]);
        let found = tally.finish(&names(7));
        assert!((found.top1 - 2.0 / 9.0).abs() < 1e-12);
        assert!((found.top5 - 6.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn not_a_number_is_never_right_and_shows_in_the_loss() {
        let mut tally = Tally::new(2);
        tally.add(&[f32::NAN, f32::NAN], &[0]);
        assert_eq!(tally.top1(), 0.0);
        assert!(tally.loss().is_nan());
        assert!(Tally::new(2).loss() == 0.0, "no images, no loss");
    }

    #[test]
    fn softmax_survives_large_logits() {
        let shares = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((shares[0] - 0.731_058_6).abs() < 1e-6 && shares[2] == 0.0);
    }
}
