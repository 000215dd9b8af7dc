//! Data sets in which places of images are labelled, and not images: boxes and outlines of objects (COCO, Pascal VOC, YOLO), a class for
//! each pixel (masks). A reader for each format turns its files into targets; what cannot be used is named, and mended where that is
//! safe.
//!
//! They are read where the card says so, or where folders give no classes and the files are of one of these formats and no other.

mod boxes;
mod classes;
mod coco;
mod coco_json;
mod lists;
mod masks;
mod palette;
mod place;
mod voc;
mod voc_xml;
mod yolo;

use super::tree::{Item, Tree};
use crate::data::error::{Error, Result};
use crate::data::labelled::{Kept, Labelled, Layout, Split};
use crate::data::limits::Limits;
use crate::data::listing::Listing;
use crate::data::targets::form::{Annotated, Form};
use crate::data::targets::{Target, Targets};
use crate::domain::annotation_facts::Fault;
use crate::domain::dataset_layout::{DataLayout, Declared};

/// What every reader looks at.
pub struct Given<'a> {
    pub tree: &'a Tree<'a>,
    pub kept: &'a Kept<'a>,
    pub listing: &'a Listing,
    pub limits: &'a Limits,
}

/// An image with what is said about it.
pub struct Annotation {
    pub entry: usize,
    pub split: Split,
    pub target: Target,
}

/// What a reader made of the files.
pub struct Read {
    pub targets: Targets,
    pub images: Vec<Annotation>,
    pub faults: Vec<Fault>,
    /// What else is worth knowing, in sentences.
    pub notes: Vec<String>,
}

/// A format, and its reader: `None` where there are no files of it.
type Reader = fn(&Given<'_>) -> Result<Option<Read>>;

/// By the word that a card says.
const READERS: [(DataLayout, &str, Reader); 4] = [
    (DataLayout::Coco, "boxes in COCO's JSON", coco::read),
    (DataLayout::Voc, "boxes in Pascal VOC's XML", voc::read),
    (DataLayout::Yolo, "boxes in YOLO's text files", yolo::read),
    (DataLayout::Masks, "masks", masks::read),
];

/// Whether the card says one of these formats.
pub fn is_said(declared: &Declared) -> bool {
    READERS.iter().any(|(layout, ..)| declared.layout == Some(*layout))
}

/// Reads the format that the card says.
///
/// # Errors
/// [`Error::BadLayout`] where there are no files of it; what is wrong with one that decides over others.
pub fn said(given: &Given<'_>, declared: &Declared) -> Result<Layout> {
    let found = READERS.iter().find(|(layout, ..)| declared.layout == Some(*layout));
    let Some((layout, what, read)) = found else { return Err(Error::BadLayout { reason: "the card names no format".into() }) };
    match read(given)? {
        Some(read) => Ok(finish(read)),
        None => Err(Error::BadLayout { reason: format!("the card says `layout: {}`, and there are no {what} here", layout.as_str()) }),
    }
}

/// Reads whatever format there is, where there is one alone.
///
/// # Errors
/// Why none was read, in words: what is wrong with the files of one, or that there are several.
pub fn recognised(given: &Given<'_>) -> std::result::Result<Option<Layout>, String> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (layout, what, read) in READERS {
        match read(given) {
            Ok(Some(read)) => found.push((layout, what, read)),
            Ok(None) => {}
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if found.len() > 1 {
        let both: Vec<String> = found.iter().map(|(layout, what, _)| format!("{what} (`--layout {}`)", layout.as_str())).collect();
        return Err(format!("there are {}: say which of them are to be learned", both.join(" and ")));
    }
    match (found.pop(), problems.first()) {
        (Some((_, what, mut read)), _) => {
            read.notes.insert(0, format!("it was read as images with {what}"));
            Ok(Some(finish(read)))
        }
        (None, Some(problem)) => Err(problem.clone()),
        (None, None) => Ok(None),
    }
}

/// As every layout is handed on. Faults become sentences where the data set is opened.
fn finish(read: Read) -> Layout {
    let Read { targets, images, faults, notes } = read;
    let sample = |image: &Annotation| Labelled { entry: image.entry, split: image.split, text: String::new() };
    let samples = images.iter().map(sample).collect();
    let of = images.into_iter().map(|image| (image.entry, image.target)).collect();
    Layout { samples, form: Form::Annotated(Annotated::new(targets, of, faults)), warnings: notes, ..Layout::default() }
}

impl<'a> Given<'a> {
    /// The text of a file; bytes that are not UTF-8 are replaced.
    fn text(&self, path: &str) -> Result<Option<String>> {
        let Some(entry) = self.entry(path) else { return Ok(None) };
        let bytes = self.listing.entries[entry].read(self.limits)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()))
    }

    /// The place in the listing of a file of the tree, whose paths count below the folders wrapped around all of it.
    fn entry(&self, path: &str) -> Option<usize> {
        self.kept.get(path).copied()
    }

    /// Files that are no images, of this ending.
    fn others(&self, ending: &str) -> Vec<&'a str> {
        let is = |path: &&str| path.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(ending));
        self.tree.others.iter().copied().filter(is).collect()
    }

    /// Images that are not masks of others.
    fn images(&self) -> Vec<Item<'a>> {
        self.tree.items.iter().copied().filter(|item| !place::is_beside(item.path) && !place::is_of_instances(item.path)).collect()
    }

    /// The path of an image as reports have it.
    fn shown(&self, item: &Item<'_>) -> String {
        self.listing.entries[item.entry].path.clone()
    }
}
