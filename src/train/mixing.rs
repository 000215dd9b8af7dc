//! Items of a step mixed in pairs: whole (mixup, Zhang et al. 2018) or with a box of the other (CutMix, Yun et al. 2019). As in timm
//! all pairs of a step have one share, and an item's partner is the one in its place counted from the end.
//!
//! Only views are mixed. Where a step is fed with features, of stages that were run once, it is left as it is.

use super::error::Result;
use super::feed::{Fed, Step};
use crate::data::Target;
use crate::domain::recipe::Recipe;
use crate::nn::random::Draw;

/// Tells its random numbers from those of heads and data.
const SEED: u64 = 0x006d_6978_7570;

/// A step's items, mixed.
pub struct Mixture {
    /// With the targets of the partners.
    pub step: Step,
    /// Of each item; the rest is its partner's.
    pub share: f64,
}

/// What the recipe makes of batch `number` of a run; `None` where it mixes nothing.
pub fn mix(step: &Step, recipe: &Recipe, number: u64) -> Result<Option<Mixture>> {
    let augment = &recipe.augment;
    let Fed::Views(views) = &step.input else { return Ok(None) };
    if !augment.mixes() || step.targets.len() < 2 {
        return Ok(None);
    }
    let mut draw = Draw::new(recipe.seed ^ SEED, number);
    let cut = augment.cutmix > 0.0 && (augment.mixup == 0.0 || draw.unit() < 0.5);
    let share = beta(&mut draw, if cut { augment.cutmix } else { augment.mixup });
    let (input, share) = match cut {
        true => views.patched(share, (draw.unit(), draw.unit()))?,
        // Both of a pair are mixed, so this is the other order of the same two, and an item stays what it is called.
        false => (views.mixed(share.max(1.0 - share))?, share.max(1.0 - share)),
    };
    let partners: Vec<Target> = step.targets.iter().rev().cloned().collect();
    Ok(Some(Mixture {
        step: Step {
            input: Fed::Views(input),
            others: Vec::new(),
            targets: partners,
            ids: step.ids.iter().rev().copied().collect(),
            skipped: Vec::new(),
        },
        share,
    }))
}

/// From Beta(a, a).
fn beta(draw: &mut Draw, a: f64) -> f64 {
    let (x, y) = (gamma(draw, a), gamma(draw, a));
    // With a near 0 both may be too small for a number; one side takes all then, as nearly always.
    if x + y > 0.0 { x / (x + y) } else { draw.unit().round() }
}

/// From Gamma(a, 1) (Marsaglia and Tsang 2000).
fn gamma(draw: &mut Draw, a: f64) -> f64 {
    if a < 1.0 {
        return gamma(draw, a + 1.0) * libm::pow(draw.unit(), 1.0 / a);
    }
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = draw.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && libm::log(1.0 - draw.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::domain::recipe::Augment;
    use crate::nn::Input;

    /// Two images of 8 x 8, one all 0 and one all 1.
    fn step() -> Step {
        let values: Vec<f32> = [0.0, 1.0].iter().flat_map(|value| vec![*value; 8 * 8 * 3]).collect();
        let pixels = Tensor::from_vec(values, (2, 8, 8, 3), &Device::Cpu).unwrap().permute((0, 3, 1, 2)).unwrap();
        Step {
            input: Fed::Views(Input::Pixels(pixels)),
            others: Vec::new(),
            targets: vec![Target::Class(0), Target::Class(1)],
            ids: vec![0, 1],
            skipped: Vec::new(),
        }
    }

    fn mixed(augment: Augment, number: u64) -> (f64, Vec<f32>, Vec<Target>) {
        let mixture = mix(&step(), &Recipe { augment, ..Recipe::default() }, number).unwrap().unwrap();
        let Fed::Views(Input::Pixels(pixels)) = mixture.step.input else { panic!("views") };
        (mixture.share, pixels.flatten_all().unwrap().to_vec1().unwrap(), mixture.step.targets)
    }

    #[test]
    fn mixtures_are_of_the_share_that_their_targets_are_told() {
        for number in 0..20 {
            let (share, pixels, partners) = mixed(Augment { mixup: 0.4, ..Augment::default() }, number);
            assert_eq!(partners, [Target::Class(1), Target::Class(0)]);
            assert!(pixels[..192].iter().all(|value| (f64::from(*value) - (1.0 - share)).abs() < 1e-6));
            assert!(pixels[192..].iter().all(|value| (f64::from(*value) - share).abs() < 1e-6));
        }
    }

    #[test]
    fn boxes_take_the_share_that_is_not_left() {
        let mut shares = Vec::new();
        for number in 0..40 {
            let (share, pixels, _) = mixed(Augment { cutmix: 1.0, ..Augment::default() }, number);
            let cut = pixels[..192].iter().filter(|value| **value == 1.0).count();
            assert!((share - (1.0 - cut as f64 / 192.0)).abs() < 1e-9, "{share}: {cut} of 192");
            assert_eq!(pixels[192..].iter().filter(|value| **value == 0.0).count(), cut, "the same box in both");
            shares.push(share);
        }
        assert!(shares.iter().any(|share| *share < 0.7) && shares.iter().any(|share| *share > 0.9), "{shares:?}");
    }

    #[test]
    fn the_same_step_is_mixed_in_the_same_way_and_both_kinds_take_turns() {
        let both = Augment { mixup: 1.0, cutmix: 1.0, ..Augment::default() };
        assert_eq!(mixed(both.clone(), 3).1, mixed(both.clone(), 3).1);
        assert_ne!(mixed(both.clone(), 3).1, mixed(both.clone(), 4).1);
        let cut = (0..100).filter(|number| mixed(both.clone(), *number).1.iter().all(|value| *value == 0.0 || *value == 1.0)).count();
        assert!((30..70).contains(&cut), "{cut} of 100 are cut");
    }

    #[test]
    fn shares_are_those_of_the_beta_distribution() {
        for (a, variance) in [(0.2, 1.0 / (4.0 * 1.4)), (1.0, 1.0 / 12.0), (4.0, 1.0 / 36.0)] {
            let mut draw = Draw::new(1, 2);
            let shares: Vec<f64> = (0..20_000).map(|_| beta(&mut draw, a)).collect();
            let mean = shares.iter().sum::<f64>() / 20_000.0;
            let spread = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean - 0.5).abs() < 0.01 && (spread / variance - 1.0).abs() < 0.05, "{a}: {mean} {spread} {variance}");
        }
        let mut draw = Draw::new(1, 2);
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&beta(&mut draw, 1e-9))));
    }

    #[test]
    fn features_are_not_mixed() {
        let features = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let step = Step { input: Fed::Features(features, 5), ..step() };
        let recipe = Recipe { augment: Augment { mixup: 1.0, ..Augment::default() }, ..Recipe::default() };
        assert!(mix(&step, &recipe, 0).unwrap().is_none());
    }
}
