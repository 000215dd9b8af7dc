//! What a test of rates before a run came to.

use serde::{Deserialize, Serialize};

/// The rates a run learned with, and the losses by which they were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundRate {
    /// Of the backbone and of the head, before the schedule.
    pub lr: f64,
    pub head_lr: f64,
    /// Whether a rate was found; otherwise they are the recipe's.
    pub found: bool,
    /// Whether the test ended because the loss had grown to four times its least.
    pub diverged: bool,
    /// The rate of each step of the test and the loss before it.
    pub curve: Vec<(f64, f64)>,
    pub sentence: String,
}
