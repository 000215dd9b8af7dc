//! What revisions named when the server was last asked, and the manifests of what was fetched: enough to
//! use a version without the server. A manifest proves itself, since a commit id is cut from its hash.

use std::path::{Path, PathBuf};

use super::error::{at, unless_read_only};
use super::link::write_whole;
use super::{Cache, Error, Place, Result};
use crate::domain::digest::CommitId;
use crate::domain::manifest::Manifest;
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;

/// A version remembered from an earlier pull.
#[derive(Debug, Clone)]
pub struct Remembered {
    pub number: u32,
    pub manifest: Manifest,
}

impl Cache {
    /// Keeps what `revision` and the version's number name now. The manifest itself is kept by who holds it.
    pub fn remember(&self, place: &Place, revision: &Revision, number: u32, manifest: &Manifest) -> Result<()> {
        let commit = manifest.commit_id();
        let line = format!("{commit} {number}\n");
        let commit = Revision::Commit(commit.as_str().into());
        // Other words for a commit are found by the commit itself.
        let named = Some(revision).filter(|revision| matches!(revision, Revision::Ref(_)));
        for revision in named.into_iter().chain([&Revision::Number(number), &commit]) {
            let path = self.ref_path(place, revision);
            // The time of the file says since when a version is here, so that what is still true is not written again.
            if !std::fs::read(&path).is_ok_and(|found| found == line.as_bytes()) {
                unless_read_only(write_whole(&path, line.as_bytes())).map_err(at("write", &path))?;
            }
        }
        Ok(())
    }

    /// Keeps which files of a version the server calls pickles; nothing where there are none.
    pub fn remember_marked(&self, manifest: &Manifest, marked: &[RepoPath]) -> Result<()> {
        let path = self.marked_path(manifest);
        let text: String = marked.iter().map(|path| format!("{path}\n")).collect();
        if text == std::fs::read_to_string(&path).unwrap_or_default() {
            return Ok(());
        }
        write_whole(&path, text.as_bytes()).map_err(at("write", &path))
    }

    pub fn recall_marked(&self, manifest: &Manifest) -> Vec<RepoPath> {
        let text = std::fs::read_to_string(self.marked_path(manifest)).unwrap_or_default();
        text.lines().filter_map(|line| RepoPath::parse(line).ok()).collect()
    }

    fn marked_path(&self, manifest: &Manifest) -> PathBuf {
        self.root.join("marks").join(manifest.commit_id().as_str())
    }

    /// None where this revision was never pulled.
    pub fn recall(&self, place: &Place, revision: &Revision) -> Result<Option<Remembered>> {
        let Some((commit, number)) = self.known_ref(place, revision) else { return Ok(None) };
        Ok(self.read_manifest(&commit)?.map(|manifest| Remembered { number, manifest }))
    }

    /// Every version is kept under its whole commit id, so that a prefix or the manifest's digest finds it too.
    fn known_ref(&self, place: &Place, revision: &Revision) -> Option<(CommitId, u32)> {
        let folder = self.refs_folder(place);
        match revision {
            Revision::Manifest(digest) => read_ref(&folder.join(CommitId::of_manifest(digest).as_str())),
            Revision::Commit(prefix) => {
                let names = std::fs::read_dir(&folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                let mut fitting = names.filter(|name| name.starts_with(prefix) && CommitId::parse(name).is_ok());
                let only = fitting.next().filter(|_| fitting.next().is_none())?;
                read_ref(&folder.join(only))
            }
            Revision::Ref(_) | Revision::Number(_) => read_ref(&self.ref_path(place, revision)),
        }
    }

    pub(super) fn manifest_path(&self, commit: &CommitId) -> PathBuf {
        self.root.join("manifests").join(commit.as_str())
    }

    /// None where it is not kept.
    pub(super) fn read_manifest(&self, commit: &CommitId) -> Result<Option<Manifest>> {
        let path = self.manifest_path(commit);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        let corrupt = |found: String| Error::Corrupt { what: path.display().to_string(), expected: commit.to_string(), found };
        let text = String::from_utf8(bytes).map_err(|_| corrupt("no text".into()))?;
        let manifest = Manifest::parse(&text).ok_or_else(|| corrupt("no manifest".into()))?;
        match manifest.commit_id() {
            found if found == *commit => Ok(Some(manifest)),
            found => Err(corrupt(found.to_string())),
        }
    }

    pub(super) fn refs_folder(&self, place: &Place) -> PathBuf {
        place.folder(&self.root.join("refs"))
    }

    fn ref_path(&self, place: &Place, revision: &Revision) -> PathBuf {
        // A tag may hold '/'; '%' is in no revision, so the two never meet.
        self.refs_folder(place).join(revision.to_string().replace('/', "%").replace(':', "-"))
    }
}

/// The commit and the number that the file of a revision names.
pub(super) fn read_ref(path: &Path) -> Option<(CommitId, u32)> {
    let line = std::fs::read_to_string(path).ok()?;
    let (commit, number) = line.trim_end().split_once(' ')?;
    Some((CommitId::parse(commit).ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::stored;
    use super::*;
    use crate::domain::name::{RepoId, RepoKind};

    #[test]
    fn a_pulled_version_is_known_without_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("a b/c.txt", "x"), ("README.md", "y")]);
        let id = RepoId::parse("acme/net").unwrap();
        let place = Place { server: "localhost", kind: RepoKind::Model, id: &id };
        let main = Revision::main();
        assert!(cache.recall(&place, &main).unwrap().is_none());
        let _hold = cache.try_hold(&manifest).unwrap().unwrap();
        cache.remember(&place, &Revision::parse("release/1.0").unwrap(), 3, &manifest).unwrap();
        let digest = format!("sha256:{}", manifest.digest());
        let commit = manifest.commit_id();
        for revision in ["release/1.0", "3", commit.as_str(), &commit.as_str()[..9], &digest] {
            let found = cache.recall(&place, &Revision::parse(revision).unwrap()).unwrap().unwrap();
            assert_eq!((found.number, found.manifest), (3, manifest.clone()));
        }
        assert!(cache.recall(&place, &main).unwrap().is_none());
    }

    #[test]
    fn a_manifest_that_is_not_its_commit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let manifest = stored(&cache, &[("a", "x")]);
        let id = RepoId::parse("acme/net").unwrap();
        let place = Place { server: "localhost", kind: RepoKind::Model, id: &id };
        cache.try_hold(&manifest).unwrap();
        cache.remember(&place, &Revision::main(), 1, &manifest).unwrap();
        let path = folder.path().join("manifests").join(manifest.commit_id().as_str());
        for damaged in [manifest.canonical().replace(" a\n", " b\n").into_bytes(), b"\xff".to_vec(), Vec::new()] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(cache.recall(&place, &Revision::main()), Err(Error::Corrupt { .. })));
        }
    }
}
