//! The loss of a linear head over all items, with its penalty: one pass over the features for value and gradient.
//!
//! Items are taken in blocks whose products are f32; what blocks add up to is summed in f64, in the order of fixed spans of blocks, so
//! that the bits do not hang on the number of threads.

use gemm::Parallelism;
use rayon::prelude::*;

use super::Problem;
use super::lbfgs::Function;
use super::parts::{Sums, Weight};
use crate::nn::kernels::matmul::{View, multiply};
use crate::train::error::Result;

/// Items whose products are made at once.
const BLOCK: usize = 256;
/// Numbers that gradients of spans may take in all.
const SPAN_NUMBERS: usize = 1 << 25;

/// The mean loss of what is trained on plus `l2 / 2` times the squared weights (not those of the bias) over as many items.
pub(super) struct Objective<'a> {
    pub problem: &'a Problem,
    pub weights: &'a [Weight],
    pub l2: f64,
    pub tick: &'a mut dyn FnMut() -> Result<()>,
    /// Of the last point.
    pub sums: Sums,
}

impl Objective<'_> {
    /// Weight of what is trained on: never nothing.
    fn total(&self) -> f64 {
        self.weights.iter().map(|weight| f64::from(weight.learned)).sum::<f64>().max(1e-12)
    }
}

/// What a span of items adds.
struct Added {
    sums: Sums,
    /// `(outputs, width)`, then `(outputs)`.
    gradient: Vec<f64>,
}

impl Function for Objective<'_> {
    /// The point is the head's weights `(outputs, width)` and then its biases.
    fn at(&mut self, point: &[f64], gradient: &mut [f64]) -> Result<f64> {
        (self.tick)()?;
        let (width, outputs) = (self.problem.width, self.problem.outputs());
        let head: Vec<f32> = point.iter().map(|value| *value as f32).collect();
        let spans = (SPAN_NUMBERS / point.len()).clamp(2, 32);
        let span = self.weights.len().div_ceil(spans).next_multiple_of(BLOCK);
        let (problem, weights) = (self.problem, self.weights);
        let added: Vec<Added> = (0..spans)
            .into_par_iter()
            .map(|number| {
                let range = (number * span).min(weights.len())..((number + 1) * span).min(weights.len());
                add(problem, weights, range, &head)
            })
            .collect();
        gradient.fill(0.0);
        self.sums = Sums::default();
        for part in added {
            self.sums.learned += part.sums.learned;
            self.sums.held += part.sums.held;
            gradient.iter_mut().zip(&part.gradient).for_each(|(sum, value)| *sum += value);
        }
        let total = self.total();
        let mut penalty = 0.0;
        for (at, (slope, value)) in gradient.iter_mut().zip(point).enumerate() {
            let l2 = if at < outputs * width { self.l2 } else { 0.0 };
            penalty += l2 / 2.0 * value * value;
            *slope = (*slope + l2 * value) / total;
        }
        Ok((self.sums.learned + penalty) / total)
    }
}

fn add(problem: &Problem, weights: &[Weight], range: std::ops::Range<usize>, head: &[f32]) -> Added {
    let (width, outputs) = (problem.width, problem.outputs());
    let (weight, bias) = head.split_at(outputs * width);
    let mut added = Added { sums: Sums::default(), gradient: vec![0.0; if range.is_empty() { 0 } else { head.len() }] };
    let (mut values, mut product) = (vec![0.0f32; BLOCK * outputs], vec![0.0f32; outputs * width]);
    for first in range.clone().step_by(BLOCK) {
        let items = BLOCK.min(range.end - first);
        let rows = View::rows(&problem.rows[first * width..(first + items) * width], width);
        let values = &mut values[..items * outputs];
        values.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
        let right = View::rows(weight, width).transposed();
        multiply(values, outputs, [items, outputs, width], rows, right, true, Parallelism::None);
        let mut at = 0;
        for part in &problem.parts {
            part.add(first, &weights[first..first + items], values, (outputs, at), &mut added.sums);
            at += part.outputs;
        }
        let left = View::rows(values, outputs).transposed();
        multiply(&mut product, width, [outputs, width, items], left, rows, false, Parallelism::None);
        added.gradient.iter_mut().zip(&product).for_each(|(sum, value)| *sum += f64::from(*value));
        for row in values.chunks_exact(outputs) {
            added.gradient[outputs * width..].iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    added
}
