//! Networks: pretrained backbones that can be frozen from the bottom, heads on top, and the weights of both.
//!
//! An image backbone takes `(batch, 3, height, width)` in f32, normalised by the caller, runs it through its
//! [stages](Stage) and pools to `(batch, num_features)`. Names and numbers are timm's, so weights travel both ways.
//!
//! - [`architectures`]: which architectures there are, which tensors each has, and building them; a file for each family.
//! - `executors`: what runs them.
//! - [`weights`]: named tensors, strict safetensors in and out; `init`: seeded random ones.
//! - [`heads`], [`loss`]: what is trained on top, and what it is trained by.
//! - [`kernels`]: the arithmetic.

pub mod architectures;
mod backbone;
mod classifier;
pub mod device;
mod error;
mod executors;
pub mod heads;
mod init;
mod input;
pub mod kernels;
pub mod loss;
pub(crate) mod random;
#[cfg(test)]
mod road_tests;
mod safetensors_file;
pub mod weights;

pub use backbone::{Backbone, Mode, Stage, StageMap};
pub use classifier::Classifier;
pub use error::{Error, Result};
pub use executors::LowRank;
pub use heads::{Cosine, Dense, Distance, Head, Means};
pub use input::{Input, PADDING, WORD};
pub use weights::Weights;
