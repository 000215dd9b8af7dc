//! A backbone with a head on it.

use candle_core::Tensor;

use super::architectures::architecture::Architecture;
use super::backbone::{Backbone, Mode};
use super::error::{Error, Result};
use super::heads::Head;
use super::heads::dense::{self, Below};
use super::input::Input;
use super::weights::Weights;

/// A backbone and the head that names classes.
pub struct Classifier {
    pub backbone: Box<dyn Backbone>,
    pub head: Head,
}

impl Classifier {
    /// Puts `head` on `backbone` under the name the architecture gives its classifier. Errors when the widths differ.
    pub fn new(architecture: &Architecture, backbone: Box<dyn Backbone>, head: Head) -> Result<Classifier> {
        if head.dense().is_none() && head.num_features() != backbone.num_features() {
            return Err(Error::Invalid(format!(
                "a head for {} features does not fit {} with {}",
                head.num_features(),
                backbone.architecture(),
                backbone.num_features()
            )));
        }
        Ok(Classifier { backbone, head: head.named(architecture.classifier) })
    }

    /// Logits `(B, classes)`; nothing is frozen.
    pub fn logits(&self, input: impl Into<Input>, mode: Mode) -> Result<Tensor> {
        self.forward(input, 0, mode, 0)
    }

    /// Logits with the first `frozen_stages` as constants; `step` tells the head's dropout masks apart.
    pub fn forward(&self, input: impl Into<Input>, frozen_stages: usize, mode: Mode, step: u64) -> Result<Tensor> {
        let input = input.into();
        match self.head.dense() {
            Some(_) => self.of_places(Below::nothing(&input), frozen_stages, mode, false),
            None => self.head.forward(&self.backbone.pooled(&input, frozen_stages, mode)?, mode, step),
        }
    }

    /// What a head over maps says about places, `(B x places, outputs)`, from maps of which some may be there already; of images that were
    /// turned around, turned back.
    ///
    /// # Errors
    /// Its head takes whole items.
    pub fn of_places(&self, below: Below, frozen_stages: usize, mode: Mode, mirrored: bool) -> Result<Tensor> {
        let Some(head) = self.head.dense() else { return Err(Error::Invalid("this head says nothing about places".into())) };
        dense::answers(&*self.backbone, head, below, frozen_stages, mode, mirrored)
    }

    /// Features `(B, num_features)`, in eval mode.
    pub fn pooled(&self, input: impl Into<Input>) -> Result<Tensor> {
        self.backbone.pooled(&input.into(), self.backbone.stages().len(), Mode::Eval)
    }

    /// Every tensor under timm's names, sharing handles: what is saved as `model.safetensors`.
    pub fn weights(&self) -> Weights {
        let mut weights = self.backbone.weights().clone();
        for (name, var) in self.head.tensors() {
            weights.insert(name, var.clone());
        }
        weights
    }
}
