//! Batch normalisation fused with the residual sum and the activation that follow it, with gradients
//! (Ioffe and Szegedy 2015; the gradient is written out, two passes over the tensor).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::curve::activate;
use super::simd::{clamp, vectorised};
use super::smooth_norm::smooth_norm;
use super::statistics::{add_pairs, block_rows, moments};
use super::{Activation, portable};
use crate::nn::kernels::memory::{floats, read, tensor};

/// What a batch norm is besides its statistics.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// Scale, one per channel.
    pub gamma: &'a Tensor,
    /// Shift, one per channel.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    pub activation: Activation,
}

/// What a training step saw, for the running statistics.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    pub mean: Vec<f32>,
    /// Divided by `count - 1`, as PyTorch keeps it.
    pub unbiased_variance: Vec<f32>,
}

/// `activation(gamma * (x - mean) / sqrt(variance + eps) + beta + residual)` with the mean and variance of this
/// batch, over `x (B, H, W, C)`. Gradients flow to x, gamma, beta and the residual.
///
/// Errors when the batch has a single value per channel, which has no variance.
pub fn batch_norm_train(x: &Tensor, norm: &Norm<'_>, residual: Option<&Tensor>) -> Result<(Tensor, BatchStatistics)> {
    let channels = channels_of(x, norm)?;
    let count = x.elem_count() / channels.max(1);
    if count < 2 {
        bail!("batch norm cannot train on one value per channel: use a larger batch or larger images")
    }
    if !x.device().is_cpu() {
        return portable::batch_norm_train(x, norm, residual);
    }
    let x = x.contiguous()?;
    let (mean, variance) = moments(&read(&x)?, channels);
    let unbiased = count as f64 / (count as f64 - 1.0);
    let statistics = BatchStatistics {
        mean: mean.iter().map(|&value| value as f32).collect(),
        unbiased_variance: variance.iter().map(|&value| (value * unbiased) as f32).collect(),
    };
    if norm.activation.is_smooth() {
        return Ok((smooth(&x, norm, (&mean, &variance), true, residual)?, statistics));
    }
    let op = BatchNorm::new(&mean, &variance, norm, true, residual.is_some());
    Ok((op.apply(&x, norm, residual)?, statistics))
}

/// The same with given statistics, which are constants: one affine pass. Gradients flow to x, gamma, beta and the
/// residual.
pub fn batch_norm_eval(x: &Tensor, norm: &Norm<'_>, mean: &Tensor, variance: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    channels_of(x, norm)?;
    if !x.device().is_cpu() {
        return portable::batch_norm_eval(x, norm, mean, variance, residual);
    }
    let wide = |t: &Tensor| -> Result<Vec<f64>> { Ok(read(&t.contiguous()?)?.iter().map(|&value| f64::from(value)).collect()) };
    if norm.activation.is_smooth() {
        return smooth(&x.contiguous()?, norm, (&wide(mean)?, &wide(variance)?), false, residual);
    }
    let op = BatchNorm::new(&wide(mean)?, &wide(variance)?, norm, false, residual.is_some());
    op.apply(&x.contiguous()?, norm, residual)
}

/// With an activation that bends. No family here adds a residual before one, so that case is not fused.
fn smooth(x: &Tensor, norm: &Norm<'_>, (mean, variance): (&[f64], &[f64]), from_batch: bool, residual: Option<&Tensor>) -> Result<Tensor> {
    if residual.is_none() {
        return smooth_norm(x, norm, mean, variance, from_batch);
    }
    let plain = Norm { activation: Activation::None, ..*norm };
    activate(&BatchNorm::new(mean, variance, &plain, from_batch, true).apply(x, &plain, residual)?, norm.activation)
}

fn channels_of(x: &Tensor, norm: &Norm<'_>) -> Result<usize> {
    let channels = x.dim(3)?;
    if norm.gamma.dims() != [channels] || norm.beta.dims() != [channels] {
        bail!("batch norm over {:?} and {:?} does not fit {channels} channels", norm.gamma.dims(), norm.beta.dims())
    }
    Ok(channels)
}

/// Arguments of the op: x, gamma and beta in one vector (an op has three arguments at most), and the residual or,
/// where there is none, that vector again.
#[derive(Clone)]
struct BatchNorm(Arc<Saved>);

struct Saved {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    activation: Activation,
    /// The statistics came from x itself, so the gradient runs through them too.
    from_batch: bool,
    has_residual: bool,
}

impl BatchNorm {
    fn new(mean: &[f64], variance: &[f64], norm: &Norm<'_>, from_batch: bool, has_residual: bool) -> BatchNorm {
        BatchNorm(Arc::new(Saved {
            mean: mean.iter().map(|&value| value as f32).collect(),
            inverse_deviation: variance.iter().map(|&value| (1.0 / (value + norm.eps).sqrt()) as f32).collect(),
            activation: norm.activation,
            from_batch,
            has_residual,
        }))
    }

    fn apply(self, x: &Tensor, norm: &Norm<'_>, residual: Option<&Tensor>) -> Result<Tensor> {
        let gain = Tensor::cat(&[norm.gamma, norm.beta], 0)?;
        match residual {
            None => x.apply_op3(&gain, &gain, self),
            Some(residual) if residual.dims() != x.dims() => {
                bail!("a residual of shape {:?} does not fit {:?}", residual.dims(), x.dims())
            }
            Some(residual) => x.apply_op3(&gain, &residual.contiguous()?, self),
        }
    }

    /// Scale and shift that do it in one step.
    fn affine(&self, gain: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (gamma, beta) = gain.split_at(self.0.mean.len());
        let scale: Vec<f32> = gamma.iter().zip(&self.0.inverse_deviation).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift = beta.iter().zip(&scale).zip(&self.0.mean).map(|((beta, scale), mean)| beta - mean * scale).collect();
        (scale, shift)
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        gain: &CpuStorage,
        gl: &Layout,
        residual: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, xl)?;
        let (scale, shift) = self.affine(floats(gain, gl)?);
        let residual = if self.0.has_residual { Some(floats(residual, rl)?) } else { None };
        let channels = scale.len();
        let (low, high) = self.0.activation.bounds();
        let block = block_rows(channels) * channels;
        let mut y = vec![0.0f32; x.len()];
        y.par_chunks_mut(block).enumerate().for_each(|(index, y)| {
            let range = index * block..index * block + y.len();
            let (x, residual) = (&x[range.clone()], residual.map(|r| &r[range]));
            vectorised(|| normalise(y, x, residual, &scale, &shift, low, high));
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        residual: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let gradients = self.gradients(&read(x)?, &read(gain)?, &read(y)?, &read(&dy)?);
        let shape = x.dims();
        let residual = match (self.0.has_residual && residual.track_op(), gradients.residual) {
            (false, _) => None,
            (true, Some(masked)) => Some(tensor(masked, shape)?),
            // Without an activation the sum hands its gradient on as it is.
            (true, None) => Some(dy.clone()),
        };
        let dx = gradients.x.map(|dx| tensor(dx, shape)).transpose()?;
        Ok((dx, Some(tensor(gradients.gain, gain.dims())?), residual))
    }
}

struct Gradients {
    x: Option<Vec<f32>>,
    gain: Vec<f32>,
    /// dy where the activation let it through; `None` when it always does or nobody asks.
    residual: Option<Vec<f32>>,
}

impl BatchNorm {
    fn gradients(&self, x: &[f32], gain: &[f32], y: &[f32], dy: &[f32]) -> Gradients {
        let saved = &*self.0;
        let channels = saved.mean.len();
        let (low, high) = saved.activation.bounds();
        let block = block_rows(channels) * channels;
        let masked_sums = |((x, y), dy): ((&[f32], &[f32]), &[f32])| {
            let (mut sum, mut product) = (vec![0.0f32; channels], vec![0.0f32; channels]);
            vectorised(|| block_sums(x, y, dy, saved, (low, high), &mut sum, &mut product));
            (sum, product)
        };
        let parts = x.par_chunks(block).zip(y.par_chunks(block)).zip(dy.par_chunks(block)).map(masked_sums).collect();
        let (sum, product) = add_pairs(parts, channels);
        // dx = a * masked dy + b * x + c per channel; b and c vanish when the statistics are constants.
        let count = if saved.from_batch { (x.len() / channels) as f64 } else { f64::INFINITY };
        let mut factors = vec![(0.0f32, 0.0f32, 0.0f32); channels];
        for (channel, factor) in factors.iter_mut().enumerate() {
            let inverse = f64::from(saved.inverse_deviation[channel]);
            let scale = f64::from(gain[channel]) * inverse;
            let slope = -scale * inverse * product[channel] / count;
            let offset = -scale * sum[channel] / count - slope * f64::from(saved.mean[channel]);
            *factor = (scale as f32, slope as f32, offset as f32);
        }
        let (a, (b, c)): (Vec<f32>, (Vec<f32>, Vec<f32>)) = factors.into_iter().map(|(a, b, c)| (a, (b, c))).unzip();
        let keep_mask = saved.has_residual && saved.activation != Activation::None;
        let mut dx = vec![0.0f32; x.len()];
        let mut masked = vec![0.0f32; if keep_mask { x.len() } else { 0 }];
        if keep_mask {
            dx.par_chunks_mut(block).zip(masked.par_chunks_mut(block)).enumerate().for_each(|(index, (dx, masked))| {
                let range = index * block..index * block + dx.len();
                let (x, y, dy) = (&x[range.clone()], &y[range.clone()], &dy[range]);
                vectorised(|| mask(masked, y, dy, low, high));
                vectorised(|| spread(dx, x, masked, None, (&a, &b, &c)));
            });
        } else {
            dx.par_chunks_mut(block).enumerate().for_each(|(index, dx)| {
                let range = index * block..index * block + dx.len();
                let (x, y, dy) = (&x[range.clone()], &y[range.clone()], &dy[range]);
                vectorised(|| spread(dx, x, dy, Some((y, low, high)), (&a, &b, &c)));
            });
        }
        let gain = sum.iter().zip(&product).map(|(_, product)| *product as f32).chain(sum.iter().map(|sum| *sum as f32)).collect();
        Gradients { x: Some(dx), gain, residual: keep_mask.then_some(masked) }
    }
}

#[inline(always)]
fn normalise(y: &mut [f32], x: &[f32], residual: Option<&[f32]>, scale: &[f32], shift: &[f32], low: f32, high: f32) {
    let channels = scale.len();
    match residual {
        None => {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                    *y = clamp(x * scale + shift, low, high);
                }
            }
        }
        Some(residual) => {
            for ((y, x), residual) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(residual.chunks_exact(channels)) {
                for ((((y, &x), &residual), &scale), &shift) in y.iter_mut().zip(x).zip(residual).zip(scale).zip(shift) {
                    *y = clamp(x * scale + shift + residual, low, high);
                }
            }
        }
    }
}

/// `sum += masked dy`, `product += masked dy * normalised x`.
#[inline(always)]
fn block_sums(x: &[f32], y: &[f32], dy: &[f32], saved: &Saved, (low, high): (f32, f32), sum: &mut [f32], product: &mut [f32]) {
    let channels = sum.len();
    let (mean, inverse) = (&saved.mean[..channels], &saved.inverse_deviation[..channels]);
    let (sum, product) = (&mut sum[..channels], &mut product[..channels]);
    for ((x, y), dy) in x.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(dy.chunks_exact(channels)) {
        for channel in 0..channels {
            let passes = y[channel] > low && y[channel] < high;
            let gradient = if passes { dy[channel] } else { 0.0 };
            sum[channel] += gradient;
            product[channel] += gradient * (x[channel] - mean[channel]) * inverse[channel];
        }
    }
}

#[inline(always)]
fn mask(masked: &mut [f32], y: &[f32], dy: &[f32], low: f32, high: f32) {
    for ((masked, &y), &dy) in masked.iter_mut().zip(y).zip(dy) {
        *masked = if y > low && y < high { dy } else { 0.0 };
    }
}

/// `dx = a * dy + b * x + c`, with `dy` masked by `y` where that was not done before.
#[inline(always)]
fn spread(dx: &mut [f32], x: &[f32], dy: &[f32], unmasked: Option<(&[f32], f32, f32)>, (a, b, c): (&[f32], &[f32], &[f32])) {
    let channels = a.len();
    let (b, c) = (&b[..channels], &c[..channels]);
    let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
    match unmasked {
        None => {
            for ((dx, x), dy) in rows {
                for channel in 0..channels {
                    dx[channel] = a[channel] * dy[channel] + b[channel] * x[channel] + c[channel];
                }
            }
        }
        Some((y, low, high)) => {
            for (((dx, x), dy), y) in rows.zip(y.chunks_exact(channels)) {
                for channel in 0..channels {
                    let passes = y[channel] > low && y[channel] < high;
                    let gradient = if passes { dy[channel] } else { 0.0 };
                    dx[channel] = a[channel] * gradient + b[channel] * x[channel] + c[channel];
                }
            }
        }
    }
}
