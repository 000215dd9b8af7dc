//! What a recipe will cost, before anything is spent: steps, arithmetic and memory, from the architecture's layers.

mod items;

use self::items::{Items, kept_of_text, rows_of, side, tokens};
use super::decoder_cost::DecoderCost;
use super::error::{Error, Result};
use super::partition::even_batches;
use super::strategy::{ENOUGH_ITEMS, Plan};
use crate::domain::config::ModelConfig;
use crate::domain::recipe::{Compare, HeadSolver, Norm, Recipe, RecipeError, Strategy};
use crate::domain::safetensors::is_buffer;
use crate::nn::architectures::{self, Architecture};

/// The least a machine can do, in multiply-adds per second and thread; an old laptop does several times that.
const SLOWEST_MULTIPLY_ADDS: f64 = 2e9;
/// Training keeps, per value a convolution writes, itself and its normalised form; gradients take the place of what they
/// were worked out from. The rest is for gaps between buffers: steps were measured at 0.8 (transformers) to 2.0.
const TRAINING_COPIES: f64 = 2.5;
/// Weights as read, best, in the checkpoint's making, their gradients and up to two moments.
const WEIGHT_COPIES: f64 = 7.0;
/// Passes over the features until the best head is found under every penalty in every fold; most take a third of that.
const PROBE_PASSES: f64 = 600.0;
/// What the way there remembers, in heads; and copies of the features, in f32.
const PROBE_HEADS: f64 = 48.0;
const PROBE_COPIES: f64 = 3.0;
/// The program, its libraries and decoding threads.
const FIXED_BYTES: f64 = 256.0 * 1024.0 * 1024.0;

/// A prediction on the safe side; real runs need less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Optimiser steps in all epochs.
    pub steps: u64,
    /// Times an image is sent through the backbone, forward.
    pub backbone_passes: u64,
    /// In all epochs.
    pub multiply_adds: f64,
    pub memory_bytes: u64,
    /// Feature cache and checkpoints in the scratch folder.
    pub scratch_bytes: u64,
    /// On one slow thread; divide by the threads.
    pub slowest_seconds: f64,
}

/// What is trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Volume {
    pub samples: u64,
    /// Numbers that the head gives: classes.
    pub outputs: u64,
    /// Of texts, the mean and the most that one has, where that is known.
    pub characters: Option<(f64, f64)>,
}

/// Foresees a fine-tune of `config`'s architecture on `samples` training items of `classes` classes.
///
/// # Errors
/// The recipe is out of bounds, or the architecture is not known.
pub fn estimate(recipe: &Recipe, config: &ModelConfig, samples: u64, classes: u64) -> Result<Estimate> {
    estimate_volume(recipe, config, &Volume { samples, outputs: classes, characters: None })
}

/// The same where more is known of the items.
///
/// # Errors
/// As [`estimate`].
pub fn estimate_volume(recipe: &Recipe, config: &ModelConfig, volume: &Volume) -> Result<Estimate> {
    let own = of_run(recipe, config, volume)?;
    match recipe.compare {
        Compare::None => Ok(own),
        Compare::Scratch => Ok(own.then(&of_run(&recipe.scratch(), config, volume)?)),
    }
}

fn of_run(recipe: &Recipe, config: &ModelConfig, volume: &Volume) -> Result<Estimate> {
    let Volume { samples, outputs: classes, .. } = *volume;
    recipe.check()?;
    let architecture = architectures::get(&config.architecture)?;
    // Of sides that change from step to step the longest: it must fit.
    let side = recipe.augment.longest_side(side(recipe, config, architecture)?);
    check_adapters(recipe, architecture)?;
    let (usual, longest) = tokens(config, architecture, volume);
    let Items { images, width, item, usual: cost, largest } = Items::of(recipe, config, architecture, side, (usual, longest))?;
    let (decoder, plan) = (DecoderCost::of(recipe, side), planned(recipe, architecture, cost.len(), samples)?);
    let lowest = plan.lowest(cost.len());
    check_batch_size(recipe, architecture, lowest < cost.len())?;
    let head = lowest == cost.len();
    let learned = |frozen: usize| cost[frozen..].iter().map(|stage| stage.multiply_adds).sum::<f64>();
    let forward = learned(0);
    let kept: f64 = largest[lowest..].iter().map(|stage| stage.outputs).sum();
    let widest = largest.iter().map(|stage| stage.widest).fold(0.0, f64::max);

    let (items, batch) = (samples as f64, even_batches(samples as usize, recipe.batch_size) as f64);
    let views = f64::from(recipe.augment.views) + 1.0;
    let rows = rows_of(recipe, usual, side);
    let head_size = (width as u64 * classes) as f64;
    let (mut steps, mut passes, mut multiply_adds, mut numbers) = (0.0, 0.0, 0.0, 0.0);
    let compares = recipe.compare_probe && !plan.probe && !head && !recipe.is_from_scratch();
    if plan.probe || compares {
        let views = if compares { 1.0 } else { views };
        passes += items * views;
        multiply_adds += items * views * (forward + PROBE_PASSES * 2.0 * head_size * rows);
        numbers = (items * views * rows * width as f64).min((1u64 << 28) as f64) + head_size * PROBE_HEADS;
    }
    for phase in &plan.phases {
        let epochs = f64::from(phase.epochs);
        steps += (items / batch).ceil() * epochs;
        // A backward pass is two products where a forward pass is one.
        let (sent, each) = match head {
            true => (items * views, items * epochs * 3.0 * head_size * rows + items * views * forward),
            false => (items * epochs, items * epochs * (forward + 2.0 * learned(phase.frozen) + 3.0 * head_size)),
        };
        passes += sent;
        multiply_adds += each + decoder.multiply_adds(items * epochs);
    }
    let weights = backbone_weights(architecture) + head_size;
    let evaluated = 32.0 * 3.0 * widest;
    let activations =
        decoder.numbers(batch) + if head { evaluated } else { (batch * (TRAINING_COPIES * kept + 2.0 * widest)).max(evaluated) };
    let masks = if recipe.task.is_some_and(|task| task.is_of_pixels()) { items * side.pow(2) as f64 } else { 0.0 };
    let inputs = masks + 4.0 * images * batch.max(32.0) * item.iter().product::<usize>() as f64 * 2.0;
    let pooled = if plan.probe || head || compares { items * views * rows * (width as f64 * 4.0 + 8.0) } else { 0.0 };
    let features = pooled + if lowest > 0 && !head { items * kept_of_text(architecture, &item, usual) } else { 0.0 };
    Ok(Estimate {
        steps: steps as u64,
        backbone_passes: passes as u64,
        multiply_adds,
        memory_bytes: (FIXED_BYTES + 4.0 * (weights * WEIGHT_COPIES + activations.max(PROBE_COPIES * numbers)) + inputs) as u64,
        scratch_bytes: (features + 4.0 * 5.0 * if head { head_size } else { weights }) as u64,
        slowest_seconds: multiply_adds / SLOWEST_MULTIPLY_ADDS,
    })
}

/// Foresees the average of so many results of a recipe ([`super::soup`]): all of them are in memory at once, beside what a head alone
/// takes, and each is measured, at the most on all items; their weights lie in the scratch folder meanwhile.
///
/// # Errors
/// The architecture is not known, or does not take the recipe's `image_size`.
pub fn estimate_soup(recipe: &Recipe, config: &ModelConfig, volume: &Volume, members: usize) -> Result<Estimate> {
    let measured = Recipe {
        strategy: Strategy::Head,
        head_solver: HeadSolver::Sgd,
        epochs: 1,
        image_size: recipe.image_size,
        batch_size: recipe.batch_size,
        ..Recipe::default()
    };
    let own = of_run(&measured, config, volume)?;
    let architecture = architectures::get(&config.architecture)?;
    let weights = backbone_weights(architecture) + (architecture.num_features as u64 * volume.outputs) as f64;
    let all = (4.0 * weights * members as f64) as u64;
    // Each of them but the first beside those that are in, and in the end what came of it.
    let times = members.max(1) as u64;
    Ok(Estimate {
        steps: 0,
        backbone_passes: own.backbone_passes * times,
        multiply_adds: own.multiply_adds * times as f64,
        memory_bytes: own.memory_bytes + all,
        scratch_bytes: all,
        slowest_seconds: own.slowest_seconds * times as f64,
    })
}

/// The most that a recipe may come to. Whether a task's head can be solved for is not known here; where it cannot, that takes no more.
fn planned(recipe: &Recipe, architecture: &Architecture, stages: usize, samples: u64) -> Result<Plan> {
    let plan = Plan::of(recipe, stages, true, architecture.name)?;
    let goes_on = recipe.strategy == Strategy::Auto && plan.probe && samples >= ENOUGH_ITEMS as u64;
    Ok(DecoderCost::of(recipe, 0).plan(recipe, if goes_on { Plan::tuned(recipe, stages) } else { plan }, stages))
}

/// Refuses adapters in networks that have no place for them.
pub(super) fn check_adapters(recipe: &Recipe, architecture: &Architecture) -> Result<()> {
    if recipe.adapters().is_none() || architecture.takes_adapters() {
        return Ok(());
    }
    let such = architectures::all().find(|known| known.takes_adapters()).map_or(String::new(), |known| format!(" such as {}", known.name));
    let problem = format!(
        "{} has no attention to put low-rank adapters beside: they are for transformers{such}; choose the strategy `lp-ft` or `gradual` without lora_rank",
        architecture.name
    );
    Err(RecipeError { setting: recipe.asks_for_adapters(), problem }.into())
}

/// Refuses batches that stages which learn cannot be normalised over.
pub(super) fn check_batch_size(recipe: &Recipe, architecture: &Architecture, stages_learn: bool) -> Result<()> {
    let (fewest, asked) = (architecture.fewest_items(), recipe.batch_size);
    if !stages_learn || asked >= fewest || recipe.norm == Norm::Frozen {
        return Ok(());
    }
    let name = architecture.name;
    let problem = format!(
        "{name} normalises over the batch, so a step takes {fewest} images or more, not {asked}; choose {fewest} or more (8 and more learn better), set norm to `frozen`, or train the head only"
    );
    Err(RecipeError { setting: "batch_size", problem }.into())
}

impl Estimate {
    /// Of two runs one after the other.
    fn then(self, next: &Estimate) -> Estimate {
        Estimate {
            steps: self.steps + next.steps,
            backbone_passes: self.backbone_passes + next.backbone_passes,
            multiply_adds: self.multiply_adds + next.multiply_adds,
            memory_bytes: self.memory_bytes.max(next.memory_bytes),
            scratch_bytes: self.scratch_bytes + next.scratch_bytes,
            slowest_seconds: self.slowest_seconds + next.slowest_seconds,
        }
    }

    /// Refuses what would not fit or never end.
    ///
    /// # Errors
    /// [`Error::TooMuch`] with both numbers and what to change.
    pub fn within(&self, memory_bytes: u64, seconds: f64, threads: usize) -> Result<()> {
        if self.memory_bytes > memory_bytes {
            return Err(Error::TooMuch(format!(
                "this fine-tune would need about {} MiB of memory, {} MiB are allowed; choose a smaller batch_size (or image_size, of images), freeze more stages, or train the head only",
                self.memory_bytes >> 20,
                memory_bytes >> 20
            )));
        }
        let least = self.slowest_seconds / threads.max(1) as f64;
        if least > seconds {
            return Err(Error::TooMuch(format!(
                "this fine-tune might take {:.0} hours, {:.0} are allowed; choose fewer epochs, a smaller image_size or fewer views, or train the head only",
                least / 3600.0,
                seconds / 3600.0
            )));
        }
        Ok(())
    }
}

fn backbone_weights(architecture: &Architecture) -> f64 {
    let tensors = architecture.expected(0);
    tensors.iter().filter(|tensor| !is_buffer(&tensor.name)).map(|tensor| tensor.count() as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::PretrainedCfg;

    fn config(architecture: &str) -> ModelConfig {
        ModelConfig::parse(&format!(r#"{{"architecture": "{architecture}"}}"#)).unwrap()
    }

    #[test]
    fn head_only_costs_no_more_with_more_epochs_and_freezing_saves() {
        let base = Recipe { strategy: Strategy::Head, head_solver: HeadSolver::Sgd, epochs: 10, ..Recipe::default() };
        let of = |recipe: &Recipe| estimate(recipe, &config("resnet50"), 4_000, 10).unwrap();
        let head = of(&base);
        assert_eq!((head.steps, head.backbone_passes), (1_250, 4_000));
        assert!(of(&Recipe { epochs: 100, ..base.clone() }).multiply_adds < 1.01 * head.multiply_adds);
        let full = of(&Recipe { strategy: Strategy::Full, ..base.clone() });
        let frozen = of(&Recipe { strategy: Strategy::Full, frozen_stages: 4, ..base });
        assert!(full.multiply_adds > 29.0 * head.multiply_adds);
        assert!(frozen.memory_bytes < full.memory_bytes && frozen.multiply_adds < full.multiply_adds);
    }

    #[test]
    fn every_strategy_is_foreseen() {
        let of = |strategy, samples| {
            let frozen_stages = usize::from(strategy == Strategy::Freeze) * 3;
            let recipe = Recipe { strategy, frozen_stages, compare_probe: false, ..Recipe::default() };
            estimate(&recipe, &config("resnet18"), samples, 10).unwrap()
        };
        let compared = estimate(&Recipe { strategy: Strategy::Full, ..Recipe::default() }, &config("resnet18"), 4_000, 10).unwrap();
        let (probe, full) = (of(Strategy::Head, 4_000), of(Strategy::Full, 4_000));
        assert_eq!((probe.steps, probe.backbone_passes, full.steps, full.backbone_passes), (0, 4_000, 1_250, 40_000));
        assert_eq!(compared.backbone_passes, 44_000, "the head to compare with is seen once more");
        assert_eq!(of(Strategy::Auto, 500), of(Strategy::Head, 500), "auto stays with the probe");
        let (auto, lp_ft) = (of(Strategy::Auto, 4_000), of(Strategy::LpFt, 4_000));
        assert_eq!((auto.steps, auto.backbone_passes, lp_ft.backbone_passes), (1_250, 44_000, 44_000));
        assert!(lp_ft.multiply_adds > full.multiply_adds && full.multiply_adds == of(Strategy::Scratch, 4_000).multiply_adds);
        for less in [of(Strategy::Gradual, 4_000), of(Strategy::Freeze, 4_000), auto] {
            assert!(less.multiply_adds < lp_ft.multiply_adds && less.multiply_adds > probe.multiply_adds);
            assert!(less.memory_bytes <= lp_ft.memory_bytes && less.memory_bytes >= probe.memory_bytes);
        }
    }

    #[test]
    fn texts_cost_what_they_are_long() {
        use crate::domain::modality::Modality;
        let config = config("bert_l2_d64_h2_f128_v500_p512_t2_e12");
        let recipe = Recipe { strategy: Strategy::Full, compare_probe: false, ..Recipe::usual(Modality::Text) };
        let of =
            |characters, recipe: &Recipe| estimate_volume(recipe, &config, &Volume { samples: 3_200, outputs: 2, characters }).unwrap();
        let (unknown, short) = (of(None, &recipe), of(Some((90.0, 200.0)), &recipe));
        assert_eq!((short.steps, short.backbone_passes), (300, 9_600));
        assert!(short.multiply_adds < unknown.multiply_adds / 10.0 && short.memory_bytes < unknown.memory_bytes);
        let kept = of(Some((90.0, 200.0)), &Recipe { frozen_stages: 1, ..recipe });
        assert!(kept.scratch_bytes > 3_200 * 32 * 64 * 4 && short.scratch_bytes < kept.scratch_bytes);
        let head = |task| of(Some((90.0, 200.0)), &Recipe { strategy: Strategy::Head, task: Some(task), ..Recipe::usual(Modality::Text) });
        let of_words = crate::domain::task::Task::ALL.into_iter().find(|task| task.is_of_words()).unwrap();
        assert!(head(of_words).scratch_bytes > 30 * head(Default::default()).scratch_bytes, "a vector for each word");
    }

    #[test]
    fn a_soup_has_all_that_go_into_it_in_memory() {
        let recipe = Recipe { strategy: Strategy::Full, lora_rank: 0, batch_size: 2, ..Recipe::default() };
        let volume = Volume { samples: 4_000, outputs: 10, characters: None };
        let of = |members| estimate_soup(&recipe, &config("resnet50"), &volume, members).unwrap();
        let (two, eight) = (of(2), of(8));
        // 23.5 million weights of the backbone and 20,480 of the head, 4 bytes each.
        let each = (eight.memory_bytes - two.memory_bytes) / 6;
        assert!((94_000_000..95_000_000).contains(&each), "{each}");
        assert_eq!((two.steps, two.backbone_passes, eight.backbone_passes), (0, 8_000, 32_000));
        assert!(eight.scratch_bytes > 7 * each && eight.memory_bytes > 8 * each);
        let run = estimate(&recipe, &config("resnet50"), 4_000, 10).unwrap();
        assert!(eight.memory_bytes > run.memory_bytes, "of small batches the average takes more than any of the runs");
        let odd = Recipe { image_size: 100, ..recipe };
        assert!(estimate_soup(&odd, &config("vit_tiny_patch16_224"), &volume, 2).is_err());
    }

    #[test]
    fn madness_is_refused_before_it_starts() {
        let mad = Recipe { strategy: Strategy::Full, batch_size: 1_024, image_size: 640, epochs: 1_000, ..Recipe::default() };
        let cost = estimate(&mad, &config("resnet152"), 1_000_000, 1_000).unwrap();
        let refusal = cost.within(16 << 30, 86_400.0, 8).unwrap_err();
        assert!(matches!(refusal, Error::TooMuch(_)) && refusal.to_string().contains("batch_size"), "{refusal}");
        assert!(cost.within(u64::MAX, 86_400.0, 8).unwrap_err().to_string().contains("epochs"));
        let sane = estimate(&Recipe::default(), &config("mobilenetv2_100"), 4_000, 10).unwrap();
        sane.within(2 << 30, 4.0 * 3_600.0, 2).unwrap();
        let head = Recipe { strategy: Strategy::Head, ..Recipe::default() };
        estimate(&head, &config("mobilenetv2_100"), 4_000, 10).unwrap().within(2 << 30, 3_600.0, 2).unwrap();
    }

    #[test]
    fn recipes_and_bases_out_of_bounds_are_refused() {
        let refused = |recipe: Recipe, name: &str| estimate(&recipe, &config(name), 100, 2).is_err();
        assert!(refused(Recipe { lr: f64::NAN, ..Recipe::default() }, "resnet18"));
        assert!(refused(Recipe { epochs: 1_000_000_000, ..Recipe::default() }, "resnet18"));
        assert!(refused(Recipe { strategy: Strategy::Full, frozen_stages: 6, ..Recipe::default() }, "resnet18"));
        let single = Recipe { strategy: Strategy::Full, batch_size: 1, ..Recipe::default() };
        let error = estimate(&single, &config("mobilenetv3_small_050"), 100, 2).unwrap_err().to_string();
        assert!(error.contains("batch_size") && error.contains("over the batch"), "{error}");
        assert!(!refused(single.clone(), "vit_tiny_patch16_224") && !refused(single.clone(), "convnext_atto"));
        assert!(!refused(Recipe { strategy: Strategy::Head, ..single.clone() }, "resnet18"));
        assert!(!refused(Recipe { frozen_stages: 5, ..single.clone() }, "resnet18"), "nothing that learns normalises");
        assert!(!refused(Recipe { norm: Norm::Frozen, ..single.clone() }, "resnet18"), "they normalise by what they know");
        assert!(!refused(Recipe { batch_size: 2, ..single }, "resnet18"));
        assert!(refused(Recipe::default(), "vit_giant_patch14_224"));
        assert!(!refused(Recipe::default(), "vit_tiny_patch16_224"));
        assert!(!refused(Recipe { image_size: 96, ..Recipe::default() }, "vit_tiny_patch16_224"), "its positions are interpolated");
        let odd = estimate(&Recipe { image_size: 100, ..Recipe::default() }, &config("vit_tiny_patch16_224"), 100, 2);
        assert!(odd.unwrap_err().to_string().contains("patches of 16 pixels: its sides are multiples of that, such as 96, not 100"));
        let large = ModelConfig {
            pretrained_cfg: PretrainedCfg { input_size: Some([3, 2048, 2048]), ..PretrainedCfg::default() },
            ..config("resnet18")
        };
        let cost = estimate(&Recipe { strategy: Strategy::Full, ..Recipe::default() }, &large, 100, 2).unwrap();
        assert!(cost.within(4 << 30, f64::INFINITY, 1).is_err(), "the base's own size counts");
    }
}
