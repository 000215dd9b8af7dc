//! One architecture, and all that the rest of the program asks of it. The answers are those of its family's file.

use std::fmt::Debug;

use serde_json::Value;

use super::cost::StageCost;
use super::plan::Plan;
use super::positions::Positions;
use super::tensor::{Expected, Init};
use crate::domain::architecture::ArchitectureFacts;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;
use crate::domain::safetensors::is_buffer;
use crate::domain::shot_config::ShotSettings;
use crate::nn::backbone::Backbone;
use crate::nn::error::{Error, Result};
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

    /// Its layers, where they are convolutions that a plan describes.
    fn described(&self) -> Option<Plan> {
        None
    }

    /// The side of the images it is made for, in pixels, where it does not take any.
    fn fixed_side(&self) -> Option<usize> {
        None
    }

    /// Height and width of the frames that it is made for, each squeezed to them, where those are no squares.
    fn frame_sides(&self) -> Option<[usize; 2]> {
        None
    }

    /// How it finds shots of films, where that is what it was made for.
    fn shots(&self) -> Option<ShotSettings> {
        None
    }

    /// Where it has learnt the positions of patches, which can be interpolated for images of other sides.
    fn positions(&self) -> Option<Positions> {
        None
    }

    /// The same for images of another side, where it has such positions.
    fn at(&self, _side: usize) -> Option<Box<dyn Member>> {
        None
    }

    /// How tensors end that others store beside the weights and that are made here.
    fn made(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether its executor puts low-rank adapters beside its linear layers when asked to.
    fn takes_adapters(&self) -> bool {
        false
    }

    /// Modules that files of it may hold and that are not needed to run it.
    fn unused(&self) -> &'static [&'static str] {
        &[]
    }

    /// timm's words for the poolings it can have, its own first.
    fn pools(&self) -> &'static [&'static str] {
        &["avg"]
    }

    /// timm's words for the activation it is built with.
    fn activations(&self) -> &'static [&'static str];

    /// Weights that were found under other names, or with heads of other tasks, as this build knows them.
    fn adopt(&self, weights: Weights) -> Weights {
        weights
    }

    /// The way back from [`Member::adopt`], for those who look for a model with a head.
    fn published(&self, weights: Weights) -> Weights {
        weights
    }

    /// Whether weights of its kind hold a tensor of this name for another head, or made, which `adopt` leaves out.
    fn leaves_out(&self, _tensor: &str) -> bool {
        false
    }

    /// What a config.json asks for beside its sizes and is not built here: setting, value and why, where its settings are not timm's.
    fn refused(&self, _config: &ModelConfig) -> Vec<(String, Value, String)> {
        Vec::new()
    }

    /// timm's other arguments by name, each with the value it is built with, as JSON.
    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// timm's default input of an architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UsualInput {
    Image(ImageInput),
    Text(TextInput),
    Video(VideoInput),
}

/// How weights want clips of videos.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoInput {
    /// Of a clip.
    pub frames: usize,
    /// From one of them to the next, in frames of the video.
    pub every: usize,
    /// How they want each frame.
    pub image: ImageInput,
}

/// How weights want texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextInput {
    /// At most.
    pub tokens: usize,
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
            UsualInput::Text(_) => Modality::Text,
            UsualInput::Video(_) => Modality::Video,
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

    /// Whether it makes features of texts, so that it needs a tokenizer beside its weights.
    pub fn is_encoder(&self) -> bool {
        self.modality() == Modality::Text
    }

    /// What people look at who choose one.
    pub fn facts(&self) -> ArchitectureFacts {
        let side = match self.input {
            UsualInput::Image(ImageInput { size, .. }) | UsualInput::Video(VideoInput { image: ImageInput { size, .. }, .. }) => size,
            UsualInput::Text(TextInput { tokens }) => tokens,
        };
        let item = self.item(side, side);
        let stages = self.member.stages();
        let learns = |tensor: &&Expected| !is_buffer(&tensor.name);
        ArchitectureFacts {
            name: self.name,
            family: self.family,
            modality: self.modality(),
            side,
            fixed: self.fixed_side().is_some() && self.member.positions().is_none(),
            patch: self.member.positions().map(|positions| positions.patch),
            features: self.num_features,
            parameters: stages.iter().flat_map(|(_, tensors)| tensors).filter(learns).map(|tensor| tensor.count() as u64).sum(),
            multiply_adds: self.costs(&item).iter().map(|cost| cost.multiply_adds).sum(),
            stages: stages.into_iter().map(|(name, _)| name).collect(),
        }
    }

    /// The shape of one item, without the batch: an image of that side, a usual clip of such, or a text of so many tokens.
    pub fn item(&self, side: usize, tokens: usize) -> Vec<usize> {
        match self.input {
            UsualInput::Image(_) => vec![3, side, side],
            UsualInput::Video(VideoInput { frames, .. }) => {
                let [height, width] = self.frame_sides().unwrap_or([side; 2]);
                vec![3, frames, height, width]
            }
            UsualInput::Text(TextInput { tokens: most }) => vec![tokens.clamp(1, most.max(1))],
        }
    }

    /// Every tensor's name, shape and drawing, in the order of computation; `num_classes` 0 leaves out the classifier.
    pub fn expected(&self, num_classes: usize) -> Vec<Expected> {
        self.expected_of(self.member, num_classes, self.num_features)
    }

    /// The same of a network for images of that side, where its tensors hang on it.
    pub fn expected_at(&self, side: usize, num_classes: usize) -> Vec<Expected> {
        match self.member.at(side) {
            Some(member) => self.expected_of(&*member, num_classes, self.num_features),
            None => self.expected(num_classes),
        }
    }

    /// The tensors of a member with a classifier over so many features.
    pub(super) fn expected_of(&self, member: &dyn Member, num_classes: usize, num_features: usize) -> Vec<Expected> {
        let mut tensors: Vec<_> = member.stages().into_iter().flat_map(|(_, tensors)| tensors).collect();
        if num_classes > 0 {
            let [weight, bias] = member.classifier(num_features, num_classes);
            tensors.push(Expected::new(format!("{}.weight", self.classifier), [num_classes, num_features], weight));
            tensors.push(Expected::new(format!("{}.bias", self.classifier), [num_classes], bias));
        }
        tensors
    }

    /// The side of the images whose patches a tensor of this name and shape holds the positions of, where it is another than the usual.
    pub fn other_side(&self, tensor: &str, shape: &[usize]) -> Option<usize> {
        let positions = self.member.positions().filter(|positions| positions.tensor == tensor)?;
        positions.side_of(shape).filter(|side| self.fixed_side() != Some(*side))
    }

    /// Whether a tensor belongs to a module that is not needed to run it, or is made here.
    pub fn leaves_aside(&self, tensor: &str) -> bool {
        let of = |module: &&str| tensor.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
        self.member.unused().iter().any(of) || self.member.made().iter().any(|end| tensor.ends_with(end)) || self.member.leaves_out(tensor)
    }

    /// The tensors without those of modules that are not needed to run it.
    pub(super) fn used(&self, weights: &Weights) -> Weights {
        self.member.unused().iter().fold(weights.clone(), |weights, module| weights.without_head(module))
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

    /// Of items that have a length, the most it takes: tokens of a text.
    pub fn longest(&self) -> usize {
        match self.input {
            UsualInput::Image(_) | UsualInput::Video(_) => usize::MAX,
            UsualInput::Text(TextInput { tokens }) => tokens,
        }
    }

    /// Of networks that take clips themselves: the frames of one, as their usual weights want them.
    pub fn frames(&self) -> Option<usize> {
        match self.input {
            UsualInput::Video(VideoInput { frames, .. }) => Some(frames),
            UsualInput::Image(_) | UsualInput::Text(_) => None,
        }
    }

    /// Height and width of the frames that it is made for, each squeezed to them, where those are no squares.
    pub fn frame_sides(&self) -> Option<[usize; 2]> {
        self.member.frame_sides()
    }

    /// How it finds shots of films, where that is what it was made for.
    pub fn shots(&self) -> Option<ShotSettings> {
        self.member.shots()
    }

    /// timm's word for how it pools unless told otherwise.
    pub fn usual_pool(&self) -> &'static str {
        self.member.pools().first().copied().unwrap_or("avg")
    }

    /// The side of the images it is made for, in pixels, where it does not take any.
    pub fn fixed_side(&self) -> Option<usize> {
        self.member.fixed_side()
    }

    /// Why it takes no images of this side, in words, if it takes none.
    pub fn refuses_side(&self, side: usize) -> Option<String> {
        if let Some([lines, columns]) = self.frame_sides().filter(|[lines, _]| *lines != side) {
            return Some(format!("{} takes frames of {lines} lines and {columns} columns, not of {side}", self.name));
        }
        let own = self.fixed_side().filter(|own| *own != side)?;
        match self.member.positions() {
            None => Some(format!("{} takes images of {own} pixels, not {side}", self.name)),
            Some(Positions { patch, .. }) if side == 0 || !side.is_multiple_of(patch) => {
                let near = (side + patch / 2).max(patch) / patch * patch;
                Some(format!(
                    "{} cuts images into patches of {patch} pixels: its sides are multiples of that, such as {near}, not {side}",
                    self.name
                ))
            }
            Some(_) => None,
        }
    }

    /// Weights that were found under other names, or with heads of other tasks, as this build knows them.
    pub fn adopted(&self, weights: Weights) -> Weights {
        self.member.adopt(weights)
    }

    /// Weights that were found, as this build knows them, for images of this side: under its own names, without heads of other
    /// tasks, and with positions that were learnt for another side interpolated as timm does it.
    ///
    /// # Errors
    /// It takes no images of this side, or the positions are not those of a square of patches.
    pub fn fitted(&self, weights: Weights, side: usize) -> Result<Weights> {
        if let Some(problem) = self.refuses_side(side) {
            return Err(Error::Invalid(problem));
        }
        let mut weights = self.member.adopt(weights);
        if let Some(positions) = self.member.positions().filter(|positions| weights.get(positions.tensor).is_some()) {
            positions.resample(&mut weights, side)?;
        }
        Ok(weights)
    }

    /// The member of the side whose positions these weights have, where that is another than the usual.
    pub(super) fn member_for(&self, weights: &Weights) -> Option<Box<dyn Member>> {
        let side = self.member.positions()?.side(weights)?;
        if self.fixed_side() == Some(side) { None } else { self.member.at(side) }
    }

    /// From the input upwards, so many parts are frozen or trained as a whole.
    pub fn stage_count(&self) -> usize {
        self.member.stages().len()
    }

    /// Whether low-rank adapters can be put beside its linear layers.
    pub fn takes_adapters(&self) -> bool {
        self.member.takes_adapters()
    }
}
