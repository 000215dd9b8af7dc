//! File locks between processes: only one fetches a blob, the others wait and find it there.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use super::error::at;
use super::{Cache, Result};
use crate::domain::digest::Digest;

/// Held until dropped. The lock file stays unless [`Lock::done`] removes it, which is only right once the
/// blob has its final name: whoever waited on the removed file then finds the blob instead.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// The blob is there; nobody needs this lock any more.
    pub fn done(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Cache {
    /// None while another process holds it.
    pub fn try_lock(&self, digest: &Digest) -> Result<Option<Lock>> {
        let path = self.root.join("locks").join(digest.to_hex());
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file, path })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(at("lock", &path)(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"x");
        let held = cache.try_lock(&digest).unwrap().unwrap();
        assert!(cache.try_lock(&digest).unwrap().is_none());
        assert!(cache.try_lock(&Digest::of(b"y")).unwrap().is_some());
        held.done();
        assert!(cache.try_lock(&digest).unwrap().is_some());
    }
}
