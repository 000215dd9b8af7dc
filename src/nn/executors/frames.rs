//! A network of images that sees the frames of a clip one by one: its stages run on all frames of a batch, each frame is pooled to a vector as an
//! image is, and the vectors of a clip become one (Wang et al. 2016, TSN; Karpathy et al. 2014).
//!
//! ```text
//! clip (B, 3, T, H, W) -> frames (B T, 3, H, W) -> stages of the network -> (B T, F) -> (B, T, F) -> over time
//! ```
//!
//! `concat`, `mean` and `max` have nothing to learn. `attention` and `conv` do, and are one stage more, above those of the network: what is kept
//! of a clip whose frames' stages are frozen is then a vector for each frame. With `tsm` (Lin et al. 2019) frames see each other within the
//! network, by channels that are shifted along them, and the vector of a clip is their mean: convolutional networks shift at their blocks, of
//! others what lies between two stages is shifted.

mod over_time;

use candle_core::Tensor;

use over_time::Learned;
pub use over_time::{MODULE, fresh, tensors, width};

use super::LowRank;
use crate::domain::recipe::{FramePool, Precision};
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::portable;
use crate::nn::weights::Weights;

/// How many frames a clip has, and how what is said of each becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramesPool {
    pub frames: usize,
    pub over: FramePool,
}

pub struct Frames {
    inner: Box<dyn Backbone>,
    pool: FramesPool,
    learned: Option<Learned>,
    /// Whether channels are shifted between stages, since the network does not do it within them.
    shifts: bool,
    /// Those of the network, and one for what is learned over time.
    stages: Vec<Stage>,
    weights: Weights,
}

impl Frames {
    /// Puts it on a network of images; `own` are the tensors over time ([`tensors`]), none where nothing is learned there.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn on(mut inner: Box<dyn Backbone>, pool: FramesPool, own: &Weights) -> Result<Frames> {
        let learned = Learned::new(pool, own)?;
        let shifts = pool.over == FramePool::Tsm && !inner.shift_frames(pool.frames);
        let mut frames = Frames { inner, pool, learned, shifts, stages: Vec::new(), weights: Weights::default() };
        frames.gather();
        Ok(frames)
    }

    /// Its stages and tensors: those of the network, and its own.
    fn gather(&mut self) {
        self.stages = self.inner.stages().to_vec();
        self.weights = self.inner.weights().clone();
        if let Some(learned) = &self.learned {
            self.stages.push(Stage { name: MODULE.into(), parameters: learned.names().map(str::to_owned).collect(), buffers: Vec::new() });
            learned.parameters().iter().for_each(|(name, var)| self.weights.insert(name.clone(), var.clone()));
        }
    }

    /// Stages of the network of images.
    fn images(&self) -> usize {
        self.inner.stages().len()
    }

    /// What lies between two stages: that of each frame, or above the last of them a vector for each where something is learned over time.
    fn above(&self, frames: &Tensor, count: usize, stages: usize) -> Result<Tensor> {
        if stages == self.images() && self.learned.is_some() {
            return vectors(&self.inner.pool(frames)?, count);
        }
        unfolded(frames, count)
    }

    fn fits(&self, count: usize) -> Result<()> {
        if count == self.pool.frames {
            return Ok(());
        }
        Err(Error::Invalid(format!("{} sees clips of {} frames, not {count}", self.architecture(), self.pool.frames)))
    }
}

/// Frames of a batch of clips, or of what stages made of them.
fn count_of(clips: &Tensor) -> Result<usize> {
    Ok(clips.dim(if clips.rank() == 5 { 2 } else { 1 })?)
}

/// `(B, C, T, H, W)` to `(B T, C, H, W)`, `(B, T, N, D)` to `(B T, N, D)`, `(B, T, D)` to `(B T, D)`; maps stay channels last in memory.
fn folded(clips: &Tensor) -> Result<Tensor> {
    Ok(match *clips.dims() {
        [b, c, t, h, w] => {
            let rows = clips.permute((0, 2, 3, 4, 1))?.contiguous()?.reshape((b * t, h, w, c))?;
            rows.permute((0, 3, 1, 2))?
        }
        [b, t, n, d] => clips.contiguous()?.reshape((b * t, n, d))?,
        [b, t, d] => clips.contiguous()?.reshape((b * t, d))?,
        _ => return Err(Error::Invalid(format!("{:?} is no shape of clips", clips.dims()))),
    })
}

/// The way back, with so many frames to a clip.
fn unfolded(frames: &Tensor, count: usize) -> Result<Tensor> {
    let clips = |rows: usize| if count > 0 && rows.is_multiple_of(count) { Ok(rows / count) } else { Err(uneven(rows, count)) };
    Ok(match *frames.dims() {
        [rows, c, h, w] => {
            let maps = frames.permute((0, 2, 3, 1))?.contiguous()?.reshape((clips(rows)?, count, h, w, c))?;
            maps.permute((0, 4, 1, 2, 3))?
        }
        [rows, n, d] => frames.contiguous()?.reshape((clips(rows)?, count, n, d))?,
        [rows, d] => frames.contiguous()?.reshape((clips(rows)?, count, d))?,
        _ => return Err(Error::Invalid(format!("{:?} is no shape of frames", frames.dims()))),
    })
}

/// Channels of what lies between two stages, moved along clips of so many frames: of maps `(B T, C, H, W)`, of tokens `(B T, N, D)`.
fn shifted(frames: &Tensor, count: usize) -> Result<Tensor> {
    Ok(match *frames.dims() {
        [_, _, _, _] => portable::shift(&frames.permute((0, 2, 3, 1))?, count)?.permute((0, 3, 1, 2))?,
        [rows, n, d] => portable::shift(&frames.reshape((rows, n, 1, d))?, count)?.reshape((rows, n, d))?,
        _ => return Err(Error::Invalid(format!("{:?} is no shape of frames", frames.dims()))),
    })
}

fn uneven(rows: usize, count: usize) -> Error {
    Error::Invalid(format!("{rows} frames are no clips of {count}"))
}

/// `(B T, F)` to `(B, T, F)`.
fn vectors(pooled: &Tensor, count: usize) -> Result<Tensor> {
    unfolded(&pooled.flatten_from(1)?, count)
}

impl Backbone for Frames {
    fn architecture(&self) -> &str {
        self.inner.architecture()
    }

    fn num_features(&self) -> usize {
        width(self.pool, self.inner.num_features())
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    /// `(B, C, T, H, W)` to `(B, C', T, H', W')`, of networks over tokens `(B, T, N, D)`; the stage over time takes `(B, T, F)` and gives `(B, F')`.
    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if let (Some(learned), true) = (&self.learned, stage == self.images()) {
            self.fits(count_of(x)?)?;
            return learned.forward(x, mode);
        }
        let count = count_of(x)?;
        if self.pool.over == FramePool::Tsm {
            self.fits(count)?;
        }
        let frames = folded(x)?;
        let frames = if self.shifts && stage > 0 { shifted(&frames, count)? } else { frames };
        self.above(&self.inner.forward_stage(stage, &frames, mode)?, count, stage + 1)
    }

    /// `(B, C, T, H, W)` after the last stage to `(B, num_features)`.
    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        if self.learned.is_some() {
            return Ok(features.clone());
        }
        let count = count_of(features)?;
        self.fits(count)?;
        let vectors = vectors(&self.inner.pool(&folded(features)?)?, count)?;
        Ok(match self.pool.over {
            FramePool::Mean | FramePool::Tsm => vectors.mean(1)?,
            FramePool::Max => vectors.max(1)?,
            _ => vectors.flatten_from(1)?.contiguous()?,
        })
    }

    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (images, mut x) = (self.images(), x.clone());
        if self.shifts {
            for stage in from..images {
                x = match stage < frozen_stages {
                    true => self.forward_stage(stage, &x, Mode::Eval)?.detach(),
                    false => self.forward_stage(stage, &x, mode)?,
                };
            }
            return Ok(x);
        }
        if self.pool.over == FramePool::Tsm {
            self.fits(count_of(&x)?)?;
        }
        if from < images {
            let count = count_of(&x)?;
            x = self.above(&self.inner.features_from(from, &folded(&x)?, frozen_stages.min(images), mode)?, count, images)?;
        }
        match &self.learned {
            Some(_) if frozen_stages > images => Ok(self.forward_stage(images, &x, Mode::Eval)?.detach()),
            Some(_) => self.forward_stage(images, &x, mode),
            None => Ok(x),
        }
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

    fn settle(&mut self) {
        self.inner.settle();
    }

    fn unsettle(&mut self) {
        self.inner.unsettle();
    }

    fn adapt(&mut self, with: &LowRank) -> Result<()> {
        self.inner.adapt(with)?;
        self.gather();
        Ok(())
    }

    fn merge_adapters(&mut self) -> Result<()> {
        self.inner.merge_adapters()?;
        self.gather();
        Ok(())
    }

    #[cfg(test)]
    fn settings(&self) -> &crate::nn::kernels::ops::Settings {
        self.inner.settings()
    }
}

#[cfg(test)]
#[path = "frames/frames_tests.rs"]
mod tests;
