//! Versions as folders: every file a link to its blob. A new snapshot is built under another name and
//! renamed, so a folder with a commit's name is whole; one that was damaged later is mended file by file. Some of
//! a version's files make a folder of their own, which no whole version's name looks like.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::at;
use super::link::{beside, link, link_new};
use super::unwritten::{LookAlikes, written};
use super::verified::VerifiedHashes;
use super::{Cache, Place, Result};
use crate::domain::digest::CommitId;
use crate::domain::manifest::{Manifest, ManifestEntry};

/// What stands between the commit and what tells selections apart.
const ONLY: &str = "-only-";

impl Cache {
    /// `<commit>` of a whole version, `<commit>-only-<id of the selection>` of some of its files.
    pub fn snapshot_path(&self, place: &Place, whole: &Manifest, wanted: &Manifest) -> PathBuf {
        let commit = whole.commit_id();
        let name = if wanted == whole { commit.to_string() } else { format!("{commit}{ONLY}{}", &wanted.commit_id().as_str()[..12]) };
        place.folder(&self.root.join("snapshots")).join(name)
    }

    /// Makes (or mends) the folder of the `wanted` files of a version, whose blobs are all proved, and answers where
    /// it is.
    pub fn assemble(&self, verified: &VerifiedHashes, place: &Place, whole: &Manifest, wanted: &Manifest) -> Result<PathBuf> {
        let folder = self.snapshot_path(place, whole, wanted);
        if folder.is_dir() {
            let alike = LookAlikes::of(wanted);
            for entry in wanted.entries() {
                if !self.holds(verified, &folder, entry)? && !alike.take(&folder, entry) {
                    let to = folder.join(entry.path.as_str());
                    written(link(&self.blob_path(&entry.digest), &to)).map_err(at("link", &to))?;
                }
            }
        } else {
            self.build(&folder, wanted)?;
        }
        // The folder's time is that of its last use; a prune by time goes by it.
        let _ = File::open(&folder).and_then(|opened| opened.set_modified(SystemTime::now()));
        Ok(folder)
    }

    fn build(&self, folder: &Path, wanted: &Manifest) -> Result<()> {
        let building = beside(folder);
        std::fs::create_dir_all(&building).map_err(at("make the folder", &building))?;
        let named = self.link_all(&building, wanted).and_then(|()| match std::fs::rename(&building, folder) {
            // Another process was quicker; its folder holds the same files.
            Err(_) if folder.is_dir() => Ok(()),
            other => other.map_err(at("name the folder", folder)),
        });
        if building.exists() {
            let _ = std::fs::remove_dir_all(&building);
        }
        named
    }

    fn link_all(&self, folder: &Path, wanted: &Manifest) -> Result<()> {
        let (mut made, alike) = (HashSet::new(), LookAlikes::of(wanted));
        for entry in wanted.entries() {
            let to = folder.join(entry.path.as_str());
            let parent = to.parent().unwrap_or(folder);
            if !made.contains(parent) {
                if !written(std::fs::create_dir_all(parent)).map_err(at("make the folder", parent))? {
                    continue;
                }
                made.insert(parent.to_path_buf());
            }
            if !alike.take(folder, entry) {
                written(link_new(&self.blob_path(&entry.digest), &to)).map_err(at("link", &to))?;
            }
        }
        Ok(())
    }

    /// The same inode as the proved blob needs no reading; a copy is hashed.
    fn holds(&self, verified: &VerifiedHashes, folder: &Path, entry: &ManifestEntry) -> Result<bool> {
        let path = folder.join(entry.path.as_str());
        Ok(self.is_link(&path, entry) || verified.prove(&path, &entry.digest, entry.size_bytes)?)
    }

    /// Is it another name of the blob?
    pub(super) fn is_link(&self, path: &Path, entry: &ManifestEntry) -> bool {
        let blob = std::fs::metadata(self.blob_path(&entry.digest));
        let found = std::fs::symlink_metadata(path);
        found.is_ok_and(|found| blob.is_ok_and(|blob| (blob.dev(), blob.ino()) == (found.dev(), found.ino())))
    }
}

/// The commit a snapshot's folder is of, and whether it is the whole version.
pub(super) fn read_name(name: &str) -> Option<(CommitId, bool)> {
    let (commit, whole) = name.split_once(ONLY).map_or((name, true), |(commit, _)| (commit, false));
    CommitId::parse(commit).ok().map(|commit| (commit, whole))
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::part::Part;
    use crate::domain::digest::Digest;
    use crate::domain::name::{RepoId, RepoKind};
    use crate::domain::path::RepoPath;

    /// Stores the bytes as blobs and answers their manifest.
    pub fn stored(cache: &Cache, files: &[(&str, &str)]) -> Manifest {
        let entry = |&(path, text): &(&str, &str)| {
            let (digest, size_bytes) = (Digest::of(text.as_bytes()), text.len() as u64);
            if !cache.has_blob(&digest, size_bytes) {
                let part = Part::open(cache, &digest, size_bytes).unwrap();
                part.write(0, &[Bytes::copy_from_slice(text.as_bytes())]).unwrap();
                cache.adopt(&cache.verified_hashes(), &part, &digest).unwrap();
            }
            ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes, digest }
        };
        Manifest::new(files.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_snapshot_is_whole_and_mends_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("config.json", "{}"), ("weights/a/model.safetensors", "w"), ("weights/b", "v")]);
        let id = RepoId::parse("acme/net").unwrap();
        let place = Place { server: "localhost", kind: RepoKind::Model, id: &id };
        let assemble = || cache.assemble(&cache.verified_hashes(), &place, &manifest, &manifest).unwrap();
        let path = assemble();
        assert!(path.ends_with(manifest.commit_id().as_str()));
        assert_eq!(std::fs::read_to_string(path.join("weights/a/model.safetensors")).unwrap(), "w");

        std::fs::remove_file(path.join("config.json")).unwrap();
        std::fs::write(path.join("config.json"), "[]").unwrap();
        std::fs::remove_dir_all(path.join("weights")).unwrap();
        assert_eq!(assemble(), path);
        assert_eq!(std::fs::read_to_string(path.join("config.json")).unwrap(), "{}");
        assert_eq!(std::fs::read_to_string(path.join("weights/b")).unwrap(), "v");
        let names = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "a half-built folder was left behind");
    }

    #[test]
    fn some_files_are_never_taken_for_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let whole = stored(&cache, &[("config.json", "{}"), ("model.safetensors", "w")]);
        let some = Manifest::new(whole.entries()[..1].to_vec()).unwrap();
        let id = RepoId::parse("acme/net").unwrap();
        let place = Place { server: "localhost", kind: RepoKind::Model, id: &id };
        let path = cache.assemble(&cache.verified_hashes(), &place, &whole, &some).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(read_name(name), Some((whole.commit_id(), false)));
        assert!(CommitId::parse(name).is_err());
        assert!(path.join("config.json").is_file() && !path.join("model.safetensors").exists());
        let all = cache.assemble(&cache.verified_hashes(), &place, &whole, &whole).unwrap();
        assert_eq!(read_name(all.file_name().unwrap().to_str().unwrap()), Some((whole.commit_id(), true)));
        assert_eq!(read_name(".hub-1-2.tmp"), None);
    }
}
