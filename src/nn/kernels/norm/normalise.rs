//! The loops of batch norm with residual sum and activation: one pass forward, two backward, in place where they can.
//!
//! A clamped output tells where its slope is not zero; any other slope is worked out again from the normalised input,
//! which is arithmetic instead of another tensor in memory.

use rayon::prelude::*;
use tracing::trace_span;

use super::Norm;
use super::statistics::{add_pairs, block_rows, folded, tiled};
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::activation::{Function, with_function};
use crate::nn::kernels::conv::affine::Affine;
use crate::nn::kernels::simd::vectorised;

/// Floats one thread takes at a time in the second pass.
const PIECE_FLOATS: usize = 32 * 1024;

/// A norm with the statistics of the batch it normalises: the gradient runs through them, too, unless they are fixed.
pub(crate) struct Fitted {
    is_fixed: bool,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    activation: Activation,
}

/// How the backward pass finds where the activation let values through.
pub(crate) enum Mask<'a> {
    /// From the output, which is clamped: there may have been a residual.
    Output(&'a [f32]),
    /// From the input, by the same arithmetic as in the forward pass: there was no residual.
    Recompute,
}

impl Fitted {
    pub fn new(mean: &[f64], variance: &[f64], norm: &Norm<'_>) -> Fitted {
        Fitted {
            is_fixed: false,
            mean: mean.iter().map(|&value| value as f32).collect(),
            inverse_deviation: variance.iter().map(|&value| (1.0 / (value + norm.eps).sqrt()) as f32).collect(),
            activation: norm.activation,
        }
    }

    /// With statistics that are constants.
    pub fn fixed(mean: &[f64], variance: &[f64], norm: &Norm<'_>) -> Fitted {
        Fitted { is_fixed: true, ..Fitted::new(mean, variance, norm) }
    }

    /// Scale and shift that normalise in one step. `gain` is gamma, then beta.
    fn affine(&self, gain: &[f32]) -> Affine {
        let (gamma, beta) = gain.split_at(self.mean.len());
        let scale: Vec<f32> = gamma.iter().zip(&self.inverse_deviation).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift: Vec<f32> = beta.iter().zip(&scale).zip(&self.mean).map(|((beta, scale), mean)| beta - mean * scale).collect();
        Affine::new(&scale, &shift)
    }

    fn block(&self) -> usize {
        block_rows(self.mean.len()) * self.mean.len()
    }

    /// `y = activation(normalised x * gamma + beta + residual)`; writes all of `y`.
    pub fn forward(&self, x: &[f32], gain: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        let _span = trace_span!("normalise").entered();
        let (affine, block) = (self.affine(gain), self.block());
        y.par_chunks_mut(block).enumerate().for_each(|(index, y)| {
            let range = index * block..index * block + y.len();
            let (x, residual) = (&x[range.clone()], residual.map(|r| &r[range]));
            affine.apply(self.activation, x, residual, y);
        });
    }

    /// The first pass backward over `x` and `dy`: what the second one needs, and the gradient to gamma, then beta.
    /// Masks `dy` where `mask` is the output, which makes it the residual's gradient.
    pub fn sums(&self, x: &[f32], gain: &[f32], mask: Mask<'_>, dy: &mut [f32]) -> (Spread, Vec<f32>) {
        let _span = trace_span!("normalisation gradient").entered();
        let channels = self.mean.len();
        let (low, high) = self.activation.bounds();
        let (affine, block, mean) = (self.affine(gain), self.block(), tiled(&self.mean));
        let sums = |(index, (x, dy)): (usize, (&[f32], &mut [f32]))| {
            let (mut sum, mut product) = (vec![0.0f32; mean.len()], vec![0.0f32; mean.len()]);
            match &mask {
                Mask::Output(y) => {
                    let y = &y[index * block..index * block + x.len()];
                    vectorised!(masked_sums(x, y, dy, &mean, (low, high), &mut sum, &mut product));
                }
                Mask::Recompute => {
                    with_function!(self.activation, F => vectorised!(sloped_sums::<F>(x, dy, &mean, &affine, &mut sum, &mut product)));
                }
            }
            (folded(&sum, channels), folded(&product, channels))
        };
        let parts = x.par_chunks(block).zip(dy.par_chunks_mut(block)).enumerate().map(sums).collect();
        let (sum, product) = add_pairs(parts, channels);
        let activation = if matches!(mask, Mask::Output(_)) { Activation::None } else { self.activation };
        let spread = self.spread(gain, (&sum, &product), x.len() / channels, affine, activation);
        let gamma = product.iter().zip(&self.inverse_deviation).map(|(product, inverse)| (product * f64::from(*inverse)) as f32);
        (spread, gamma.chain(sum.iter().map(|sum| *sum as f32)).collect())
    }

    /// `dx = a * sloped dy + b * (x - mean) + c` per channel. `sum` is of sloped dy, `product` of sloped dy times x's distance from the mean.
    fn spread(&self, gain: &[f32], (sum, product): (&[f64], &[f64]), count: usize, affine: Affine, activation: Activation) -> Spread {
        let count = count as f64;
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for channel in 0..self.mean.len() {
            let inverse = f64::from(self.inverse_deviation[channel]);
            let scale = f64::from(gain[channel]) * inverse;
            let slope = -scale * inverse * inverse * product[channel] / count;
            let (slope, shift) = if self.is_fixed { (0.0, 0.0) } else { (slope, -scale * sum[channel] / count) };
            a.push(scale as f32);
            b.push(slope as f32);
            c.push(shift as f32);
        }
        Spread { a: tiled(&a), b: tiled(&b), c: tiled(&c), mean: tiled(&self.mean), affine, activation }
    }
}

/// The second pass backward.
pub(crate) struct Spread {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    mean: Vec<f32>,
    affine: Affine,
    /// Whose slope `dy` still has to be multiplied by.
    activation: Activation,
}

impl Spread {
    /// Turns all of `x` into its gradient.
    pub fn apply_all(&self, x: &mut [f32], dy: &[f32]) {
        let _span = trace_span!("normalisation gradient").entered();
        // Whole tiles, so that each piece starts at a first channel.
        let piece = self.a.len() * (PIECE_FLOATS / self.a.len()).max(1);
        x.par_chunks_mut(piece).zip(dy.par_chunks(piece)).for_each(|(x, dy)| self.apply(x, dy));
    }

    /// Turns whole pixels `x` into their gradient.
    pub fn apply(&self, x: &mut [f32], dy: &[f32]) {
        with_function!(self.activation, F => vectorised!(self.apply_sloped::<F>(x, dy)));
    }

    #[inline(always)]
    fn apply_sloped<F: Function>(&self, x: &mut [f32], dy: &[f32]) {
        let width = self.a.len();
        let (a, b, c) = (&self.a[..width], &self.b[..width], &self.c[..width]);
        let (mean, scale, shift) = (&self.mean[..width], &self.affine.scale[..width], &self.affine.shift[..width]);
        for (x, dy) in x.chunks_mut(width).zip(dy.chunks(width)) {
            let channels = a.iter().zip(b).zip(c).zip(mean).zip(scale).zip(shift);
            for ((x, dy), (((((a, b), c), mean), scale), shift)) in x.iter_mut().zip(dy).zip(channels) {
                *x = a * (dy * F::slope(*x * scale + shift)) + b * (*x - mean) + c;
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

/// The same with `dy` times the slope at the normalised `x`, and left as it is.
#[inline(always)]
fn sloped_sums<F: Function>(x: &[f32], dy: &[f32], mean: &[f32], affine: &Affine, sum: &mut [f32], product: &mut [f32]) {
    let width = mean.len();
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let channels = mean.iter().zip(&affine.scale).zip(&affine.shift).zip(&mut *sum).zip(&mut *product);
        for ((x, dy), ((((mean, scale), shift), sum), product)) in x.iter().zip(dy).zip(channels) {
            let gradient = dy * F::slope(x * scale + shift);
            *sum += gradient;
            *product += gradient * (x - mean);
        }
    }
}
