//! Networks: pretrained backbones that can be frozen from the bottom, heads on top, and the weights of both.
//!
//! An image backbone takes `(batch, 3, height, width)` in f32, normalised by the caller, runs it through its
//! [stages](Stage) and pools to `(batch, num_features)`. Names and numbers are timm's, so weights travel both ways.
//!
//! - [`registry`]: which architectures there are, which tensors each has, and building them.
//! - [`weights`]: named tensors, strict safetensors in and out, seeded random ones.
//! - [`heads`], [`loss`]: what is trained on top, and what it is trained by.
//! - [`plan`], [`mobile`], [`mobilenetv3`], [`resnet`]: families as data; `network` runs any of them.
//! - [`vit`]: vision transformers as data; `transformer` runs them.
//! - [`kernels`]: the arithmetic.
//!
//! Another family is another file that makes a [`plan::Plan`]; another modality is another implementation of
//! [`Backbone`], whose input may be of any shape.

mod backbone;
pub mod device;
mod error;
pub mod heads;
mod inference;
mod init;
mod input;
pub mod kernels;
mod layer;
pub mod loss;
pub mod mobile;
pub mod mobilenetv3;
mod network;
pub mod plan;
pub mod registry;
pub mod resnet;
#[cfg(test)]
mod road_tests;
mod safetensors_file;
mod transformer;
pub mod vit;
pub mod weights;

pub use backbone::{Backbone, Classifier, Mode, Stage};
pub use error::{Error, Result};
pub use heads::Head;
pub use input::Input;
pub use weights::Weights;
