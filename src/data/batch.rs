//! Batches, decoded and transformed on threads ahead of the consumer.
//!
//! Each thread makes every n-th batch and hands it over through a channel of its own that holds one; the consumer asks the
//! channels in turn. So the order is the plan's, whatever the number of threads; memory is bounded by two batches a thread;
//! and what is random about a view comes only from (seed, content of the item, view), never from who computed it.

mod makers;
mod mosaic;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use self::makers::Makers;
use super::dataset::Dataset;
use super::error::Result;
use super::modality::{Input, View, ViewMaker, Views};
use super::sample::Sample;
use super::targets::Target;
use crate::domain::dataset_report::Problem;
use crate::domain::recipe::{Augment, MOST_CLIPS};

/// Numbers of views that epochs have for themselves.
const MOST_EPOCHS: u32 = 1_001;

/// The number of the plain view turned around.
pub const MIRRORED: u32 = u32::MAX;

/// One view of one sample. View 0 is the plain (eval) view, [`MIRRORED`] that view turned around, [`clip`] that of another clip of a video; any other number is a random
/// training view of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub sample: Sample,
    pub view: u32,
}

/// Each sample once, in the given order, as its plain view.
pub fn plain(samples: &[Sample]) -> Vec<Item> {
    samples.iter().map(|s| Item { sample: s.clone(), view: 0 }).collect()
}

/// Each sample once, in the given order, in this view.
pub fn in_view(samples: &[Sample], view: u32) -> Vec<Item> {
    samples.iter().map(|s| Item { sample: s.clone(), view }).collect()
}

/// The number of the view of another clip of a video; the plain view is that of clip 0.
pub fn clip(number: u32) -> u32 {
    MIRRORED - number
}

/// The clip that a view's number stands for, if it does.
pub fn clip_of(view: u32) -> Option<u32> {
    let number = MIRRORED - view;
    (1..=MOST_CLIPS as u32).contains(&number).then_some(number)
}

/// One epoch of training: each sample once, shuffled by (seed, epoch), in a view no other epoch shows.
pub fn shuffled(samples: &[Sample], seed: u64, epoch: u32) -> Vec<Item> {
    let mut items: Vec<Item> = samples.iter().map(|s| Item { sample: s.clone(), view: epoch + 1 }).collect();
    items.shuffle(&mut random(seed, u64::from(u32::MAX), epoch));
    items
}

/// One epoch of training on as many items as there are samples, drawn with replacement so that every class comes as often; samples
/// without one are a class of their own. What is drawn again comes in another view.
pub fn balanced(samples: &[Sample], seed: u64, epoch: u32) -> Vec<Item> {
    let mut classes: BTreeMap<Option<u32>, Vec<&Sample>> = BTreeMap::new();
    samples.iter().for_each(|sample| classes.entry(sample.target.class()).or_default().push(sample));
    let mut random = random(seed, u64::from(u32::MAX), epoch);
    let (mut drawn, mut times) = (Vec::with_capacity(samples.len()), HashMap::new());
    for class in classes.values().cycle().take(samples.len()) {
        let sample = class[random.random_range(0..class.len())];
        let before: &mut u32 = times.entry(sample.id).or_default();
        drawn.push(Item { sample: sample.clone(), view: epoch + 1 + *before * MOST_EPOCHS });
        *before += 1;
    }
    drawn.shuffle(&mut random);
    drawn
}

/// For caching features: the plain view of each sample, then its views 1..=`views`.
pub fn views(samples: &[Sample], views: u32) -> Vec<Item> {
    samples.iter().flat_map(|s| (0..=views).map(|view| Item { sample: s.clone(), view })).collect()
}

/// Whether a view's number is that of a random one.
fn is_random(view: u32) -> bool {
    !matches!(view, 0 | MIRRORED) && clip_of(view).is_none()
}

fn random(seed: u64, stream: u64, view: u32) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..20].copy_from_slice(&view.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// What is random about an item's views follows from what it is, not from its place in the list: the features of a view
/// serve other data sets that hold it, too.
fn stream(item: &[u8]) -> u64 {
    u64::from(crc32fast::hash(item)) | (item.len() as u64) << 32 | 1 << 63
}

/// How batches are made.
#[derive(Debug, Clone)]
pub struct Options {
    pub batch_size: usize,
    /// Threads that decode; at least one.
    pub threads: usize,
    pub seed: u64,
    pub views: Arc<dyn Views>,
    pub augment: Augment,
    /// Leave out the last batch if it is smaller than the others (batch norm dislikes batches of one).
    pub drop_last: bool,
}

/// `targets.len()` views; an item that cannot be read is missing here and named in `skipped`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub input: Input,
    pub targets: Vec<Target>,
    /// [`Sample::id`] of each item.
    pub ids: Vec<u32>,
    pub views: Vec<u32>,
    pub skipped: Vec<Problem>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Says of which item the view is that was added, and what is to be said of it; in pixels of the view as it is here.
    fn push(&mut self, item: &Item, target: Target) {
        self.targets.push(match self.input {
            Input::Pixels { height, width, .. } => target.at_size([width as u32, height as u32]),
            _ => target,
        });
        self.ids.push(item.sample.id);
        self.views.push(item.view);
    }
}

/// Iterates over the batches of a plan; ends after the first error. Dropping it stops the threads.
pub struct Loader {
    channels: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
    batches: usize,
}

impl Loader {
    /// Starts decoding at once.
    ///
    /// # Errors
    /// [`super::Error::BadPreprocessing`]; the iterator itself yields errors of damaged archives and files that vanished.
    pub fn new(dataset: Arc<Dataset>, plan: Vec<Item>, options: &Options) -> Result<Loader> {
        options.views.maker()?;
        let size = options.batch_size.max(1);
        let batches = if options.drop_last && plan.len() >= size { plan.len() / size } else { plan.len().div_ceil(size) };
        let plan = Arc::new(plan);
        let workers = options.threads.max(1).min(batches.max(1));
        let (mut channels, mut threads) = (Vec::new(), Vec::new());
        for first in 0..workers {
            let (sender, receiver) = sync_channel(1);
            let (dataset, plan, options) = (dataset.clone(), plan.clone(), options.clone());
            let work = move || produce(&dataset, &plan, &options, (first..batches).step_by(workers), &sender);
            channels.push(receiver);
            threads.push(std::thread::spawn(work));
        }
        Ok(Loader { channels, threads, next: 0, batches })
    }

    /// How many batches there will be in all.
    pub fn batches(&self) -> usize {
        self.batches
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.batches {
            return None;
        }
        let turn = self.next % self.channels.len();
        self.next += 1;
        match self.channels[turn].recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.next = self.batches;
                Some(Err(error))
            }
            // A thread that ended without a word has panicked; a short epoch must not pass for a whole one.
            Err(_) => match self.threads.swap_remove(turn).join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => None,
            },
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.channels.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn produce(dataset: &Dataset, plan: &[Item], options: &Options, batches: impl Iterator<Item = usize>, sender: &SyncSender<Result<Batch>>) {
    let size = options.batch_size.max(1);
    let mut makers = Makers::new(options);
    for index in batches {
        let items = &plan[index * size..plan.len().min((index + 1) * size)];
        let batch = makers.of(index, items).and_then(|maker| make(dataset, (plan, items), options, maker));
        let failed = batch.is_err();
        if sender.send(batch).is_err() || failed {
            return;
        }
    }
}

/// The target of a view, moved along with its pixels where it is about places. What is turned around is turned back before it is measured.
fn target(dataset: &Dataset, (sample, view): (&Sample, u32), bytes: &[u8], options: &Options, maker: &dyn ViewMaker) -> Target {
    if matches!(view, 0 | MIRRORED) || !sample.target.is_of_places() {
        return sample.target.clone();
    }
    let view = View::Random(&options.augment, Box::new(random(options.seed, stream(bytes), view)));
    let geometry = maker.geometry(bytes, dataset.limits(), view);
    geometry.map_or_else(|| sample.target.clone(), |geometry| sample.target.moved(&geometry))
}

/// Says the targets of views whose features are there already.
pub struct TargetMaker {
    dataset: Arc<Dataset>,
    options: Options,
    /// Where places are answered about.
    maker: Option<Box<dyn ViewMaker>>,
}

impl TargetMaker {
    /// # Errors
    /// [`super::Error::BadPreprocessing`].
    pub fn new(dataset: &Arc<Dataset>, options: &Options) -> Result<TargetMaker> {
        Ok(TargetMaker {
            dataset: dataset.clone(),
            options: options.clone(),
            maker: options.views.of_places().then(|| options.views.maker()).transpose()?,
        })
    }

    /// Of one view.
    ///
    /// # Errors
    /// The item cannot be read any more.
    pub fn of(&self, item: &Item) -> Result<Target> {
        let sample = &item.sample;
        match &self.maker {
            Some(maker) if !matches!(item.view, 0 | MIRRORED) && sample.target.is_of_places() => {
                Ok(target(&self.dataset, (sample, item.view), &self.dataset.encoded(sample)?, &self.options, &**maker))
            }
            _ => Ok(sample.target.clone()),
        }
    }
}

fn make(dataset: &Dataset, (plan, items): (&[Item], &[Item]), options: &Options, maker: &mut dyn ViewMaker) -> Result<Batch> {
    let input = maker.batch(items.len());
    let mut batch = Batch { input, targets: Vec::new(), ids: Vec::new(), views: Vec::new(), skipped: Vec::new() };
    for item in items {
        let Item { sample, view: number } = item;
        let bytes = dataset.encoded(sample)?;
        if let Some(target) = mosaic::add(dataset, plan, (item, &bytes), options, (&mut *maker, &mut batch.input))? {
            batch.push(item, target);
            continue;
        }
        let view = match (*number, clip_of(*number)) {
            (0, _) => View::Plain,
            (MIRRORED, _) => View::Mirrored,
            (_, Some(clip)) => View::Clip(clip),
            _ => View::Random(&options.augment, Box::new(random(options.seed, stream(&bytes), *number))),
        };
        if let Err(refusal) = maker.add(&bytes, dataset.limits(), view, &mut batch.input)? {
            batch.skipped.push(Problem { path: sample.path.clone(), reason: refusal.0 });
            continue;
        }
        let target = target(dataset, (sample, *number), &bytes, options, maker);
        batch.push(item, target);
    }
    Ok(batch)
}
