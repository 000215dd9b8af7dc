//! Frozen stages compute the same features for the same view in every epoch, so where views come back they are run once,
//! and training starts from the features.
//!
//! That is exact: frozen stages run in eval mode, where an item's features do not depend on the batch it is in.

use sha2::{Digest as _, Sha256};

use super::{Encoding, FeatureStore, Features, Keep, RowFormat, Writer};
use crate::data::batch::{self, Item};
use crate::domain::evaluation::Held;
use crate::domain::recipe::{Recipe, Strategy};
use crate::train::Training;
use crate::train::error::{Error, Result};
use crate::train::feed::{self, EVAL_BATCH, Feed};
use crate::train::model::Model;
use crate::train::partition::Partition;
use crate::train::progress::ProgressReporter;

/// Changes when the same key would no longer mean the same bits.
const FORMAT: u32 = 1;

/// How the frozen stages of a run were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frozen {
    /// There are none.
    #[default]
    None,
    /// Once for each view.
    Once,
    /// An earlier run on the same base and data had left the features.
    Reused,
    /// Anew in each epoch: it would not have paid, or there was no room.
    EachEpoch,
}

impl Frozen {
    pub fn as_str(self) -> &'static str {
        match self {
            Frozen::None => "none",
            Frozen::Once => "once",
            Frozen::Reused => "reused",
            Frozen::EachEpoch => "each_epoch",
        }
    }
}

/// How many views of an image take turns from epoch to epoch, the plain one among them; `None` where each epoch shows
/// views of its own.
pub fn turns(recipe: &Recipe, frozen: usize) -> Option<u32> {
    let augment = &recipe.augment;
    let changes = augment.horizontal_flip || augment.crop_min_area < 1.0;
    match (recipe.strategy, frozen) {
        (Strategy::Head, _) => Some(augment.views + 1),
        (Strategy::Full, 0) => None,
        (Strategy::Full, _) if augment.views > 0 => Some(augment.views + 1),
        (Strategy::Full, _) => (!changes).then_some(1),
    }
}

/// Why running frozen stages once would not pay, if so. A head always learns from cached features: it needs their
/// mean and variance beforehand.
fn objection(recipe: &Recipe, keep: Keep, turns: Option<u32>) -> Option<String> {
    match turns {
        _ if recipe.strategy == Strategy::Head => None,
        _ if matches!(keep, Keep::Nowhere) => Some("their features are to be kept nowhere".into()),
        None => Some(
            "each epoch shows new views of the images; set augment.views to let a few views take turns, and they will be run once".into(),
        ),
        Some(views) if recipe.epochs <= views => Some(format!("{} epochs show no view of an image twice", recipe.epochs)),
        Some(_) => None,
    }
}

/// The views whose features a run asks for, in the order of the data set: training images in all views that will be
/// shown, the others in their plain one.
fn items(feed: &Feed, partition: &Partition, epochs: u32) -> Vec<Item> {
    let mut items = feed.views_shown(&partition.train, epochs);
    let measured = if partition.held == Held::Training { &partition.train } else { &partition.val };
    items.extend(batch::plain(measured).into_iter().chain(batch::plain(&partition.test)));
    // The same images in another split are the same work, so that runs with other seeds find it done.
    items.sort_by_key(|item| (item.sample.id, item.view));
    items.dedup_by_key(|item| (item.sample.id, item.view));
    items
}

/// Names a cache by all that its bits depend on.
fn key(feed: &Feed, model: &Model, items: &[Item], dataset_digest: &str) -> String {
    let options = feed.options();
    let mut hash = Sha256::new();
    hash.update(model.base_digest);
    hash.update(dataset_digest);
    hash.update(format!("{FORMAT} {} {} ", model.architecture.name, model.frozen));
    // Another library adds in another order.
    let arithmetic = crate::nn::kernels::backend::backend();
    hash.update(format!("{EVAL_BATCH} {} {arithmetic} ", env!("CARGO_PKG_VERSION")));
    if !model.device.is_cpu() {
        hash.update(crate::nn::device::describe(&model.device));
    }
    hash.update(format!("{} {}", rayon::current_num_threads(), options.views.key()));
    if items.iter().any(|item| item.view > 0) {
        hash.update(format!("{} {:?}", options.seed, options.augment));
    }
    items.iter().for_each(|item| hash.update(format!("{} {} {}\n", item.sample.id, item.view, item.sample.path)));
    hex::encode(&hash.finalize()[..16])
}

/// Sends every view that the run will ask for through the frozen stages, unless that was done before or would not pay,
/// and lets `feed` feed from the features. Says how, and how many steps it took before the `rest`.
pub fn run_once(
    training: &Training,
    feed: &mut Feed,
    model: &Model,
    partition: &Partition,
    digest: &str,
    rest: u64,
    reporter: &mut ProgressReporter,
) -> Result<(Frozen, u64)> {
    if model.frozen == 0 {
        return Ok((Frozen::None, 0));
    }
    if let Some(why) = objection(training.recipe, training.keep, turns(training.recipe, model.frozen)) {
        reporter.info(format!("the frozen stages are run anew in each epoch: {why}"))?;
        return Ok((Frozen::EachEpoch, 0));
    }
    let items = items(feed, partition, training.recipe.epochs);
    let (format, batches) = (row_format(model, feed)?, items.len().div_ceil(EVAL_BATCH));
    let (key, bytes) = (key(feed, model, &items, digest), format.file_bytes(items.len(), EVAL_BATCH));
    let own = FeatureStore::new(training.scratch, u64::MAX);
    let stores = match training.keep {
        Keep::Store(store) => vec![store, &own],
        _ => vec![&own],
    };
    if let Some(features) = stores.iter().find_map(|store| store.find(&key, &format, batches)) {
        reporter.info(format!("the features of {} views are there from an earlier run", items.len()))?;
        feed.feed_from(features, model.frozen);
        return Ok((Frozen::Reused, 0));
    }
    let (views, size) = (items.len(), bytes >> 20);
    reporter.info(format!("running {} frozen stages once over {views} views; their features take {size} MiB", model.frozen))?;
    let mut writer = None;
    for store in stores {
        if writer.is_none() {
            writer = store.begin(&key, format.clone(), bytes)?;
        }
    }
    let answered = match writer {
        Some(writer) => fill(writer, feed, model, items, rest, reporter)?,
        None if training.recipe.strategy == Strategy::Head => return Err(no_room(bytes)),
        None => Err(format!("there is no room for {} MiB on the disk", bytes >> 20)),
    };
    match answered {
        Ok(features) => {
            feed.feed_from(features, model.frozen);
            Ok((Frozen::Once, batches as u64))
        }
        Err(why) => {
            reporter.warn(format!("the frozen stages are run anew in each epoch: {why}"))?;
            Ok((Frozen::EachEpoch, 0))
        }
    }
}

fn no_room(bytes: u64) -> Error {
    Error::TooMuch(format!("the features take {} MiB on the disk, which is too full; make room and start again", (bytes >> 20) + 1))
}

/// What the frozen stages make of one view.
fn row_format(model: &Model, feed: &Feed) -> Result<RowFormat> {
    let blank = feed.options().views.maker()?.blank();
    let dims = model.below(&feed::input(blank)?)?.dims()[1..].to_vec();
    let encoding = if dims.len() == 1 { Encoding::Single } else { Encoding::Half };
    Ok(RowFormat { dims, encoding })
}

/// Runs the frozen stages over the views, going on where an earlier pass was cut off. Answers why it gave up, if the
/// numbers do not fit their encoding.
fn fill(
    mut writer: Writer,
    feed: &Feed,
    model: &Model,
    items: Vec<Item>,
    rest: u64,
    reporter: &mut ProgressReporter,
) -> Result<std::result::Result<Features, String>> {
    let steps = items.len().div_ceil(EVAL_BATCH) as u64;
    let done = writer.batches();
    reporter.plan(done as u64, steps + rest);
    reporter.stage("caching features", steps)?;
    let left: Vec<Item> = items.into_iter().skip(done * EVAL_BATCH).collect();
    for batch in feed.loader(left, EVAL_BATCH)? {
        let batch = batch?;
        let (ids, views, count) = (batch.ids.clone(), batch.views.clone(), batch.len());
        let values = match count {
            0 => Vec::new(),
            _ => model.below(&feed::input(batch.input)?)?.flatten_all()?.to_vec1::<f32>()?,
        };
        if !writer.format().encoding.holds(&values) {
            writer.remove();
            return Ok(Err("their features are too large for the numbers they would be kept in".into()));
        }
        writer.append(&ids, &views, &values)?;
        reporter.step(count)?;
    }
    writer.finish().map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipe::Augment;

    #[test]
    fn views_take_turns_where_something_is_frozen_and_views_are_bounded() {
        let plain = Augment { crop_min_area: 1.0, horizontal_flip: false, views: 0 };
        let full = |augment: &Augment| Recipe { strategy: Strategy::Full, augment: augment.clone(), ..Recipe::default() };
        let two = Augment { views: 2, ..Augment::default() };
        assert_eq!(turns(&Recipe::default(), 5), Some(1));
        assert_eq!(turns(&full(&Augment::default()), 4), None);
        assert_eq!(turns(&full(&plain), 4), Some(1));
        assert_eq!((turns(&full(&two), 4), turns(&full(&two), 0)), (Some(3), None));
        let epochs = |epochs| Recipe { epochs, ..full(&two) };
        assert!(objection(&epochs(3), Keep::Scratch, Some(3)).is_some() && objection(&epochs(4), Keep::Scratch, Some(3)).is_none());
        assert!(objection(&epochs(9), Keep::Nowhere, Some(3)).is_some());
        assert!(objection(&epochs(9), Keep::Scratch, None).is_some_and(|why| why.contains("augment.views")));
        assert!(objection(&Recipe { epochs: 1, ..Recipe::default() }, Keep::Nowhere, Some(1)).is_none());
    }
}
