//! What revisions named when the server was last asked, and the manifests of what was fetched: enough to
//! use a version without the server. A manifest proves itself, since a commit id is cut from its hash.

use std::path::{Path, PathBuf};

use super::error::at;
use super::link::beside;
use super::{Cache, Error, Place, Result};
use crate::domain::digest::{CommitId, Digest};
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;

/// A version remembered from an earlier pull.
#[derive(Debug, Clone)]
pub struct Remembered {
    pub number: u32,
    pub manifest: Manifest,
}

impl Cache {
    /// Keeps the manifest and what `revision` and the version's number name now.
    pub fn remember(&self, place: &Place, revision: &Revision, number: u32, manifest: &Manifest) -> Result<()> {
        let commit = manifest.commit_id();
        write(&self.root.join("manifests").join(commit.as_str()), &manifest.canonical())?;
        let line = format!("{commit} {number}\n");
        for revision in [revision, &Revision::Number(number), &Revision::Commit(commit.as_str().into())] {
            write(&self.ref_path(place, revision), &line)?;
        }
        Ok(())
    }

    /// None where this revision was never pulled.
    pub fn recall(&self, place: &Place, revision: &Revision) -> Result<Option<Remembered>> {
        let Ok(line) = std::fs::read_to_string(self.ref_path(place, revision)) else { return Ok(None) };
        let Some((commit, number)) = line.trim_end().split_once(' ') else { return Ok(None) };
        let (Ok(commit), Ok(number)) = (CommitId::parse(commit), number.parse()) else { return Ok(None) };
        let path = self.root.join("manifests").join(commit.as_str());
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let corrupt = |found: String| Error::Corrupt { what: path.display().to_string(), expected: commit.to_string(), found };
        let manifest = parse_canonical(&text).ok_or_else(|| corrupt("no manifest".into()))?;
        if manifest.commit_id() != commit {
            return Err(corrupt(manifest.commit_id().to_string()));
        }
        Ok(Some(Remembered { number, manifest }))
    }

    fn ref_path(&self, place: &Place, revision: &Revision) -> PathBuf {
        // A tag may hold '/'; '%' is in no revision, so the two never meet.
        place.folder(&self.root.join("refs")).join(revision.to_string().replace('/', "%").replace(':', "-"))
    }
}

/// Reads back what [`Manifest::canonical`] wrote.
fn parse_canonical(text: &str) -> Option<Manifest> {
    let line = |line: &str| {
        let (digest, rest) = line.split_once(' ')?;
        let (size, path) = rest.split_once(' ')?;
        Some(ManifestEntry { path: RepoPath::parse(path).ok()?, size_bytes: size.parse().ok()?, digest: Digest::parse(digest).ok()? })
    };
    Manifest::new(text.lines().map(line).collect::<Option<Vec<_>>>()?).ok()
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
    }
    let temporary = beside(path);
    std::fs::write(&temporary, text).map_err(at("write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(at("name", path))
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
        cache.remember(&place, &Revision::parse("release/1.0").unwrap(), 3, &manifest).unwrap();
        for revision in ["release/1.0", "3", manifest.commit_id().as_str()] {
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
        cache.remember(&place, &Revision::main(), 1, &manifest).unwrap();
        let path = folder.path().join("manifests").join(manifest.commit_id().as_str());
        std::fs::write(&path, manifest.canonical().replace(" a\n", " b\n")).unwrap();
        assert!(matches!(cache.recall(&place, &Revision::main()), Err(Error::Corrupt { .. })));
    }
}
