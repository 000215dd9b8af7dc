//! Fine-tuning: a recipe, a base's weights and a data set go in; a model with a new head and honest numbers come out.
//!
//! [`fit`] reads top to bottom. It knows nothing of jobs, users or HTTP: what it has to tell goes through one
//! function, which may answer that it is to stop. The same recipe, seed and thread count give the same weights, bit
//! for bit, also over a kill and a resume from the last [`checkpoint`].
//!
//! - [`tasks`]: what a head is trained to say: loss, tally, measures, answers.
//! - `partition`, `feed`, `buckets`: which items, in which order, as views or as the features of frozen stages.
//! - [`features`](self): features of frozen stages are computed once for each view, also over runs ([`FeatureStore`]).
//! - [`probe`], [`strategy`]: the best head on features as they are, and what learns after it.
//! - `model`, [`optim`], [`schedule`], `range`, `updates`: what learns, at which rates, and how.
//! - [`report`], `model_folder`, `card`: how good it got, and the model folder to publish.
//! - [`soup`]: the average of several results of one base.
//! - [`estimate`](mod@estimate): what a recipe will cost, before anything is spent.
//! - [`doctor`]: labels that are probably wrong, and items unlike all others, by such features.
//! - [`embedding`]: the pooled features of a data set's items by a base.
//! - [`predict`]: a published model answers; by [`support`], about classes that it was not trained on.

mod boxes;
mod buckets;
mod card;
pub mod checkpoint;
mod clips;
mod compare;
mod consistency;
mod decoder_cost;
pub mod detection;
pub mod doctor;
mod eigen;
pub mod embedding;
mod error;
pub mod estimate;
mod evaluate;
mod features;
mod feed;
mod few;
mod fit;
mod joins;
mod judge;
mod lengths;
pub mod measures;
mod mixing;
mod model;
mod model_folder;
pub mod optim;
mod pairs;
mod partition;
mod places;
pub mod predict;
pub mod probe;
mod progress;
mod range;
mod reading;
pub mod recommend;
mod reject;
pub mod report;
mod report_files;
mod rounds;
mod run;
pub mod schedule;
mod sequences;
mod shots;
pub mod soup;
pub mod strategy;
pub mod support;
pub mod tasks;
mod texts;
mod timeline;
mod towers;
mod updates;
mod windows;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::clips::takes;
pub use self::compare::fit_and_compare;
pub use self::embedding::{Embedding, Subject, embed, embed_each, survey_dataset};
pub use self::error::{Error, Result};
pub use self::estimate::{Estimate, Volume, estimate, estimate_soup, estimate_volume};
pub use self::evaluate::{Measured, evaluate};
pub use self::features::{FeatureStore, Frozen, Keep};
pub use self::fit::fit;
pub use self::model_folder::{DISTANCES, write_folder};
pub use self::predict::{BESIDE, Predictor};
pub use self::progress::{Control, Event};
pub use self::report::{Lineage, Report};
pub use self::report_files::write_report;
use crate::data::Dataset;
use crate::domain::architecture::ArchitectureFacts;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality;
use crate::domain::recipe::Recipe;
pub use crate::nn::device::{self, Device};
pub use crate::nn::kernels::{backend, has_bf16};

/// What to do where a base is of no architecture that this build knows, for people.
pub fn known_architectures() -> String {
    let families = crate::nn::architectures::families();
    let (last, others) = families.split_last().unwrap_or((&"none", &[]));
    format!("choose a base whose config.json names a known architecture: {} or {last}", others.join(", "))
}

/// Every architecture of this build, in the order of families.
pub fn architectures() -> Vec<ArchitectureFacts> {
    crate::nn::architectures::all().map(crate::nn::architectures::Architecture::facts).collect()
}

/// Whether this build runs networks of an architecture, by its name with or without a tag.
pub fn knows(architecture: &str) -> bool {
    crate::nn::architectures::find(architecture).is_some()
}

/// Each key of a model's config.json that asks for more than this build does, in words; such a model is not run.
pub fn unobeyed_in(config: &ModelConfig) -> Vec<String> {
    crate::nn::architectures::unobeyed_in(config)
}

/// Where the classifier in the weights has other rows than the config counts: that, in words.
pub fn rows_differ<'a>(config: &ModelConfig, tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> Option<String> {
    crate::nn::architectures::rows_differ(config, tensors)
}

/// What a model of this config takes in; of an architecture that this build does not know, what timm's are for.
pub fn modality_of(config: &ModelConfig) -> Modality {
    clips::modality(config)
}

/// Billions of multiplications with an addition for one image of the size in the config; `None` of what is no network of images or not known here.
pub fn gmacs(config: &ModelConfig) -> Option<f64> {
    let known = crate::nn::architectures::find(&config.architecture).filter(|known| known.modality().items() == "images")?;
    let item = config.pretrained_cfg.input_size.map(|sides| sides.to_vec());
    let item = item.unwrap_or_else(|| vec![3, config.preprocessing().height, config.preprocessing().height]);
    let counted: f64 = known.costs(&item).iter().map(|stage| stage.multiply_adds).sum::<f64>() / 1e9;
    (counted.is_finite() && counted > 0.0).then(|| (counted * 1e3).round() / 1e3)
}

/// One training to run.
pub struct Training<'a> {
    pub recipe: &'a Recipe,
    /// The base's `config.json`.
    pub config: &'a ModelConfig,
    /// The base's `model.safetensors`; not read when the recipe says `from_scratch`.
    pub weights: &'a Path,
    /// Files of the base by which items are read, each by its name: a tokenizer.
    pub beside: &'a [(&'static str, PathBuf)],
    pub dataset: &'a Arc<Dataset>,
    /// Where the network runs.
    pub device: &'a Device,
    /// A folder of this run's own for the checkpoint; kept between attempts, it saves work.
    pub scratch: &'a Path,
    /// Where features of frozen stages are kept.
    pub keep: Keep<'a>,
    /// A checkpoint of the same run to go on from.
    pub resume: Option<&'a Path>,
}
