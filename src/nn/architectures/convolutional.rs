//! What families made of convolutions, batch norms and shortcuts share: each answers with its [`Plan`], and the rest
//! follows from that.

use std::fmt::Debug;

use super::architecture::Member;
use super::cost::StageCost;
use super::plan::{Block, Part, Plan, Shortcut, Unit};
use super::tensor::{Expected, Init};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::convolutional::Convolutional;
use crate::nn::executors::tapped::{Tap, Tapped};
use crate::nn::kernels::{Average, Geometry};
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

    /// Modules that files of it may hold and that are not needed to run it.
    fn unused(&self) -> &'static [&'static str] {
        &[]
    }

    /// Weights that were found in other shapes, as this build knows them.
    fn adopt(&self, weights: Weights) -> Weights {
        weights
    }

    /// What heads over maps are shown of it, where that is not the last map of each scale.
    fn taps(&self) -> Vec<Tap> {
        Vec::new()
    }

    /// The way back from [`Planned::adopt`].
    fn published(&self, weights: Weights) -> Weights {
        weights
    }
}

impl<T: Planned> Member for T {
    fn described(&self) -> Option<Plan> {
        Some(self.plan())
    }

    fn adopt(&self, weights: Weights) -> Weights {
        Planned::adopt(self, weights)
    }

    fn published(&self, weights: Weights) -> Weights {
        Planned::published(self, weights)
    }

    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        self.plan().stages.iter().map(|stage| (stage.name.clone(), stage.tensors())).collect()
    }

    fn classifier(&self, num_features: usize, num_classes: usize) -> [Init; 2] {
        Planned::classifier(self, num_features, num_classes)
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        let (network, taps) = (Convolutional::build(architecture, &self.plan(), weights)?, self.taps());
        Ok(if taps.is_empty() { Box::new(network) } else { Box::new(Tapped::on(network, &taps)?) })
    }

    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let (frames, sides) = match *item {
            [_, frames, height, width] => (frames, [height, width]),
            _ => (1, [1, 2].map(|axis| item.get(axis).copied().unwrap_or(0))),
        };
        let (plan, mut map) = (self.plan(), Map { frames, sides, channels: item.first().copied().unwrap_or(0) });
        let stage = |parts: &Vec<Part>| {
            let mut cost = StageCost::default();
            map = parts.iter().fold(map, |map, part| plan.add(&mut cost, part, map));
            cost
        };
        plan.stages.iter().map(|stage| &stage.parts).map(stage).collect()
    }

    fn fewest_items(&self) -> usize {
        let normalises = self.plan().stages.iter().flat_map(|stage| &stage.parts).any(Part::normalises);
        if normalises { 2 } else { 1 }
    }

    fn unused(&self) -> &'static [&'static str] {
        Planned::unused(self)
    }

    /// A stage that pools by itself leaves nothing to choose.
    fn pools(&self) -> &'static [&'static str] {
        let pools_itself = self.plan().stages.iter().flat_map(|stage| &stage.parts).any(|part| *part == Part::AveragePool(Average::All));
        if pools_itself { &["avg"] } else { &["avg", "max", "avgmax", "catavgmax"] }
    }

    fn activations(&self) -> &'static [&'static str] {
        Planned::activations(self)
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        Planned::arguments(self)
    }
}

/// Frames, of images one, height, width and channels.
#[derive(Clone, Copy)]
struct Map {
    frames: usize,
    sides: [usize; 2],
    channels: usize,
}

impl Map {
    fn values(self) -> f64 {
        (self.frames * self.sides[0] * self.sides[1] * self.channels) as f64
    }
}

impl Plan {
    /// Adds what a part costs over a map, and answers the map that it makes. Images that are too small for it come to nothing.
    fn add(&self, cost: &mut StageCost, part: &Part, map: Map) -> Map {
        match part {
            Part::Block(block) => self.add_block(cost, block, map),
            Part::Norm(_) => {
                cost.outputs += map.values();
                map
            }
            Part::MaxPool(window) => {
                let sides = map.sides.map(|side| window.count(side).unwrap_or(0));
                Map { frames: window.frames(map.frames), sides, ..map }
            }
            Part::AveragePool(average) => pooled(*average, map),
            Part::Branches(branches) => {
                let ends: Vec<Map> = branches.iter().map(|parts| parts.iter().fold(map, |map, part| self.add(cost, part, map))).collect();
                let joined = Map { channels: ends.iter().map(|end| end.channels).sum(), ..*ends.first().unwrap_or(&map) };
                let outputs = joined.values();
                cost.outputs += outputs;
                cost.widest = cost.widest.max(outputs);
                joined
            }
        }
    }

    fn add_block(&self, cost: &mut StageCost, block: &Block, map: Map) -> Map {
        if let Shortcut::Projection(pool, unit) = &block.shortcut {
            self.add_unit(cost, unit, pool.map_or(map, |pool| pooled(pool, map)));
        }
        block.units.iter().fold(map, |map, unit| self.add_unit(cost, unit, map))
    }

    fn add_unit(&self, cost: &mut StageCost, unit: &Unit, map: Map) -> Map {
        let [height, width] = map.sides;
        let (spec, weight) = (self.spec(unit).over(map.frames), unit.shape());
        let made =
            Geometry::of(&[map.frames, height, width, unit.input], &weight, &spec).map_or([0; 4], |geometry| geometry.output_shape());
        let made = Map { frames: made[0], sides: [made[1], made[2]], channels: unit.output };
        let outputs = made.values();
        cost.outputs += outputs;
        cost.multiply_adds += outputs * weight[1..].iter().product::<usize>() as f64;
        cost.widest = cost.widest.max(outputs).max(map.values());
        if unit.bias && unit.norm.is_some() {
            // The norm of a convolution with a bias is a step of its own.
            cost.outputs += outputs;
        }
        if let Some(squeeze) = &unit.squeeze {
            // The map again, in other proportions; its two layers see one pixel.
            cost.outputs += outputs;
            cost.multiply_adds += (2 * squeeze.channels * squeeze.reduced) as f64;
        }
        made
    }
}

fn pooled(average: Average, map: Map) -> Map {
    Map { frames: average.frames(map.frames), sides: average.output(map.sides).unwrap_or([0; 2]), ..map }
}
