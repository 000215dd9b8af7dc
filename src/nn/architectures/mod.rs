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
mod densenet;
mod efficientnetv2;
mod encoders;
mod folded;
mod inception;
mod mobile;
mod mobilenetv3;
mod mobilenetv4;
pub(super) mod plan;
mod positions;
mod regnet;
mod resnet;
mod squeezenet;
mod swin;
pub(super) mod tensor;
mod towers;
mod vgg;
mod video;
mod vit;

use std::collections::HashSet;

pub use self::architecture::{Architecture, ImageInput, TextInput, UsualInput, VideoInput};
pub use self::asked::{pool_of, rows_differ, rows_in_words, unobeyed_in};
pub use self::cost::StageCost;
pub use self::tensor::{Expected, Init};
pub use self::video::{Inflation, inflate};
pub(in crate::nn) use self::vit::PROJECTION;
use super::backbone::Backbone;
use super::classifier::Classifier;
use super::error::{Error, Result};
use super::executors::frames;
pub use super::executors::frames::{FramesPool, MODULE as TIME};
pub use super::executors::places::CELL;
pub use super::executors::pooling::{How, Pool, TokenPool};
use super::heads::Head;
use super::weights::Weights;

/// A line for each family.
#[rustfmt::skip]
static FAMILIES: &[&[Architecture]] = &[
    &mobile::LITE,
    &mobile::V2,
    &mobilenetv3::MEMBERS,
    &mobilenetv4::MEMBERS,
    &mobile::EFFICIENTNET,
    &efficientnetv2::MEMBERS,
    &resnet::MEMBERS,
    &regnet::MEMBERS,
    &vit::MEMBERS,
    &swin::MEMBERS,
    &convnext::MEMBERS,
    &convnext::V2,
    &densenet::MEMBERS,
    &inception::MEMBERS,
    &vgg::MEMBERS,
    &squeezenet::MEMBERS,
];

/// Every architecture this build can run whose name is a fixed one; text encoders, and towers for images beside one, have names by their
/// sizes, networks of images that were inflated to see clips have those of images and `_3d`, and some are there as graphs of TensorFlow
/// alone ([`find`]).
pub fn all() -> impl Iterator<Item = &'static Architecture> {
    FAMILIES.iter().chain(video::FAMILIES).copied().flatten()
}

/// What the families are called, in the order of the alphabet.
pub fn families() -> Vec<&'static str> {
    let mut names: Vec<_> = all().map(|architecture| architecture.family).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// By timm's name, with or without a tag (`resnet50` or `resnet50.a1_in1k`), or by the name that tells a text encoder's sizes
/// (`bert_l6_d384_h12_f1536_v30522_p512_t2_e12`).
pub fn find(name: &str) -> Option<&'static Architecture> {
    let plain = name.split_once('.').map_or(name, |(architecture, _tag)| architecture);
    all()
        .find(|architecture| architecture.name == plain)
        .or_else(|| folded::MEMBERS.iter().find(|architecture| architecture.name == plain))
        .or_else(|| encoders::find(name))
        .or_else(|| towers::find(name))
        .or_else(|| video::find(plain))
}

/// Like [`find`], with an error that lists what there is.
pub fn get(name: &str) -> Result<&'static Architecture> {
    find(name).ok_or_else(|| Error::UnknownArchitecture { name: name.into(), known: names() })
}

/// Every name, for messages.
pub fn names() -> String {
    let encoders = encoders::families().collect::<Vec<_>>().join(", ");
    let names = all().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ");
    format!("{names}; and, of any size, the text encoders {encoders}")
}

/// Every tensor of the architecture, in the order of computation; `num_classes` 0 leaves out the classifier.
pub fn expected(architecture: &str, num_classes: usize) -> Result<Vec<Expected>> {
    Ok(get(architecture)?.expected(num_classes))
}

/// Compares `weights` with what the architecture needs, for images of the side whose positions they have. The first tensor that is missing,
/// misshaped or a stranger is an error that names it.
pub fn check(architecture: &str, num_classes: usize, weights: &Weights) -> Result<()> {
    let known = get(architecture)?;
    check_pooled(known, num_classes, Pool::Usual, &known.used(weights))
}

fn check_pooled(known: &Architecture, num_classes: usize, pool: Pool, weights: &Weights) -> Result<()> {
    let architecture = known.name;
    let member = known.member_for(weights);
    // What maps of all scales are wide together is seen when they are made.
    let written = weights.get(&format!("{}.weight", known.classifier)).and_then(|var| var.dims().get(1).copied());
    let width = if pool == Pool::Places { written.unwrap_or(known.num_features) } else { pool.width(known.num_features) };
    let mut expected = known.expected_of(member.as_deref().unwrap_or(known.member), num_classes, width);
    expected.extend(pool.tensors(known.num_features));
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

/// Weights under the names by which other programs look for them, where those are not the ones that are worked with.
pub fn published(architecture: &str, weights: &Weights) -> Weights {
    find(architecture).map_or_else(|| weights.clone(), |known| known.member.published(weights.clone()))
}

/// Builds a backbone from exactly its tensors, sharing their handles. A classifier's tensors are strangers here:
/// take them off with [`Weights::without_head`], or use [`build_classifier`].
pub fn build(architecture: &str, weights: &Weights) -> Result<Box<dyn Backbone>> {
    build_pooled(architecture, Pool::Usual, weights)
}

/// [`build`] with features pooled as a config asks ([`pool_of`]).
pub fn build_pooled(architecture: &str, pool: Pool, weights: &Weights) -> Result<Box<dyn Backbone>> {
    let known = get(architecture)?;
    let weights = known.used(weights);
    check_pooled(known, 0, pool, &weights)?;
    let (weights, own) = apart(pool, known, weights);
    pool.on(put_in(known, weights)?, &own)
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
    let weights = known.used(weights);
    check_pooled(known, num_classes, pool, &weights)?;
    let (backbone, head) = weights.split(known.classifier);
    let (backbone, own) = apart(pool, known, backbone);
    let backbone = pool.on(put_in(known, backbone)?, &own)?;
    Classifier::new(known, backbone, Head::from_weights(known.classifier, &head)?)
}

/// A network's tensors, and those of its pooling.
fn apart(pool: Pool, known: &Architecture, mut weights: Weights) -> (Weights, Weights) {
    let mut own = Weights::default();
    for Expected { name, .. } in pool.tensors(known.num_features) {
        if let Some(var) = weights.get(&name).cloned() {
            weights.remove(&name);
            own.insert(name, var);
        }
    }
    (weights, own)
}

/// Weights for a pooling: with fresh tensors over time where it has such and they are not there in its shapes, without those of another.
///
/// # Errors
/// The architecture is not known.
pub fn with_time(architecture: &str, weights: Weights, pool: Pool, seed: u64) -> Result<Weights> {
    let known = get(architecture)?;
    let wanted = pool.tensors(known.num_features);
    let is_there = |tensor: &Expected| weights.get(&tensor.name).is_some_and(|var| var.dims() == tensor.shape);
    let whole = wanted.iter().all(is_there);
    let mut found = weights.clone().without_head(frames::MODULE);
    for Expected { name, .. } in &wanted {
        weights.get(name).filter(|_| whole).into_iter().for_each(|var| found.insert(name.clone(), var.clone()));
    }
    if let (Pool::Frames(pool), false) = (pool, whole) {
        let fresh = frames::fresh(pool, known.num_features, seed)?;
        fresh.iter().for_each(|(name, var)| found.insert(name.to_owned(), var.clone()));
    }
    Ok(found)
}

fn put_in(known: &Architecture, weights: Weights) -> Result<Box<dyn Backbone>> {
    let member = known.member_for(&weights);
    member.as_deref().unwrap_or(known.member).build(known.name, weights)
}

/// The number of classes of a state dict: the rows of its classifier, 0 without one.
pub fn num_classes(architecture: &str, weights: &Weights) -> Result<usize> {
    let name = format!("{}.weight", get(architecture)?.classifier);
    Ok(weights.get(&name).and_then(|var| var.dims().first().copied()).unwrap_or(0))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "index_tests.rs"]
mod index_tests;
