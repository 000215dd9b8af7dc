//! What a linear head says about each item that learned from all others but those of its fold: cross entropy with a penalty on the
//! weights, by Nesterov's method (2004, 2.2.11) at the pace that the features' largest spread allows. The ranking of
//! suspects does not need the last digits of a minimum; twice the steps change nothing.

use gemm::Parallelism;

use super::Items;
use crate::nn::kernels::matmul::{View, multiply};
use crate::train::error::Result;
use crate::train::probe::{FOLDS, folds};

/// The penalty on squared weights beside the mean loss, for each feature: 1 for 1,280 of them.
const PENALTY: f32 = 1.0 / 1_280.0;
const STEPS: usize = 60;
const FEWEST_STEPS: usize = 12;
/// Products and sums that all folds together may take: some minutes.
const WORK: f64 = 4e12;

/// `(items, classes)`: the share of each class by a head that has not seen the item, nor a copy of it.
///
/// # Errors
/// Those of `tick`.
pub fn out_of_fold(items: &Items, seed: u64, tick: &mut dyn FnMut() -> Result<()>) -> Result<Vec<f32>> {
    let copies: Vec<(Option<u32>, u32)> = items.labels.iter().zip(items.groups).map(|(label, group)| (Some(*label), *group)).collect();
    let folds = folds(&copies, FOLDS, seed);
    let mut shares = vec![0.0; items.labels.len() * items.classes];
    let per_step = 4.0 * items.rows.len() as f64 * items.classes as f64 * FOLDS as f64;
    let steps = ((WORK / per_step) as usize).clamp(FEWEST_STEPS, STEPS);
    for fold in 0..FOLDS as u8 {
        let learned: Vec<usize> = (0..folds.len()).filter(|item| folds[*item] != fold).collect();
        let asked: Vec<usize> = (0..folds.len()).filter(|item| folds[*item] == fold).collect();
        if learned.is_empty() || asked.is_empty() {
            continue;
        }
        let (rows, labels) = gathered(items, &learned);
        let head = Head::learn(&rows, &labels, items, steps, tick)?;
        let (rows, _) = gathered(items, &asked);
        let answers = head.shares(&rows);
        for (item, row) in asked.iter().zip(answers.chunks_exact(items.classes)) {
            shares[item * items.classes..(item + 1) * items.classes].copy_from_slice(row);
        }
    }
    Ok(shares)
}

fn gathered(items: &Items, which: &[usize]) -> (Vec<f32>, Vec<u32>) {
    let mut rows = Vec::with_capacity(which.len() * items.width);
    which.iter().for_each(|item| rows.extend(&items.rows[item * items.width..(item + 1) * items.width]));
    (rows, which.iter().map(|item| items.labels[*item]).collect())
}

/// Weights `(width, classes)` and a bias.
struct Head {
    width: usize,
    classes: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    fn learn(rows: &[f32], labels: &[u32], items: &Items, steps: usize, tick: &mut dyn FnMut() -> Result<()>) -> Result<Head> {
        let (width, classes) = (items.width, items.classes);
        let penalty = PENALTY * width as f32;
        // The loss bends at most half as much as the features spread, the bias counting as one feature more.
        let bend = 0.5 * (largest_spread(rows, width) + 1.0) + penalty;
        let root = (penalty / bend).sqrt();
        let momentum = (1.0 - root) / (1.0 + root);
        let mut head = Head { width, classes, weight: vec![0.0; width * classes], bias: vec![0.0; classes] };
        let (mut before, mut bias_before) = (head.weight.clone(), head.bias.clone());
        let mut slopes = vec![0.0; width * classes];
        for _ in 0..steps {
            tick()?;
            let mut errors = head.shares(rows);
            errors.chunks_exact_mut(classes).zip(labels).for_each(|(row, label)| row[*label as usize] -= 1.0);
            let count = labels.len();
            multiply(
                &mut slopes,
                classes,
                [width, classes, count],
                View::rows(rows, width).transposed(),
                View::rows(&errors, classes),
                false,
                Parallelism::Rayon(0),
            );
            let mut bias_slopes = vec![0.0; classes];
            errors.chunks_exact(classes).for_each(|row| bias_slopes.iter_mut().zip(row).for_each(|(sum, error)| *sum += error));
            let each = 1.0 / count as f32;
            step(&mut head.weight, &mut before, &slopes, (each, penalty, bend, momentum));
            step(&mut head.bias, &mut bias_before, &bias_slopes, (each, 0.0, bend, momentum));
        }
        Ok(Head { weight: before, bias: bias_before, ..head })
    }

    /// Softmax of its outputs, `(items, classes)`.
    fn shares(&self, rows: &[f32]) -> Vec<f32> {
        let count = rows.len() / self.width;
        let mut outputs = self.bias.repeat(count);
        let (left, right) = (View::rows(rows, self.width), View::rows(&self.weight, self.classes));
        multiply(&mut outputs, self.classes, [count, self.classes, self.width], left, right, true, Parallelism::Rayon(0));
        for row in outputs.chunks_exact_mut(self.classes) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|value| *value = (*value - largest).exp());
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= total);
        }
        outputs
    }
}

/// One step: `before` goes down the slope from where `at` looked, and `at` looks ahead of it.
fn step(at: &mut [f32], before: &mut [f32], slopes: &[f32], (each, penalty, bend, momentum): (f32, f32, f32, f32)) {
    for ((at, before), slope) in at.iter_mut().zip(before).zip(slopes) {
        let next = *at - (slope * each + penalty * *at) / bend;
        *at = next + momentum * (next - *before);
        *before = next;
    }
}

/// The largest eigenvalue of the features' mean square, by the power method (a little more, for safety).
fn largest_spread(rows: &[f32], width: usize) -> f32 {
    const TURNS: usize = 12;
    const SAFELY: f64 = 1.1;
    let count = rows.len() / width;
    // A direction that no data set is at a right angle to by design.
    let mut direction: Vec<f64> = (0..width).map(|at| 1.0 + 0.37 * (at % 7) as f64).collect();
    let mut largest = 0.0;
    for _ in 0..TURNS {
        let norm = direction.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-30);
        direction.iter_mut().for_each(|value| *value /= norm);
        let mut next = vec![0.0f64; width];
        for row in rows.chunks_exact(width) {
            let along: f64 = row.iter().zip(&direction).map(|(x, d)| f64::from(*x) * d).sum();
            next.iter_mut().zip(row).for_each(|(sum, x)| *sum += along * f64::from(*x));
        }
        largest = next.iter().zip(&direction).map(|(value, d)| value * d).sum::<f64>() / count.max(1) as f64;
        direction = next;
    }
    (SAFELY * largest.max(1e-12)) as f32
}
