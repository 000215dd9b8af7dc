//! What this process knows of stored bytes: which leaves of which files it has read and found good, the hashes it
//! compares with, and the blobs it has met that are not what they are named by.
//!
//! A leaf that was found good is not hashed again as long as its file looks as it did: the same inode, size and times.
//! Nothing of this outlives the process. All of it is bounded: what is forgotten is checked again.

use std::collections::{BTreeSet, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::leaves::{self, Leaves};
use crate::domain::digest::Digest;

/// Files remembered; one takes some hundred bytes.
const MOST_FILES: usize = 100_000;
/// Lists of hashes in memory: those of a thousand blobs of a gigabyte.
const MOST_LIST_BYTES: usize = 64 << 20;
/// Blobs that wait for a second look; each further read of one that is left out names it again.
const MOST_DOUBTFUL: usize = 1_000;
/// Blobs read whole at a time because nobody knows their leaves.
const FIRST_READINGS: usize = 2;

/// How a file looked: whoever changes its bytes changes this, unless they take pains not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    place: (u64, u64),
    pub size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            place: (meta.dev(), meta.ino()),
            size_bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Does the file still look like this? That its last name was taken away is no change of its bytes.
    pub fn is_of(&self, meta: &Metadata) -> bool {
        let now = Stamp::of(meta);
        now == *self || (meta.nlink() == 0 && now == Stamp { changed: now.changed, ..*self })
    }
}

/// The leaves of one file that were found good.
#[derive(Debug)]
pub(super) struct Check {
    pub stamp: Stamp,
    proved: Vec<AtomicU64>,
    left: AtomicU64,
}

impl Check {
    pub fn new(stamp: Stamp) -> Check {
        let count = leaves::count(stamp.size_bytes);
        let proved = (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Check { stamp, proved, left: AtomicU64::new(count) }
    }

    pub fn is_proved(&self, leaf: u64) -> bool {
        self.word(leaf).is_some_and(|word| word.load(Ordering::Acquire) >> (leaf % 64) & 1 == 1)
    }

    pub fn all_proved(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    pub fn prove(&self, leaf: u64) {
        let Some(word) = self.word(leaf) else { return };
        let bit = 1 << (leaf % 64);
        if word.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.left.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub fn prove_all(&self) {
        (0..leaves::count(self.stamp.size_bytes)).for_each(|leaf| self.prove(leaf));
    }

    fn word(&self, leaf: u64) -> Option<&AtomicU64> {
        self.proved.get(usize::try_from(leaf / 64).ok()?)
    }
}

#[derive(Default)]
struct Lists {
    known: HashMap<Digest, Arc<Leaves>>,
    bytes: usize,
}

pub(super) struct Checks {
    files: Mutex<HashMap<Digest, Arc<Check>>>,
    lists: Mutex<Lists>,
    /// Held by the one that finds out a blob's leaves.
    searching: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    pub first_readings: Semaphore,
    doubtful: Mutex<BTreeSet<Digest>>,
    doubted: Notify,
}

impl Default for Checks {
    fn default() -> Checks {
        let (files, lists, searching, doubtful, doubted) = Default::default();
        Checks { files, lists, searching, first_readings: Semaphore::new(FIRST_READINGS), doubtful, doubted }
    }
}

impl Checks {
    /// What is known of a file that looks like this.
    pub fn of(&self, digest: &Digest, stamp: Stamp) -> Arc<Check> {
        let mut files = self.files.lock();
        if let Some(known) = files.get(digest).filter(|known| known.stamp == stamp) {
            return known.clone();
        }
        if files.len() >= MOST_FILES {
            files.retain(|_, check| Arc::strong_count(check) > 1);
        }
        let check = Arc::new(Check::new(stamp));
        if files.len() < MOST_FILES || files.contains_key(digest) {
            files.insert(*digest, check.clone());
        }
        check
    }

    pub fn find_list(&self, digest: &Digest) -> Option<Arc<Leaves>> {
        self.lists.lock().known.get(digest).cloned()
    }

    pub fn keep_list(&self, digest: &Digest, leaves: Arc<Leaves>) {
        let mut lists = self.lists.lock();
        if lists.bytes + leaves.memory_bytes() > MOST_LIST_BYTES {
            *lists = Lists::default();
        }
        lists.bytes += leaves.memory_bytes();
        if let Some(old) = lists.known.insert(*digest, leaves) {
            lists.bytes -= old.memory_bytes();
        }
    }

    /// Takes turns with others that look for the leaves of one blob.
    pub fn search(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut searching = self.searching.lock();
        searching.retain(|_, turn| Arc::strong_count(turn) > 1);
        searching.entry(*digest).or_default().clone()
    }

    /// Its bytes are not those it is named by, or were not when they were read.
    pub fn doubt(&self, digest: &Digest, problem: &str) {
        let mut doubtful = self.doubtful.lock();
        if doubtful.len() < MOST_DOUBTFUL && doubtful.insert(*digest) {
            tracing::error!(%digest, problem, "a stored blob is damaged; its bad bytes were not sent");
            self.doubted.notify_one();
        }
    }

    /// The next blob that was doubted.
    pub async fn next_doubtful(&self) -> Digest {
        loop {
            let asked = self.doubted.notified();
            if let Some(digest) = self.doubtful.lock().first() {
                return *digest;
            }
            asked.await;
        }
    }

    /// It was looked at again.
    pub fn settle(&self, digest: &Digest) {
        self.doubtful.lock().remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size_bytes: u64, modified: i64) -> Stamp {
        Stamp { place: (1, 2), size_bytes, modified: (modified, 0), changed: (modified, 0) }
    }

    #[test]
    fn what_was_proved_is_known_until_the_file_looks_otherwise() {
        let (checks, digest) = (Checks::default(), Digest::of(b"x"));
        let size = 70 * leaves::LEAF_BYTES + 1;
        let check = checks.of(&digest, stamp(size, 1));
        (0..70).for_each(|leaf| check.prove(leaf));
        check.prove(3);
        assert!(checks.of(&digest, stamp(size, 1)).is_proved(69) && !check.is_proved(70) && !check.all_proved());
        check.prove(70);
        assert!(check.all_proved() && !check.is_proved(71));
        assert!(!checks.of(&digest, stamp(size, 2)).is_proved(69));
        assert!(!checks.of(&digest, stamp(size, 1)).is_proved(69), "and is not believed when it looks as before again");
    }

    #[test]
    fn lists_in_memory_are_bounded() {
        let checks = Checks::default();
        let mut hashing = leaves::Hashing::default();
        hashing.update(&vec![0; 64 << 20]);
        let list = Arc::new(hashing.finish().1);
        let fit = MOST_LIST_BYTES / list.memory_bytes();
        for n in 0..fit + 9 {
            checks.keep_list(&Digest::of(&n.to_be_bytes()), list.clone());
            checks.keep_list(&Digest::of(&n.to_be_bytes()), list.clone());
        }
        assert!(checks.lists.lock().bytes <= MOST_LIST_BYTES);
        assert!(checks.find_list(&Digest::of(&(fit + 8).to_be_bytes())).is_some());
    }

    #[tokio::test]
    async fn a_doubtful_blob_is_named_once_until_it_was_looked_at() {
        let checks = Checks::default();
        let digest = Digest::of(b"x");
        checks.doubt(&digest, "a");
        checks.doubt(&digest, "a");
        assert_eq!(checks.next_doubtful().await, digest);
        checks.settle(&digest);
        assert!(checks.doubtful.lock().is_empty());
    }
}
