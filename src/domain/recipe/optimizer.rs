//! How weights are moved.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Nesterov momentum 0.9.
    Sgd,
    Adamw,
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
