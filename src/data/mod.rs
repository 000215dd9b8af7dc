//! Data sets: what people hand us (a folder, an archive, the files of a repo version) becomes samples with labels.
//!
//! Everything here is synchronous and does file input only; callers put it on blocking threads. [`archive`] and `listing`
//! find entries and their bytes, `layout` and `metadata` give them splits and targets, [`Dataset`] is the index for training,
//! [`check()`] the judge on publish, [`batch`] makes batches ahead of whoever trains.
//!
//! Two things vary, and each has one place: what an item is ([`modality`], with a folder for each: [`image`]) and what is to be
//! said about it ([`targets`]).
//!
//! Nothing is ever unpacked to disk under a name from an archive: entries are read one by one with our own counters.

pub mod archive;
pub mod batch;
mod check;
pub mod copies;
pub mod corrections;
mod dataset;
mod error;
mod health;
pub mod image;
mod items;
pub mod known;
mod labelled;
mod layout;
mod leftovers;
mod limits;
mod listing;
mod looks;
mod metadata;
pub mod modalities;
pub mod modality;
mod name;
mod place;
mod places;
mod records;
mod sample;
mod source;
mod split;
mod spool;
mod survey;
mod tables;
pub mod targets;
pub mod text;

pub use self::check::check;
pub use self::copies::Copies;
pub use self::dataset::Dataset;
pub use self::error::{CODES, Error, Refusal, Result};
pub use self::image::{decode, thumbnail, transform, windows as image_windows};
pub use self::items::Items;
pub use self::known::Known;
pub use self::labelled::Split;
pub use self::limits::Limits;
pub use self::looks::Looks;
pub use self::name::is_archive;
pub use self::records::is_table as may_hold_texts;
pub use self::sample::Sample;
pub use self::source::Source;
pub use self::survey::{Survey, survey};
pub use self::tables::is_table;
pub use self::targets::{Boxed, Boxes, Cells, Labels, Mask, Object, Objects, Tags, Target, Targets, UNSAID, counted};
