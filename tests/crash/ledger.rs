//! What the server has acknowledged, kept outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use super::File;

/// `models/library/net` and a number.
pub type Place = (String, u64);

/// An acknowledged version.
#[derive(Debug, Clone)]
pub struct Version {
    pub commit: String,
    /// Path to sha256.
    pub files: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
pub struct Notes {
    pub versions: BTreeMap<Place, Version>,
    /// Deleted, and so acknowledged.
    pub deleted: BTreeSet<Place>,
    /// Asked to be deleted; the answer never came.
    pub doubtful: BTreeSet<Place>,
    /// Publishes under way when the server died: repo and files.
    pub cut: Vec<(String, Vec<File>)>,
    /// Upload to bytes received, as last acknowledged; without those that are complete.
    pub received: BTreeMap<String, u64>,
    /// Digests on their way.
    pub sending: Vec<String>,
    /// Seen to be whole once.
    pub seen_whole: BTreeSet<Place>,
}

impl Ledger {
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// A version was acknowledged.
    pub fn published(&self, repo: &str, number: u64, commit: &str, files: &[File]) {
        let files = files.iter().map(|file| (file.path.clone(), file.sha256.clone())).collect();
        let version = Version { commit: commit.into(), files };
        let before = self.notes().versions.insert((repo.into(), number), version);
        assert!(before.is_none_or(|before| before.commit == commit), "{repo}@{number} was acknowledged twice");
    }

    /// Part of an upload was acknowledged.
    pub fn received(&self, upload: &str, bytes: u64, complete: bool) {
        let mut notes = self.notes();
        if complete {
            notes.received.remove(upload);
        } else {
            notes.received.insert(upload.into(), bytes);
        }
    }
}
