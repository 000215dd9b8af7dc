//! Runs a [`Plan`]: the one executor behind every convolutional family.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::Tensor;

use super::inference;
use super::layer::Layer;
use super::stage::RunningStage;
use crate::domain::recipe::Precision;
use crate::nn::architectures::plan::Plan;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{self, Map, portable};
use crate::nn::weights::Weights;

/// A backbone built from a plan and its tensors. Inside, maps are channels last.
pub(crate) struct Convolutional {
    architecture: String,
    num_features: usize,
    stages: Vec<Stage>,
    running: Vec<RunningStage>,
    weights: Weights,
    /// The bits of an f64.
    momentum: Arc<AtomicU64>,
    /// Whether stages that learn multiply bf16.
    rounds: AtomicBool,
}

impl Convolutional {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, plan: &Plan, weights: Weights) -> Result<Convolutional> {
        let momentum = Arc::new(AtomicU64::new(0.1f64.to_bits()));
        let running = plan.stages.iter().map(|stage| RunningStage::build(architecture, stage, plan, &weights, &momentum));
        let running = running.collect::<Result<_>>()?;
        let stages = Stage::list(plan.stages.iter().map(|stage| (stage.name.clone(), stage.tensors())));
        let architecture = architecture.into();
        Ok(Convolutional {
            architecture,
            num_features: plan.num_features,
            stages,
            running,
            weights,
            momentum,
            rounds: AtomicBool::new(false),
        })
    }

    fn stage(&self, stage: usize) -> Result<&RunningStage> {
        let missing = || Error::Invalid(format!("{} has {} stages, there is no stage {stage}", self.architecture, self.running.len()));
        self.running.get(stage).ok_or_else(missing)
    }

    /// Of products in stages that learn.
    fn precision(&self) -> Precision {
        if self.rounds.load(Ordering::Relaxed) { Precision::Bf16 } else { Precision::F32 }
    }

    /// One stage over channels-last maps.
    fn run(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (stage, x) = (self.stage(stage)?, &kernels::laid_out(x)?);
        // Where somebody wants the gradient to the input, the ops below give the same numbers and have one.
        if mode == Mode::Eval && !x.track_op() && !kernels::portable::is_for(x) {
            return inference::run(std::slice::from_ref(stage), x);
        }
        let precision = if mode == Mode::Train { self.precision() } else { Precision::F32 };
        let mut x = x.clone();
        for block in &stage.blocks {
            x = portable::at(precision, || block.forward(&x, |layer, x, residual| layer.forward(x, residual, mode)))?;
        }
        if stage.max_pool {
            x = kernels::max_pool(&x, 3, 2, 1)?;
        }
        match &stage.pooled {
            Some(pooled) => pooled.forward(&x, mode),
            None => Ok(x),
        }
    }

    /// The stages of this range, learning on a CPU. Takes the tensor, so that it does not lie beside its map.
    fn learn(&self, stages: Range<usize>, input: Tensor) -> Result<Learning> {
        let mut x = Map::enter(&input, self.precision())?;
        drop(input);
        for stage in stages {
            let stage = self.stage(stage)?;
            for block in &stage.blocks {
                x = block.forward(&x, Layer::learn)?;
            }
            if stage.max_pool {
                x = kernels::map_max_pool(&x, 3, 2, 1)?;
            }
            if let Some(pooled) = &stage.pooled {
                // Nothing comes after the pixel that it makes of each image.
                return Ok(Learning::Pixel(pooled.pixel(&kernels::map_average(&x)?, Mode::Train)?));
            }
        }
        Ok(Learning::Map(x))
    }
}

/// What stages that learn make of their input.
enum Learning {
    Map(Map),
    /// `(B, 1, 1, C)`.
    Pixel(Tensor),
}

impl Learning {
    /// Channels last.
    fn leave(&self) -> Result<Tensor> {
        match self {
            Learning::Map(map) => Ok(map.leave()?),
            Learning::Pixel(pixel) => Ok(pixel.clone()),
        }
    }

    /// `(B, C)`.
    fn average(&self) -> Result<Tensor> {
        match self {
            Learning::Map(map) => Ok(kernels::map_average(map)?),
            Learning::Pixel(pixel) => Ok(pixel.flatten_from(1)?),
        }
    }
}

impl Backbone for Convolutional {
    fn architecture(&self) -> &str {
        &self.architecture
    }

    fn num_features(&self) -> usize {
        self.num_features
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.momentum.store(momentum.to_bits(), Ordering::Relaxed);
    }

    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.rounds.store(false, Ordering::Relaxed);
        if precision == Precision::Bf16 {
            kernels::backend::has_bf16(&self.weights.device())?;
            self.rounds.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = channels_last(x)?;
        if learns_in_place(&x, mode) {
            return channels_first(&self.learn(stage..stage + 1, x)?.leave()?);
        }
        channels_first(&self.run(stage, &x, mode)?)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(kernels::global_average_pool(&kernels::laid_out(&channels_last(features)?)?)?)
    }

    // The provided methods would do; these spare the graph a change of memory order at each stage.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(from, x, frozen_stages)?;
        channels_first(&match learns_in_place(&maps, mode) {
            true => self.learn(from..self.stages.len(), maps)?.leave()?,
            false => self.rest(from, maps, mode)?,
        })
    }

    fn pooled(&self, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(0, x, frozen_stages)?;
        Ok(match learns_in_place(&maps, mode) {
            true => self.learn(from..self.stages.len(), maps)?.average()?,
            false => kernels::global_average_pool(&self.rest(from, maps, mode)?)?,
        })
    }
}

impl Convolutional {
    /// Runs the frozen stages from `from` on as constants; answers the first stage that is not, and its input.
    fn frozen(&self, from: usize, x: &Tensor, frozen_stages: usize) -> Result<(usize, Tensor)> {
        let mut maps = channels_last(x)?;
        let end = frozen_stages.min(self.stages.len()).max(from);
        for stage in from..end {
            maps = self.run(stage, &maps, Mode::Eval)?.detach();
        }
        Ok((end, maps))
    }

    fn rest(&self, from: usize, mut maps: Tensor, mode: Mode) -> Result<Tensor> {
        for stage in from..self.stages.len() {
            maps = self.run(stage, &maps, mode)?;
        }
        Ok(maps)
    }
}

fn learns_in_place(x: &Tensor, mode: Mode) -> bool {
    mode == Mode::Train && !kernels::portable::is_for(x)
}

/// `(B, C, H, W)` seen as `(B, H, W, C)`; no copy.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 {
        return Err(Error::Invalid(format!("a batch of images has the shape (batch, channels, height, width), not {:?}", x.dims())));
    }
    Ok(x.permute((0, 2, 3, 1))?)
}

/// `(B, H, W, C)` seen as `(B, C, H, W)`; no copy.
fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 3, 1, 2))?)
}
