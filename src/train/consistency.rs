//! Learning from items without a target as training goes along: what the network is sure about in a weak view of an item it is to
//! say about a strong view of it, too (FixMatch, Sohn et al. 2020).

use candle_core::{Device, Tensor};

use super::error::Result;
use super::feed::{Step, Steps};
use super::run::Run;
use crate::data::{Sample, Target};
use crate::domain::recipe::{Augment, Policy, Recipe, Unlabelled};
use crate::nn::Mode;

/// Rounds over the items without a target that one epoch may begin.
const ROUNDS: u32 = 1_000;

/// Pairs of a weak and a strong view of the same items, round by round for as long as an epoch asks for them.
pub struct Pairs<'a> {
    feed: &'a super::feed::Feed,
    samples: &'a [Sample],
    augment: &'a Augment,
    epoch: u32,
    round: u32,
    weak: Steps<'a>,
    strong: Steps<'a>,
}

/// Crops and flips alone, as the recipe has them: what a network says of such a view is taken for the truth.
fn weak(of: &Augment) -> Augment {
    let plain = Augment::default();
    Augment { crop_min_area: of.crop_min_area, horizontal_flip: of.horizontal_flip, ..plain }
}

/// What a network is to say the same of: the same crops and flips, then RandAugment, then a part that is taken away (Sohn et al. 2020,
/// section 2.3, with Cutout; here the box has the mean colour, too).
fn strong(of: &Augment) -> Augment {
    Augment { policy: Policy::RandAugment, rand_ops: of.rand_ops, rand_magnitude: of.rand_magnitude, erase: 1.0, ..weak(of) }
}

impl<'a> Pairs<'a> {
    /// `None` where the recipe does not ask for them.
    pub fn open(recipe: &'a Recipe, feed: &'a super::feed::Feed, samples: &'a [Sample], epoch: u32) -> Result<Option<Pairs<'a>>> {
        if recipe.unlabelled != Unlabelled::Fixmatch || samples.is_empty() {
            return Ok(None);
        }
        let augment = &recipe.augment;
        let (weak, strong) = round(feed, samples, augment, epoch, 0)?;
        Ok(Some(Pairs { feed, samples, augment, epoch, round: 0, weak, strong }))
    }

    /// The next pair; where a round is over another one begins.
    pub fn next(&mut self) -> Result<Option<(Step, Step)>> {
        for _ in 0..2 {
            if let (Some(weak), Some(strong)) = (self.weak.next(), self.strong.next()) {
                return Ok(Some((weak?, strong?)));
            }
            self.round += 1;
            if self.round == ROUNDS {
                break;
            }
            (self.weak, self.strong) = round(self.feed, self.samples, self.augment, self.epoch, self.round)?;
        }
        Ok(None)
    }
}

fn round<'a>(feed: &'a super::feed::Feed, samples: &[Sample], augment: &Augment, epoch: u32, round: u32) -> Result<(Steps<'a>, Steps<'a>)> {
    let number = epoch.wrapping_mul(ROUNDS).wrapping_add(round);
    Ok((feed.random(samples, number, weak(augment))?, feed.random(samples, number, strong(augment))?))
}

/// What these views add to a step's loss: the loss of the strong ones against the answers about the weak ones that are sure enough,
/// over all of them; `None` where there are none.
pub fn loss(run: &Run, (weak, strong): (Step, Step), number: u64) -> Result<Option<Tensor>> {
    let recipe = run.training.recipe;
    let items = weak.targets.len();
    if items != strong.targets.len() || items < run.model.least_items(run.training.recipe).max(1) {
        return Ok(None);
    }
    let said = run.model.outputs(&weak, Mode::Eval, number)?.detach().to_vec2::<f32>()?;
    let sure = |(row, said): (usize, &Vec<f32>)| {
        let (target, probability) = run.task.sure(said)?;
        (f64::from(probability) >= recipe.confidence).then_some((row as u32, target))
    };
    let (rows, targets): (Vec<u32>, Vec<Target>) = said.iter().enumerate().filter_map(sure).unzip();
    if rows.is_empty() {
        return Ok(None);
    }
    let share = rows.len() as f64 / items as f64;
    let outputs = run.model.outputs(&strong, Mode::Train, number)?;
    let chosen = outputs.index_select(&Tensor::new(rows, &Device::Cpu)?.to_device(outputs.device())?, 0)?;
    Ok(Some((run.task.loss(&chosen, &targets, recipe)? * (share * recipe.unlabelled_weight))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_views_are_weak_ones_that_were_changed_and_partly_taken_away() {
        let recipe =
            Augment { brightness: 0.4, policy: Policy::TrivialAugment, erase: 0.1, mixup: 0.2, rand_magnitude: 14, ..Augment::default() };
        let (weak, strong) = (weak(&recipe), strong(&recipe));
        assert_eq!(weak, Augment::default(), "crops and flips");
        assert_eq!((strong.policy, strong.rand_ops, strong.rand_magnitude, strong.erase), (Policy::RandAugment, 2, 14, 1.0));
        assert_eq!((strong.crop_min_area, strong.horizontal_flip, strong.mixup), (0.6, true, 0.0));
        let still = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
        assert!(!super::weak(&still).changes_views() && super::strong(&still).changes_views());
    }
}
