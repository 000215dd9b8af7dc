//! Data sets: what people hand us (a folder, an archive, the files of a repo version) becomes samples with labels.
//!
//! Everything here is synchronous and does file input only; callers put it on blocking threads. The modality-neutral part
//! comes first on this map: [`archive`] and `listing` find entries and their bytes, `layout` and `metadata` give them splits
//! and labels, [`Dataset`] is the index for training and [`check()`] the judge on publish. All that knows pixels is under
//! `image/` (decode, transform, thumbnail) and in [`batch`], so that text or video can stand beside it.
//!
//! Nothing is ever unpacked to disk under a name from an archive: entries are read one by one with our own counters.

pub mod archive;
pub mod batch;
mod check;
mod dataset;
mod error;
mod image;
mod layout;
mod limits;
mod listing;
mod metadata;
mod name;
mod place;
mod report;
mod split;

pub use self::check::check;
pub use self::dataset::{Dataset, Sample, Split};
pub use self::error::{Error, Result};
pub use self::image::{decode, thumbnail, transform};
pub use self::limits::Limits;
pub use self::listing::Source;
pub use self::report::{Preview, Problem, Report, Sizes, SplitCount, Spread};
