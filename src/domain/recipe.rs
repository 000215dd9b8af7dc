//! A recipe: everything that decides a fine-tune. The same recipe, seed and thread count give the same weights.

use serde::{Deserialize, Serialize};

/// How much of the backbone learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The backbone stays frozen; pooled features are cached and only the head is trained.
    Head,
    /// Everything above `frozen_stages` is trained.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Nesterov momentum 0.9.
    Sgd,
    Adamw,
}

/// See `docs/FINETUNE.md` for why the defaults are what they are. Rates are per step, sizes in images or pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    pub strategy: Strategy,
    /// Stages frozen from the bottom (stem = 1). Only for `full`; `head` freezes all.
    pub frozen_stages: usize,
    pub epochs: u32,
    pub optimizer: Optimizer,
    /// Learning rate of the backbone.
    pub lr: f64,
    /// Learning rate of the head.
    pub head_lr: f64,
    pub batch_size: usize,
    pub weight_decay: f64,
    pub label_smoothing: f64,
    pub dropout: f64,
    /// Linear warm-up, as a share of all steps; cosine decay follows.
    pub warmup: f64,
    pub augment: Augment,
    /// Input side in pixels; 0 takes the model's own.
    pub image_size: usize,
    /// Share of the training images held out when the data set has no `val` split.
    pub validation: f64,
    /// Epochs without a better validation top-1 before stopping; 0 never stops early.
    pub patience: u32,
    pub seed: u64,
    /// Start from random weights instead of the backbone's (the honest comparison).
    pub from_scratch: bool,
    /// CPU threads; 0 takes what the machine has.
    pub threads: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Random resized crop: the smallest share of the image's area a crop may take; 1 switches it off.
    pub crop_min_area: f64,
    pub horizontal_flip: bool,
    /// Head-only: how many augmented views of each image are cached (0 = the plain view only).
    pub views: u32,
}

impl Default for Augment {
    fn default() -> Self {
        Augment { crop_min_area: 0.6, horizontal_flip: true, views: 0 }
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            strategy: Strategy::Head,
            frozen_stages: 0,
            epochs: 10,
            optimizer: Optimizer::Sgd,
            lr: 1e-3,
            head_lr: 1e-2,
            batch_size: 32,
            weight_decay: 5e-4,
            label_smoothing: 0.0,
            dropout: 0.0,
            warmup: 0.05,
            augment: Augment::default(),
            image_size: 0,
            validation: 0.2,
            patience: 0,
            seed: 0,
            from_scratch: false,
            threads: 0,
        }
    }
}

/// Which setting of a recipe is out of bounds, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct RecipeError {
    pub setting: &'static str,
    pub problem: String,
}

impl Recipe {
    /// Refuses what could not train or would never end.
    pub fn check(&self) -> Result<(), RecipeError> {
        range("lr", self.lr, 1e-8, 10.0)?;
        range("head_lr", self.head_lr, 1e-8, 10.0)?;
        range("weight_decay", self.weight_decay, 0.0, 1.0)?;
        range("label_smoothing", self.label_smoothing, 0.0, 0.9)?;
        range("dropout", self.dropout, 0.0, 0.95)?;
        range("warmup", self.warmup, 0.0, 0.9)?;
        range("validation", self.validation, 0.01, 0.9)?;
        range("augment.crop_min_area", self.augment.crop_min_area, 0.05, 1.0)?;
        whole("epochs", u64::from(self.epochs), 1, 1_000)?;
        whole("batch_size", self.batch_size as u64, 1, 1_024)?;
        whole("frozen_stages", self.frozen_stages as u64, 0, 64)?;
        whole("augment.views", u64::from(self.augment.views), 0, 32)?;
        whole("threads", self.threads as u64, 0, 512)?;
        if self.image_size != 0 {
            whole("image_size", self.image_size as u64, 32, 640)?;
        }
        Ok(())
    }
}

fn range(setting: &'static str, value: f64, low: f64, high: f64) -> Result<(), RecipeError> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(RecipeError { setting, problem: format!("{value} is not a number between {low} and {high}") })
}

fn whole(setting: &'static str, value: u64, low: u64, high: u64) -> Result<(), RecipeError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(RecipeError { setting, problem: format!("{value} is not between {low} and {high}") })
}
