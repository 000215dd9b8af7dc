//! One architecture, and all that the rest of the program asks of it. The answers are those of its family's file.

use std::fmt::Debug;

use super::cost::StageCost;
use super::tensor::{Expected, Init};
use crate::domain::modality::Modality;
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::weights::Weights;

/// One architecture.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// timm's name, without a tag.
    pub name: &'static str,
    /// Those that share a description, such as `resnet`.
    pub family: &'static str,
    /// Width of the pooled features.
    pub num_features: usize,
    /// timm's names of the module that meets the input and of the classifier.
    pub first_conv: &'static str,
    pub classifier: &'static str,
    /// How its usual weights want what they are given.
    pub input: UsualInput,
    pub(super) member: &'static dyn Member,
}

/// What a member of a family answers about itself.
pub(super) trait Member: Debug + Sync {
    /// Stages from the input upwards, each with its tensors in the order of computation; without the classifier.
    fn stages(&self) -> Vec<(String, Vec<Expected>)>;

    /// How timm would draw the classifier's weight and bias.
    fn classifier(&self, num_features: usize, num_classes: usize) -> [Init; 2];

    /// Puts the weights, which are complete, into the executor that runs the family.
    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>>;

    /// What each stage costs over an item of this shape, without the batch: `[3, height, width]`.
    fn costs(&self, item: &[usize]) -> Vec<StageCost>;

    /// Items that a training step needs at least. Batch norm has no variance over a single one.
    fn fewest_items(&self) -> usize;

    /// Whether weight decay pulls at a tensor: at matrices and kernels, not at biases and norms (pulling a scale
    /// towards zero regularises nothing, Goyal et al. 2017, section 5.3). Embeddings are to be left out as well
    /// (timm's `no_weight_decay`).
    fn decays(&self, _name: &str, rank: usize) -> bool {
        rank > 1
    }

    /// The only side of images it takes, in pixels, where it does not take any.
    fn fixed_side(&self) -> Option<usize> {
        None
    }

    /// timm's words for the poolings it can have, its own first.
    fn pools(&self) -> &'static [&'static str] {
        &["avg"]
    }

    /// timm's words for the activation it is built with.
    fn activations(&self) -> &'static [&'static str];

    /// timm's other arguments by name, each with the value it is built with, as JSON.
    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// timm's default input of an architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UsualInput {
    Image(ImageInput),
}

/// How weights want images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageInput {
    /// Height and width in pixels.
    pub size: usize,
    /// `bicubic` or `bilinear`.
    pub interpolation: &'static str,
    /// The share of the resized image's side that the centre crop takes.
    pub crop_pct: f64,
    /// Per channel, of pixels in `[0, 1]`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl UsualInput {
    /// What it takes in.
    pub const fn modality(&self) -> Modality {
        match self {
            UsualInput::Image(_) => Modality::Image,
        }
    }
}

impl ImageInput {
    /// Pixels by ImageNet's mean and deviation.
    pub(super) const fn imagenet(size: usize, crop_pct: f64, interpolation: &'static str) -> ImageInput {
        ImageInput { size, interpolation, crop_pct, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }

    /// Pixels from -1 to 1.
    pub(super) const fn inception(size: usize, crop_pct: f64, interpolation: &'static str) -> ImageInput {
        ImageInput { size, interpolation, crop_pct, mean: [0.5; 3], std: [0.5; 3] }
    }
}

impl Architecture {
    /// What it takes in.
    pub fn modality(&self) -> Modality {
        self.input.modality()
    }

    /// Every tensor's name, shape and drawing, in the order of computation; `num_classes` 0 leaves out the classifier.
    pub fn expected(&self, num_classes: usize) -> Vec<Expected> {
        self.expected_of(num_classes, self.num_features)
    }

    /// The same with a classifier over so many features.
    pub(super) fn expected_of(&self, num_classes: usize, num_features: usize) -> Vec<Expected> {
        let mut tensors: Vec<_> = self.member.stages().into_iter().flat_map(|(_, tensors)| tensors).collect();
        if num_classes > 0 {
            let [weight, bias] = self.member.classifier(num_features, num_classes);
            tensors.push(Expected::new(format!("{}.weight", self.classifier), [num_classes, num_features], weight));
            tensors.push(Expected::new(format!("{}.bias", self.classifier), [num_classes], bias));
        }
        tensors
    }

    /// What each stage costs over an item of this shape, without the batch: `[3, height, width]`.
    pub fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        self.member.costs(item)
    }

    /// Items that a training step of its stages needs at least.
    pub fn fewest_items(&self) -> usize {
        self.member.fewest_items()
    }

    /// Whether weight decay pulls at a tensor of this name and so many axes.
    pub fn decays(&self, name: &str, rank: usize) -> bool {
        self.member.decays(name, rank)
    }

    /// timm's word for how it pools unless told otherwise.
    pub fn usual_pool(&self) -> &'static str {
        self.member.pools().first().copied().unwrap_or("avg")
    }

    /// The only side of images it takes, in pixels, where it does not take any.
    pub fn fixed_side(&self) -> Option<usize> {
        self.member.fixed_side()
    }
}
