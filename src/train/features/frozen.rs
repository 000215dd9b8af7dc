//! Frozen stages compute the same features for the same view in every epoch, so where views come back they are run once,
//! and training starts from the features.
//!
//! That is exact: frozen stages run in eval mode, where an item's features do not depend on the batch it is in.

use sha2::{Digest as _, Sha256};

use super::patience::Patience;
use super::store::Begun;
use super::together::{rows_of_pairs, rows_of_words};
use super::{Encoding, FeatureStore, Keep, Name, RowFormat, Stored, Writer};
use crate::data::Target;
use crate::data::batch::{self, Item};
use crate::domain::evaluation::Held;
use crate::domain::recipe::Recipe;
use crate::train::Training;
use crate::train::error::{Error, Result};
use crate::train::feed::{self, EVAL_BATCH, Feed, Kept};
use crate::train::model::Model;
use crate::train::partition::Partition;
use crate::train::progress::ProgressReporter;

/// Changes when the same key would no longer mean the same bits.
const FORMAT: u32 = 2;

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
pub fn turns(recipe: &Recipe, head_only: bool, frozen: usize) -> Option<u32> {
    let augment = &recipe.augment;
    let changes = augment.changes_views() || augment.mixes();
    match (head_only, frozen) {
        (true, _) => Some(augment.views + 1),
        (_, 0) => None,
        _ if augment.views > 0 && !augment.mixes() => Some(augment.views + 1),
        _ => (!changes).then_some(1),
    }
}

/// Why running frozen stages once would not pay, if so.
fn objection(epochs: u32, keep: Keep, turns: Option<u32>) -> Option<String> {
    match turns {
        _ if matches!(keep, Keep::Nowhere) => Some("their features are to be kept nowhere".into()),
        None => Some(
            "each epoch shows new views of the items; set augment.views to let a few views take turns, and they will be run once".into(),
        ),
        Some(views) if epochs <= views => Some(format!("{epochs} epochs show no view of an item twice")),
        Some(_) => None,
    }
}

/// A view whose feature is asked for, and the feature's name.
struct Wanted {
    item: Item,
    name: Name,
}

/// The views whose features a run asks for: training images in all views that will be shown, the others in their plain one.
fn asked(feed: &Feed, partition: &Partition, epochs: u32) -> Vec<Item> {
    let mut items = feed.views_shown(&partition.train, epochs);
    let measured = if partition.held == Held::Training { &partition.train } else { &partition.val };
    items.extend(feed.measured(measured).into_iter().chain(feed.measured(&partition.test)));
    items
}

/// Each view once, in the order of the names of their features.
fn wanted(feed: &Feed, mut items: Vec<Item>, hashes: &[[u8; 32]]) -> Vec<Wanted> {
    // The same images in another split are the same work, so that runs with other seeds find it done.
    items.sort_by_key(|item| (item.sample.id, item.view));
    items.dedup_by_key(|item| (item.sample.id, item.view));
    let named = |item: Item| Wanted { name: name(feed, &item, hashes), item };
    let mut wanted: Vec<Wanted> = items.into_iter().map(named).collect();
    wanted.sort_by_key(|wanted| wanted.name);
    wanted
}

/// Names a feature by its item's bytes and by what its view follows from.
fn name(feed: &Feed, item: &Item, hashes: &[[u8; 32]]) -> Name {
    let mut hash = Sha256::new();
    hash.update(hashes.get(item.sample.id as usize).copied().unwrap_or_default());
    if item.view == batch::MIRRORED {
        hash.update("mirrored");
    } else if let Some(clip) = batch::clip_of(item.view) {
        hash.update(format!("clip {clip}"));
    } else if item.view > 0 {
        let options = feed.options();
        hash.update(format!("{} {:?} {}", options.seed, options.augment.of_views(), item.view));
    }
    short(hash)
}

fn short(hash: Sha256) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&hash.finalize()[..16]);
    name
}

/// Names all that a feature depends on beside its item and view.
fn space(feed: &Feed, model: &Model) -> String {
    let mut hash = Sha256::new();
    hash.update(model.base_digest);
    hash.update(format!("{FORMAT} {} {} ", model.architecture.name, model.frozen));
    // Another library adds in another order.
    let arithmetic = crate::nn::kernels::backend::backend();
    hash.update(format!("{EVAL_BATCH} {} {arithmetic} ", env!("CARGO_PKG_VERSION")));
    if !model.device.is_cpu() {
        hash.update(crate::nn::device::describe(&model.device));
    }
    hash.update(format!("{} {}", rayon::current_num_threads(), feed.options().views.key()));
    // Maps of all scales instead of the last, or of rows of them.
    if model.is_dense() {
        hash.update(" maps");
    }
    hex::encode(short(hash))
}

/// Names the features of a run.
fn set(wanted: &[Wanted]) -> String {
    let mut hash = Sha256::new();
    wanted.iter().for_each(|wanted| hash.update(wanted.name));
    hex::encode(short(hash))
}

/// Sends every view that the run will ask for through the frozen stages, unless that was done before or would not pay,
/// and lets `feed` feed from the features. `hashes` are those of the samples' bytes, by id. Says how, and how many steps it
/// took before the `rest`.
pub fn run_once(
    training: &Training,
    feed: &mut Feed,
    model: &Model,
    (partition, epochs): (&Partition, u32),
    hashes: &[[u8; 32]],
    rest: u64,
    reporter: &mut ProgressReporter,
) -> Result<(Frozen, u64)> {
    if model.frozen == 0 {
        return Ok((Frozen::None, 0));
    }
    // A head that learns alone always learns from cached features: it needs their mean and variance beforehand.
    let objection = match model.is_head_only() && !model.is_dense() {
        true => None,
        _ if training.recipe.augment.mixes() => Some("items are mixed anew in each step".into()),
        _ => objection(epochs, training.keep, feed.turns()),
    };
    if let Some(why) = objection {
        reporter.info(format!("the frozen stages are run anew in each epoch: {why}"))?;
        return Ok((Frozen::EachEpoch, 0));
    }
    let items = asked(feed, partition, epochs);
    run_over(training, feed, model, (items, hashes), rest, reporter)
}

/// The same for these views, whatever they are for.
pub fn run_over(
    training: &Training,
    feed: &mut Feed,
    model: &Model,
    (items, hashes): (Vec<Item>, &[[u8; 32]]),
    rest: u64,
    reporter: &mut ProgressReporter,
) -> Result<(Frozen, u64)> {
    let wanted = wanted(feed, items, hashes);
    let (format, space) = (row_format(model, feed)?, space(feed, model));
    let (key, bytes) = (format!("{space}-{}", set(&wanted)), bytes_of(&wanted, feed, &format)?);
    let own = FeatureStore::new(training.scratch, u64::MAX);
    let stores = match training.keep {
        Keep::Store(store) => vec![store, &own],
        _ => vec![&own],
    };
    let is_whole = |stored: &Stored| wanted.iter().all(|wanted| stored.has(&wanted.name));
    let mut patience = Patience::default();
    let writer = loop {
        if let Some(stored) = stores.iter().find_map(|store| store.find(&key, &format)).filter(is_whole) {
            reporter.info(format!("the features of {} views are there from an earlier run", wanted.len()))?;
            feed.feed_from(stored.of_items(wanted.iter().map(Wanted::place)), model.frozen, kept(model, feed));
            return Ok((Frozen::Reused, 0));
        }
        match stores[0].begin(&key, format.clone(), bytes)? {
            Begun::Writer(writer) => break Some(writer),
            // Trials of a sweep begin in the same moment and want the same.
            Begun::Taken(bytes) if patience.waits(bytes, reporter)? => {}
            _ => break begin_elsewhere(&stores[1..], &key, &format, bytes)?,
        }
    };
    let answered = match writer {
        Some(writer) => fill(writer, feed, model, (&wanted, stores[0].of_space(&space, &format)), rest, reporter)?,
        None if model.is_head_only() && !model.is_dense() => return Err(no_room(bytes)),
        None => Err(format!("there is no room for {} MiB on the disk", bytes >> 20)),
    };
    match answered {
        Ok((stored, batches)) => {
            feed.feed_from(stored.of_items(wanted.iter().map(Wanted::place)), model.frozen, kept(model, feed));
            Ok((if batches == 0 { Frozen::Reused } else { Frozen::Once }, batches))
        }
        Err(why) => {
            reporter.warn(format!("the frozen stages are run anew in each epoch: {why}"))?;
            Ok((Frozen::EachEpoch, 0))
        }
    }
}

/// Where the store has no room, or another run fills the file there and stands still: in the run's own folder.
fn begin_elsewhere(stores: &[&FeatureStore], key: &str, format: &RowFormat, bytes: u64) -> Result<Option<Writer>> {
    for store in stores {
        if let Begun::Writer(writer) = store.begin(key, format.clone(), bytes)? {
            return Ok(Some(writer));
        }
    }
    Ok(None)
}

impl Wanted {
    fn place(&self) -> (u32, u32, &Name) {
        (self.item.sample.id, self.item.view, &self.name)
    }
}

/// What the features of these views take in a file.
fn bytes_of(wanted: &[Wanted], feed: &Feed, format: &RowFormat) -> Result<u64> {
    let longest = feed.options().views.maker()?.blank().lengths().and_then(|lengths| lengths.first().copied());
    let tokens = match longest.filter(|_| format.ragged) {
        Some(longest) => feed.length(wanted.iter().map(|wanted| wanted.item.sample.id), longest),
        None if format.ragged => wanted.iter().map(|wanted| places_of(&wanted.item.sample.target)).sum(),
        None => wanted.len() as u64,
    };
    Ok(format.file_bytes(wanted.len(), tokens, EVAL_BATCH))
}

/// Rows of an item that is no sequence.
fn places_of(target: &Target) -> u64 {
    if let Target::Cells(cells) = target { cells.each.len() as u64 } else { 1 }
}

fn no_room(bytes: u64) -> Error {
    Error::NoRoom(format!("the features take {} MiB on the disk, which is too full; make room and start again", (bytes >> 20) + 1))
}

/// What a row is kept of.
fn kept(model: &Model, feed: &Feed) -> Kept {
    let views = &feed.options().views;
    match model.is_head_only() {
        _ if model.is_dense() => Kept::Items,
        true if views.of_words() => Kept::Words,
        true if views.of_places() => Kept::Places,
        _ if views.of_pairs() => Kept::Pairs,
        _ => Kept::Items,
    }
}

/// What the frozen stages make of one view.
fn row_format(model: &Model, feed: &Feed) -> Result<RowFormat> {
    let blank = feed.options().views.maker()?.blank();
    let sequences = blank.lengths().is_some();
    let dims = model.below(&feed::input(blank)?)?.dims()[1..].to_vec();
    Ok(match dims.as_slice() {
        // Both texts of a pair lie in one row, and each token says whether one begins with it.
        [_, width] if sequences => {
            RowFormat { dims: vec![*width + usize::from(kept(model, feed) == Kept::Pairs)], encoding: Encoding::Single, ragged: true }
        }
        // Maps of all scales, packed, are `[1, numbers]`. Of words as many as an item has, of places those of its grid.
        [_] => RowFormat { dims, encoding: Encoding::Single, ragged: feed.options().views.of_words() || feed.options().views.of_places() },
        _ => RowFormat { dims, encoding: Encoding::Half, ragged: false },
    })
}

/// Takes over what earlier runs left, runs the frozen stages over the views that are missing still, going on where an earlier
/// pass was cut off, and says how many batches that were. Answers why it gave up, if the numbers do not fit their encoding.
fn fill(
    mut writer: Writer,
    feed: &Feed,
    model: &Model,
    (wanted, earlier): (&[Wanted], impl Iterator<Item = Stored>),
    rest: u64,
    reporter: &mut ProgressReporter,
) -> Result<std::result::Result<(Stored, u64), String>> {
    let (before, kept) = (missing(wanted, &writer), kept(model, feed));
    take_over(&mut writer, &before, earlier)?;
    let left = missing(wanted, &writer);
    let steps = left.len().div_ceil(EVAL_BATCH) as u64;
    tell((wanted.len(), bytes_of(wanted, feed, writer.format())?), left.len(), model, reporter)?;
    reporter.plan(0, steps + rest);
    reporter.stage("caching features", steps)?;
    let items: Vec<Item> = left.iter().map(|wanted| wanted.item.clone()).collect();
    for (batch, wanted) in feed.loader(items, EVAL_BATCH)?.zip(left.chunks(EVAL_BATCH)) {
        let batch = batch?;
        let (ids, count, lengths, words) = (batch.ids.clone(), batch.len(), batch.input.lengths(), batch.input.words());
        let values = match count {
            0 => Vec::new(),
            _ => model.below(&feed::input(batch.input)?)?.flatten_all()?.to_vec1::<f32>()?,
        };
        if !writer.format().encoding.holds(&values) {
            writer.remove();
            return Ok(Err("their features are too large for the numbers they would be kept in".into()));
        }
        // The batch lacks what could not be read, and keeps the order.
        let joined = match kept {
            Kept::Pairs => rows_of_pairs(&values, lengths.as_deref().unwrap_or_default(), writer.format().width() - 1),
            _ => Vec::new(),
        };
        let rows = match kept {
            Kept::Words => rows_of_words(&values, &words, writer.format().width()),
            Kept::Pairs => joined.iter().map(Vec::as_slice).collect(),
            Kept::Items | Kept::Places => writer.format().rows(&values, count, lengths.as_deref()),
        };
        let mut rows = ids.iter().zip(batch.views.iter()).zip(rows).peekable();
        let row = |wanted: &&Wanted| {
            let (id, view, _) = wanted.place();
            rows.next_if(|((found, of), _)| (**found, **of) == (id, view)).map(|(_, row)| row)
        };
        let found: Vec<Option<&[f32]>> = wanted.iter().map(row).collect();
        let names: Vec<Name> = wanted.iter().map(|wanted| wanted.name).collect();
        writer.append(&names, &found)?;
        reporter.step(count)?;
    }
    Ok(Ok((writer.finish()?, steps)))
}

/// One view for each feature that is not there yet: copies have the same features.
fn missing<'a>(wanted: &'a [Wanted], writer: &Writer) -> Vec<&'a Wanted> {
    let mut left: Vec<&Wanted> = wanted.iter().filter(|wanted| !writer.has(&wanted.name)).collect();
    left.dedup_by_key(|wanted| wanted.name);
    left
}

fn take_over(writer: &mut Writer, before: &[&Wanted], earlier: impl Iterator<Item = Stored>) -> Result<()> {
    let mut left: Vec<Name> = before.iter().map(|wanted| wanted.name).collect();
    for stored in earlier {
        if left.is_empty() {
            break;
        }
        let (found, others): (Vec<Name>, Vec<Name>) = left.into_iter().partition(|name| stored.has(name));
        for names in found.chunks(EVAL_BATCH) {
            writer.take_over(names, &stored)?;
        }
        left = others;
    }
    Ok(())
}

fn tell((views, size): (usize, u64), left: usize, model: &Model, reporter: &mut ProgressReporter) -> Result<()> {
    let size = size >> 20;
    reporter.info(match left {
        0 => format!("the features of {views} views are there from earlier runs"),
        _ if left < views => {
            format!("running {} frozen stages once over {left} of {views} views; the features of the others are there", model.frozen)
        }
        _ => format!("running {} frozen stages once over {views} views; their features take {size} MiB", model.frozen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipe::Augment;

    #[test]
    fn views_take_turns_where_something_is_frozen_and_views_are_bounded() {
        let plain = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
        let recipe = |augment: &Augment| Recipe { augment: augment.clone(), ..Recipe::default() };
        let two = Augment { views: 2, ..Augment::default() };
        assert_eq!(turns(&Recipe::default(), true, 5), Some(1));
        assert_eq!(turns(&recipe(&Augment::default()), false, 4), None);
        assert_eq!(turns(&recipe(&plain), false, 4), Some(1));
        assert_eq!((turns(&recipe(&two), false, 4), turns(&recipe(&two), false, 0)), (Some(3), None));
        assert!(objection(3, Keep::Scratch, Some(3)).is_some() && objection(4, Keep::Scratch, Some(3)).is_none());
        assert!(objection(9, Keep::Nowhere, Some(3)).is_some());
        assert!(objection(9, Keep::Scratch, None).is_some_and(|why| why.contains("augment.views")));
    }
}
