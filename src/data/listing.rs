//! The list of a source's entries, with every path checked, counted and compared with the others.

use std::collections::HashMap;

use super::error::{Error, Result};
use super::limits::Limits;
use super::place::Entry;
use super::{leftovers, name};

/// All files of a source, and the folders that were named (a class may have a folder and no image).
#[derive(Debug, Default)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub folders: Vec<String>,
    seen: HashMap<String, String>,
    total_bytes: u64,
}

impl Listing {
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
        if name::is_archive(&entry.path) && !leftovers::is_ignored(&entry.path) {
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
