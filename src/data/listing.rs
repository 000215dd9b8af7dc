//! The list of a source's entries, with every path checked, counted and compared with the others.

use std::collections::{BTreeMap, HashMap};

use super::error::{Error, Result};
use super::labelled::warn_left_out;
use super::limits::Limits;
use super::place::Entry;
use super::{leftovers, modalities, name};
use crate::domain::litter;

/// All files of a source, and the folders that were named (a class may have a folder and no image).
#[derive(Debug, Default)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub folders: Vec<String>,
    /// Folders that somebody hid, with the items in them.
    pub hidden: BTreeMap<String, usize>,
    /// What was odd about it, in sentences.
    pub notes: Vec<String>,
    /// By the folded path: the place in `entries`.
    seen: HashMap<String, usize>,
    total_bytes: u64,
}

impl Listing {
    /// The checked form of a raw name; `None` of what is no entry: the root itself, and litter, whose names are not judged.
    pub(super) fn admit(&mut self, raw: &[u8], limits: &Limits) -> Result<Option<String>> {
        let written = String::from_utf8_lossy(raw);
        let written = written.strip_suffix('/').unwrap_or(&written);
        if litter::in_litter(written) {
            if let Some(folder) = litter::hidden_folder(written).filter(|_| modalities::is_media(written)) {
                *self.hidden.entry(name::shown(folder.as_bytes())).or_default() += 1;
            }
            return Ok(None);
        }
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
        if name::is_archive(&entry.path) && !leftovers::is_ignored(&entry.path) {
            return Err(Error::ArchiveNested { entry: entry.path });
        }
        self.add_packed(entry, limits)
    }

    /// As [`Self::add`] for a file that may be called an archive and holds no files.
    pub(super) fn add_packed(&mut self, entry: Entry, limits: &Limits) -> Result<()> {
        self.total_bytes = self.total_bytes.saturating_add(entry.size);
        if self.total_bytes > limits.total_bytes {
            return Err(Error::TooLarge { entry: entry.path, limit_bytes: limits.total_bytes });
        }
        if let Some(first) = self.seen.insert(name::folded(&entry.path), self.entries.len()) {
            return Err(Error::ArchiveCollision { first: self.entries[first].path.clone(), second: entry.path });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Files beside the one archive that was read.
    pub(super) fn beside<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        warn_left_out(&paths.collect::<Vec<_>>(), "since they lie beside the archive that was read", &mut self.notes);
    }

    /// What was left out before anything was read, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let hidden: usize = self.hidden.values().sum();
        if hidden == 0 {
            return notes;
        }
        let folders = self.hidden.keys().take(5).map(|folder| format!("`{folder}`")).collect::<Vec<_>>().join(", ");
        notes.push(format!("{hidden} images lie in hidden folders and were left out: {folders}; rename a folder that is meant"));
        notes
    }

    /// The entry of exactly this path.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        let at = self.seen.get(&name::folded(path))?;
        self.entries.get(*at).filter(|entry| entry.path == path)
    }

    /// The same with other entries, made of its own.
    ///
    /// # Errors
    /// Two have one path.
    pub(super) fn with(self, entries: Vec<Entry>, limits: &Limits) -> Result<Listing> {
        let total_bytes = self.total_bytes;
        let unbound = Limits { total_bytes: u64::MAX, ..limits.clone() };
        let mut listing = Listing { entries: Vec::new(), seen: HashMap::new(), ..self };
        for entry in entries {
            listing.add_packed(entry, &unbound)?;
        }
        Ok(Listing { total_bytes, ..listing })
    }

    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}
