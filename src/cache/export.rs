//! `--to DIR`: copies of a version's files in a folder of the user's, who may edit them afterwards.

use std::path::{Path, PathBuf};

use super::error::at;
use super::link::copy;
use super::unwritten::{LookAlikes, written};
use super::{Cache, Error, Result, VerifiedHashes};
use crate::domain::manifest::Manifest;

/// What an export did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    pub written: usize,
    /// Files that were there already with the right bytes.
    pub unchanged: usize,
}

impl Cache {
    /// Looks at everything before it writes anything: without `force`, a file with other content stops the whole.
    pub fn export(&self, verified: &VerifiedHashes, manifest: &Manifest, to: &Path, force: bool) -> Result<Exported> {
        let (alike, mut absent) = (LookAlikes::of(manifest), 0);
        let mut missing = Vec::new();
        let mut differing: Vec<PathBuf> = Vec::new();
        for entry in manifest.entries() {
            let path = to.join(entry.path.as_str());
            if verified.prove(&path, &entry.digest, entry.size_bytes)? {
                continue;
            }
            if alike.take(to, entry) {
                absent += 1;
                continue;
            }
            if std::fs::symlink_metadata(&path).is_ok() {
                differing.push(path.clone());
            }
            missing.push((entry, path));
        }
        if let (Some(first), false) = (differing.first(), force) {
            return Err(Error::WouldOverwrite { first: first.clone(), count: differing.len() });
        }
        std::fs::create_dir_all(to).map_err(at("make the folder", to))?;
        let mut proved = Vec::new();
        for (entry, path) in &missing {
            if alike.take(to, entry) {
                continue;
            }
            let mut stamp = None;
            let copied = copy(&self.blob_path(&entry.digest), path).map(|made| stamp = Some(made));
            written(copied).map_err(at("write", path))?;
            proved.extend(stamp.map(|stamp| (stamp, entry.digest)));
        }
        verified.add(&proved)?;
        Ok(Exported { written: proved.len(), unchanged: manifest.entries().len() - missing.len() - absent })
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::stored;
    use super::*;

    #[test]
    fn files_of_the_user_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let manifest = stored(&cache, &[("a", "one"), ("b/c", "two")]);
        let to = folder.path().join("out");
        let export = |force| cache.export(&cache.verified_hashes(), &manifest, &to, force);
        assert_eq!(export(false).unwrap(), Exported { written: 2, unchanged: 0 });
        assert_eq!(export(false).unwrap(), Exported { written: 0, unchanged: 2 });

        std::fs::write(to.join("a"), "mine").unwrap();
        std::fs::remove_file(to.join("b/c")).unwrap();
        assert!(matches!(export(false), Err(Error::WouldOverwrite { count: 1, .. })));
        assert!(!to.join("b/c").exists(), "something was written although the export was refused");
        assert_eq!(export(true).unwrap(), Exported { written: 2, unchanged: 0 });
        assert_eq!(std::fs::read_to_string(to.join("a")).unwrap(), "one");
        // An edit of the same length, in the same tick of the clock.
        std::fs::write(to.join("a"), "two").unwrap();
        assert!(matches!(export(false), Err(Error::WouldOverwrite { count: 1, .. })));
        assert_eq!(std::fs::read(cache.blob_path(&manifest.entries()[0].digest)).unwrap(), b"one", "an edit reached the store");
    }
}
