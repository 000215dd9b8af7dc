//! A folder of feature caches that jobs leave for each other, with a limit on its size.
//!
//! ```text
//! features-<space>-<set>.bin    finished, never written again; its modification time is when it was last used
//! features-looks-<items>.bin    what the items of a data set look like
//! features-<space>-<set>.part   being filled by whoever holds its lock, or left by a run that was killed
//! ```
//!
//! The space names everything that a feature depends on beside its item and view: the backbone, how items become views, with
//! what arithmetic. The set names the features of one run. So whoever finds a file of a space may use what is in it. To make room, what was used
//! longest ago goes first, finished or left behind; who has a removed file open keeps it to the end.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{RowFormat, Stored, Writer};
use crate::file_lock::FileLock;
use crate::train::error::{Error, Result};

/// What the disk must have left beside a large cache; beside a small one as much as itself.
const SPARE_BYTES: u64 = 1 << 30;

/// Where caches lie, and how much room they may take together.
#[derive(Debug, Clone)]
pub struct FeatureStore {
    folder: PathBuf,
    limit_bytes: u64,
}

/// Where a run keeps the features of frozen stages.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'a> {
    /// Nowhere: they are run anew in each epoch. (A head's features still lie in the scratch folder.)
    Nowhere,
    /// In the run's scratch folder, and gone with it.
    Scratch,
    /// Where other runs find it; in the scratch folder where the store has no room.
    Store(&'a FeatureStore),
}

/// What became of the wish to fill a cache.
pub(super) enum Begun {
    Writer(Writer),
    /// Another run fills it at this moment and has written so many bytes.
    Taken(u64),
    /// There is no room for it.
    NoRoom,
}

struct Found {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl FeatureStore {
    /// Caches in `folder`, which is made when it is needed. Only files named `features-...` are ever touched.
    pub fn new(folder: impl Into<PathBuf>, limit_bytes: u64) -> FeatureStore {
        FeatureStore { folder: folder.into(), limit_bytes }
    }

    /// Keeps stores that lie in folders of `root` within one limit together: what was used longest ago goes first.
    pub fn keep_within(root: &Path, limit_bytes: u64) {
        let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
        let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
        // What lies in the root itself is nobody's: it was made before stores had folders of their own.
        FeatureStore::new(root, 0).list().iter().filter(|cache| is_free(&cache.path)).for_each(|cache| remove(&cache.path));
        let mut found: Vec<Found> = folders.flat_map(|folder| FeatureStore::new(folder, 0).list()).collect();
        found.sort_by_key(|cache| cache.used);
        let mut total: u64 = found.iter().map(|cache| cache.bytes).sum();
        for cache in found {
            if total <= limit_bytes {
                return;
            }
            if is_free(&cache.path) {
                remove(&cache.path);
                total -= cache.bytes;
            }
        }
    }

    /// The finished cache of this key. One that is damaged or short is removed.
    pub(super) fn find(&self, key: &str, format: &RowFormat) -> Option<Stored> {
        open(&self.path(key, "bin"), format)
    }

    /// The finished caches of a space, from the newest on.
    pub(super) fn of_space<'a>(&self, space: &str, format: &'a RowFormat) -> impl Iterator<Item = Stored> + use<'a> {
        let start = format!("features-{space}-");
        let named = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&start));
        let is_finished = |found: &Found| found.path.extension().is_some_and(|end| end == "bin") && named(&found.path);
        let mut found: Vec<Found> = self.list().into_iter().filter(is_finished).collect();
        found.sort_by_key(|cache| std::cmp::Reverse(cache.used));
        found.into_iter().filter_map(move |cache| open(&cache.path, format))
    }

    /// Starts a cache of at most `bytes`, or goes on with one that a killed run left.
    pub(super) fn begin(&self, key: &str, format: RowFormat, bytes: u64) -> Result<Begun> {
        let (path, finished) = (self.path(key, "part"), self.path(key, "bin"));
        if bytes > self.limit_bytes {
            return Ok(Begun::NoRoom);
        }
        std::fs::create_dir_all(&self.folder).map_err(Error::io("cannot make the folder", &self.folder))?;
        let failed = |source| Error::Io { what: "cannot open the feature cache", path: path.clone(), source };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let locked = file.try_lock();
        let there = file.metadata().map_err(failed)?.len();
        // The lock goes with the process, so what a killed run left is free.
        match locked {
            Ok(()) if is_at(&file, &path) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(Begun::Taken(there)),
            // Where files cannot be locked nobody could tell who fills one.
            Err(TryLockError::Error(_)) => return Ok(Begun::NoRoom),
        }
        if !self.make_room(&path, bytes.saturating_sub(there)) {
            remove(&path);
            return Ok(Begun::NoRoom);
        }
        Writer::take_up(file, path, finished, format).map(Begun::Writer)
    }

    /// What was kept of a data set's items under this key, as it was given.
    pub(in crate::train) fn find_looks(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(&format!("looks-{key}"), "bin");
        let bytes = std::fs::read(&path).ok()?;
        let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes)
    }

    /// Keeps them for the next run; where there is no room for them that run makes its own.
    pub(in crate::train) fn keep_looks(&self, key: &str, bytes: &[u8]) {
        let (path, key) = (self.path(&format!("looks-{key}"), "bin"), key.get(..8).unwrap_or(key));
        if bytes.len() as u64 > self.limit_bytes || std::fs::create_dir_all(&self.folder).is_err() {
            return;
        }
        let there = std::fs::metadata(&path).map_or(0, |about| about.len());
        if self.make_room(&path, (bytes.len() as u64).saturating_sub(there)) {
            let part = tempfile::Builder::new().prefix(&format!("features-looks-{key}-")).suffix(".part").tempfile_in(&self.folder);
            // Nothing is lost but time where the disk says no.
            let _ = part.and_then(|mut part| {
                std::io::Write::write_all(&mut part, bytes)?;
                part.persist(&path).map_err(|failed| failed.error)
            });
        }
    }

    fn path(&self, key: &str, end: &str) -> PathBuf {
        self.folder.join(format!("features-{key}.{end}"))
    }

    /// Removes what was used longest ago until `more` bytes fit beside the rest; false if the disk is too full.
    fn make_room(&self, kept: &Path, more: u64) -> bool {
        let mut found = self.list();
        found.sort_by_key(|cache| cache.used);
        let mut total: u64 = found.iter().map(|cache| cache.bytes).sum();
        for cache in &found {
            if total.saturating_add(more) <= self.limit_bytes {
                break;
            }
            if cache.path != kept && is_free(&cache.path) {
                remove(&cache.path);
                total -= cache.bytes;
            }
        }
        let fits = total.saturating_add(more) <= self.limit_bytes;
        fits && fs4::available_space(&self.folder).is_ok_and(|free| free >= more.saturating_add(more.min(SPARE_BYTES)))
    }

    fn list(&self) -> Vec<Found> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let caches = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("features-"));
        let found = caches.filter_map(|entry| {
            let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Found { path: entry.path(), bytes: about.len(), used: about.modified().ok()? })
        });
        found.collect()
    }
}

fn open(path: &Path, format: &RowFormat) -> Option<Stored> {
    let file = File::open(path).ok()?;
    match Stored::open(path, format) {
        Some(stored) => {
            // Only the order of eviction suffers where this fails.
            let _ = file.set_modified(SystemTime::now());
            Some(stored)
        }
        None => {
            remove(path);
            None
        }
    }
}

/// Whether nobody is filling it.
fn is_free(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(FileLock::try_on(file), Ok(Some(_))))
}

/// Whether the name still means this file: it may have been finished or removed between opening and locking.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|a| std::fs::metadata(path).is_ok_and(|b| same(a, b)))
}

/// Another job may have been quicker, which is as good.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Encoding, Name};
    use super::*;

    fn format() -> RowFormat {
        RowFormat { dims: vec![64], encoding: Encoding::Half, ragged: false }
    }

    const NAME: Name = [7; 16];

    fn writer(begun: Begun) -> Writer {
        match begun {
            Begun::Writer(writer) => writer,
            Begun::Taken(bytes) => panic!("another run fills it, {bytes} bytes so far"),
            Begun::NoRoom => panic!("there is no room"),
        }
    }

    fn is_without_room(begun: &Begun) -> bool {
        matches!(begun, Begun::NoRoom)
    }

    /// 156 bytes.
    fn fill(store: &FeatureStore, key: &str) -> Stored {
        let mut writer = writer(store.begin(key, format(), 156).unwrap());
        writer.append(&[NAME], &[Some(&[0.5; 64])]).unwrap();
        writer.finish().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn used(store: &FeatureStore, key: &str, seconds_ago: u64) {
        let file = File::open(store.path(key, "bin")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_and_open_caches_stay_readable() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(folder.path(), 320);
        std::fs::write(folder.path().join("another.file"), [0; 999]).unwrap();
        let old = fill(&store, "a");
        fill(&store, "b");
        used(&store, "a", 50);
        used(&store, "b", 100);
        assert!(store.find("b", &format()).is_some(), "which makes it the newest");
        fill(&store, "c");
        assert_eq!(names(folder.path()), ["another.file", "features-b.bin", "features-c.bin"]);
        let mut row = Vec::new();
        assert!(
            old.of_items([(7, 0, &NAME)].into_iter()).read(7, 0, &mut row) && row == [0.5; 64],
            "the removed one serves whoever has it open"
        );
        assert!(is_without_room(&store.begin("d", format(), 321).unwrap()), "more than the limit is not begun");
        assert!(is_without_room(&store.begin("d", format(), u64::MAX).unwrap()));
        let whole_disk = FeatureStore::new(folder.path(), u64::MAX);
        assert!(is_without_room(&whole_disk.begin("d", format(), 1 << 60).unwrap()), "nor more than the disk has");
        assert_eq!(names(folder.path()).len(), 3, "and leaves nothing");
    }

    #[test]
    fn looks_are_kept_within_the_same_limit() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(folder.path(), 320);
        fill(&store, "a");
        store.keep_looks("one", &[1; 160]);
        assert_eq!(store.find_looks("one").unwrap(), [1; 160]);
        store.keep_looks("one", &[2; 100]);
        assert_eq!(store.find_looks("one").unwrap(), [2; 100]);
        used(&store, "a", 50);
        store.keep_looks("two", &[3; 200]);
        assert_eq!(names(folder.path()), ["features-looks-one.bin", "features-looks-two.bin"], "what was used longest ago went");
        store.keep_looks("three", &[4; 321]);
        assert!(store.find_looks("three").is_none(), "more than the limit is not kept");
    }

    #[test]
    fn one_job_fills_a_cache_and_what_a_killed_one_left_is_taken_up_or_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(folder.path(), 320);
        let mut first = writer(store.begin("a", format(), 156).unwrap());
        assert!(matches!(store.begin("a", format(), 156).unwrap(), Begun::Taken(0)), "another job fills it");
        first.append(&[NAME], &[Some(&[0.5; 64])]).unwrap();
        assert!(matches!(store.begin("a", format(), 156).unwrap(), Begun::Taken(156)), "and has come so far");
        assert!(is_without_room(&store.begin("b", format(), 250).unwrap()), "what is being filled is not cleared away");
        drop(first);
        assert!(writer(store.begin("a", format(), 156).unwrap()).has(&NAME));
        assert!(matches!(store.begin("b", format(), 250).unwrap(), Begun::Writer(_)));
        assert_eq!(names(folder.path()), ["features-b.part"]);
    }

    #[test]
    fn caches_of_a_space_are_found_by_others_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(folder.path(), 3_000);
        ["one-a", "one-b", "two-a"].iter().for_each(|key| drop(fill(&store, key)));
        drop(store.begin("one-c", format(), 156).unwrap());
        let found = |space: &str| store.of_space(space, &format()).filter(|stored| stored.has(&NAME)).count();
        assert_eq!((found("one"), found("two"), found("tw")), (2, 1, 0));
        std::fs::write(store.path("one-a", "bin"), [1; 40]).unwrap();
        assert_eq!(found("one"), 1, "a damaged one is passed over");
    }

    #[test]
    fn a_damaged_or_short_cache_is_refused_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(folder.path(), 320);
        fill(&store, "a");
        let path = store.path("a", "bin");
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[70] ^= 1;
        for bytes in [&damaged[..], &whole[..100], &[][..]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(store.find("a", &format()).is_none() && !path.exists());
            fill(&store, "a");
            assert!(store.find("a", &format()).is_some_and(|stored| stored.has(&NAME)));
        }
    }
}
