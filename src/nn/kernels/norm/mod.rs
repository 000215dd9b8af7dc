//! Normalisation: what a batch norm is (Ioffe and Szegedy 2015) and what it saw; its loops, with the residual sum and the
//! activation that follow it, are in [`normalise`], layer norm in [`layer_norm`], global response norm in [`response`].

pub(crate) mod layer_norm;
pub(crate) mod normalise;
pub(crate) mod response;
pub(crate) mod statistics;

use candle_core::{Result, Tensor, bail};

use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::memory::tensor;

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

impl Norm<'_> {
    /// Errors unless it is one of so many channels.
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        if self.gamma.dims() != [channels] || self.beta.dims() != [channels] {
            bail!("batch norm over {:?} and {:?} does not fit {channels} channels", self.gamma.dims(), self.beta.dims())
        }
        Ok(())
    }

    /// Errors when a batch has a single value per channel, which has no variance.
    pub(crate) fn check_count(count: usize) -> Result<()> {
        if count < 2 {
            bail!("batch norm cannot train on one value per channel: use a larger batch or larger images")
        }
        Ok(())
    }
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
