//! What families made of convolutions, batch norms and shortcuts share: each answers with its [`Plan`], and the rest
//! follows from that.

use std::fmt::Debug;

use super::architecture::Member;
use super::cost::{ConvolutionCost, StageCost};
use super::plan::{Plan, Shortcut, StagePlan, Unit};
use super::tensor::{Expected, Init};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::convolutional::Convolutional;
use crate::nn::weights::Weights;

/// A member of such a family.
pub(super) trait Planned: Debug + Sync {
    /// Its layers.
    fn plan(&self) -> Plan;

    /// How timm would draw the classifier's weight and bias.
    fn classifier(&self, num_features: usize, num_classes: usize) -> [Init; 2];

    /// timm's words for its activation.
    fn activations(&self) -> &'static [&'static str];

    /// timm's other arguments by name, each with the value it is built with, as JSON.
    fn arguments(&self) -> &'static [(&'static str, &'static str)];
}

impl<T: Planned> Member for T {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        self.plan().stages.iter().map(|stage| (stage.name.clone(), stage.tensors())).collect()
    }

    fn classifier(&self, num_features: usize, num_classes: usize) -> [Init; 2] {
        Planned::classifier(self, num_features, num_classes)
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Convolutional::build(architecture, &self.plan(), weights)?))
    }

    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let mut sides = [1, 2].map(|axis| item.get(axis).copied().unwrap_or(0));
        self.plan().stages.iter().map(|stage| cost(stage, &mut sides)).collect()
    }

    fn fewest_items(&self) -> usize {
        2
    }

    /// A stage that pools by itself leaves nothing to choose.
    fn pools(&self) -> &'static [&'static str] {
        let pools_itself = self.plan().stages.last().is_some_and(|stage| stage.pooled.is_some());
        if pools_itself { &["avg"] } else { &["avg", "max", "avgmax", "catavgmax"] }
    }

    fn activations(&self) -> &'static [&'static str] {
        Planned::activations(self)
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        Planned::arguments(self)
    }
}

/// What one stage costs over maps of these sides, which become those of what it writes.
fn cost(stage: &StagePlan, sides: &mut [usize; 2]) -> StageCost {
    let mut cost = StageCost::default();
    for block in &stage.blocks {
        if let Shortcut::Projection(unit) = &block.shortcut {
            add(&mut cost, unit, *sides);
        }
        for unit in &block.units {
            *sides = add(&mut cost, unit, *sides);
        }
    }
    if stage.max_pool {
        *sides = sides.map(|side| side.div_ceil(2));
    }
    if let Some(pooled) = &stage.pooled {
        cost.outputs += pooled.output as f64;
        cost.multiply_adds += (pooled.input * pooled.output) as f64;
        *sides = [1, 1];
    }
    cost
}

fn add(cost: &mut StageCost, unit: &Unit, sides: [usize; 2]) -> [usize; 2] {
    let layer = ConvolutionCost { kernel: unit.kernel, stride: unit.stride, groups: unit.groups };
    let out = cost.convolution(sides, (unit.input, unit.output), layer);
    if let Some(squeeze) = &unit.squeeze {
        // The map again, in other proportions; its two layers see one pixel.
        cost.outputs += (out[0] * out[1] * unit.output) as f64;
        cost.multiply_adds += (2 * squeeze.channels * squeeze.reduced) as f64;
    }
    out
}
