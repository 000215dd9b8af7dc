//! What the store holds: versions as people know them, and the blobs and cut downloads behind them.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::at;
use super::refs::read_ref;
use super::snapshot::read_name;
use super::{Cache, Place, Result};
use crate::domain::digest::{CommitId, Digest};
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::{RefName, Revision};
use crate::domain::time::Timestamp;

/// A version that stands in the store as a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached {
    /// The server's address as a folder's name.
    pub server: String,
    pub kind: RepoKind,
    pub id: RepoId,
    pub commit: CommitId,
    /// None where the store has forgotten it.
    pub number: Option<u32>,
    /// Tags, and `main`, that named it when last asked.
    pub refs: Vec<RefName>,
    /// Its folder's files, by the version's manifest; empty where that is damaged.
    pub entries: Vec<ManifestEntry>,
    /// Files of the version; more than `entries` where only some were asked for.
    pub files_of_version: usize,
    /// Does the folder hold the whole version?
    pub whole: bool,
    pub since: Timestamp,
    pub last_used: Timestamp,
    pub path: PathBuf,
}

impl Cached {
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size_bytes).sum()
    }

    /// `acme/net@3`, with `dataset:` in front of a data set.
    pub fn label(&self) -> String {
        let kind = if self.kind == RepoKind::Dataset { "dataset:" } else { "" };
        match self.number {
            Some(number) => format!("{kind}{}@{number}", self.id),
            None => format!("{kind}{}@{}", self.id, self.commit.short()),
        }
    }
}

/// How much of something, and how many bytes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub count: usize,
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Cache {
    /// Every version, by server, kind, name and the time it came.
    pub fn list(&self) -> Result<Vec<Cached>> {
        let root = self.root.join("snapshots");
        let mut all = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(5).max_depth(5) {
            let entry = entry.map_err(|error| at("read", &root)(error.into()))?;
            all.extend(self.read_version(entry.path()));
        }
        let key = |version: &Cached| (version.server.clone(), version.kind, version.id.to_string(), version.since, version.path.clone());
        all.sort_by_key(key);
        Ok(all)
    }

    /// None: not a version's folder.
    fn read_version(&self, path: &Path) -> Option<Cached> {
        let mut parts = path.components().rev().map(|part| part.as_os_str().to_str());
        let (folder, name, namespace) = (parts.next()??, parts.next()??, parts.next()??);
        let (kind, server) = (RepoKind::parse(parts.next()??).ok()?, parts.next()??);
        let (commit, whole) = read_name(folder)?;
        let found = path.metadata().ok().filter(Metadata::is_dir)?;
        let id = RepoId::parse(&format!("{namespace}/{name}")).ok()?;
        let refs = self.refs_folder(&Place { server, kind, id: &id });
        let own = refs.join(commit.as_str());
        let manifest = self.read_manifest(&commit).ok().flatten();
        let files_of_version = manifest.as_ref().map_or(0, |manifest| manifest.entries().len());
        Some(Cached {
            server: server.into(),
            kind,
            number: read_ref(&own).map(|(_, number)| number),
            refs: refs_of(&refs, &commit),
            entries: manifest.map(|manifest| present(&manifest, path, whole)).unwrap_or_default(),
            files_of_version,
            whole,
            since: changed(&own.metadata().unwrap_or_else(|_| found.clone())),
            last_used: changed(&found),
            path: path.to_path_buf(),
            id,
            commit,
        })
    }

    /// Every file under a digest's name, with what is known of it.
    pub(super) fn blobs(&self) -> Result<Vec<(Digest, Metadata)>> {
        let root = self.root.join("blobs");
        let mut all = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(2).max_depth(2) {
            let entry = entry.map_err(|error| at("read", &root)(error.into()))?;
            // Another process may just have removed it.
            let known = entry.file_name().to_str().and_then(|name| Digest::parse(name).ok()).zip(entry.metadata().ok());
            all.extend(known.filter(|(_, found)| found.is_file()));
        }
        Ok(all)
    }

    /// Bytes of blobs, each counted once, and of downloads that were cut.
    pub fn usage(&self) -> Result<(Tally, Tally)> {
        let (mut blobs, mut partial) = (Tally::default(), Tally::default());
        self.blobs()?.iter().for_each(|(_, found)| blobs.add(found.len()));
        for (_, found) in self.partials()? {
            partial.add(on_disk(&found));
        }
        Ok((blobs, partial))
    }

    /// Blobs of which something has arrived.
    pub fn begun(&self) -> Result<HashSet<Digest>> {
        Ok(self.partials()?.into_iter().map(|(digest, _)| digest).collect())
    }

    /// What lies in `partial/`, ranges beside it not counted.
    pub(super) fn partials(&self) -> Result<Vec<(Digest, Metadata)>> {
        let root = self.root.join("partial");
        let names = std::fs::read_dir(&root).map_err(at("read", &root))?.filter_map(std::result::Result::ok);
        let read = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Digest::parse(name.strip_suffix(".part")?).ok().zip(entry.metadata().ok())
        };
        Ok(names.filter_map(read).collect())
    }
}

/// The folder of a whole version holds all of it, that of a selection what it was made of.
fn present(manifest: &Manifest, folder: &Path, whole: bool) -> Vec<ManifestEntry> {
    let entries = manifest.entries().iter();
    entries.filter(|entry| whole || folder.join(entry.path.as_str()).is_file()).cloned().collect()
}

fn refs_of(folder: &Path, commit: &CommitId) -> Vec<RefName> {
    let names = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let fits = |name: &String| read_ref(&folder.join(name)).is_some_and(|(found, _)| found == *commit);
    let mut refs: Vec<RefName> = names
        .filter(fits)
        .filter_map(|name| match Revision::parse(&name.replace('%', "/")) {
            Ok(Revision::Ref(name)) => Some(name),
            _ => None,
        })
        .collect();
    refs.sort_by_key(|name| (!name.is_main(), name.clone()));
    refs
}

pub(super) fn changed(found: &Metadata) -> Timestamp {
    let since = found.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Holes count for nothing.
pub(super) fn on_disk(found: &Metadata) -> u64 {
    found.blocks() * 512
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::snapshot::tests::stored;
    use super::*;

    /// Pulls, as far as the store is concerned: holds, makes the folder and remembers the revision.
    pub fn pulled(cache: &Cache, name: &str, number: u32, revision: &str, files: &[(&str, &str)]) -> (Manifest, PathBuf) {
        let manifest = stored(cache, files);
        let path = selected(cache, name, number, revision, &manifest, &manifest);
        (manifest, path)
    }

    pub fn selected(cache: &Cache, name: &str, number: u32, revision: &str, whole: &Manifest, wanted: &Manifest) -> PathBuf {
        let id = RepoId::parse(name).unwrap();
        let place = Place { server: "localhost_80", kind: RepoKind::Model, id: &id };
        let _hold = cache.try_hold(whole).unwrap().unwrap();
        let path = cache.assemble(&cache.verified_hashes(), &place, whole, wanted).unwrap();
        cache.remember(&place, &Revision::parse(revision).unwrap(), number, whole).unwrap();
        path
    }

    #[test]
    fn versions_are_listed_as_people_know_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (first, _) = pulled(&cache, "acme/net", 1, "release/1.0", &[("a", "one"), ("b", "shared")]);
        let (_, second) = pulled(&cache, "acme/net", 2, "main", &[("a", "other"), ("b", "shared")]);
        let some = Manifest::new(first.entries()[..1].to_vec()).unwrap();
        selected(&cache, "acme/net", 1, "1", &first, &some);
        std::fs::create_dir_all(folder.path().join("snapshots/x/model/a/b/.hub-1-2.tmp")).unwrap();

        let all = cache.list().unwrap();
        let seen: Vec<_> = all.iter().map(|v| (v.label(), v.whole, v.entries.len(), v.files_of_version, v.total_bytes())).collect();
        let expected = [("acme/net@1", true, 2, 2, 9), ("acme/net@1", false, 1, 2, 3), ("acme/net@2", true, 2, 2, 11)];
        assert_eq!(seen, expected.map(|(label, whole, files, of, bytes)| (label.to_owned(), whole, files, of, bytes)));
        assert_eq!(all[0].refs, [RefName::parse("release/1.0").unwrap()]);
        assert_eq!((all[2].refs.clone(), &all[2].path), (vec![RefName::main()], &second));
        assert_eq!(cache.usage().unwrap(), (Tally { count: 3, bytes: 14 }, Tally::default()));
    }
}
