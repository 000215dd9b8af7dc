//! Pooled features of a data set's items by a base: what rankings of bases, looks for wrong labels, neighbours and evaluations work on.
//! They lie in the same store as those of trainings and under the same names, so that whoever comes later finds them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clips;
use super::error::Result;
use super::features::{self, Keep};
use super::feed::Feed;
use super::model::Model;
use super::progress::{Control, Event, ProgressReporter};
use super::{Device, Training};
use crate::data::batch;
use crate::data::{Dataset, Looks, Sample, Survey, survey};
use crate::domain::config::ModelConfig;
use crate::domain::recipe::{Recipe, Strategy};
use crate::nn::kernels;

/// A base and the data that it is to look at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The base's `config.json`.
    pub config: &'a ModelConfig,
    /// The base's `model.safetensors`.
    pub weights: &'a Path,
    /// Files of the base by which items are read, each by its name: a tokenizer.
    pub beside: &'a [(&'static str, PathBuf)],
    pub dataset: &'a Arc<Dataset>,
    /// Where the network runs.
    pub device: &'a Device,
    /// A folder for what is kept nowhere else.
    pub scratch: &'a Path,
    /// Where features are kept.
    pub keep: Keep<'a>,
}

/// A row of features for each item that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Features of an item: D.
    pub width: usize,
    /// Ids of the samples, in the order in which they were asked for; those that could not be read are left out.
    pub ids: Vec<u32>,
    /// `(ids.len(), width)`, row by row, as the backbone makes them.
    pub rows: Vec<f32>,
}

impl Embedding {
    /// The features of the so many-th item.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.rows[at * self.width..(at + 1) * self.width]
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Looks at all items of a data set, once; what is kept of a run before on the same items is not decoded again. Its hashes name the
/// features of [`embed`].
///
/// # Errors
/// Those of reading, and [`super::Error::Cancelled`] when the sink says stop.
pub fn survey_dataset(dataset: &Arc<Dataset>, keep: Keep<'_>, sink: &mut dyn FnMut(Event) -> Control) -> Result<Survey> {
    surveyed(dataset, keep, &mut ProgressReporter::new(sink))
}

pub(super) fn surveyed(dataset: &Arc<Dataset>, keep: Keep<'_>, reporter: &mut ProgressReporter) -> Result<Survey> {
    let kept = if let Keep::Store(store) = keep { Some((store, Looks::key(dataset))) } else { None };
    let known = kept.as_ref().and_then(|(store, key)| Looks::read(&store.find_looks(key)?)).unwrap_or_default();
    let survey = survey(dataset, &known, &mut |done, all| reporter.prepare("reading the data set", done, all))?;
    if let (Some((store, key)), Some(looks)) = (kept, &survey.looks) {
        store.keep_looks(&key, &looks.write());
    }
    Ok(survey)
}

/// The pooled features of the plain views of these samples, computed where they are not in the store yet. `hashes` are those of
/// the samples' bytes by id, as [`survey_dataset`] gives them.
///
/// # Errors
/// What is wrong with the base, reading, [`super::Error::NoRoom`] where the disk has none, and [`super::Error::Cancelled`] when the
/// sink says stop.
pub fn embed(subject: &Subject, samples: &[Sample], hashes: &[[u8; 32]], sink: &mut dyn FnMut(Event) -> Control) -> Result<Embedding> {
    let (width, feed) = embedded(subject, samples, hashes, sink)?;
    let mut found = Embedding { width, ids: Vec::with_capacity(samples.len()), rows: Vec::with_capacity(samples.len() * width) };
    for sample in samples {
        if feed.feature(sample.id, &mut found.rows) {
            found.ids.push(sample.id);
        }
    }
    Ok(found)
}

/// The same, one after the other: `each` is given every sample with its features, or without where it could not be read. Answers their
/// width.
///
/// # Errors
/// As [`embed`], and those of `each`.
pub fn embed_each<E: From<super::Error>>(
    subject: &Subject,
    (samples, hashes): (&[Sample], &[[u8; 32]]),
    sink: &mut dyn FnMut(Event) -> Control,
    mut each: impl FnMut(&Sample, Option<&[f32]>) -> std::result::Result<(), E>,
) -> std::result::Result<usize, E> {
    let (width, feed) = embedded(subject, samples, hashes, sink)?;
    let mut row = Vec::with_capacity(width);
    for sample in samples {
        row.clear();
        let read = feed.feature(sample.id, &mut row);
        each(sample, read.then_some(row.as_slice()))?;
    }
    Ok(width)
}

/// A feed of the features, which lie in a file, and how wide they are.
fn embedded(subject: &Subject, samples: &[Sample], hashes: &[[u8; 32]], sink: &mut dyn FnMut(Event) -> Control) -> Result<(usize, Feed)> {
    let _workspace = kernels::Workspace::open();
    let mut reporter = ProgressReporter::new(sink);
    let recipe = Recipe { strategy: Strategy::Head, modality: subject.dataset.modality.name(), ..Recipe::default() };
    let Subject { config, weights, beside, dataset, device, scratch, keep } = *subject;
    // Features are of whole items, also of a model that says something about each word or place.
    let plain = match config.labels_places() {
        true => Some(config.unlabelling_places()),
        false => config.untagged().filter(|_| config.tags_words()),
    };
    let config = plain.as_ref().unwrap_or(config);
    let clips = clips::seen(config, &recipe)?;
    let config = clips.as_ref().unwrap_or(config);
    let training = Training { recipe: &recipe, config, weights, beside, dataset, device, scratch, keep, resume: None };
    // A head is not asked here; the smallest there is.
    let mut model = Model::load(&training, 1)?;
    model.classifier.backbone.settle();
    let views = model.views(&training, config)?;
    let mut feed = Feed::new(dataset, &recipe, views, samples.len(), Some(1));
    features::run_over(&training, &mut feed, &model, (batch::plain(samples), hashes), 0, &mut reporter)?;
    Ok((model.classifier.backbone.num_features(), feed))
}
