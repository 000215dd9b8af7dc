//! Runs a [`Plan`]: the one executor behind every convolutional family.

use std::ops::Range;

use candle_core::{D, Tensor};

use super::inference;
use super::order::{frames_first, frames_last, tall};
use super::stage::{RunningStage, Step};
use crate::domain::recipe::Precision;
use crate::nn::architectures::plan::Plan;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::ops::{Pass, Road, Settings};
use crate::nn::kernels::tape::{self, Node};
use crate::nn::kernels::{self, portable};
use crate::nn::weights::Weights;

/// A backbone built from a plan and its tensors. Inside, maps are channels last; those of clips are the maps of all their frames, whose
/// number goes along.
pub(crate) struct Convolutional {
    architecture: String,
    num_features: usize,
    /// Whether it takes clips `(B, C, T, H, W)` instead of images.
    clips: bool,
    stages: Vec<Stage>,
    running: Vec<RunningStage>,
    weights: Weights,
    settings: Settings,
}

impl Convolutional {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, plan: &Plan, weights: Weights) -> Result<Convolutional> {
        let running = plan.stages.iter().map(|stage| RunningStage::build(architecture, stage, plan, &weights));
        let running = running.collect::<Result<_>>()?;
        let stages = Stage::list(plan.stages.iter().map(|stage| (stage.name.clone(), stage.tensors())));
        let architecture = architecture.into();
        let (num_features, clips) = (plan.num_features, plan.clips);
        Ok(Convolutional { architecture, num_features, clips, stages, running, weights, settings: Settings::new() })
    }

    fn stage(&self, stage: usize) -> Result<&RunningStage> {
        let missing = || Error::Invalid(format!("{} has {} stages, there is no stage {stage}", self.architecture, self.running.len()));
        self.running.get(stage).ok_or_else(missing)
    }

    /// One stage over channels-last maps of clips of so many frames, by the pass's road, which is not the tape.
    fn run(&self, stage: usize, (x, frames): (&Tensor, usize), mode: Mode, pass: &Pass) -> Result<(Tensor, usize)> {
        let (stage, x) = (self.stage(stage)?, &kernels::laid_out(x)?);
        if pass.road == Road::Folded {
            return inference::run(stage, x, frames, pass);
        }
        stage.forward(x, frames, &mut |step| {
            Ok(match step {
                Step::Layer(layer, frames, x, residual) => layer.compose(x, frames, residual, mode, pass)?,
                Step::Norm(norm, x) => norm.compose(x, None, mode, pass)?,
                Step::MaxPool(window, frames, x) => portable::max_pool(x, frames, window)?,
                Step::AveragePool(average, frames, x) => portable::average_pool(x, frames, average)?,
                Step::Sum(x, shortcut, activation) => portable::activate(&(x + shortcut)?, activation)?,
                Step::Shift(frames, x) => portable::shift(x, frames)?,
                Step::Join(maps) => Tensor::cat(maps, D::Minus1)?,
            })
        })
    }

    /// The stages of this range, learning on a CPU. Takes the tensor, so that it does not lie beside its node.
    fn learn(&self, stages: Range<usize>, (input, mut frames): (Tensor, usize), pass: &Pass) -> Result<(Node, usize)> {
        let mut x = Node::enter(&input, pass.arithmetic)?;
        drop(input);
        for stage in stages {
            (x, frames) = self.stage(stage)?.forward(&x, frames, &mut |step| {
                Ok(match step {
                    Step::Layer(layer, frames, x, residual) => layer.learn(x, frames, residual, pass)?,
                    Step::Norm(norm, x) => norm.learn(x, pass)?,
                    Step::MaxPool(window, frames, x) => tape::joins::max_pool(x, frames, window)?,
                    Step::AveragePool(average, frames, x) => tape::joins::average_pool(x, frames, average)?,
                    Step::Sum(x, shortcut, activation) => tape::layers::sum(&x, shortcut, activation)?,
                    Step::Shift(frames, x) => tape::joins::shift(x, frames)?,
                    Step::Join(maps) => tape::joins::join(maps)?,
                })
            })?;
        }
        Ok((x, frames))
    }

    /// The mean over all pixels, and all frames, of what [`run`](Self::run) made.
    fn averaged(&self, road: Road, (maps, frames): (Tensor, usize)) -> Result<Tensor> {
        let maps = kernels::laid_out(&maps)?;
        let clips = maps.reshape(tall(maps.dims4()?.into(), frames).to_vec())?;
        Ok(road.global_average_pool(&clips)?)
    }
}

impl Backbone for Convolutional {
    fields!();

    fn num_features(&self) -> usize {
        self.num_features
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.settings.set_momentum(momentum);
    }

    fn freeze_norms(&self) {
        self.settings.freeze_norms();
    }

    /// Not in pixels, which have three channels; where clips are seen whole, there is nothing to shift.
    fn shift_frames(&mut self, frames: usize) -> bool {
        if self.clips {
            return false;
        }
        self.running
            .iter_mut()
            .enumerate()
            .filter(|(at, stage)| *at > 0 || stage.has_shortcuts())
            .for_each(|(_, stage)| stage.shift(frames));
        true
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = frames_last(x, self.clips)?;
        let pass = self.settings.pass(&x.0, mode == Mode::Train);
        self.outside(match pass.road {
            Road::Tape => left(self.learn(stage..stage + 1, x, &pass)?)?,
            Road::Folded | Road::Portable => self.run(stage, (&x.0, x.1), mode, &pass)?,
        })
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let road = self.settings.pass(features, features.track_op()).road;
        self.averaged(road, frames_last(features, self.clips)?)
    }

    // The provided methods would do; these spare the graph a change of memory order at each stage.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(from, x, frozen_stages)?;
        let pass = self.settings.pass(&maps.0, mode == Mode::Train);
        self.outside(match pass.road {
            Road::Tape => left(self.learn(from..self.stages.len(), maps, &pass)?)?,
            Road::Folded | Road::Portable => self.rest(from, maps, mode, &pass)?,
        })
    }

    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let x = input.tensor();
        let (from, maps) = self.frozen(0, x, frozen_stages)?;
        let pass = self.settings.pass(&maps.0, mode == Mode::Train);
        match pass.road {
            Road::Tape => {
                let (node, frames) = self.learn(from..self.stages.len(), maps, &pass)?;
                let shape = tall(node.shape, frames);
                Ok(tape::layers::average(&node.seen_as(shape)?)?)
            }
            road @ (Road::Folded | Road::Portable) => self.averaged(road, self.rest(from, maps, mode, &pass)?),
        }
    }
}

/// The tensor of a node.
fn left((node, frames): (Node, usize)) -> Result<(Tensor, usize)> {
    Ok((node.leave()?, frames))
}

impl Convolutional {
    /// As stages show maps to others.
    fn outside(&self, (maps, frames): (Tensor, usize)) -> Result<Tensor> {
        frames_first(&maps, frames, self.clips)
    }

    /// Runs the frozen stages from `from` on as constants; answers the first stage that is not, and its input.
    fn frozen(&self, from: usize, x: &Tensor, frozen_stages: usize) -> Result<(usize, (Tensor, usize))> {
        let (mut maps, mut frames) = frames_last(x, self.clips)?;
        let end = frozen_stages.min(self.stages.len()).max(from);
        for stage in from..end {
            let pass = self.settings.pass(&maps, false);
            (maps, frames) = self.run(stage, (&maps, frames), Mode::Eval, &pass)?;
            maps = maps.detach();
        }
        Ok((end, (maps, frames)))
    }

    fn rest(&self, from: usize, (mut maps, mut frames): (Tensor, usize), mode: Mode, pass: &Pass) -> Result<(Tensor, usize)> {
        for stage in from..self.stages.len() {
            (maps, frames) = self.run(stage, (&maps, frames), mode, pass)?;
        }
        Ok((maps, frames))
    }
}
