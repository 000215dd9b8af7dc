//! The stages and blocks of a [plan](crate::nn::architectures::plan), holding the tensors they run with. Whoever runs
//! them, learning, answering or counting, sends his values through a block in the same way.

use super::layer::{Layer, RunningPooled};
use crate::nn::architectures::plan::{Plan, Shortcut, StagePlan, Unit};
use crate::nn::error::Result;
use crate::nn::weights::Weights;

pub(super) struct RunningStage {
    pub blocks: Vec<RunningBlock>,
    pub max_pool: bool,
    pub pooled: Option<RunningPooled>,
}

pub(super) struct RunningBlock {
    layers: Vec<Layer>,
    shortcut: RunningShortcut,
}

enum RunningShortcut {
    None,
    Identity,
    Projection(Box<Layer>),
}

impl RunningStage {
    pub fn build(architecture: &str, stage: &StagePlan, plan: &Plan, weights: &Weights) -> Result<RunningStage> {
        let layer = |unit: &Unit| Layer::build(architecture, unit, plan, weights);
        let mut blocks = Vec::new();
        for block in &stage.blocks {
            let layers = block.units.iter().map(layer).collect::<Result<_>>()?;
            let shortcut = match &block.shortcut {
                Shortcut::None => RunningShortcut::None,
                Shortcut::Identity => RunningShortcut::Identity,
                Shortcut::Projection(unit) => RunningShortcut::Projection(Box::new(layer(unit)?)),
            };
            blocks.push(RunningBlock { layers, shortcut });
        }
        let pooled = stage.pooled.as_ref().map(|pooled| RunningPooled::build(architecture, pooled, weights)).transpose()?;
        Ok(RunningStage { blocks, max_pool: stage.max_pool, pooled })
    }
}

impl RunningBlock {
    /// In the order of [`Self::forward`].
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        let projection = match &self.shortcut {
            RunningShortcut::Projection(layer) => Some(&**layer),
            _ => None,
        };
        projection.into_iter().chain(&self.layers)
    }

    /// Sends `x` through the layers by `apply(layer, input, residual)`.
    pub(super) fn forward<T: Clone>(&self, x: &T, mut apply: impl FnMut(&Layer, &T, Option<&T>) -> Result<T>) -> Result<T> {
        let residual = match &self.shortcut {
            RunningShortcut::None => None,
            RunningShortcut::Identity => Some(x.clone()),
            RunningShortcut::Projection(layer) => Some(apply(layer, x, None)?),
        };
        let Some((last, first)) = self.layers.split_last() else { return Ok(x.clone()) };
        let mut y = x.clone();
        for layer in first {
            y = apply(layer, &y, None)?;
        }
        apply(last, &y, residual.as_ref())
    }
}
