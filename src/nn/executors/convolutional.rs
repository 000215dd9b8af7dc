//! Runs a [`Plan`]: the one executor behind every convolutional family.

use std::ops::Range;

use candle_core::{D, Tensor};

use super::inference;
use super::order::{channels_first, channels_last};
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

/// A backbone built from a plan and its tensors. Inside, maps are channels last.
pub(crate) struct Convolutional {
    architecture: String,
    num_features: usize,
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
        Ok(Convolutional { architecture, num_features: plan.num_features, stages, running, weights, settings: Settings::new() })
    }

    fn stage(&self, stage: usize) -> Result<&RunningStage> {
        let missing = || Error::Invalid(format!("{} has {} stages, there is no stage {stage}", self.architecture, self.running.len()));
        self.running.get(stage).ok_or_else(missing)
    }

    /// One stage over channels-last maps, by the pass's road, which is not the tape.
    fn run(&self, stage: usize, x: &Tensor, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let (stage, x) = (self.stage(stage)?, &kernels::laid_out(x)?);
        if pass.road == Road::Folded {
            return inference::run(stage, x, pass);
        }
        stage.forward(x, &mut |step| {
            Ok(match step {
                Step::Layer(layer, x, residual) => layer.compose(x, residual, mode, pass)?,
                Step::Norm(norm, x) => norm.compose(x, None, mode, pass)?,
                Step::MaxPool(window, x) => portable::max_pool(x, window)?,
                Step::AveragePool(average, x) => portable::average_pool(x, average)?,
                Step::Sum(x, shortcut, activation) => portable::activate(&(x + shortcut)?, activation)?,
                Step::Join(maps) => Tensor::cat(maps, D::Minus1)?,
            })
        })
    }

    /// The stages of this range, learning on a CPU. Takes the tensor, so that it does not lie beside its node.
    fn learn(&self, stages: Range<usize>, input: Tensor, pass: &Pass) -> Result<Node> {
        let mut x = Node::enter(&input, pass.arithmetic)?;
        drop(input);
        for stage in stages {
            x = self.stage(stage)?.forward(&x, &mut |step| {
                Ok(match step {
                    Step::Layer(layer, x, residual) => layer.learn(x, residual, pass)?,
                    Step::Norm(norm, x) => norm.learn(x, pass)?,
                    Step::MaxPool(window, x) => tape::joins::max_pool(x, window)?,
                    Step::AveragePool(average, x) => tape::joins::average_pool(x, average)?,
                    Step::Sum(x, shortcut, activation) => tape::layers::sum(&x, shortcut, activation)?,
                    Step::Join(maps) => tape::joins::join(maps)?,
                })
            })?;
        }
        Ok(x)
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

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = channels_last(x)?;
        let pass = self.settings.pass(&x, mode == Mode::Train);
        channels_first(&match pass.road {
            Road::Tape => self.learn(stage..stage + 1, x, &pass)?.leave()?,
            Road::Folded | Road::Portable => self.run(stage, &x, mode, &pass)?,
        })
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let road = self.settings.pass(features, features.track_op()).road;
        Ok(road.global_average_pool(&kernels::laid_out(&channels_last(features)?)?)?)
    }

    // The provided methods would do; these spare the graph a change of memory order at each stage.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let (from, maps) = self.frozen(from, x, frozen_stages)?;
        let pass = self.settings.pass(&maps, mode == Mode::Train);
        channels_first(&match pass.road {
            Road::Tape => self.learn(from..self.stages.len(), maps, &pass)?.leave()?,
            Road::Folded | Road::Portable => self.rest(from, maps, mode, &pass)?,
        })
    }

    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let x = input.tensor();
        let (from, maps) = self.frozen(0, x, frozen_stages)?;
        let pass = self.settings.pass(&maps, mode == Mode::Train);
        Ok(match pass.road {
            Road::Tape => tape::layers::average(&self.learn(from..self.stages.len(), maps, &pass)?)?,
            road @ (Road::Folded | Road::Portable) => road.global_average_pool(&self.rest(from, maps, mode, &pass)?)?,
        })
    }
}

impl Convolutional {
    /// Runs the frozen stages from `from` on as constants; answers the first stage that is not, and its input.
    fn frozen(&self, from: usize, x: &Tensor, frozen_stages: usize) -> Result<(usize, Tensor)> {
        let mut maps = channels_last(x)?;
        let end = frozen_stages.min(self.stages.len()).max(from);
        for stage in from..end {
            let pass = self.settings.pass(&maps, false);
            maps = self.run(stage, &maps, Mode::Eval, &pass)?.detach();
        }
        Ok((end, maps))
    }

    fn rest(&self, from: usize, mut maps: Tensor, mode: Mode, pass: &Pass) -> Result<Tensor> {
        for stage in from..self.stages.len() {
            maps = self.run(stage, &maps, mode, pass)?;
        }
        Ok(maps)
    }
}
