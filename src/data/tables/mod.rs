//! Parquet tables with a column of images: the form in which the Hugging Face libraries push data sets of them.
//!
//! Tables are read once, some rows at a time; their images are kept one after the other in an unnamed temporary file, as those of
//! a packed tar are, so that any of them can be had later by where it lies.

mod columns;
mod group;
mod pages;
mod shards;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use self::columns::Columns;
use self::shards::Shard;
use super::error::{Error, Result};
use super::labelled::{Labelled, Layout};
use super::limits::Limits;
use super::listing::Listing;
use super::place::{Entry, Place, Run};
use super::{archive, leftovers, modalities, name};
use crate::domain::dataset_layout::Declared;

/// The tables of a version, if its data are tables and nothing else: pictures and archives beside them come first.
pub fn of_files(files: &[(String, PathBuf)]) -> Option<Vec<(&str, &Path)>> {
    let data = || files.iter().filter(|(path, _)| !leftovers::is_ignored(path));
    let others = data().any(|(path, _)| name::is_archive(path) || modalities::is_readable(path));
    let tables: Vec<_> = data().filter(|(path, _)| is_table(path)).map(|(path, local)| (path.as_str(), local.as_path())).collect();
    (!others && !tables.is_empty()).then_some(tables)
}

pub fn is_table(path: &str) -> bool {
    name::extension(path).as_deref() == Some("parquet")
}

/// Reads the images and targets of all tables that belong to the data set by what is declared.
///
/// # Errors
/// [`Error::NotImages`] where they are sound tables of something else; what is damaged, lies about its sizes or contradicts itself.
pub fn read(tables: &[(&str, &Path)], declared: &Declared, limits: &Limits) -> Result<(Listing, Layout)> {
    let mut layout = Layout { warnings: declared.odd.clone(), ..Layout::default() };
    let shards = shards::sort(tables, &declared.splits, &mut layout.warnings)?;
    let mut spool = Spool::new()?;
    let mut listing = Listing::default();
    let mut first: Option<(Columns, &str)> = None;
    let mut unlabelled = 0usize;
    for shard in &shards {
        let table = Table::open(shard.local, shard.path)?;
        let columns = table.caught(|reader| columns::find(reader.metadata()))??;
        match &first {
            Some((known, _)) if *known == columns => {}
            Some((_, path)) => {
                let reason = format!("its columns are not those of `{path}`; all tables of a data set need the same");
                return Err(Error::BadTable { file: shard.path.into(), reason });
            }
            None => layout.warnings.extend(columns.warnings()),
        }
        let mut rows = Rows { shard, listing: &mut listing, layout: &mut layout, spool: &mut spool, limits, at: 0, unlabelled: 0 };
        group::read_all(&table, &columns, &mut rows)?;
        unlabelled += rows.unlabelled;
        first.get_or_insert((columns, shard.path));
    }
    spool.out.flush().map_err(Error::io("a temporary file"))?;
    layout.form = first.map_or_else(Default::default, |(columns, _)| columns.form(declared));
    if unlabelled > 0 {
        layout.warnings.push(format!("{unlabelled} rows have no label and are left out"));
    }
    Ok((listing, layout))
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
    shard: &'a Shard<'a>,
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

/// Images one after the other in a file without a name, which the system removes with the last handle.
struct Spool {
    shared: Arc<File>,
    out: io::BufWriter<File>,
    at: u64,
}

impl Spool {
    fn new() -> Result<Spool> {
        let file = tempfile::tempfile().map_err(Error::io("a temporary file"))?;
        let shared = Arc::new(file.try_clone().map_err(Error::io("a temporary file"))?);
        Ok(Spool { shared, out: io::BufWriter::with_capacity(1 << 18, file), at: 0 })
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Place> {
        self.out.write_all(bytes).map_err(Error::io("a temporary file"))?;
        let run = Run { file: self.shared.clone(), start: self.at, len: bytes.len() as u64 };
        self.at += run.len;
        Ok(Place::Plain(run))
    }
}
