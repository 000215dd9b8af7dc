//! Views that show parts of four items of a plan, with the targets of all of them.

use bytes::Bytes;
use rand::RngExt;

use super::{Item, Options, is_random, random, stream};
use crate::data::dataset::Dataset;
use crate::data::error::Result;
use crate::data::modality::{Input, ViewMaker};
use crate::data::targets::Target;

/// Tells the random numbers of mosaics from those of an item's other views.
const MOSAICS: u64 = 1 << 61;

/// Adds a view of an item and of three others of the plan, where one is drawn for it, and says its target; `None` where none is drawn, or one of
/// the items cannot be read: it is then shown alone.
///
/// # Errors
/// Files that vanished, and those of making views.
pub(super) fn add(
    dataset: &Dataset,
    plan: &[Item],
    (item, bytes): (&Item, &Bytes),
    options: &Options,
    (maker, batch): (&mut dyn ViewMaker, &mut Input),
) -> Result<Option<Target>> {
    let augment = &options.augment;
    if augment.mosaic == 0.0 || !is_random(item.view) || !item.sample.target.is_of_places() {
        return Ok(None);
    }
    let mut random = random(options.seed, stream(bytes) ^ MOSAICS, item.view);
    if !random.random_bool(augment.mosaic) {
        return Ok(None);
    }
    let mut four = [item; 4];
    four[1..].fill_with(|| &plan[random.random_range(0..plan.len())]);
    let mut items = [const { Bytes::new() }; 4];
    items[0] = bytes.clone();
    for (place, other) in items.iter_mut().zip(four).skip(1) {
        *place = dataset.encoded(&other.sample)?;
    }
    // Whichever corner: the item itself stands in each equally often.
    let turn = random.random_range(0..4);
    items.rotate_right(turn);
    four.rotate_right(turn);
    let Some(found) = maker.add_mosaic(&items, dataset.limits(), (augment, &mut random), batch)? else { return Ok(None) };
    let parts: Vec<_> = four.iter().zip(found).map(|(item, geometry)| (&item.sample.target, geometry)).collect();
    Ok(Some(Target::joined(&parts)))
}
