//! What a run's steps are fed with: images, decoded and transformed on threads ahead; or features, cached once.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use sha2::{Digest as _, Sha256};

use super::error::Result;
use super::event::Teller;
use super::features::{Features, Scale, Writer};
use super::model::Model;
use super::split::{Held, Split, even_batches};
use crate::data::batch::{self, Batch, Item, Loader, Options};
use crate::data::{Dataset, Sample};
use crate::domain::config::Preprocessing;
use crate::domain::recipe::Recipe;

/// Images per batch of the feature pass and of evaluation; part of the cache's key, because the last bits of a
/// feature may depend on it.
const EVAL_BATCH: usize = 32;

/// Input of one step: images `(B, 3, H, W)` or features `(B, D)`, and B labels.
pub struct Step {
    pub input: Tensor,
    pub labels: Vec<u32>,
    /// Paths of images that could not be decoded.
    pub skipped: Vec<String>,
}

pub type Steps<'a> = Box<dyn Iterator<Item = Result<Step>> + 'a>;

#[derive(Clone)]
enum Source {
    Images,
    Features { cache: Features, views: u32 },
}

/// Cheap to clone: the cache is shared.
#[derive(Clone)]
pub struct Feed {
    dataset: Arc<Dataset>,
    options: Options,
    source: Source,
}

impl Feed {
    pub fn new(dataset: &Arc<Dataset>, recipe: &Recipe, preprocessing: &Preprocessing, train_images: usize) -> Feed {
        let options = Options {
            batch_size: even_batches(train_images, recipe.batch_size),
            threads: rayon::current_num_threads(),
            seed: recipe.seed,
            preprocessing: preprocessing.clone(),
            augment: recipe.augment.clone(),
            drop_last: false,
        };
        Feed { dataset: dataset.clone(), options, source: Source::Images }
    }

    /// Steps of one epoch over `images` training images.
    pub fn steps_per_epoch(&self, images: usize) -> u64 {
        images.div_ceil(self.options.batch_size) as u64
    }

    /// One epoch: every training image once, in an order and in views that follow from the seed and the epoch's
    /// number (from 1).
    pub fn training<'a>(&'a self, samples: &[Sample], epoch: u32) -> Result<Steps<'a>> {
        let mut items = batch::shuffled(samples, self.options.seed, epoch);
        if let Source::Features { views, .. } = &self.source {
            // The cached views of an image take turns.
            items.iter_mut().for_each(|item| item.view = (epoch.wrapping_add(item.sample.id)) % (views + 1));
        }
        self.steps(items, self.options.batch_size)
    }

    /// The plain view of each sample, in order.
    pub fn plain<'a>(&'a self, samples: &[Sample]) -> Result<Steps<'a>> {
        self.steps(batch::plain(samples), EVAL_BATCH)
    }

    fn steps<'a>(&'a self, items: Vec<Item>, batch_size: usize) -> Result<Steps<'a>> {
        match &self.source {
            Source::Images => {
                let loader = self.loader(items, batch_size)?;
                Ok(Box::new(loader.map(|batch| images(batch?))))
            }
            Source::Features { cache, .. } => {
                let chunks: Vec<Vec<Item>> = items.chunks(batch_size).map(<[Item]>::to_vec).collect();
                Ok(Box::new(chunks.into_iter().map(move |items| features(cache, &items))))
            }
        }
    }

    fn loader(&self, items: Vec<Item>, batch_size: usize) -> Result<Loader> {
        Ok(Loader::new(self.dataset.clone(), items, &Options { batch_size, ..self.options.clone() })?)
    }

    /// Runs the backbone once over every view the run will ask for, going on where an earlier pass was cut off, and
    /// feeds from the results in the file `path` from now on. The items are those of [`cached_items`].
    pub fn cache(&mut self, model: &Model, items: Vec<Item>, views: u32, path: &Path, teller: &mut Teller) -> Result<()> {
        let mut writer = Writer::open(path, model.classifier.backbone.num_features())?;
        let done = writer.batches();
        teller.add_steps(done as u64);
        teller.stage("caching features", cache_steps(items.len()))?;
        let left: Vec<Item> = items.into_iter().skip(done * EVAL_BATCH).collect();
        for batch in self.loader(left, EVAL_BATCH)? {
            let batch = batch?;
            let (ids, views, count) = (batch.ids.clone(), batch.views.clone(), batch.len());
            let pooled = match count {
                0 => Vec::new(),
                _ => model.classifier.pooled(&images(batch)?.input)?.flatten_all()?.to_vec1::<f32>()?,
            };
            writer.append(&ids, &views, &pooled)?;
            teller.step(count)?;
        }
        self.source = Source::Features { cache: writer.finish()?, views };
        Ok(())
    }

    pub fn is_cached(&self) -> bool {
        matches!(self.source, Source::Features { .. })
    }

    /// Gives cached features zero mean and unit variance over the training views; says how, or `None` for images.
    pub fn standardise(&mut self, train: &[Sample]) -> Option<Scale> {
        let Source::Features { cache, views } = &mut self.source else { return None };
        let train: Vec<(u32, u32)> = train.iter().flat_map(|sample| (0..=*views).map(|view| (sample.id, view))).collect();
        Some(cache.standardise(&train))
    }

    /// Gives cached features as the backbone made them again.
    pub fn unscaled(&mut self) {
        if let Source::Features { cache, .. } = &mut self.source {
            cache.unscaled();
        }
    }
}

/// Names a cache by all that its bits depend on.
pub fn cache_key(feed: &Feed, model: &Model, items: &[Item], dataset_digest: &str) -> String {
    let options = &feed.options;
    let mut hash = Sha256::new();
    hash.update(model.base_digest);
    hash.update(dataset_digest);
    hash.update(format!("{} {EVAL_BATCH} {:?}", model.architecture.name, options.preprocessing));
    if items.iter().any(|item| item.view > 0) {
        hash.update(format!("{} {:?}", options.seed, options.augment));
    }
    items.iter().for_each(|item| hash.update(format!("{} {} {}\n", item.sample.id, item.view, item.sample.path)));
    hex::encode(&hash.finalize()[..16])
}

/// The views a head-only run asks for: the training images in all their views, the others in their plain one.
pub fn cached_items(split: &Split, views: u32) -> Vec<Item> {
    let mut items = batch::views(&split.train, views);
    if split.held != Held::Training {
        items.extend(batch::plain(&split.val));
    }
    items.extend(batch::plain(&split.test));
    items
}

/// How many steps the feature pass over so many views takes.
pub fn cache_steps(views: usize) -> u64 {
    views.div_ceil(EVAL_BATCH) as u64
}

fn images(batch: Batch) -> Result<Step> {
    let shape = (batch.labels.len(), 3, batch.height, batch.width);
    let skipped = batch.skipped.iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect();
    Ok(Step { input: Tensor::from_vec(batch.images, shape, &Device::Cpu)?, labels: batch.labels, skipped })
}

fn features(cache: &Features, items: &[Item]) -> Result<Step> {
    let (mut values, mut labels, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match cache.read(item.sample.id, item.view, &mut values) {
            true => labels.push(item.sample.label),
            false => skipped.push(format!("{}: not readable when its features were made", item.sample.path)),
        }
    }
    let width = values.len() / labels.len().max(1);
    Ok(Step { input: Tensor::from_vec(values, (labels.len(), width), &Device::Cpu)?, labels, skipped })
}
