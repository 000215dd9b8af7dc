//! Batch normalisation fused with the residual sum and the activation that follow it, with gradients
//! (Ioffe and Szegedy 2015; the gradient is written out, two passes over the tensor).

pub(crate) mod layer_norm;
pub(crate) mod normalise;
pub(crate) mod statistics;

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::activation::activate;
use crate::nn::kernels::memory::{floats, read, tensor};
use crate::nn::kernels::portable;
use normalise::{Fitted, Mask};
use statistics::moments;

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

/// What a training step saw, for the running statistics; on the device of the maps.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    pub mean: Tensor,
    /// Divided by `count - 1`, as PyTorch keeps it.
    pub unbiased_variance: Tensor,
}

impl BatchStatistics {
    /// From mean and biased variance over `count` values per channel.
    pub(crate) fn of(mean: &[f64], variance: &[f64], count: usize) -> Result<BatchStatistics> {
        let unbiased = count as f64 / (count as f64 - 1.0);
        let narrow = |values: &[f64], factor: f64| values.iter().map(|&value| (value * factor) as f32).collect();
        Ok(BatchStatistics {
            mean: tensor(narrow(mean, 1.0), &[mean.len()])?,
            unbiased_variance: tensor(narrow(variance, unbiased), &[variance.len()])?,
        })
    }
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
    if portable::is_for(x) {
        return portable::batch_norm_train(x, norm, residual);
    }
    let x = x.contiguous()?;
    let (mean, variance) = moments(&read(&x)?, channels);
    let statistics = BatchStatistics::of(&mean, &variance, count)?;
    Ok((fused(&x, norm, (&mean, &variance), true, residual)?, statistics))
}

/// The same with given statistics, which are constants: one affine pass. Gradients flow to x, gamma, beta and the
/// residual.
pub fn batch_norm_eval(x: &Tensor, norm: &Norm<'_>, mean: &Tensor, variance: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    channels_of(x, norm)?;
    if portable::is_for(x) {
        return portable::batch_norm_eval(x, norm, mean, variance, residual);
    }
    let wide = |t: &Tensor| -> Result<Vec<f64>> { Ok(read(&t.contiguous()?)?.iter().map(|&value| f64::from(value)).collect()) };
    let (mean, variance) = (wide(mean)?, wide(variance)?);
    fused(&x.contiguous()?, norm, (&mean, &variance), false, residual)
}

/// In one op, but for a residual before an activation that bends: no family here has one.
fn fused(x: &Tensor, norm: &Norm<'_>, moments: (&[f64], &[f64]), from_batch: bool, residual: Option<&Tensor>) -> Result<Tensor> {
    if residual.is_none() || !norm.activation.is_smooth() {
        return BatchNorm::new(moments, norm, from_batch, residual).apply(x, norm, residual);
    }
    let plain = Norm { activation: Activation::None, ..*norm };
    activate(&BatchNorm::new(moments, &plain, from_batch, residual).apply(x, &plain, residual)?, norm.activation)
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
struct BatchNorm {
    fitted: Arc<Fitted>,
    has_residual: bool,
}

impl BatchNorm {
    fn new((mean, variance): (&[f64], &[f64]), norm: &Norm<'_>, from_batch: bool, residual: Option<&Tensor>) -> BatchNorm {
        BatchNorm { fitted: Arc::new(Fitted::new(mean, variance, norm, from_batch)), has_residual: residual.is_some() }
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
        let residual = if self.has_residual { Some(floats(residual, rl)?) } else { None };
        let mut y = vec![0.0f32; x.len()];
        self.fitted.forward(x, floats(gain, gl)?, residual, &mut y);
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
        // The gradient is worked out in place, over copies of what the graph still holds.
        let mut dx = read(x)?.to_vec();
        let mut dy = read(&dy.contiguous()?)?.to_vec();
        let y = read(y)?;
        let mask = if self.has_residual { Mask::Output(&y) } else { Mask::Recompute };
        let (spread, gain_gradient) = self.fitted.sums(&dx, &read(gain)?, mask, &mut dy);
        spread.apply_all(&mut dx, &dy);
        let wants_residual = self.has_residual && residual.track_op();
        let residual = if wants_residual { Some(tensor(dy, x.dims())?) } else { None };
        Ok((Some(tensor(dx, x.dims())?), Some(tensor(gain_gradient, gain.dims())?), residual))
    }
}
