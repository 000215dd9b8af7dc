//! Reading everything again. What is not what its name says is named and thrown away, so that it is fetched anew.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::at;
use super::inventory::Cached;
use super::stamp::Stamp;
use super::{Cache, Result, VerifiedHashes, hash_file};
use crate::domain::digest::{CommitId, Digest};
use crate::domain::manifest::ManifestEntry;

/// A file that was not what its name says, and is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    pub path: PathBuf,
    /// The versions' files it stood for, such as `acme/net@3 model.safetensors`.
    pub stood_for: Vec<String>,
}

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    pub files: usize,
    pub bytes: u64,
    pub damaged: Vec<Damaged>,
}

impl Cache {
    /// Reads every blob, every copy in a version's folder, and every manifest. `begin` hears of the files and bytes
    /// to be read, `advance` of the bytes as they are read, from several threads.
    pub fn verify(&self, begin: &dyn Fn(usize, u64), advance: &(dyn Fn(u64) + Sync)) -> Result<Verified> {
        let versions = self.list()?;
        let blobs = self.blobs()?;
        let copies = self.copies(&versions);
        let bytes = blobs.iter().map(|(_, found)| found.len()).chain(copies.iter().map(|copy| copy.entry.size_bytes)).sum();
        begin(blobs.len() + copies.len(), bytes);
        let names = names(&versions);
        let verified = self.verified_hashes();

        let wrong = blobs.par_iter().map(|(digest, _)| self.is_wrong(&verified, &self.blob_path(digest), digest, advance));
        let wrong = wrong.collect::<Result<Vec<_>>>()?;
        let wrong: Vec<Digest> = blobs.iter().zip(wrong).filter(|(_, wrong)| *wrong).map(|((digest, _), _)| *digest).collect();
        let mut damaged = self.throw_away(&wrong, &versions, &names)?;
        for copy in &copies {
            if self.is_wrong(&verified, &copy.path, &copy.entry.digest, advance)? {
                remove(&copy.path)?;
                damaged.push(Damaged { path: copy.path.clone(), stood_for: vec![copy.name.clone()] });
            }
        }
        damaged.extend(self.damaged_manifests(&versions)?);
        Ok(Verified { files: blobs.len() + copies.len(), bytes, damaged })
    }

    /// A file that is gone by now is not wrong.
    fn is_wrong(&self, verified: &VerifiedHashes, path: &Path, digest: &Digest, advance: &(dyn Fn(u64) + Sync)) -> Result<bool> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(false) };
        let stamp = Stamp::of(&found);
        if hash_file(path, &mut |count| advance(count))?.0 != *digest {
            return Ok(true);
        }
        let known = verified.find(&stamp).is_some() || !stamp.is_settled();
        if !known {
            verified.add(&[(stamp, *digest)])?;
        }
        Ok(false)
    }

    /// Blobs, and the links to them in versions' folders: those share the damaged bytes.
    fn throw_away(&self, wrong: &[Digest], versions: &[Cached], names: &HashMap<Digest, Vec<String>>) -> Result<Vec<Damaged>> {
        let gone: HashSet<&Digest> = wrong.iter().collect();
        for version in versions {
            for entry in version.entries.iter().filter(|entry| gone.contains(&entry.digest)) {
                let path = version.path.join(entry.path.as_str());
                if self.is_link(&path, entry) {
                    remove(&path)?;
                }
            }
        }
        let damaged = wrong.iter().map(|digest| {
            let path = self.blob_path(digest);
            remove(&path)?;
            Ok(Damaged { path, stood_for: names.get(digest).cloned().unwrap_or_default() })
        });
        damaged.collect()
    }

    /// Files in versions' folders that are no links to their blobs: where links cannot be made, or were replaced.
    fn copies(&self, versions: &[Cached]) -> Vec<Copy> {
        let mut copies = Vec::new();
        for version in versions {
            for entry in &version.entries {
                let path = version.path.join(entry.path.as_str());
                if path.symlink_metadata().is_ok_and(|found| found.is_file()) && !self.is_link(&path, entry) {
                    copies.push(Copy { name: name(version, entry), entry: entry.clone(), path });
                }
            }
        }
        copies
    }

    fn damaged_manifests(&self, versions: &[Cached]) -> Result<Vec<Damaged>> {
        let root = self.root.join("manifests");
        let mut damaged = Vec::new();
        for entry in std::fs::read_dir(&root).map_err(at("read", &root))?.filter_map(std::result::Result::ok) {
            let Some(commit) = entry.file_name().to_str().and_then(|name| CommitId::parse(name).ok()) else { continue };
            if self.read_manifest(&commit).is_err() {
                remove(&entry.path())?;
                let of = versions.iter().filter(|version| version.commit == commit);
                damaged.push(Damaged {
                    path: entry.path(),
                    stood_for: of.map(|version| format!("{} list of files", version.label())).collect(),
                });
            }
        }
        Ok(damaged)
    }
}

struct Copy {
    name: String,
    entry: ManifestEntry,
    path: PathBuf,
}

fn name(version: &Cached, entry: &ManifestEntry) -> String {
    format!("{} {}", version.label(), entry.path)
}

/// What people call each blob.
fn names(versions: &[Cached]) -> HashMap<Digest, Vec<String>> {
    let mut names: HashMap<Digest, Vec<String>> = HashMap::new();
    for version in versions.iter().filter(|version| version.whole || version.files_of_version > 0) {
        for entry in &version.entries {
            let known = names.entry(entry.digest).or_default();
            let name = name(version, entry);
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }
    names
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove the damaged file", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::inventory::tests::pulled;
    use super::*;

    fn verify(cache: &Cache) -> (Verified, u64) {
        let seen = AtomicU64::new(0);
        let verified = cache.verify(&|_, _| (), &|count| {
            seen.fetch_add(count, Ordering::Relaxed);
        });
        let verified = verified.unwrap();
        (verified, seen.into_inner())
    }

    /// As a failing disk would, without a trace in the file's times.
    fn rot(path: &Path) {
        let modified = path.metadata().unwrap().modified().unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        bytes[0] ^= 1;
        std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(path, bytes).unwrap();
        std::fs::File::open(path).unwrap().set_modified(modified).unwrap();
    }

    #[test]
    fn rot_is_found_named_and_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (manifest, path) = pulled(&cache, "acme/net", 1, "main", &[("a", "one"), ("b", "shared")]);
        pulled(&cache, "acme/other", 4, "main", &[("weights/c", "shared")]);
        let (clean, read) = verify(&cache);
        assert_eq!((clean, read), (Verified { files: 2, bytes: 9, damaged: vec![] }, 9));

        let entry = manifest.find("b").unwrap();
        rot(&cache.blob_path(&entry.digest));
        assert!(cache.prove_blob(&cache.verified_hashes(), &entry.digest, 6).unwrap(), "it looks unchanged");
        let damaged = verify(&cache).0.damaged;
        assert_eq!(damaged.len(), 1);
        assert_eq!(damaged[0].stood_for, ["acme/net@1 b", "acme/other@4 weights/c"]);
        assert!(!cache.blob_path(&entry.digest).exists() && !path.join("b").exists() && path.join("a").exists());
        assert_eq!(verify(&cache).0.damaged, []);
    }

    #[test]
    fn copies_and_manifests_are_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (manifest, path) = pulled(&cache, "acme/net", 1, "main", &[("a", "one"), ("b", "two")]);
        for (name, bytes) in [("a", "one"), ("b", "tvo")] {
            std::fs::remove_file(path.join(name)).unwrap();
            std::fs::write(path.join(name), bytes).unwrap();
        }
        let (verified, _) = verify(&cache);
        assert_eq!(verified.files, 4);
        assert_eq!(verified.damaged, [Damaged { path: path.join("b"), stood_for: vec!["acme/net@1 b".into()] }]);
        assert!(path.join("a").exists() && cache.has_blob(&manifest.find("b").unwrap().digest, 3));

        std::fs::write(cache.manifest_path(&manifest.commit_id()), "x").unwrap();
        let damaged = verify(&cache).0.damaged;
        assert_eq!(damaged[0].stood_for, ["acme/net@1 list of files"]);
        assert!(!cache.manifest_path(&manifest.commit_id()).exists());
    }
}
