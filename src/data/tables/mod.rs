//! Parquet tables with a column of images or of texts: the form in which the Hugging Face libraries push data sets of them.
//!
//! Tables are read once, some rows at a time; their items are kept one after the other in an unnamed temporary file, as those of
//! a packed tar are, so that any of them can be had later by where it lies.

mod columns;
mod group;
mod pages;
pub(super) mod shards;

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use self::columns::Columns;
use self::shards::Shard;
use super::error::{Error, Result};
use super::image::Images;
use super::labelled::{Labelled, Layout};
use super::limits::Limits;
use super::listing::Listing;
use super::modality::Modality;
use super::place::Entry;
use super::records::rows;
use super::records::settle::settle;
use super::spool::Spool;
use super::text::Texts;
use super::{archive, leftovers, modalities, name};
use crate::domain::dataset_layout::Declared;
use crate::domain::human;

/// The tables of a version, if its data are tables and nothing else: pictures and archives beside them come first, unless the card says
/// that the tables hold texts.
pub fn of_files<'a>(files: &'a [(String, PathBuf)], declared: &Declared) -> Option<Vec<(&'a str, &'a Path)>> {
    let data = || files.iter().filter(|(path, _)| !leftovers::is_ignored(path));
    let others = declared.texts.is_empty() && data().any(|(path, _)| name::is_archive(path) || modalities::is_media(path));
    let tables: Vec<_> = data().filter(|(path, _)| is_table(path)).map(|(path, local)| (path.as_str(), local.as_path())).collect();
    (!others && !tables.is_empty()).then_some(tables)
}

pub fn is_table(path: &str) -> bool {
    name::extension(path).as_deref() == Some("parquet")
}

/// Reads the items and targets of all tables that belong to the data set by what is declared.
///
/// # Errors
/// [`Error::NotImages`] where they are sound tables of something else; what is damaged, lies about its sizes or contradicts itself.
pub fn read(tables: &[(&str, &Path)], declared: &Declared, limits: &Limits) -> Result<(Listing, &'static dyn Modality, Layout)> {
    let mut layout = Layout { warnings: declared.odd.clone(), ..Layout::default() };
    let shards = shards::sort(tables, &declared.splits, &mut layout.warnings)?;
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for shard in &shards {
        let table = Table::open(shard.local, shard.path)?;
        let columns = match table.caught(|reader| columns::find(reader.metadata(), declared))? {
            // Texts that are to be answered may come without their labels.
            Err(Error::NotImages { reason }) if chosen.first().is_some_and(|(_, first)| first.texts.is_some()) => {
                layout.warnings.push(format!("`{}` was left out: {reason}", shard.path));
                continue;
            }
            found => found?,
        };
        match chosen.first() {
            Some((_, known)) if *known == columns => {}
            Some((first, _)) => {
                let reason = format!("its columns are not those of `{}`; all tables of a data set need the same", first.path);
                return Err(Error::BadTable { file: shard.path.into(), reason });
            }
            None => layout.warnings.extend(columns.warnings()),
        }
        chosen.push((shard, columns));
    }
    match chosen.first().filter(|(_, columns)| columns.texts.is_some()).map(|(_, columns)| columns.wanted()) {
        Some(wanted) => {
            let listing = of_texts(&chosen, &mut layout, limits)?;
            settle(&mut layout, &listing, wanted, declared);
            Ok((listing, &Texts, layout))
        }
        None => Ok((of_images(&chosen, &mut layout, declared, limits)?, &Images, layout)),
    }
}

/// A table with the columns that are read of it.
type Chosen<'a> = (&'a Shard<'a, &'a Path>, Columns);

fn of_texts(chosen: &[Chosen<'_>], layout: &mut Layout, limits: &Limits) -> Result<Listing> {
    let mut kept = rows::Kept::new()?;
    for (shard, columns) in chosen {
        let table = Table::open(shard.local, shard.path)?;
        let mut rows = rows::Rows::new(&mut kept, shard.path, shard.split, limits);
        if columns.is_of_words() {
            let list = |text: &[u8]| serde_json::from_slice::<Vec<String>>(text).unwrap_or_default();
            group::read_all(&table, columns, limits, &mut |words, tags| {
                let tags = tags.map(|tags| list(tags.as_bytes()));
                rows.add_words(&list(words.concat().as_slice()), tags.as_deref(), None)
            })?;
        } else {
            group::read_all(&table, columns, limits, &mut |texts, target| rows.add(texts, target, None))?;
        }
    }
    kept.finish(layout)
}

fn of_images(chosen: &[Chosen<'_>], layout: &mut Layout, declared: &Declared, limits: &Limits) -> Result<Listing> {
    let (mut spool, mut listing, mut unlabelled) = (Spool::new()?, Listing::default(), 0usize);
    for (shard, columns) in chosen {
        let table = Table::open(shard.local, shard.path)?;
        let mut rows = Rows { shard, listing: &mut listing, layout: &mut *layout, spool: &mut spool, limits, at: 0, unlabelled };
        group::read_all(&table, columns, limits, &mut |image, target| rows.add(image.first().copied().unwrap_or_default(), target))?;
        unlabelled = rows.unlabelled;
    }
    spool.finish()?;
    layout.form = chosen.first().map_or_else(Default::default, |(_, columns)| columns.form(declared));
    if unlabelled > 0 {
        layout.warnings.push(human::of_one_or_many(unlabelled, "row has no label and is left out", "rows have no label and are left out"));
    }
    Ok(listing)
}

/// An open table, whose reader may panic at what a stranger wrote.
struct Table<'a> {
    path: &'a str,
    file: File,
    reader: SerializedFileReader<File>,
}

impl<'a> Table<'a> {
    fn open(local: &Path, path: &'a str) -> Result<Table<'a>> {
        let broken = |reason: String| Error::BadTable { file: path.into(), reason };
        let file = File::open(local).map_err(Error::io(local))?;
        let len = file.metadata().map_err(Error::io(local))?.len();
        pages::check_ends(&file, len).map_err(|reason| match archive::named(&file) {
            Some(what) => broken(format!("its content is {what}")),
            None => broken(reason),
        })?;
        let shared = file.try_clone().map_err(Error::io(local))?;
        let reader = std::panic::catch_unwind(|| SerializedFileReader::new_with_options(shared, ReadOptionsBuilder::new().build()));
        let reader = reader.map_err(|_| broken("its footer is damaged".into()))?.map_err(|e| broken(e.to_string()))?;
        Ok(Table { path, file, reader })
    }

    /// Runs what reads it; a panic is damage like any other.
    fn caught<T>(&self, read: impl FnOnce(&SerializedFileReader<File>) -> T) -> Result<T> {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&self.reader)));
        caught.map_err(|_| self.broken("it is damaged in a way that breaks its reader"))
    }

    fn broken(&self, reason: impl std::fmt::Display) -> Error {
        Error::BadTable { file: self.path.into(), reason: reason.to_string() }
    }
}

/// Takes in one row after the other.
struct Rows<'a> {
    shard: &'a Shard<'a, &'a Path>,
    listing: &'a mut Listing,
    layout: &'a mut Layout,
    spool: &'a mut Spool,
    limits: &'a Limits,
    /// The number of the row in its table.
    at: u64,
    unlabelled: usize,
}

impl Rows<'_> {
    /// A row without an image counts as one that cannot be read; one without a target is left out.
    fn add(&mut self, image: &[u8], target: Option<String>) -> Result<()> {
        let path = format!("{}:{}", self.shard.path, self.at);
        self.at += 1;
        if self.listing.entries.len() + self.unlabelled >= self.limits.entries {
            return Err(Error::TooManyFiles { entry: path, limit: self.limits.entries });
        }
        let Some(text) = target else {
            self.unlabelled += 1;
            return Ok(());
        };
        if image.len() as u64 > self.limits.entry_bytes {
            return Err(Error::TooLarge { entry: path, limit_bytes: self.limits.entry_bytes });
        }
        let place = self.spool.keep(image)?;
        let entry = self.listing.entries.len();
        self.listing.add(Entry { path, size: image.len() as u64, place }, self.limits)?;
        self.layout.samples.push(Labelled { entry, split: self.shard.split, text });
        Ok(())
    }
}
