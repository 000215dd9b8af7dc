//! The items of a folder or an archive, whatever they are labelled: for questions about each of them.

use bytes::Bytes;

use super::error::{Error, Result};
use super::limits::Limits;
use super::place::Entry;
use super::source::Source;
use super::{leftovers, modalities};
use crate::domain::dataset_layout::Declared;

/// A list of items; their bytes are read when they are wanted.
#[derive(Debug)]
pub struct Items {
    entries: Vec<Entry>,
    limits: Limits,
}

impl Items {
    /// Lists the source by the rules for data sets; files that are no items by their names are left out.
    ///
    /// # Errors
    /// Whatever is wrong with the archive, or there is no item in it.
    pub fn open(source: &Source, limits: &Limits) -> Result<Items> {
        let mut entries = source.list(&Declared::default(), limits)?.entries;
        entries.retain(|entry| !leftovers::is_ignored(&entry.path));
        let modality = modalities::of_files(entries.iter().map(|entry| entry.path.as_str()));
        entries.retain(|entry| modality.is_item(&entry.path));
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if entries.is_empty() {
            return Err(Error::NoImages { left_out: String::new() });
        }
        Ok(Items { entries, limits: limits.clone() })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their paths below the folder or in the archive, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.path.as_str())
    }

    /// Bytes of the `at`th, as the listing has them.
    pub fn size(&self, at: usize) -> u64 {
        self.entries.get(at).map_or(0, |entry| entry.size)
    }

    /// The encoded bytes of the `at`th.
    ///
    /// # Errors
    /// It is too large, damaged, or gone.
    pub fn read(&self, at: usize) -> Result<Bytes> {
        self.entries.get(at).ok_or_else(|| Error::NoSuchFile { path: format!("number {at}") })?.read(&self.limits)
    }
}
