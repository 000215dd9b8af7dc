//! How much of the backbone learns, and in which order.

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
