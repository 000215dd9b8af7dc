//! Which modalities there are.

use super::image::Images;
use super::modality::Modality;
use crate::domain::modality::Modality as Name;

/// Every modality this build can open.
pub static ALL: [&dyn Modality; 1] = [&Images];

/// The one of that name.
pub fn find(name: Name) -> Option<&'static dyn Modality> {
    ALL.into_iter().find(|modality| modality.name() == name)
}

/// The one whose items these files are, for the most part; the first where nothing tells.
pub fn of_files<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> &'static dyn Modality {
    let items = |modality: &dyn Modality| paths.clone().filter(|path| modality.is_item(path)).count();
    // Of equals the first: `max_by_key` takes the last.
    ALL.into_iter().rev().max_by_key(|modality| items(*modality)).unwrap_or(ALL[0])
}

/// Whether a file of this name is meant as an item of some modality.
pub fn is_item(path: &str) -> bool {
    ALL.iter().any(|modality| modality.is_item(path))
}

/// Whether the ending is that of some modality's items in a format we read.
pub fn is_readable(path: &str) -> bool {
    ALL.iter().any(|modality| modality.is_readable(path))
}
