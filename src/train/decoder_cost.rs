//! What a head over maps costs beside its backbone, roughly: that of the largest there is, whichever is asked for.

use super::strategy::{Phase, Plan};
use crate::domain::recipe::{Recipe, Strategy};
use crate::nn::architectures;

/// Numbers that are kept of a cell of the finest maps until the backward pass, and multiply-adds forward: U-Net's over maps of
/// EfficientNet-Lite0, of which half again is taken for wider backbones.
const NUMBERS: f64 = 1_000.0;
const MULTIPLY_ADDS: f64 = 3e5;

/// Images that are in memory at once when nothing learns, in those that learn: of them less is kept.
const MEASURED: f64 = 12.0;

/// Of one recipe.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DecoderCost {
    /// Whether there is one.
    decodes: bool,
    cells: f64,
}

impl DecoderCost {
    /// Nothing where no decoder learns, on images of this side.
    pub fn of(recipe: &Recipe, side: usize) -> DecoderCost {
        let decodes = recipe.task.is_some_and(|task| recipe.decoder_of(task).is_some());
        DecoderCost { decodes, cells: if decodes { side.div_ceil(architectures::CELL).pow(2) as f64 } else { 0.0 } }
    }

    /// Numbers in memory with batches of so many images.
    pub fn numbers(self, batch: f64) -> f64 {
        self.cells * NUMBERS * batch.max(MEASURED)
    }

    /// In the training of so many images in all epochs; a backward pass is two products where a forward pass is one.
    pub fn multiply_adds(self, images: f64) -> f64 {
        3.0 * self.cells * MULTIPLY_ADDS * images
    }

    /// What `auto` comes to where a decoder goes on from the linear head, and `head` where a decoder learns alone, on so many stages.
    pub fn plan(self, recipe: &Recipe, plan: Plan, stages: usize) -> Plan {
        match recipe.strategy {
            Strategy::Auto if self.decodes => Plan::decoded(recipe),
            Strategy::Head if self.decodes => Plan { probe: false, phases: vec![Phase { frozen: stages, epochs: recipe.epochs }] },
            _ => plan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;

    #[test]
    fn only_decoders_cost() {
        let task = Task::ALL.into_iter().find(|task| task.is_of_pixels());
        let auto = Recipe { task, ..Recipe::default() };
        let head = Recipe { strategy: Strategy::Head, ..auto.clone() };
        let (decoder, linear) = (DecoderCost::of(&auto, 256), DecoderCost::of(&head, 256));
        assert_eq!((linear.numbers(8.0), linear.multiply_adds(100.0)), (0.0, 0.0));
        assert!(decoder.numbers(32.0) > decoder.numbers(16.0) && decoder.multiply_adds(100.0) > 0.0);
        let probe = Plan { probe: true, phases: Vec::new() };
        assert_eq!(decoder.plan(&auto, probe.clone(), 5).lowest(5), 0);
        assert_eq!(linear.plan(&head, probe.clone(), 5), probe);
        let alone = Recipe { decoder: crate::domain::recipe::Decoder::UNet, ..head };
        assert_eq!(DecoderCost::of(&alone, 256).plan(&alone, probe, 5).lowest(5), 5);
    }
}
