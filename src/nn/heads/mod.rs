//! What is trained on top of a backbone, a file for each kind of head.

mod cosine;
pub mod dense;
mod distance;
mod fpn;
mod linear;
mod means;
mod unit;

use candle_core::{Device, Tensor, Var};

pub use cosine::Cosine;
pub use dense::Dense;
pub use distance::Distance;
use linear::Linear;
pub use means::Means;

use super::backbone::Mode;
use super::error::{Error, Result};
use super::weights::Weights;

/// From features `(B, num_features)` to what is said about each item.
pub enum Head {
    /// One linear layer, whose tensors belong to the model's.
    Linear(Linear),
    /// How far an item is from known ones, which lie in a file beside the model's tensors.
    Distance(Distance),
    /// Which class's examples it is nearest to, which come with the question.
    Means(Means),
    /// How alike the two items of a pair are.
    Cosine(Cosine),
    /// Features of this width, of length one.
    Unit(usize),
    /// Layers over maps of all scales, which say something about each place.
    Dense(Box<Dense>),
}

impl Head {
    /// A fresh linear head as PyTorch draws one: weights uniform within `1 / sqrt(num_features)`, zero bias.
    /// Errors when a size is 0 or dropout is not in `[0, 1)`.
    pub fn new(num_features: usize, num_classes: usize, dropout: f64, seed: u64) -> Result<Head> {
        Linear::new(num_features, num_classes, dropout, seed).map(Head::Linear)
    }

    /// The linear head in `weights` under the module `name`, sharing its handles, without dropout.
    pub fn from_weights(name: &str, weights: &Weights) -> Result<Head> {
        Linear::from_weights(name, weights).map(Head::Linear)
    }

    /// On `device`. Distances are measured in the machine's memory wherever the features come from.
    pub fn on(self, device: &Device) -> Result<Head> {
        Ok(match self {
            Head::Linear(head) => Head::Linear(head.on(device)?),
            other => other,
        })
    }

    /// With its tensors under another module name.
    pub fn named(self, name: &str) -> Head {
        match self {
            Head::Linear(head) => Head::Linear(head.named(name)),
            other => other,
        }
    }

    pub fn num_features(&self) -> usize {
        match self {
            Head::Linear(head) => head.num_features(),
            Head::Distance(head) => head.width(),
            Head::Means(head) => head.width(),
            Head::Cosine(head) => head.width,
            Head::Unit(width) => *width,
            Head::Dense(_) => 0,
        }
    }

    /// Whether an item of it is two, each with features of its own.
    pub fn is_of_pairs(&self) -> bool {
        matches!(self, Head::Cosine(_))
    }

    /// Numbers that it gives for each item.
    pub fn num_classes(&self) -> usize {
        match self {
            Head::Linear(head) => head.num_classes(),
            Head::Distance(_) | Head::Cosine(_) => 1,
            Head::Means(head) => head.classes(),
            Head::Unit(width) => *width,
            Head::Dense(head) => head.outputs(),
        }
    }

    /// The layers over maps, where it is made of such.
    pub fn dense(&self) -> Option<&Dense> {
        if let Head::Dense(head) = self { Some(head) } else { None }
    }

    /// Features `(B, num_features)` to `(B, num_classes)`. In eval mode the parameters are constants. The same `step` gives the same
    /// dropout mask.
    pub fn forward(&self, x: &Tensor, mode: Mode, step: u64) -> Result<Tensor> {
        match self {
            Head::Linear(head) => head.forward(x, mode, step),
            Head::Distance(head) => head.forward(x),
            Head::Means(head) => head.forward(x),
            Head::Cosine(head) => head.forward(x, mode),
            Head::Unit(_) => unit::forward(x),
            Head::Dense(head) => Err(Error::Invalid(format!("a head `{}` takes maps of all scales, and not one vector", head.name()))),
        }
    }

    /// The model's tensors that belong to it, under their full names, such as `fc.weight`.
    pub fn parameters(&self) -> Vec<(String, &Var)> {
        match self {
            Head::Linear(head) => head.parameters(),
            Head::Dense(head) => head.parameters(),
            Head::Distance(_) | Head::Means(_) | Head::Cosine(_) | Head::Unit(_) => Vec::new(),
        }
    }

    /// The same with its running statistics, where it has any.
    pub fn tensors(&self) -> Vec<(String, &Var)> {
        match self {
            Head::Dense(head) => head.weights().iter().map(|(name, var)| (name.to_owned(), var)).collect(),
            other => other.parameters(),
        }
    }
}
