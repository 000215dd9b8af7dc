//! Which architectures there are, which tensors each has, and building them from weights, strictly.
//!
//! A family of architectures is one file here, and nothing else in the program names it. To add one, write that file and
//! its line in `FAMILIES`:
//!
//! - a `static` with its members, an [`Architecture`] each: timm's name, the width of its features, what timm calls its
//!   first and its last module, and its usual input, whose kind is the modality. An import takes names and input numbers
//!   from there;
//! - a type that implements `Member`: stages with their tensors (each with its shape and how it is drawn), what each stage
//!   costs, how many items a step needs, which tensors decay, and the executor that runs it.
//!
//! A family of convolutions, batch norms and shortcuts implements `Planned` instead and answers with a `plan::Plan`
//! alone. One that no executor runs brings its own into `executors`.
//!
//! Then `tests/nn.rs` asks for its goldens (`tests/golden/make.py` makes them with timm).

pub(super) mod architecture;
mod asked;
mod convnext;
mod convolutional;
pub(super) mod cost;
mod mobile;
mod mobilenetv3;
pub(super) mod plan;
mod resnet;
pub(super) mod tensor;
mod vit;

use std::collections::HashSet;

pub use self::architecture::{Architecture, ImageInput, UsualInput};
pub use self::asked::{pool_of, rows_differ, rows_in_words, unobeyed_in};
pub use self::cost::StageCost;
pub use self::tensor::{Expected, Init};
use super::backbone::Backbone;
use super::classifier::Classifier;
use super::error::{Error, Result};
pub use super::executors::pooling::Pool;
use super::heads::Head;
use super::weights::Weights;

/// A line for each family.
#[rustfmt::skip]
static FAMILIES: &[&[Architecture]] = &[
    &mobile::LITE,
    &mobile::V2,
    &mobilenetv3::MEMBERS,
    &mobile::EFFICIENTNET,
    &resnet::MEMBERS,
    &vit::MEMBERS,
    &convnext::MEMBERS,
];

/// Every architecture this build can run.
pub fn all() -> impl Iterator<Item = &'static Architecture> {
    FAMILIES.iter().copied().flatten()
}

/// What the families are called, in the order of the alphabet.
pub fn families() -> Vec<&'static str> {
    let mut names: Vec<_> = all().map(|architecture| architecture.family).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// By timm's name, with or without a tag (`resnet50` or `resnet50.a1_in1k`).
pub fn find(name: &str) -> Option<&'static Architecture> {
    let plain = name.split_once('.').map_or(name, |(architecture, _tag)| architecture);
    all().find(|architecture| architecture.name == plain)
}

/// Like [`find`], with an error that lists what there is.
pub fn get(name: &str) -> Result<&'static Architecture> {
    find(name).ok_or_else(|| Error::UnknownArchitecture { name: name.into(), known: names() })
}

/// Every name, for messages.
pub fn names() -> String {
    all().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ")
}

/// Every tensor of the architecture, in the order of computation; `num_classes` 0 leaves out the classifier.
pub fn expected(architecture: &str, num_classes: usize) -> Result<Vec<Expected>> {
    Ok(get(architecture)?.expected(num_classes))
}

/// Compares `weights` with what the architecture needs. The first tensor that is missing, misshaped or a stranger
/// is an error that names it.
pub fn check(architecture: &str, num_classes: usize, weights: &Weights) -> Result<()> {
    check_pooled(get(architecture)?, num_classes, Pool::Usual, weights)
}

fn check_pooled(known: &Architecture, num_classes: usize, pool: Pool, weights: &Weights) -> Result<()> {
    let architecture = known.name;
    let expected = known.expected_of(num_classes, pool.multiple() * known.num_features);
    for Expected { name, shape, .. } in &expected {
        match weights.get(name) {
            None => return Err(Error::Missing { architecture: architecture.into(), name: name.clone(), shape: shape.clone() }),
            Some(var) if var.dims() != shape => {
                return Err(Error::Shape {
                    architecture: architecture.into(),
                    name: name.clone(),
                    expected: shape.clone(),
                    found: var.dims().to_vec(),
                });
            }
            Some(_) => {}
        }
    }
    let known: HashSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
    match weights.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(Error::Unexpected { architecture: architecture.into(), name: name.into() }),
        None => Ok(()),
    }
}

/// Builds a backbone from exactly its tensors, sharing their handles. A classifier's tensors are strangers here:
/// take them off with [`Weights::without_head`], or use [`build_classifier`].
pub fn build(architecture: &str, weights: &Weights) -> Result<Box<dyn Backbone>> {
    build_pooled(architecture, Pool::Usual, weights)
}

/// [`build`] with features pooled as a config asks ([`pool_of`]).
pub fn build_pooled(architecture: &str, pool: Pool, weights: &Weights) -> Result<Box<dyn Backbone>> {
    let known = get(architecture)?;
    check(architecture, 0, weights)?;
    Ok(pool.on(known.member.build(known.name, weights.clone())?))
}

/// Builds backbone and head from a whole state dict, sharing its handles.
pub fn build_classifier(architecture: &str, num_classes: usize, weights: &Weights) -> Result<Classifier> {
    build_classifier_pooled(architecture, num_classes, Pool::Usual, weights)
}

/// [`build_classifier`] with features pooled as a config asks ([`pool_of`]).
pub fn build_classifier_pooled(architecture: &str, num_classes: usize, pool: Pool, weights: &Weights) -> Result<Classifier> {
    let known = get(architecture)?;
    if num_classes == 0 {
        return Err(Error::Invalid("a classifier needs at least one class; build the backbone alone instead".into()));
    }
    check_pooled(known, num_classes, pool, weights)?;
    let (backbone, head) = weights.clone().split(known.classifier);
    let backbone = pool.on(known.member.build(known.name, backbone)?);
    Classifier::new(known, backbone, Head::from_weights(known.classifier, &head)?)
}

/// The number of classes of a state dict: the rows of its classifier, 0 without one.
pub fn num_classes(architecture: &str, weights: &Weights) -> Result<usize> {
    let name = format!("{}.weight", get(architecture)?.classifier);
    Ok(weights.get(&name).and_then(|var| var.dims().first().copied()).unwrap_or(0))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
