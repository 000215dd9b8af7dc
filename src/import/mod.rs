//! What others made, turned into a model folder that this hub, timm and huggingface_hub read.
//!
//! A source is a safetensors file, a PyTorch file of the zip or the legacy form, their parts, or a folder with one of them; or a graph model
//! of TensorFlow.js (`tfjs`), which is gone through layer by layer.
//! Nothing in it is executed: `pickle` builds plain values and calls no name; `globals` is the table of names, with those
//! that end the reading. `state_dict` finds every dict of tensors, `names` holds the tables from other projects' tensor
//! names to timm's, `matching` proves that an architecture is complete, `folder` writes the result in one piece. `texts`
//! carries over what stands beside a text encoder's weights. `forms` calls what is not read by its name; `word_vectors` and `gensim` hand files of word vectors to the room that stores those. `inflated` makes a network of images one of clips. `mirror` fetches whole repos from another hub.

mod attempt;
mod card;
mod error;
mod folder;
mod forms;
mod gensim;
mod globals;
mod inflated;
mod input;
mod labels;
mod machine;
mod mappings;
mod matching;
pub mod mirror;
mod names;
mod pattern;
mod pickle;
mod prefixes;
pub mod scan;
mod shards;
mod source;
mod state_dict;
mod tensor;
mod texts;
mod tfjs;
mod torch_calls;
mod torch_file;
mod towers;
mod word_vectors;

use std::path::{Path, PathBuf};

use crate::domain::config::ModelConfig;
use crate::domain::safetensors::is_buffer;
use crate::nn::architectures;
use crate::vectors::Dtype;

pub use error::{Error, Result};

/// What the person adds to what the file says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// timm's name; found from names and shapes when absent.
    pub architecture: Option<String>,
    /// Title of the card.
    pub name: Option<String>,
    /// SPDX-like identifier.
    pub license: Option<String>,
    /// Source data sets: `library/imagenet-1k`.
    pub datasets: Vec<String>,
    /// Markdown for the card.
    pub description: Option<String>,
    /// File with one class name per line, or JSON.
    pub labels: Option<PathBuf>,
    /// Models these weights were made from.
    pub base_model: Vec<String>,
    /// How word vectors are stored.
    pub dtype: Dtype,
    /// The list of words beside an array of their vectors.
    pub words: Option<PathBuf>,
    /// Whether a network of images becomes one of clips, which answers the same of a clip of one repeated image.
    pub inflate: bool,
    /// Which of a file's dicts, or which prefix, holds the weights; the best match when absent.
    pub key: Option<String>,
}

/// How far an import is; `done` and `total` in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub step: Step,
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Reading,
    Matching,
    Writing,
}

/// What an import made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// timm's name.
    pub architecture: String,
    /// 0 for a backbone without a classifier.
    pub num_classes: usize,
    /// Width of the pooled features.
    pub num_features: usize,
    /// Learned numbers, running statistics not counted.
    pub parameters: u64,
    /// Tensors written.
    pub tensors: usize,
    /// Which names were read, in words.
    pub mapping: String,
    /// In words: which form the file had.
    pub form: String,
    /// Of the source file, in hex.
    pub sha256: String,
    /// Files of the model folder.
    pub files: Vec<PathBuf>,
    /// What the person may want to add, in sentences.
    pub notes: Vec<String>,
}

/// Turns `source` (a weights file, or a folder with one) into the model folder `out`, which must not exist or
/// be empty. Tensors are matched entirely or not at all: a missing, unknown or misshaped one is an error that
/// names it. Blocking; reads the whole file into memory.
///
/// # Errors
/// [`Error::RefusedGlobal`] when the file would run code, [`Error::NoMatch`] when the tensors fit no known
/// architecture, [`Error::Corrupt`] when the file contradicts itself. `out` is untouched then.
pub fn import(source: &Path, options: &Options, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Imported> {
    if options.inflate {
        return inflated::import(source, options, out, progress);
    }
    let (read, found) = match tfjs::read(source, options, progress)? {
        Some(both) => both,
        None => {
            if let Some(imported) = word_vectors::import(source, options, out, progress)? {
                return Ok(imported);
            }
            let read = source::read(source, progress)?;
            progress(Progress { step: Step::Matching, done: 0, total: read.size_bytes });
            let found = matched(&read, options)?;
            (read, found)
        }
    };
    if let Some(config) = &read.config {
        obeyed(config, &found)?;
    }
    let size = read.size_bytes;
    progress(Progress { step: Step::Writing, done: 0, total: size });
    let (form, sha256) = (read.form.to_owned(), read.sha256.clone());
    let mut notes = found.notes.clone();
    notes.extend(missing_facts(&read, options));
    folder::write(read, &found, options, out)?;
    progress(Progress { step: Step::Writing, done: size, total: size });
    let learned = found.tensors.iter().filter(|(name, _)| !is_buffer(name));
    Ok(Imported {
        architecture: found.architecture,
        num_classes: found.num_classes,
        num_features: found.num_features,
        parameters: learned.map(|(_, tensor)| tensor.shape.iter().product::<usize>() as u64).sum(),
        tensors: found.tensors.len(),
        mapping: found.mapping,
        form,
        sha256,
        files: ["README.md", "config.json", folder::WEIGHTS_FILE].iter().map(|name| out.join(name)).collect(),
        notes,
    })
}

/// The architecture that the tensors of a source are those of.
fn matched(read: &source::Source, options: &Options) -> Result<matching::Match> {
    let named = options.architecture.clone().or_else(|| read.config.as_ref().map(|config| config.architecture.clone()));
    match towers::find(read) {
        Some(both) => both,
        None => matching::find(&read.file, named.as_deref(), options.key.as_deref()),
    }
}

/// Refuses a config that asks for more than is built here, or counts other classes than the weights have.
fn obeyed(config: &ModelConfig, found: &matching::Match) -> Result<()> {
    let asked = ModelConfig { architecture: found.architecture.clone(), ..config.clone() };
    let tensors = || found.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()));
    let problem = architectures::unobeyed_in(&asked).into_iter().next().or_else(|| architectures::rows_differ(&asked, tensors()));
    problem.map_or(Ok(()), |problem| Err(Error::Invalid { setting: "config.json", problem }))
}

fn missing_facts(source: &source::Source, options: &Options) -> Vec<String> {
    let card = source.card.as_ref();
    let mut notes = Vec::new();
    notes.extend(missing_license(options.license.is_none() && card.is_none_or(|card| card.license.is_none())));
    if options.datasets.is_empty() && card.is_none_or(|card| card.datasets.is_empty()) {
        notes.push("no source data set is stated; say what the weights were trained on with --dataset".to_owned());
    }
    notes
}

fn missing_license(is_missing: bool) -> Option<String> {
    is_missing.then(|| "no licence is stated; say under which one the weights may be used with --license".to_owned())
}
