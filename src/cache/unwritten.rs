//! Files of a version that a file system cannot hold: under names it does not know how to store, or beside a file whose
//! name it takes for the same (it ignores case, or how letters are composed). They stay out, and whoever asked is told.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::path::RepoPath;
use crate::domain::portable;

/// EILSEQ on Linux and on macOS: the name's letters are none to this file system.
const ILLEGAL_SEQUENCE: [i32; 2] = [84, 92];

/// Was it written? Not where this file system has no such names, which is no failure.
pub(super) fn written<T>(done: io::Result<T>) -> io::Result<bool> {
    let is_about_the_name = |error: &io::Error| {
        let letters = error.raw_os_error().is_some_and(|code| ILLEGAL_SEQUENCE.contains(&code));
        letters || matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput)
    };
    match done {
        Err(error) if is_about_the_name(&error) => Ok(false),
        other => other.map(|_| true),
    }
}

/// Which files of a version could be one.
pub(super) struct LookAlikes<'a> {
    /// The files before each that look like it and hold something else.
    before: HashMap<&'a RepoPath, Vec<&'a RepoPath>>,
}

impl<'a> LookAlikes<'a> {
    pub fn of(manifest: &'a Manifest) -> LookAlikes<'a> {
        let mut before: HashMap<_, Vec<_>> = HashMap::new();
        for group in portable::meeting(manifest.entries().iter().map(|entry| &entry.path)) {
            for (at, path) in group.iter().enumerate() {
                let differs = |other: &&&RepoPath| digest(manifest, other) != digest(manifest, path);
                before.insert(*path, group[..at].iter().filter(differs).copied().collect());
            }
        }
        LookAlikes { before }
    }

    /// Does the folder hold another file of the version where this one would be written?
    pub fn take(&self, folder: &Path, entry: &ManifestEntry) -> bool {
        let Some(others) = self.before.get(&entry.path) else { return false };
        let inode = |path: &RepoPath| std::fs::symlink_metadata(folder.join(path.as_str())).ok().map(|found| (found.dev(), found.ino()));
        let here = inode(&entry.path);
        here.is_some() && others.iter().any(|other| inode(other) == here)
    }
}

fn digest<'a>(manifest: &'a Manifest, path: &RepoPath) -> Option<&'a crate::domain::digest::Digest> {
    manifest.find(path.as_str()).map(|entry| &entry.digest)
}

/// The files of a version that its folder does not hold.
pub fn unwritten(folder: &Path, manifest: &Manifest) -> Vec<RepoPath> {
    let alike = LookAlikes::of(manifest);
    let is_absent =
        |entry: &&ManifestEntry| std::fs::symlink_metadata(folder.join(entry.path.as_str())).is_err() || alike.take(folder, entry);
    manifest.entries().iter().filter(is_absent).map(|entry| entry.path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::super::snapshot::tests::stored;
    use super::*;

    fn texts(paths: &[RepoPath]) -> Vec<&str> {
        paths.iter().map(RepoPath::as_str).collect()
    }

    #[test]
    fn of_names_that_are_one_here_the_first_is_written_and_the_others_are_named() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(place.path().join("cache")).unwrap();
        let manifest = stored(&cache, &[("Notes.txt", "one"), ("notes.txt", "two"), ("other", "three")]);
        let to = place.path().join("out");
        cache.export(&cache.verified_hashes(), &manifest, &to, false).unwrap();
        assert!(unwritten(&to, &manifest).is_empty(), "this file system tells them apart");
        // One that does not shows the first under both names.
        std::fs::remove_file(to.join("notes.txt")).unwrap();
        std::fs::hard_link(to.join("Notes.txt"), to.join("notes.txt")).unwrap();
        assert_eq!(texts(&unwritten(&to, &manifest)), ["notes.txt"]);
        for force in [false, true] {
            cache.export(&cache.verified_hashes(), &manifest, &to, force).unwrap();
            assert_eq!(std::fs::read_to_string(to.join("Notes.txt")).unwrap(), "one", "it was overwritten by the other");
        }
        // Two that hold the same lose nothing.
        let same = stored(&cache, &[("A", "one"), ("a", "one")]);
        let to = place.path().join("same");
        cache.export(&cache.verified_hashes(), &same, &to, false).unwrap();
        std::fs::remove_file(to.join("a")).unwrap();
        std::fs::hard_link(to.join("A"), to.join("a")).unwrap();
        assert!(unwritten(&to, &same).is_empty());
    }

    #[test]
    fn what_has_too_long_a_path_here_stays_out_and_the_others_are_written() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(place.path().join("cache")).unwrap();
        let long = vec!["a".repeat(200); 4].join("/");
        let manifest = stored(&cache, &[("README.md", "one"), (&long, "two")]);
        let mut to = place.path().join("out");
        while to.as_os_str().len() < 3_600 {
            to.push("b".repeat(150));
        }
        cache.export(&cache.verified_hashes(), &manifest, &to, false).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("README.md")).unwrap(), "one");
        assert_eq!(texts(&unwritten(&to, &manifest)), [long.as_str()]);
    }
}
