//! Where a data set's bytes are, and the list of its files.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::corrections::CORRECTIONS;
use super::error::{Error, Result};
use super::limits::Limits;
use super::listing::Listing;
use super::place::{Entry, Place};
use super::{archive, leftovers, modalities, name, records, tables};
use crate::domain::card::{Card, MAX_CARD_BYTES};
use crate::domain::dataset_layout::Declared;

/// Where a data set's bytes are.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// One archive file: zip, tar, or a packed tar, told by its content.
    Archive(PathBuf),
    /// The files of a repo version: each path with the local file that holds it. A version with one archive and no
    /// images beside it is read as that archive.
    Files(Vec<(String, PathBuf)>),
}

impl Source {
    /// The tables it is made of, if it is.
    pub(super) fn tables(&self, declared: &Declared) -> Option<Vec<(&str, &Path)>> {
        match self {
            Source::Files(files) => tables::of_files(files, declared),
            Source::Folder(_) | Source::Archive(_) => None,
        }
    }

    /// Its list of labels that were put right, if it has one.
    pub(super) fn corrections(&self) -> Option<PathBuf> {
        match self {
            Source::Folder(root) => Some(root.join(CORRECTIONS)).filter(|file| file.is_file()),
            Source::Archive(_) => None,
            Source::Files(files) => files.iter().find(|(path, _)| path == CORRECTIONS).map(|(_, local)| local.clone()),
        }
    }

    /// What its card says of its layout. What of a card cannot be read says nothing here; who publishes it hears why.
    pub(super) fn declared(&self) -> Declared {
        let card = match self {
            Source::Folder(root) => Some(root.join("README.md")),
            Source::Archive(_) => None,
            Source::Files(files) => files.iter().find(|(path, _)| path == "README.md").map(|(_, local)| local.clone()),
        };
        card.and_then(|card| declared(&card)).unwrap_or_default()
    }

    /// Lists it without opening any item; compressed tars are read through once.
    pub(super) fn list(&self, declared: &Declared, limits: &Limits) -> Result<Listing> {
        let zip_names = declared.zip_encoding.as_deref();
        match self {
            Source::Folder(path) => folder(path, limits),
            Source::Archive(path) => archive::list(path, zip_names, limits),
            Source::Files(files) => version(files, zip_names, limits),
        }
    }
}

fn declared(card: &Path) -> Option<Declared> {
    let file = std::fs::File::open(card).ok()?;
    let (size, mut bytes) = (file.metadata().ok()?.len(), Vec::new());
    file.take(MAX_CARD_BYTES as u64).read_to_end(&mut bytes).ok()?;
    Some(Declared::of_front(&Card::read_bytes(&bytes, size).0.extra))
}

fn folder(root: &Path, limits: &Limits) -> Result<Listing> {
    let mut listing = Listing::default();
    for item in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let item = item.map_err(|e| {
            let path = e.path().unwrap_or(root).to_path_buf();
            Error::Io { path, source: e.into() }
        })?;
        let relative = item.path().strip_prefix(root).unwrap_or(item.path());
        let raw = relative.as_os_str().as_encoded_bytes();
        let Some(path) = listing.admit(raw, limits)? else { continue };
        let kind = item.file_type();
        if kind.is_dir() {
            listing.add_folder(path);
        } else if kind.is_file() {
            let size = item.metadata().map_err(|e| Error::Io { path: item.path().into(), source: e.into() })?.len();
            listing.add(Entry { path, size, place: Place::Path(item.into_path()) }, limits)?;
        } else {
            let kind = if kind.is_symlink() { "symbolic link" } else { "device, pipe or socket" };
            return Err(Error::ArchiveEntryKind { entry: path, kind });
        }
    }
    Ok(listing)
}

fn version(files: &[(String, PathBuf)], zip_names: Option<&str>, limits: &Limits) -> Result<Listing> {
    let data = || files.iter().filter(|(path, _)| !leftovers::is_ignored(path));
    let (mut archives, mut alone) = (Vec::new(), HashSet::new());
    for file in data().filter(|(path, _)| name::is_archive(path)) {
        match archive::holds_files(&file.1)? {
            true => archives.push(file),
            false => drop(alone.insert(file.0.as_str())),
        }
    }
    if let Some(name) = alone.iter().min()
        && archives.is_empty()
        && !data().any(|(path, _)| modalities::may_be_media(path) || modalities::is_readable(path) || records::is_table(path))
    {
        return Err(Error::PackedFile { name: name.to_string() });
    }
    if let [(name, local)] = archives.as_slice()
        && !data().any(|(path, _)| modalities::may_be_media(path))
    {
        let mut listing = archive::list(local, zip_names, limits).map_err(|error| match error {
            // The file here is called after its content.
            Error::ArchiveUnknown { what, .. } => Error::ArchiveUnknown { name: name.clone(), what },
            error => error,
        })?;
        listing.beside(data().map(|(path, _)| path.as_str()).filter(|path| path != name));
        return Ok(listing);
    }
    let mut listing = Listing::default();
    for (raw, local) in files {
        let Some(path) = listing.admit(raw.as_bytes(), limits)? else { continue };
        let size = std::fs::metadata(local).map_err(Error::io(local))?.len();
        let entry = Entry { path, size, place: Place::Path(local.clone()) };
        if alone.contains(raw.as_str()) { listing.add_packed(entry, limits)? } else { listing.add(entry, limits)? }
    }
    Ok(listing)
}
