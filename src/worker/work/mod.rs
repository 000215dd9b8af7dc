//! What is done for each kind of work, a file a kind: it runs in the confined process, is given the files of its inputs to read and two
//! folders to leave things in, and says beforehand what these may hold. Whatever lies there else is not taken.

mod ask;
mod embed;
mod evaluate;
mod examine;
mod fine_tune;
mod recommend;
mod soup;
mod sweep;
mod word2vec;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::order::Order;
use super::{Error, Result};
use crate::data::{Dataset, Limits, Source};
use crate::domain::config::ModelConfig;
use crate::domain::model_files::{CONFIG, TOKENIZER, WEIGHTS};
use crate::domain::prompt::Template;
use crate::domain::sentence::{self, Sentence};
use crate::domain::work::{DATASET, SUPPORT, Work};
use crate::train::support::Support;
use crate::train::{self, Control, Device, Event, FeatureStore, Keep, Predictor, Subject, device};

/// Where work tells what happens, and hears whether to go on.
pub(super) type Sink<'a> = &'a mut (dyn FnMut(Event) -> Control + Send);

/// How large a file may be that people read.
pub(super) const LARGEST_PAPER: u64 = 64 << 20;

/// A file that work may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaves {
    pub name: String,
    pub largest_bytes: u64,
    /// Without it the work is not done.
    pub always: bool,
}

impl Leaves {
    pub fn always(name: &str, largest_bytes: u64) -> Leaves {
        Leaves { name: name.into(), largest_bytes, always: true }
    }

    pub fn maybe(name: &str, largest_bytes: u64) -> Leaves {
        Leaves { always: false, ..Leaves::always(name, largest_bytes) }
    }
}

/// A kind of work.
pub(super) trait Kind {
    /// Does it, in the confined process; its headline, a small object of numbers and words. Files go into `order.files`, and what is
    /// to be published into `order.result`, which it makes.
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value>;

    /// All the files of the folder that is published; none where nothing is.
    fn publishes(&self, _order: &Order) -> Vec<Leaves> {
        Vec::new()
    }

    /// The files that are kept with the job.
    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        Vec::new()
    }
}

pub(super) fn of(work: &Work) -> &dyn Kind {
    match work {
        Work::FineTune(work) => work,
        Work::Embed(work) => work,
        Work::Evaluate(work) => work,
        Work::Ask(work) => work,
        Work::Recommend(work) => work,
        Work::Examine(work) => work,
        Work::Word2vec(work) => work,
    }
}

/// The file at a path of an input's files.
fn find(files: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    let found = files.iter().find(|(path, _)| path == name).map(|(_, file)| file.clone());
    found.ok_or_else(|| Error::Never(format!("the model has no {name}; choose another one")))
}

/// The files of a model that tell more than its weights do.
fn beside(files: &[(String, PathBuf)]) -> Vec<(&'static str, PathBuf)> {
    train::BESIDE.into_iter().filter_map(|name| Some((name, find(files, name).ok()?))).collect()
}

/// A model that answers by the examples of the order's support set, and the config it would have. `files` are the model's.
fn by_support(
    order: &Order,
    (predictor, config, files): (Predictor, ModelConfig, &[(String, PathBuf)]),
    sink: Sink<'_>,
) -> Result<(Predictor, ModelConfig)> {
    let (weights, beside) = (find(files, WEIGHTS)?, reading(files));
    let dataset = Arc::new(open_role(order, SUPPORT)?);
    let device = open_device(order)?;
    let store = FeatureStore::new(&order.features, order.features_bytes);
    let keep = Keep::Store(&store);
    let (dataset, device, scratch) = (&dataset, &device, order.scratch.as_path());
    let subject = Subject { config: &config, weights: &weights, beside: &beside, dataset, device, scratch, keep };
    let support = Support::of_dataset(&subject, sink)?;
    let config = support.config(&config);
    Ok((predictor.by_support(support), config))
}

/// A model that answers classes by their names alone, read in a text, and the config it would have.
fn by_names(predictor: Predictor, config: &ModelConfig, (names, text): (&[String], &str)) -> Result<(Predictor, ModelConfig)> {
    let template = Template::parse(text).ok_or_else(|| Error::Never(format!("`{text}` has no place for a name; write `{{}}` once")))?;
    let support = Support::by_names(&predictor, names, &template)?;
    let config = support.config(config);
    Ok((predictor.by_support(support), config))
}

/// The data set among the inputs.
fn open_dataset(order: &Order) -> Result<Dataset> {
    open_role(order, DATASET)
}

fn open_role(order: &Order, role: &str) -> Result<Dataset> {
    let source = Source::Files(order.given(role)?.to_vec());
    Ok(Dataset::open(&source, &Limits::of(&order.limits)).map_err(train::Error::from)?)
}

/// Where networks run.
fn open_device(order: &Order) -> Result<Device> {
    order.device.parse().and_then(device::open).map_err(|e| Error::Later(e.to_string()))
}

/// A model's config among its files, with what sentence-transformers left beside it.
fn read_config(files: &[(String, PathBuf)]) -> Result<ModelConfig> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::io(path));
    let config = ModelConfig::read(&read(&find(files, CONFIG)?)?).map_err(|e| Error::Never(e.to_string()))?;
    let is_small = |path: &Path| std::fs::metadata(path).is_ok_and(|about| about.len() <= sentence::MOST_BYTES);
    let papers = files.iter().filter(|(name, path)| Sentence::is_paper(name) && is_small(path));
    let papers = papers.map(|(name, path)| Ok((name.clone(), read(path)?))).collect::<Result<Vec<_>>>()?;
    Ok(config.with_papers(&papers))
}

/// Those of a model's files by which its items are read.
fn reading(files: &[(String, PathBuf)]) -> Vec<(&'static str, PathBuf)> {
    beside(files).into_iter().filter(|(name, _)| *name == TOKENIZER).collect()
}

/// Rows as CSV. Made in memory, so that a disk without room is told by its own error.
fn write_table(rows: &[Vec<String>], path: &Path) -> Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let made = rows.iter().try_for_each(|row| table.write_record(row)).map_err(std::io::Error::from);
    let text = made.and_then(|()| table.into_inner().map_err(|e| std::io::Error::other(e.to_string())));
    text.and_then(|text| std::fs::write(path, text)).map_err(Error::io(path))
}
