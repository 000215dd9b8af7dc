//! Who is alive. A worker holds a lock on a file of its name; the kernel drops the lock when the process ends,
//! however it ends, so others need not wait for a lease to run out to know.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Error, Result, death};
use crate::confine::last_word;
use crate::domain::job::Death;
use crate::file_lock::FileLock;

const SUFFIX: &str = "lock";

/// A living worker's name and lock.
pub(super) struct Presence {
    name: String,
    folder: PathBuf,
    /// How the names of those begin whose locks can be told from here.
    machine: String,
    _lock: File,
}

/// A worker that died; its lock is held so that only one undertaker comes.
pub(super) struct Dead {
    name: String,
    folder: PathBuf,
    _lock: FileLock,
}

impl Presence {
    /// Takes a new name in `folder`. The file is locked before it gets its final name: nobody ever sees a
    /// living worker's file unlocked.
    ///
    /// Where machines may share the folder, `machine` is this one's name: locks of others may look free from here.
    pub fn claim(folder: &Path, machine: &str) -> Result<Presence> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let temporary = tempfile::Builder::new().prefix("new-").tempfile_in(folder).map_err(Error::io(folder))?;
        let random = temporary.path().file_name().and_then(|name| name.to_str()).map(|name| name.trim_start_matches("new-"));
        let machine = if machine.is_empty() { String::new() } else { format!("{machine}-") };
        let name = format!("{machine}{}-{}", std::process::id(), random.unwrap_or_default());
        temporary.as_file().lock().map_err(Error::io(temporary.path()))?;
        let path = lock_path(folder, &name);
        let lock = temporary.persist_noclobber(&path).map_err(|failed| Error::io(&path)(failed.error))?;
        death::register(&lock);
        Ok(Presence { name, folder: folder.to_owned(), machine, _lock: lock })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the job may write.
    pub fn scratch(&self, job: &str) -> PathBuf {
        self.folder.join(&self.name).join(job)
    }

    /// Workers that ended without taking their leave.
    pub fn dead(&self) -> Vec<Dead> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let locked = path.extension().is_some_and(|end| end == SUFFIX);
            locked.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
        });
        let mine = names.filter(|name| *name != self.name && name.starts_with(&self.machine));
        mine.filter_map(|name| Dead::find(&self.folder, name)).collect()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        last_word::forget();
        forget(&self.folder, &self.name);
    }
}

impl Dead {
    fn find(folder: &Path, name: String) -> Option<Dead> {
        let lock = FileLock::try_on(File::open(lock_path(folder, &name)).ok()?).ok()??;
        Some(Dead { name, folder: folder.to_owned(), _lock: lock })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, so far as that is known.
    pub fn death(&self) -> Death {
        death::read(&lock_path(&self.folder, &self.name))
    }

    /// Removes what it left on this machine.
    pub fn forget(self) {
        forget(&self.folder, &self.name);
    }
}

fn lock_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{SUFFIX}"))
}

fn forget(folder: &Path, name: &str) {
    super::remove(&folder.join(name));
    if let Err(error) = fs::remove_file(lock_path(folder, name)) {
        tracing::warn!(%error, worker = name, "cannot remove a worker's lock file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_left_alone_and_the_dead_are_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let one = Presence::claim(folder.path(), "").unwrap();
        let two = Presence::claim(folder.path(), "").unwrap();
        assert_ne!(one.name(), two.name());
        assert!(one.dead().is_empty() && two.dead().is_empty());

        // As a killed process leaves it: the file and scratch stay, the lock is gone.
        fs::write(lock_path(folder.path(), "77-gone"), "").unwrap();
        let scratch = folder.path().join("77-gone/job");
        fs::create_dir_all(&scratch).unwrap();
        let found = one.dead();
        assert_eq!(found.iter().map(Dead::name).collect::<Vec<_>>(), ["77-gone"]);
        assert!(two.dead().is_empty(), "one undertaker is enough");
        found.into_iter().for_each(Dead::forget);
        assert!(!scratch.exists() && one.dead().is_empty());

        drop(one);
        assert!(two.dead().is_empty(), "who leaves in good order leaves nothing");
    }

    #[test]
    fn of_another_machine_nobody_is_taken_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        let here = Presence::claim(folder.path(), "node1").unwrap();
        assert!(here.name().starts_with(&format!("node1-{}-", std::process::id())), "{}", here.name());
        for name in ["node2-77-abc", "node10-77-abc", "node1-77-gone"] {
            fs::write(lock_path(folder.path(), name), "").unwrap();
        }
        assert_eq!(here.dead().iter().map(Dead::name).collect::<Vec<_>>(), ["node1-77-gone"]);
    }
}
