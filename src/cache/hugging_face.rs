//! The cache that `huggingface_hub` and what stands on it (timm, transformers, `hf`) share, so that they find, also
//! offline, what was pulled here; and bytes that they have fetched need not be fetched again.
//!
//! ```text
//! models--<ns>--<name>/blobs/<sha256>                   bytes; files that git keeps itself have 40 digits of a sha1
//! models--<ns>--<name>/snapshots/<commit>/<path>        links ../../blobs/...
//! models--<ns>--<name>/refs/<revision>                  the commit a revision named when last asked
//! ```
//!
//! Nobody proves what lies there, so nothing of it is believed before it is hashed. What is put there is a hard link
//! to our read-only blob where the file system can do that.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::error::at;
use super::link::{self, link, write_whole};
use super::unwritten::{LookAlikes, written};
use super::{Cache, Part, Result, VerifiedHashes};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;

/// What is copied at once.
const BLOCK: usize = 1 << 20;

/// Their cache, in one folder (`HF_HUB_CACHE`).
#[derive(Debug, Clone)]
pub struct HuggingFaceCache {
    root: PathBuf,
}

impl HuggingFaceCache {
    pub fn at(root: impl Into<PathBuf>) -> HuggingFaceCache {
        HuggingFaceCache { root: root.into() }
    }

    /// Files that are called by this sha256, in all repos.
    fn find(&self, digest: &Digest, size_bytes: u64) -> Vec<PathBuf> {
        let Ok(repos) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let name = digest.to_hex();
        let paths = repos.map_while(io::Result::ok).map(|repo| repo.path().join("blobs").join(&name));
        paths.filter(|path| std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == size_bytes)).collect()
    }

    /// Puts these files of a version there, whose blobs are all in `cache`, proved; answers their folder.
    pub fn fill(
        &self,
        cache: &Cache,
        verified: &VerifiedHashes,
        (kind, id): (RepoKind, &RepoId),
        revision: &Revision,
        whole: &Manifest,
        files: &Manifest,
    ) -> Result<PathBuf> {
        let commit = whole.commit_id();
        let repo = self.root.join(format!("{}s--{}--{}", kind.as_str(), id.namespace(), id.name()));
        let snapshot = repo.join("snapshots").join(commit.as_str());
        std::fs::create_dir_all(&snapshot).map_err(at("make the folder", &snapshot))?;
        let alike = LookAlikes::of(files);
        for entry in files.entries() {
            let blob = repo.join("blobs").join(entry.digest.to_hex());
            if !verified.prove(&blob, &entry.digest, entry.size_bytes)? {
                link(&cache.blob_path(&entry.digest), &blob).map_err(at("link", &blob))?;
            }
            if alike.take(&snapshot, entry) {
                continue;
            }
            written(point(&snapshot, entry)).map_err(at("link", &snapshot.join(entry.path.as_str())))?;
        }
        // A commit needs no ref: it is looked for among the snapshots.
        if !matches!(revision, Revision::Commit(_) | Revision::Manifest(_)) {
            let path = repo.join("refs").join(revision.to_string());
            write_whole(&path, commit.as_str().as_bytes()).map_err(at("write", &path))?;
        }
        Ok(snapshot)
    }
}

/// `snapshots/<commit>/a/b` -> `../../../blobs/<sha256>`, in place of what was there.
fn point(snapshot: &Path, entry: &ManifestEntry) -> io::Result<()> {
    let path = snapshot.join(entry.path.as_str());
    let up = "../".repeat(2 + entry.path.as_str().matches('/').count());
    let target = PathBuf::from(format!("{up}blobs/{}", entry.digest));
    if std::fs::read_link(&path).is_ok_and(|found| found == target) {
        return Ok(());
    }
    link::point(&target, &path)
}

impl Cache {
    /// Copies a blob from there, if it is there and is what its name says. Whoever calls holds the blob's lock.
    pub fn borrow(&self, verified: &VerifiedHashes, theirs: &HuggingFaceCache, digest: &Digest, size_bytes: u64) -> Result<bool> {
        for path in theirs.find(digest, size_bytes) {
            let part = Part::open(self, digest, size_bytes)?;
            if copy(&path, &part)? == *digest {
                self.adopt(verified, &part, digest)?;
                return Ok(true);
            }
            part.discard()?;
        }
        Ok(false)
    }
}

/// The sha256 of what was copied. A file that cannot be read, or grows meanwhile, is merely not the right one.
fn copy(from: &Path, part: &Part) -> Result<Digest> {
    let (mut hasher, mut at_byte) = (Sha256::new(), 0);
    if let Ok(file) = File::open(from) {
        let mut file = file.take(part.size_bytes());
        loop {
            let mut block = vec![0; BLOCK];
            let Ok(count @ 1..) = file.read(&mut block) else { break };
            block.truncate(count);
            hasher.update(&block);
            part.write(at_byte, &[Bytes::from(block)])?;
            at_byte += count as u64;
        }
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::stored;
    use super::*;

    #[test]
    fn a_version_is_put_there_and_only_right_bytes_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let (root, id) = (folder.path().join("hub"), RepoId::parse("acme/net").unwrap());
        let theirs = HuggingFaceCache::at(&root);
        let cache = Cache::open(folder.path().join("ours")).unwrap();
        let manifest = stored(&cache, &[("config.json", "{}"), ("onnx/model.onnx", "weights")]);
        let fill = |revision: &str| {
            let revision = Revision::parse(revision).unwrap();
            theirs.fill(&cache, &cache.verified_hashes(), (RepoKind::Model, &id), &revision, &manifest, &manifest).unwrap()
        };
        let snapshot = fill("rel/1.0");
        assert_eq!(snapshot, fill("main"));
        assert_eq!(std::fs::read_to_string(snapshot.join("onnx/model.onnx")).unwrap(), "weights");
        let repo = root.join("models--acme--net");
        assert!(snapshot.starts_with(&repo) && std::fs::symlink_metadata(snapshot.join("config.json")).unwrap().is_symlink());
        for name in ["main", "rel/1.0"] {
            assert_eq!(std::fs::read_to_string(repo.join("refs").join(name)).unwrap(), manifest.commit_id().as_str());
        }

        let other = Cache::open(folder.path().join("other")).unwrap();
        let borrow = |text: &[u8]| other.borrow(&other.verified_hashes(), &theirs, &Digest::of(text), text.len() as u64).unwrap();
        assert!(borrow(b"weights") && other.has_blob(&Digest::of(b"weights"), 7));
        assert!(!borrow(b"nothing"));
        let wrong = repo.join("blobs").join(Digest::of(b"right").to_hex());
        std::fs::write(&wrong, "wrong").unwrap();
        assert!(!borrow(b"right") && !other.has_blob(&Digest::of(b"right"), 5));
        assert_eq!(std::fs::read_dir(folder.path().join("other/partial")).unwrap().count(), 0);
        // What they have under a name of ours is believed as little.
        let blob = repo.join("blobs").join(Digest::of(b"{}").to_hex());
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, "[]").unwrap();
        fill("main");
        assert_eq!(std::fs::read_to_string(snapshot.join("config.json")).unwrap(), "{}");
    }
}
