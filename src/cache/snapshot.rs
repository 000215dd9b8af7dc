//! Versions as folders: every file a link to its blob. A new snapshot is built under another name and
//! renamed, so a folder with a commit's name is whole; one that was damaged later is mended file by file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::at;
use super::link::{beside, link};
use super::{Cache, Place, Result, hash_file};
use crate::domain::manifest::{Manifest, ManifestEntry};

impl Cache {
    pub fn snapshot_path(&self, place: &Place, manifest: &Manifest) -> PathBuf {
        place.folder(&self.root.join("snapshots")).join(manifest.commit_id().as_str())
    }

    /// Makes (or mends) the folder of a version whose blobs are all proved, and answers where it is.
    pub fn assemble(&self, place: &Place, manifest: &Manifest) -> Result<PathBuf> {
        let folder = self.snapshot_path(place, manifest);
        if folder.is_dir() {
            for entry in manifest.entries() {
                if !self.holds(&folder, entry)? {
                    self.link_entry(&folder, entry)?;
                }
            }
            return Ok(folder);
        }
        let parent = folder.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(parent).map_err(at("make the folder", parent))?;
        let building = beside(&folder);
        std::fs::create_dir(&building).map_err(at("make the folder", &building))?;
        let built = manifest.entries().iter().try_for_each(|entry| self.link_entry(&building, entry));
        let named = built.and_then(|()| match std::fs::rename(&building, &folder) {
            // Another process was quicker; its folder holds the same files.
            Err(_) if folder.is_dir() => Ok(()),
            other => other.map_err(at("name the folder", &folder)),
        });
        if building.exists() {
            let _ = std::fs::remove_dir_all(&building);
        }
        named.map(|()| folder)
    }

    fn link_entry(&self, folder: &Path, entry: &ManifestEntry) -> Result<()> {
        let to = folder.join(entry.path.as_str());
        link(&self.blob_path(&entry.digest), &to).map_err(at("link", &to))
    }

    /// The same inode as the proved blob needs no reading; a copy is hashed.
    fn holds(&self, folder: &Path, entry: &ManifestEntry) -> Result<bool> {
        let path = folder.join(entry.path.as_str());
        let Ok(found) = std::fs::symlink_metadata(&path) else { return Ok(false) };
        if !found.is_file() || found.len() != entry.size_bytes {
            return Ok(false);
        }
        let blob = self.blob_path(&entry.digest);
        let same = std::fs::metadata(&blob).is_ok_and(|blob| (blob.dev(), blob.ino()) == (found.dev(), found.ino()));
        Ok(same || hash_file(&path, &mut |_| ())?.0 == entry.digest)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::name::{RepoId, RepoKind};
    use crate::domain::path::RepoPath;

    /// Stores the bytes as blobs and answers their manifest.
    pub fn stored(cache: &Cache, files: &[(&str, &str)]) -> Manifest {
        let entry = |&(path, text): &(&str, &str)| {
            let digest = Digest::of(text.as_bytes());
            let part = cache.part_path(&digest);
            std::fs::write(&part, text).unwrap();
            cache.adopt(&part, &digest).unwrap();
            ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes: text.len() as u64, digest }
        };
        Manifest::new(files.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_snapshot_is_whole_and_mends_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("config.json", "{}"), ("weights/model.safetensors", "w")]);
        let id = RepoId::parse("acme/net").unwrap();
        let place = Place { server: "localhost", kind: RepoKind::Model, id: &id };
        let path = cache.assemble(&place, &manifest).unwrap();
        assert!(path.ends_with(manifest.commit_id().as_str()));
        assert_eq!(std::fs::read_to_string(path.join("weights/model.safetensors")).unwrap(), "w");

        std::fs::remove_file(path.join("config.json")).unwrap();
        std::fs::write(path.join("config.json"), "[]").unwrap();
        assert_eq!(cache.assemble(&place, &manifest).unwrap(), path);
        assert_eq!(std::fs::read_to_string(path.join("config.json")).unwrap(), "{}");
        let names = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "a half-built folder was left behind");
    }
}
