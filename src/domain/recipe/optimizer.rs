//! How weights are moved.

use serde::{Deserialize, Serialize};

use super::{Recipe, RecipeError, Strategy, range, whole};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// With Nesterov's momentum.
    Sgd,
    Adamw,
}

/// How the rates move over the steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// A linear warm-up, then half a cosine down to zero.
    #[default]
    Cosine,
    /// The warm-up, then a tenth after 30, 60 and 90 % of the steps (BiT).
    Step,
    /// The warm-up, then the rate as it is.
    Constant,
    /// From a 25th up over 30 % of the steps, then down to nearly nothing, both along a cosine (Smith and Topin 2018,
    /// in PyTorch's form). It has its own warm-up.
    OneCycle,
}

/// Of the products in layers that learn; weights, sums and everything else are f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    /// Factors rounded to bfloat16: eight bits of mantissa, the range of f32.
    Bf16,
}

pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    range("momentum", recipe.momentum, 0.0, 0.999)?;
    range("betas", recipe.betas[0], 0.0, 0.9999)?;
    range("betas", recipe.betas[1], 0.0, 0.999_999)?;
    range("clip_norm", recipe.clip_norm, 0.0, 1e6)?;
    range("ema", recipe.ema, 0.0, 0.999_999)?;
    whole("accumulate", u64::from(recipe.accumulate), 1, 256)?;
    range("lora_alpha", recipe.lora_alpha, 1e-3, 1_024.0)?;
    whole("lora_rank", recipe.lora_rank as u64, 0, 256)?;
    if recipe.lora_rank > 0 && recipe.strategy == Strategy::Head {
        let problem = "adapters learn in stages, and the strategy head trains none; choose full, or set it to 0".into();
        return Err(RecipeError { setting: "lora_rank", problem });
    }
    Ok(())
}
