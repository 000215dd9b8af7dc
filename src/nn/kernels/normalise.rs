//! The loops of batch norm with residual sum and activation: one pass forward, two backward, in place where they can.

use rayon::prelude::*;

use super::simd::{clamp, vectorised};
use super::statistics::{add_pairs, block_rows, folded, tiled};
use super::{Activation, Norm};

/// A norm with the statistics it normalises by.
pub(crate) struct Fitted {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    activation: Activation,
    /// The statistics came from x itself, so the gradient runs through them too.
    from_batch: bool,
}

/// How the backward pass finds where the activation let values through.
pub(crate) enum Mask<'a> {
    /// From the output.
    Output(&'a [f32]),
    /// From the input, by the same arithmetic as in the forward pass: there was no residual.
    Recompute,
}

impl Fitted {
    pub fn new(mean: &[f64], variance: &[f64], norm: &Norm<'_>, from_batch: bool) -> Fitted {
        Fitted {
            mean: mean.iter().map(|&value| value as f32).collect(),
            inverse_deviation: variance.iter().map(|&value| (1.0 / (value + norm.eps).sqrt()) as f32).collect(),
            activation: norm.activation,
            from_batch,
        }
    }

    /// Scale and shift that normalise in one step. `gain` is gamma, then beta.
    fn affine(&self, gain: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (gamma, beta) = gain.split_at(self.mean.len());
        let scale: Vec<f32> = gamma.iter().zip(&self.inverse_deviation).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift: Vec<f32> = beta.iter().zip(&scale).zip(&self.mean).map(|((beta, scale), mean)| beta - mean * scale).collect();
        (tiled(&scale), tiled(&shift))
    }

    fn block(&self) -> usize {
        block_rows(self.mean.len()) * self.mean.len()
    }

    /// `y = activation(normalised x * gamma + beta + residual)`; writes all of `y`.
    pub fn forward(&self, x: &[f32], gain: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        let (scale, shift) = self.affine(gain);
        let (low, high) = self.activation.bounds();
        let block = self.block();
        y.par_chunks_mut(block).enumerate().for_each(|(index, y)| {
            let range = index * block..index * block + y.len();
            let (x, residual) = (&x[range.clone()], residual.map(|r| &r[range]));
            vectorised(|| normalise(y, x, residual, &scale, &shift, low, high));
        });
    }

    /// Turns `x` into its gradient and masks `dy` where `mask` is the output, which makes it the residual's gradient.
    /// Answers the gradient to gamma, then beta.
    pub fn backward(&self, x: &mut [f32], gain: &[f32], mask: Mask<'_>, dy: &mut [f32]) -> Vec<f32> {
        let channels = self.mean.len();
        let (scale, shift) = self.affine(gain);
        let (low, high) = self.activation.bounds();
        let (block, mean) = (self.block(), tiled(&self.mean));
        let sums = |(index, (x, dy)): (usize, (&[f32], &mut [f32]))| {
            let (mut sum, mut product) = (vec![0.0f32; mean.len()], vec![0.0f32; mean.len()]);
            vectorised(|| match &mask {
                Mask::Output(y) => {
                    let y = &y[index * block..index * block + x.len()];
                    masked_sums(x, y, dy, &mean, (low, high), &mut sum, &mut product);
                }
                Mask::Recompute => recomputed_sums(x, dy, &mean, (&scale, &shift, low, high), &mut sum, &mut product),
            });
            (folded(&sum, channels), folded(&product, channels))
        };
        let parts = x.par_chunks(block).zip(dy.par_chunks_mut(block)).enumerate().map(sums).collect();
        let (sum, product) = add_pairs(parts, channels);
        let (a, b, c) = self.factors(gain, &sum, &product, x.len() / channels);
        x.par_chunks_mut(block).zip(dy.par_chunks(block)).for_each(|(x, dy)| {
            vectorised(|| match mask {
                Mask::Output(_) => spread(x, dy, (&a, &b, &c)),
                Mask::Recompute => spread_masked(x, dy, (&a, &b, &c), (&scale, &shift, low, high)),
            });
        });
        let gamma = product.iter().zip(&self.inverse_deviation).map(|(product, inverse)| (product * f64::from(*inverse)) as f32);
        gamma.chain(sum.iter().map(|sum| *sum as f32)).collect()
    }

    /// `dx = a * masked dy + b * x + c` per channel; b and c vanish when the statistics are constants. `sum` is of
    /// masked dy, `product` of masked dy times x's distance from the mean.
    fn factors(&self, gain: &[f32], sum: &[f64], product: &[f64], count: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let count = if self.from_batch { count as f64 } else { f64::INFINITY };
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for channel in 0..self.mean.len() {
            let inverse = f64::from(self.inverse_deviation[channel]);
            let scale = f64::from(gain[channel]) * inverse;
            let slope = -scale * inverse * inverse * product[channel] / count;
            a.push(scale as f32);
            b.push(slope as f32);
            c.push((-scale * sum[channel] / count - slope * f64::from(self.mean[channel])) as f32);
        }
        (tiled(&a), tiled(&b), tiled(&c))
    }
}

#[inline(always)]
fn normalise(y: &mut [f32], x: &[f32], residual: Option<&[f32]>, scale: &[f32], shift: &[f32], low: f32, high: f32) {
    let width = scale.len();
    match residual {
        None => {
            for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
                for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                    *y = clamp(x * scale + shift, low, high);
                }
            }
        }
        Some(residual) => {
            for ((y, x), residual) in y.chunks_mut(width).zip(x.chunks(width)).zip(residual.chunks(width)) {
                for ((((y, &x), &residual), &scale), &shift) in y.iter_mut().zip(x).zip(residual).zip(scale).zip(shift) {
                    *y = clamp(x * scale + shift + residual, low, high);
                }
            }
        }
    }
}

/// Masks `dy` by the output; `sum += dy`, `product += dy * (x - mean)`.
#[inline(always)]
fn masked_sums(x: &[f32], y: &[f32], dy: &mut [f32], mean: &[f32], (low, high): (f32, f32), sum: &mut [f32], product: &mut [f32]) {
    let width = mean.len();
    for ((x, y), dy) in x.chunks(width).zip(y.chunks(width)).zip(dy.chunks_mut(width)) {
        for (((((x, y), dy), mean), sum), product) in x.iter().zip(y).zip(dy).zip(mean).zip(&mut *sum).zip(&mut *product) {
            let gradient = if *y > low && *y < high { *dy } else { 0.0 };
            *dy = gradient;
            *sum += gradient;
            *product += gradient * (x - mean);
        }
    }
}

/// The same with the mask worked out from `x`, and `dy` as it is.
#[inline(always)]
fn recomputed_sums(x: &[f32], dy: &[f32], mean: &[f32], affine: Affine<'_>, sum: &mut [f32], product: &mut [f32]) {
    let (width, (scale, shift, low, high)) = (mean.len(), affine);
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let channels = mean.iter().zip(scale).zip(shift).zip(&mut *sum).zip(&mut *product);
        for ((x, dy), ((((mean, scale), shift), sum), product)) in x.iter().zip(dy).zip(channels) {
            let y = x * scale + shift;
            let gradient = if y > low && y < high { *dy } else { 0.0 };
            *sum += gradient;
            *product += gradient * (x - mean);
        }
    }
}

/// Scale, shift, and the range the activation lets through.
type Affine<'a> = (&'a [f32], &'a [f32], f32, f32);

/// `x = a * dy + b * x + c`.
#[inline(always)]
fn spread(x: &mut [f32], dy: &[f32], (a, b, c): (&[f32], &[f32], &[f32])) {
    let width = a.len();
    for (x, dy) in x.chunks_mut(width).zip(dy.chunks(width)) {
        for ((((x, dy), a), b), c) in x.iter_mut().zip(dy).zip(a).zip(b).zip(c) {
            *x = a * dy + b * *x + c;
        }
    }
}

/// The same, with `dy` masked.
#[inline(always)]
fn spread_masked(x: &mut [f32], dy: &[f32], (a, b, c): (&[f32], &[f32], &[f32]), (scale, shift, low, high): Affine<'_>) {
    let width = a.len();
    for (x, dy) in x.chunks_mut(width).zip(dy.chunks(width)) {
        for ((((((x, dy), a), b), c), scale), shift) in x.iter_mut().zip(dy).zip(a).zip(b).zip(c).zip(scale).zip(shift) {
            let y = *x * scale + shift;
            let gradient = if y > low && y < high { *dy } else { 0.0 };
            *x = a * gradient + b * *x + c;
        }
    }
}
