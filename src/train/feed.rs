//! What a run's steps are fed with: views of items, made on threads ahead; or the features that frozen stages computed for
//! them, cached once.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use candle_core::{Device, Tensor};

use super::buckets::bucketed;
use super::error::Result;
use super::features::{Features, Scale};
use super::joins::Joins;
use super::lengths::Lengths;
use super::partition::even_batches;
use super::sequences::{apart, padded};
use crate::data::batch::{self, Batch, Item, Loader, Options, TargetMaker};
use crate::data::modality::{self, Views};
use crate::data::{Dataset, Sample, Target};
use crate::domain::recipe::{Augment, Recipe, Sampling};
use crate::nn::{self, Input, PADDING};

/// Tokens are handed over with the marks they have.
const _: () = assert!(modality::WORD == nn::WORD);

/// Items per batch of the feature pass and of evaluation; part of the cache's key, because the last bits of a
/// feature may depend on it.
pub const EVAL_BATCH: usize = 32;

/// Input of one step, and B targets.
pub struct Step {
    pub input: Fed,
    /// Other views of the same items, turned around or of other clips, where answers are averaged over all.
    pub others: Vec<Fed>,
    pub targets: Vec<Target>,
    /// Of the samples.
    pub ids: Vec<u32>,
    /// Paths of items that could not be read.
    pub skipped: Vec<String>,
}

/// In the machine's memory: the model takes it to its device.
pub enum Fed {
    /// As the backbone takes them.
    Views(Input),
    /// What so many frozen stages made of them: maps at the freeze boundary `(B, C, H', W')`, of clips `(B, C, T, H', W')`, tokens `(B, N, D)`, or pooled features `(B, D)`.
    Features(Tensor, usize),
}

pub type Steps<'a> = Box<dyn Iterator<Item = Result<Step>> + 'a>;

#[derive(Clone)]
enum Source {
    Views,
    /// Features of so many frozen stages.
    Frozen(Features, usize, Kept),
}

/// What a row of features is kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// An item: a vector, a map, or its tokens.
    Items,
    /// An item's words, a vector for each.
    Words,
    /// The places of an item's grid, a vector for each.
    Places,
    /// The tokens of an item's two texts; each ends with 1 where a text begins.
    Pairs,
}

/// Cheap to clone: the cache is shared.
#[derive(Clone)]
pub struct Feed {
    dataset: Arc<Dataset>,
    options: Options,
    joins: Joins,
    turns: Option<u32>,
    /// Whether classes come equally often.
    evens: bool,
    /// Whether plain views come with themselves turned around.
    mirrors: bool,
    /// Of items that are not all equally long; batches are then made of such as are about equally long.
    lengths: Option<Arc<Lengths>>,
    source: Source,
}

impl Feed {
    /// Feeds views. With `turns`, that many views of an item take turns from epoch to epoch, the plain one among
    /// them; without, each epoch shows views of its own.
    pub fn new(dataset: &Arc<Dataset>, recipe: &Recipe, views: Arc<dyn Views>, train_items: usize, turns: Option<u32>) -> Feed {
        let turns = if views.varies() { turns } else { Some(1) };
        let options = Options {
            batch_size: even_batches(train_items, recipe.batch_size),
            threads: rayon::current_num_threads(),
            seed: recipe.seed,
            views,
            augment: recipe.augment.of_items(),
            drop_last: false,
        };
        Feed {
            dataset: dataset.clone(),
            options,
            joins: Joins::of(recipe),
            turns,
            evens: recipe.sampling == Sampling::Balanced,
            mirrors: recipe.tta_flip,
            lengths: None,
            source: Source::Views,
        }
    }

    /// The same for items that are so long.
    pub fn with_lengths(mut self, lengths: Option<Arc<Lengths>>) -> Feed {
        self.lengths = lengths;
        self
    }

    /// How long these items are together, where they are not all equally long; `longest` are those that were not measured.
    pub fn length(&self, items: impl Iterator<Item = u32>, longest: usize) -> u64 {
        items.map(|id| self.lengths.as_ref().and_then(|known| known.get(&id)).copied().unwrap_or(longest) as u64).sum()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Steps of one epoch over so many training items.
    pub fn steps_per_epoch(&self, items: usize) -> u64 {
        items.div_ceil(self.options.batch_size) as u64
    }

    /// The view of a training image whose turn it is in an epoch (from 1), where views take turns.
    fn turn(&self, id: u32, epoch: u32) -> Option<u32> {
        self.turns.map(|views| epoch.wrapping_add(id) % views)
    }

    /// Every view of these training images that some of the epochs shows, by image; only where views take turns.
    pub fn views_shown(&self, samples: &[Sample], epochs: u32) -> Vec<Item> {
        let views = self.turns.unwrap_or(0);
        let shown = |id: u32| (0..views).filter(move |view| (1..=epochs.min(views)).any(|epoch| self.turn(id, epoch) == Some(*view)));
        samples.iter().flat_map(|sample| shown(sample.id).map(|view| Item { sample: sample.clone(), view })).collect()
    }

    /// One epoch: every training image once (or as many, each class as often), in an order and in views that follow from the seed and the epoch's
    /// number (from 1).
    pub fn training<'a>(&'a self, samples: &[Sample], epoch: u32) -> Result<Steps<'a>> {
        let draw = if self.evens { batch::balanced } else { batch::shuffled };
        let mut items = draw(samples, self.options.seed, epoch);
        items.iter_mut().for_each(|item| item.view = self.turn(item.sample.id, epoch).unwrap_or(item.view));
        if let Some(lengths) = &self.lengths {
            let length = |item: &Item| lengths.get(&item.sample.id).copied().unwrap_or_default();
            items = bucketed(items, self.options.batch_size, length, (self.options.seed, epoch));
        }
        if self.turns.is_some() || !matches!(self.source, Source::Views) {
            return self.steps(items, self.options.batch_size);
        }
        let augment = self.joins.in_epoch(&self.options.augment, epoch);
        Ok(Box::new(Loader::new(self.dataset.clone(), items, &Options { augment, ..self.options.clone() })?.map(|batch| views(batch?))))
    }

    /// Random views of samples that are no training items of their own, in an order that follows from the seed and a number.
    pub fn random<'a>(&'a self, samples: &[Sample], number: u32, augment: Augment) -> Result<Steps<'a>> {
        let items = batch::shuffled(samples, self.options.seed, number);
        let loader = Loader::new(self.dataset.clone(), items, &Options { augment, ..self.options.clone() })?;
        Ok(Box::new(loader.map(|batch| views(batch?))))
    }

    /// The plain view of each sample, in order.
    pub fn plain<'a>(&'a self, samples: &[Sample]) -> Result<Steps<'a>> {
        let mut steps = self.steps(batch::plain(samples), EVAL_BATCH)?;
        for view in self.others() {
            let other = self.steps(batch::in_view(samples, view), EVAL_BATCH)?;
            // What cannot be read is missing in all. Of items that are not measured no other views are kept: the plain one says it.
            let both = |(step, other): (Result<Step>, Result<Step>)| -> Result<Step> {
                let (mut step, other) = (step?, other?);
                if other.ids == step.ids {
                    step.others.push(other.input);
                }
                Ok(step)
            };
            steps = Box::new(steps.zip(other).map(both));
        }
        Ok(steps)
    }

    /// Views over which answers are averaged, beside the plain one.
    fn others(&self) -> Vec<u32> {
        let clips = (1..self.options.views.clips()).map(batch::clip);
        self.mirrors.then_some(batch::MIRRORED).into_iter().chain(clips).collect()
    }

    /// The views of samples that are measured.
    pub fn measured(&self, samples: &[Sample]) -> Vec<Item> {
        let others = self.others().into_iter().flat_map(|view| batch::in_view(samples, view));
        batch::plain(samples).into_iter().chain(others).collect()
    }

    fn steps<'a>(&'a self, items: Vec<Item>, batch_size: usize) -> Result<Steps<'a>> {
        match &self.source {
            Source::Views => {
                let loader = self.loader(items, batch_size)?;
                Ok(Box::new(loader.map(|batch| views(batch?))))
            }
            Source::Frozen(cache, passed, kept) => {
                let (cache, passed, kept) = (cache.clone(), *passed, *kept);
                let chunks: Vec<Vec<Item>> = items.chunks(batch_size).map(<[Item]>::to_vec).collect();
                let pooled = cache.format().is_pooled();
                let targets = TargetMaker::new(&self.dataset, &self.options)?;
                let steps = chunks.into_iter().map(move |items| cached(&cache, (passed, kept), &items, &targets));
                // Features are read in less time than it takes to hand them over; maps are read ahead, perhaps from the disk.
                Ok(if pooled { Box::new(steps) } else { ahead(steps) })
            }
        }
    }

    /// Views, whatever the source of steps.
    pub fn loader(&self, items: Vec<Item>, batch_size: usize) -> Result<Loader> {
        Ok(Loader::new(self.dataset.clone(), items, &Options { batch_size, ..self.options.clone() })?)
    }

    /// From now on so many views of an item take turns, or each epoch shows its own.
    pub fn take_turns(&mut self, turns: Option<u32>) {
        self.turns = if self.options.views.varies() { turns } else { Some(1) };
    }

    /// How many views of an item take turns; `None` where each epoch shows its own.
    pub fn turns(&self) -> Option<u32> {
        self.turns
    }

    /// From now on feeds features of so many frozen stages.
    pub fn feed_from(&mut self, cache: Features, passed: usize, kept: Kept) {
        self.source = Source::Frozen(cache, passed, kept);
    }

    /// Appends the cached feature of an item's plain view to `out`; false where there is none.
    pub fn feature(&self, id: u32, out: &mut Vec<f32>) -> bool {
        matches!(&self.source, Source::Frozen(cache, ..) if cache.read(id, 0, out))
    }

    /// The same of any view.
    pub fn feature_of(&self, item: &Item, out: &mut Vec<f32>) -> bool {
        matches!(&self.source, Source::Frozen(cache, ..) if cache.read(item.sample.id, item.view, out))
    }

    /// Gives cached features zero mean and unit variance over these views; says how, or `None` for views.
    pub fn standardise(&mut self, views: &[Item]) -> Option<Scale> {
        let Source::Frozen(cache, ..) = &mut self.source else { return None };
        let views: Vec<(u32, u32)> = views.iter().map(|item| (item.sample.id, item.view)).collect();
        Some(cache.standardise(&views))
    }

    /// Gives cached features as the backbone made them again.
    pub fn unscaled(&mut self) {
        if let Source::Frozen(cache, ..) = &mut self.source {
            cache.unscaled();
        }
    }
}

/// Works on the next step while the present one is in use. The thread ends with the steps, or when nobody asks.
fn ahead(mut steps: impl Iterator<Item = Result<Step>> + Send + 'static) -> Steps<'static> {
    let (sender, receiver) = sync_channel(1);
    let mut thread = Some(std::thread::spawn(move || while steps.next().is_some_and(|step| sender.send(step).is_ok()) {}));
    Box::new(std::iter::from_fn(move || {
        let step = receiver.recv().ok();
        // A short epoch must not pass for a whole one.
        if step.is_none()
            && let Some(Err(panic)) = thread.take().map(std::thread::JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        step
    }))
}

/// A batch of views as a step.
fn views(batch: Batch) -> Result<Step> {
    let skipped = batch.skipped.iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect();
    Ok(Step { input: Fed::Views(input(batch.input)?), others: Vec::new(), targets: batch.targets, ids: batch.ids, skipped })
}

/// The views of a batch as a backbone takes them.
pub fn input(views: modality::Input) -> Result<Input> {
    match views {
        modality::Input::Pixels { values, height, width } => {
            let batch = values.len() / (3 * height * width).max(1);
            // They lie as the kernels work, channels last; seen from outside they are channels first.
            let pixels = Tensor::from_vec(values, (batch, height, width, 3), &Device::Cpu)?;
            Ok(Input::Pixels(pixels.permute((0, 3, 1, 2))?))
        }
        modality::Input::Clips { values, frames, height, width } => {
            let batch = values.len() / (3 * frames * height * width).max(1);
            let clips = Tensor::from_vec(values, (batch, frames, height, width, 3), &Device::Cpu)?;
            Ok(Input::Clips(clips.permute((0, 4, 1, 2, 3))?))
        }
        modality::Input::Tokens { rows, .. } => {
            let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
            let padded = |row: &Vec<[u32; 2]>| {
                row.iter().copied().chain(std::iter::repeat([PADDING, 0])).take(longest).flatten().collect::<Vec<_>>()
            };
            let tokens: Vec<u32> = rows.iter().flat_map(padded).collect();
            Ok(Input::Tokens(Tensor::from_vec(tokens, (rows.len(), longest, 2), &Device::Cpu)?))
        }
    }
}

/// What so many stages made of items; of words and places all vectors lie one behind the other.
fn cached(cache: &Features, (passed, kept): (usize, Kept), items: &[Item], said: &TargetMaker) -> Result<Step> {
    let format = cache.format();
    let (mut values, mut skipped) = (Vec::with_capacity(items.len() * format.width()), Vec::new());
    let (mut targets, mut ids, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match cache.read(item.sample.id, item.view, &mut values) {
            true => {
                ends.push(values.len());
                targets.push(said.of(item)?);
                ids.push(item.sample.id);
            }
            false => skipped.push(format!("{}: not readable when its features were made", item.sample.path)),
        }
    }
    if matches!(kept, Kept::Words | Kept::Places) {
        let width = format.width();
        let rows = values.len() / width.max(1);
        let input = Fed::Features(Tensor::from_vec(values, (rows, width), &Device::Cpu)?, passed);
        return Ok(Step { input, others: Vec::new(), targets, ids, skipped });
    }
    if kept == Kept::Pairs {
        let (values, ends) = apart(&values, format.width());
        return Ok(Step {
            input: Fed::Features(padded(&values, &ends, format.width() - 1)?, passed),
            others: Vec::new(),
            targets,
            ids,
            skipped,
        });
    }
    if format.ragged {
        return Ok(Step {
            input: Fed::Features(padded(&values, &ends, format.width())?, passed),
            others: Vec::new(),
            targets,
            ids,
            skipped,
        });
    }
    let shape: Vec<usize> = std::iter::once(targets.len()).chain(format.dims.iter().copied()).collect();
    let input = Tensor::from_vec(values, shape, &Device::Cpu)?;
    // Maps are kept channels last, as the kernels work; seen from outside they are channels first.
    let input = match format.dims.len() {
        3 => input.permute((0, 3, 1, 2))?,
        4 => input.permute((0, 4, 1, 2, 3))?,
        _ => input,
    };
    Ok(Step { input: Fed::Features(input, passed), others: Vec::new(), targets, ids, skipped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn sequences_are_padded_with_zeros() {
        let values: Vec<f32> = (1..=8).map(|value| value as f32).collect();
        let padded = padded(&values, &[2, 8], 2).unwrap();
        assert_eq!(padded.dims(), [2, 3, 2]);
        assert_eq!(padded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1., 2., 0., 0., 0., 0., 3., 4., 5., 6., 7., 8.]);
    }

    #[test]
    fn texts_of_pairs_are_told_apart_by_their_marks() {
        let rows = [1., 2., 1., 3., 4., 0., 5., 6., 1., 7., 8., 1.];
        let (values, ends) = apart(&rows, 3);
        assert_eq!((values.as_slice(), ends.as_slice()), (&[1., 2., 3., 4., 5., 6., 7., 8.][..], &[4, 6, 8][..]));
    }

    #[test]
    fn views_take_turns_and_only_those_shown_are_made() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            std::fs::create_dir(folder.path().join(class)).unwrap();
            image::RgbImage::new(8, 8).save(folder.path().join(class).join("0.png")).unwrap();
        }
        let dataset = Dataset::open(&crate::data::Source::Folder(folder.path().into()), &crate::data::Limits::default()).unwrap();
        let config = crate::domain::config::ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
        let (views, dataset) = (dataset.modality.views(&config).unwrap(), Arc::new(dataset));
        let feed = |turns| Feed::new(&dataset, &Recipe::default(), views.clone(), 2, turns);
        let samples = dataset.split(Split::Train.as_str());
        let shown = |turns, epochs| -> Vec<(u32, u32)> {
            feed(turns).views_shown(&samples, epochs).iter().map(|item| (item.sample.id, item.view)).collect()
        };
        assert_eq!(shown(Some(1), 10), [(0, 0), (1, 0)]);
        assert_eq!(shown(Some(3), 10), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
        assert_eq!(shown(Some(3), 1), [(0, 1), (1, 2)], "one epoch shows one view of each image");
        assert_eq!(shown(Some(3), 2), [(0, 1), (0, 2), (1, 0), (1, 2)]);
        assert_eq!((feed(None).turn(5, 3), feed(Some(4)).turn(5, 3)), (None, Some(0)));
    }
}
