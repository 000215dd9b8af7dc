//! A sample: an item, and what is to be said about it.

use super::labelled::Split;
use super::targets::Target;

/// One item and what is to be said about it. `id` is stable for the same data whatever it was packed in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub id: u32,
    pub target: Target,
    pub split: Split,
    pub path: String,
}
