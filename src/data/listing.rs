//! From a source to the list of its entries, with every path checked, counted and compared with the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive;
use super::error::{Error, Result};
use super::limits::Limits;
use super::name;
use super::place::{Entry, Place};

/// Where a data set's bytes are.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// One archive file: zip, tar, tar.gz or tar.zst, told by its content.
    Archive(PathBuf),
    /// The files of a repo version: each path with the local file that holds it. A version with one archive and no
    /// images beside it is read as that archive.
    Files(Vec<(String, PathBuf)>),
}

/// All files of a source, and the folders that were named (a class may have a folder and no image).
#[derive(Debug, Default)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub folders: Vec<String>,
    seen: HashMap<String, String>,
    total_bytes: u64,
}

impl Listing {
    /// Lists `source` without decoding anything; compressed tars are read through once.
    pub fn of(source: &Source, limits: &Limits) -> Result<Listing> {
        match source {
            Source::Folder(path) => folder(path, limits),
            Source::Archive(path) => archive::list(path, limits),
            Source::Files(files) => version(files, limits),
        }
    }

    /// The checked form of a raw name; `None` is the root itself, which is no entry.
    pub(super) fn admit(&mut self, raw: &[u8], limits: &Limits) -> Result<Option<String>> {
        let path = name::entry_path(raw).map_err(|reason| Error::ArchivePath { entry: name::shown(raw), reason })?;
        if self.entries.len() + self.folders.len() >= limits.entries {
            return Err(Error::TooManyFiles { entry: path, limit: limits.entries });
        }
        Ok((!path.is_empty()).then_some(path))
    }

    pub(super) fn add_folder(&mut self, path: String) {
        self.folders.push(path);
    }

    /// Takes an entry in after the rules on sizes, equal names and nested archives.
    pub(super) fn add(&mut self, entry: Entry, limits: &Limits) -> Result<()> {
        if entry.size > limits.entry_bytes {
            return Err(Error::TooLarge { entry: entry.path, limit_bytes: limits.entry_bytes });
        }
        self.total_bytes = self.total_bytes.saturating_add(entry.size);
        if self.total_bytes > limits.total_bytes {
            return Err(Error::TooLarge { entry: entry.path, limit_bytes: limits.total_bytes });
        }
        if name::is_archive(&entry.path) && !name::is_ignored(&entry.path) {
            return Err(Error::ArchiveNested { entry: entry.path });
        }
        if let Some(first) = self.seen.insert(name::folded(&entry.path), entry.path.clone()) {
            return Err(Error::ArchiveCollision { first, second: entry.path });
        }
        self.entries.push(entry);
        Ok(())
    }

    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
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

fn version(files: &[(String, PathBuf)], limits: &Limits) -> Result<Listing> {
    let data = || files.iter().filter(|(path, _)| !name::is_ignored(path));
    let archives: Vec<_> = data().filter(|(path, _)| name::is_archive(path)).collect();
    if let [(_, local)] = archives.as_slice()
        && !data().any(|(path, _)| name::is_image(path))
    {
        return archive::list(local, limits);
    }
    let mut listing = Listing::default();
    for (path, local) in files {
        let Some(path) = listing.admit(path.as_bytes(), limits)? else { continue };
        let size = std::fs::metadata(local).map_err(Error::io(local))?.len();
        listing.add(Entry { path, size, place: Place::Path(local.clone()) }, limits)?;
    }
    Ok(listing)
}
