//! Who makes the views of a thread's batches: of each side that views have, a maker with buffers of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rand::RngExt;

use super::{Item, Options, is_random, random};
use crate::data::error::Result;
use crate::data::modality::ViewMaker;
use crate::domain::recipe::Augment;

/// The stream of random numbers that sides are drawn from; those of items have their highest bit set.
const SIDES: u64 = 1 << 62;

/// Makers by how many pixels their views' sides are longer than the network's.
pub(super) struct Makers<'a> {
    options: &'a Options,
    made: BTreeMap<i64, Box<dyn ViewMaker>>,
}

impl Makers<'_> {
    pub fn new(options: &Options) -> Makers<'_> {
        Makers { options, made: BTreeMap::new() }
    }

    /// The maker of a batch: of random views of objects it may be one of other sides, which follows from the batch's number and its epoch.
    ///
    /// # Errors
    /// [`crate::data::Error::BadPreprocessing`].
    pub fn of(&mut self, number: usize, items: &[Item]) -> Result<&mut dyn ViewMaker> {
        let options = self.options;
        let by = drawn(options, number, items);
        match self.made.entry(by) {
            Entry::Occupied(made) => Ok(&mut **made.into_mut()),
            Entry::Vacant(place) => {
                let maker = match options.views.widened(by).filter(|_| by != 0) {
                    Some(other) => other.maker()?,
                    None => options.views.maker()?,
                };
                Ok(&mut **place.insert(maker))
            }
        }
    }
}

/// Pixels more or less on each side of a batch's views.
fn drawn(options: &Options, number: usize, items: &[Item]) -> i64 {
    let first = items.first().filter(|item| is_random(item.view));
    let steps = first.zip(options.views.side()).map_or(0, |(_, side)| options.augment.steps_around(side)) as i64;
    match first {
        Some(item) if steps > 0 => Augment::pixels_of(random(options.seed, SIDES + number as u64, item.view).random_range(-steps..=steps)),
        _ => 0,
    }
}
