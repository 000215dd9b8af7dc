//! What the server has acknowledged, kept outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

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
    /// Upload to bytes received, the most that was acknowledged; all of them: `u64::MAX`.
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

    /// The answer to a part of an upload.
    pub fn received(&self, id: &str, upload: &Value) {
        let bytes = if upload["complete"] == true { u64::MAX } else { received(upload) };
        let mut notes = self.notes();
        let known = notes.received.entry(id.into()).or_default();
        *known = bytes.max(*known);
    }
}

/// How many bytes of an upload have arrived, in whatever order.
pub fn received(upload: &Value) -> u64 {
    let runs = upload["received"].as_array().unwrap();
    runs.iter().map(|run| run[1].as_u64().unwrap() - run[0].as_u64().unwrap()).sum()
}
