//! A backbone whose last maps are pooled otherwise than by their mean: timm's `global_pool`.

use candle_core::Tensor;

use super::frames::{self, Frames, FramesPool};
use super::places::Places;
use crate::domain::recipe::Precision;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::Result;
use crate::nn::weights::Weights;

/// How maps become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pool {
    /// As the architecture does it unless told: by the mean over all pixels, or by the class token.
    #[default]
    Usual,
    /// The largest value of each channel.
    Max,
    /// Halfway between mean and largest.
    AvgMax,
    /// Mean and largest, one behind the other.
    CatAvgMax,
    /// Of sequences of tokens.
    Tokens(TokenPool),
    /// Not at all: a row for each cell of a grid, of the maps of all scales.
    Places,
    /// Of the frames of a clip, each of which is pooled as an image is.
    Frames(FramesPool),
}

/// How a sequence of tokens becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPool {
    pub how: How,
    /// Whether vectors are scaled to length one.
    pub normalised: bool,
}

/// sentence-transformers' poolings, and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `cls`.
    First,
    Mean,
    /// The sum by the square root of the count.
    MeanBySqrt,
    Max,
    /// `lasttoken`.
    Last,
    /// Not at all: a vector for the first token of each word, all of them one behind the other.
    Words,
}

impl Pool {
    /// Tells it from the others.
    pub fn key(self) -> u8 {
        match self {
            Pool::Usual => 0,
            Pool::Max => 1,
            Pool::AvgMax => 2,
            Pool::CatAvgMax => 3,
            Pool::Places => 4,
            Pool::Frames(FramesPool { over, .. }) => 8 + over as u8,
            Pool::Tokens(TokenPool { how, normalised }) => 16 + 2 * how as u8 + u8::from(normalised),
        }
    }

    /// How wide the features are over maps of so many channels.
    pub fn width(self, channels: usize) -> usize {
        match self {
            Pool::CatAvgMax => 2 * channels,
            Pool::Frames(pool) => frames::width(pool, channels),
            _ => channels,
        }
    }

    /// Tensors of its own over maps of so many channels.
    pub fn tensors(self, channels: usize) -> Vec<Expected> {
        if let Pool::Frames(pool) = self { frames::tensors(pool, channels) } else { Vec::new() }
    }

    /// Puts this pooling, with tensors of its own, on a backbone that ends in maps, or tells one over tokens.
    ///
    /// # Errors
    /// Places are asked for, and it makes no maps of several scales.
    pub fn on(self, mut inner: Box<dyn Backbone>, own: &Weights) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            Pool::Usual => inner,
            Pool::Tokens(pool) => {
                inner.pool_tokens(pool);
                inner
            }
            Pool::Places => Box::new(Places::on(inner)?),
            Pool::Frames(pool) => Box::new(Frames::on(inner, pool, own)?),
            _ => Box::new(Pooling { inner, pool: self }),
        })
    }
}

struct Pooling {
    inner: Box<dyn Backbone>,
    pool: Pool,
}

impl Backbone for Pooling {
    fn architecture(&self) -> &str {
        self.inner.architecture()
    }

    fn num_features(&self) -> usize {
        self.pool.width(self.inner.num_features())
    }

    fn stages(&self) -> &[Stage] {
        self.inner.stages()
    }

    fn weights(&self) -> &Weights {
        self.inner.weights()
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.inner.forward_stage(stage, x, mode)
    }

    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.inner.features_from(from, x, frozen_stages, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let pixels = features.flatten_from(2)?.contiguous()?;
        let largest = || pixels.max(2);
        Ok(match self.pool {
            Pool::Usual | Pool::Tokens(_) | Pool::Places | Pool::Frames(_) => self.inner.pool(features)?,
            Pool::Max => largest()?,
            Pool::AvgMax => ((pixels.mean(2)? + largest()?)? * 0.5)?,
            Pool::CatAvgMax => Tensor::cat(&[pixels.mean(2)?, largest()?], 1)?,
        })
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.inner.set_norm_momentum(momentum);
    }

    fn freeze_norms(&self) {
        self.inner.freeze_norms();
    }

    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.inner.set_precision(precision)
    }

    #[cfg(test)]
    fn settings(&self) -> &crate::nn::kernels::ops::Settings {
        self.inner.settings()
    }
}
