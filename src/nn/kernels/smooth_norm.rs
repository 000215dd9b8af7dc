//! Batch normalisation fused with an activation that bends (hard-swish, SiLU, GELU). Unlike a clamped output, a bent
//! one does not tell its slope, so the gradient works the normalised value out again from the input: arithmetic
//! instead of another tensor in memory.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Activation;
use super::curve::{Curve, with_curve};
use super::memory::{floats, read, tensor};
use super::norm::Norm;
use super::simd::vectorised;
use super::statistics::{add_pairs, block_rows};

/// `activation(gamma * (x - mean) / sqrt(variance + eps) + beta)` over `x (..., C)`; `from_batch` when mean and
/// variance are those of x, so that the gradient runs through them too.
pub(crate) fn smooth_norm(x: &Tensor, norm: &Norm<'_>, mean: &[f64], variance: &[f64], from_batch: bool) -> Result<Tensor> {
    let op = SmoothNorm {
        mean: mean.iter().map(|&value| value as f32).collect(),
        inverse_deviation: variance.iter().map(|&value| (1.0 / (value + norm.eps).sqrt()) as f32).collect(),
        activation: norm.activation,
        from_batch,
    };
    x.apply_op2(&Tensor::cat(&[norm.gamma, norm.beta], 0)?, op)
}

/// Arguments of the op: x, and gamma and beta in one vector.
struct SmoothNorm {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    activation: Activation,
    from_batch: bool,
}

impl SmoothNorm {
    /// Scale and shift that normalise in one step.
    fn affine(&self, gain: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (gamma, beta) = gain.split_at(self.mean.len());
        let scale: Vec<f32> = gamma.iter().zip(&self.inverse_deviation).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift = beta.iter().zip(&scale).zip(&self.mean).map(|((beta, scale), mean)| beta - mean * scale).collect();
        (scale, shift)
    }

    fn forward<C: Curve>(&self, x: &[f32], gain: &[f32]) -> Vec<f32> {
        let (scale, shift) = self.affine(gain);
        let channels = scale.len();
        let block = block_rows(channels) * channels;
        let mut y = vec![0.0f32; x.len()];
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            vectorised(|| {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                        *y = C::value(x * scale + shift);
                    }
                }
            });
        });
        y
    }

    /// Gradients to x, and to gamma and beta in one vector.
    fn backward<C: Curve>(&self, x: &[f32], gain: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (scale, shift) = self.affine(gain);
        let channels = scale.len();
        let block = block_rows(channels) * channels;
        let sums = |(x, dy): (&[f32], &[f32])| {
            let (mut sum, mut product) = (vec![0.0f32; channels], vec![0.0f32; channels]);
            vectorised(|| self.block_sums::<C>(x, dy, (&scale, &shift), &mut sum, &mut product));
            (sum, product)
        };
        let parts = x.par_chunks(block).zip(dy.par_chunks(block)).map(sums).collect();
        let (sum, product) = add_pairs(parts, channels);
        // dx = a * bent dy + b * x + c per channel; b and c vanish when the statistics are constants.
        let count = if self.from_batch { (x.len() / channels) as f64 } else { f64::INFINITY };
        let (mut b, mut c) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        for channel in 0..channels {
            let inverse = f64::from(self.inverse_deviation[channel]);
            let a = f64::from(gain[channel]) * inverse;
            let slope = -a * inverse * product[channel] / count;
            b[channel] = slope as f32;
            c[channel] = (-a * sum[channel] / count - slope * f64::from(self.mean[channel])) as f32;
        }
        let mut dx = vec![0.0f32; x.len()];
        dx.par_chunks_mut(block).zip(x.par_chunks(block)).zip(dy.par_chunks(block)).for_each(|((dx, x), dy)| {
            vectorised(|| spread::<C>(dx, x, dy, (&scale, &shift), (&b, &c)));
        });
        (dx, product.iter().chain(&sum).map(|&value| value as f32).collect())
    }

    /// `sum += bent dy`, `product += bent dy * normalised x`.
    #[inline(always)]
    fn block_sums<C: Curve>(&self, x: &[f32], dy: &[f32], (scale, shift): (&[f32], &[f32]), sum: &mut [f32], product: &mut [f32]) {
        let channels = sum.len();
        let (mean, inverse) = (&self.mean[..channels], &self.inverse_deviation[..channels]);
        let (scale, shift, product) = (&scale[..channels], &shift[..channels], &mut product[..channels]);
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            for channel in 0..channels {
                let gradient = dy[channel] * C::slope(x[channel] * scale[channel] + shift[channel]);
                sum[channel] += gradient;
                product[channel] += gradient * (x[channel] - mean[channel]) * inverse[channel];
            }
        }
    }
}

#[inline(always)]
fn spread<C: Curve>(dx: &mut [f32], x: &[f32], dy: &[f32], (scale, shift): (&[f32], &[f32]), (b, c): (&[f32], &[f32])) {
    let channels = scale.len();
    let (shift, b, c) = (&shift[..channels], &b[..channels], &c[..channels]);
    for ((dx, x), dy) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels)) {
        for channel in 0..channels {
            let gradient = dy[channel] * C::slope(x[channel] * scale[channel] + shift[channel]);
            dx[channel] = scale[channel] * gradient + b[channel] * x[channel] + c[channel];
        }
    }
}

impl CustomOp2 for SmoothNorm {
    fn name(&self) -> &'static str {
        "smooth-batch-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, gain: &CpuStorage, gl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, gain) = (floats(x, xl)?, floats(gain, gl)?);
        let y = with_curve!(self.activation, C => self.forward::<C>(x, gain));
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, gain: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (values, factors, gradient) = (read(x)?, read(gain)?, read(&dy)?);
        let (dx, dgain) = with_curve!(self.activation, C => self.backward::<C>(&values, &factors, &gradient));
        Ok((Some(tensor(dx, x.dims())?), Some(tensor(dgain, gain.dims())?)))
    }
}
