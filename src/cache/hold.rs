//! Keeping a version's blobs from being pruned while somebody needs them. Whoever pulls or uses a version
//! holds its manifest (a shared lock on `manifests/<commit>`); a prune leaves alone what is held. Taking hold
//! and pruning exclude each other through `locks/store`, so what a pull finds once it holds stays there.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::error::{at, is_read_only};
use super::link::write_whole;
use super::{Cache, Result};
use crate::domain::manifest::Manifest;
use crate::file_lock::FileLock;

/// While it lives, no prune touches what the manifest names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hold {
    /// None in a cache that this user may not even lock: whoever prunes it there does not ask.
    _lock: Option<Arc<FileLock>>,
}

/// While it lives, nobody can take hold.
#[derive(Debug)]
pub(super) struct Closed {
    _lock: FileLock,
}

impl Cache {
    /// Keeps the manifest and takes hold of what it names. None while the cache is being pruned.
    pub fn try_hold(&self, manifest: &Manifest) -> Result<Option<Hold>> {
        let store = self.store_lock();
        let _nobody_prunes = match FileLock::try_share(&store) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => return Ok(None),
            Err(error) if is_read_only(&error) => None,
            Err(error) => return Err(at("lock", &store)(error)),
        };
        let path = self.manifest_path(&manifest.commit_id());
        let text = manifest.canonical();
        if !std::fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
            match write_whole(&path, text.as_bytes()) {
                Err(error) if is_read_only(&error) => return Ok(Some(Hold { _lock: None })),
                other => other.map_err(at("write", &path))?,
            }
        }
        let file = File::open(&path).map_err(at("open", &path))?;
        let lock = FileLock::share_on(file).map_err(at("lock", &path))?;
        // When the version was last wanted: a cut pull is kept for a while, so that it can go on.
        let _ = lock.file().set_modified(SystemTime::now());
        Ok(Some(Hold { _lock: Some(Arc::new(lock)) }))
    }

    /// Waits until nobody is just taking hold, and keeps it so.
    pub(super) fn close(&self) -> Result<Closed> {
        let store = self.store_lock();
        FileLock::take(&store).map_err(at("lock", &store)).map(|lock| Closed { _lock: lock })
    }

    fn store_lock(&self) -> PathBuf {
        self.root.join("locks").join("store")
    }
}

impl Closed {
    /// Does anybody hold this manifest?
    pub(super) fn is_held(&self, manifest: &File) -> bool {
        manifest.try_lock().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::stored;
    use super::*;

    #[test]
    fn holding_and_pruning_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("a", "x")]);
        let first = cache.try_hold(&manifest).unwrap().unwrap();
        let second = cache.try_hold(&manifest).unwrap().unwrap();
        let closed = cache.close().unwrap();
        assert!(cache.try_hold(&manifest).unwrap().is_none(), "a prune is under way");
        let open = || File::open(cache.manifest_path(&manifest.commit_id())).unwrap();
        drop(first);
        assert!(closed.is_held(&open()), "the second still holds it");
        drop(second);
        assert!(!closed.is_held(&open()));
        drop(closed);
        assert!(cache.try_hold(&manifest).unwrap().is_some());
    }

    #[test]
    fn what_lies_in_a_read_only_cache_can_be_held() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let manifest = stored(&Cache::open(folder.path()).unwrap(), &[("a", "x")]);
        let allow = |mode| {
            for path in ["", "manifests", "locks"].map(|name| folder.path().join(name)) {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        allow(0o555);
        // Whoever is root here may write all the same.
        let cache = Cache::open(folder.path()).unwrap();
        assert!(cache.try_hold(&manifest).unwrap().is_some());
        allow(0o755);
    }

    #[test]
    fn a_damaged_manifest_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("a", "x")]);
        let path = cache.manifest_path(&manifest.commit_id());
        std::fs::write(&path, "nonsense").unwrap();
        cache.try_hold(&manifest).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), manifest.canonical());
    }
}
