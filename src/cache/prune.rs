//! Making room: versions the caller chooses, and whatever no version needs. What somebody holds stays (see
//! `hold`), so pulls may run beside it.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::at;
use super::inventory::{Cached, Tally, changed, on_disk};
use super::link::{beside, is_temporary};
use super::{Cache, Result};
use crate::domain::digest::{CommitId, Digest};
use crate::domain::time::Timestamp;

/// A pull that was cut may go on for so long; what it has brought stays.
const FRESH_MS: i64 = 24 * 60 * 60 * 1_000;

/// What goes.
pub struct Choice<'a> {
    /// Versions, besides what no version needs.
    pub versions: &'a dyn Fn(&Cached) -> bool,
    /// Also what a cut pull could go on with.
    pub fresh: bool,
    pub now: Timestamp,
}

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pruned {
    pub versions: Vec<Cached>,
    /// Chosen, but somebody is using them.
    pub in_use: Vec<Cached>,
    /// Blobs of those versions and of none.
    pub blobs: Tally,
    /// Downloads that were cut.
    pub partial: Tally,
    /// Files that killed processes left under temporary names, and copies that were not links.
    pub other: Tally,
}

impl Pruned {
    pub fn freed_bytes(&self) -> u64 {
        self.blobs.bytes + self.partial.bytes + self.other.bytes
    }
}

/// What stays because of versions and pulls.
#[derive(Default)]
struct Needed {
    commits: HashSet<CommitId>,
    digests: HashSet<Digest>,
    /// Of folders whose manifest is damaged: their links say what they need.
    inodes: HashSet<u64>,
}

impl Cache {
    /// With `dry_run` nothing is removed.
    pub fn prune(&self, choice: &Choice, dry_run: bool) -> Result<Pruned> {
        // Until the end of this function: nobody can take hold of what is about to go.
        let closed = self.close()?;
        let manifests = self.manifests()?;
        let held: HashSet<CommitId> =
            manifests.iter().filter(|(_, file, _)| closed.is_held(file)).map(|(commit, ..)| commit.clone()).collect();
        let (chosen, staying): (Vec<Cached>, Vec<Cached>) = self.list()?.into_iter().partition(|version| (choice.versions)(version));
        let (in_use, going): (Vec<Cached>, Vec<Cached>) = chosen.into_iter().partition(|version| held.contains(&version.commit));

        let young = |found: &Metadata| !choice.fresh && choice.now.unix_ms() - changed(found).unix_ms() < FRESH_MS;
        let mut needed = Needed::default();
        staying.iter().chain(&in_use).for_each(|version| needed.add_version(version));
        for (commit, _, found) in &manifests {
            let wanted_lately = young(found) && !going.iter().any(|version| version.commit == *commit);
            if held.contains(commit) || wanted_lately {
                needed.commits.insert(commit.clone());
                let manifest = self.read_manifest(commit).ok().flatten();
                needed.digests.extend(manifest.iter().flat_map(|manifest| manifest.entries()).map(|entry| entry.digest));
            }
        }
        let mut pruned = Pruned { in_use, ..Pruned::default() };
        let mut sweep = Sweep { dry_run, pruned: &mut pruned };
        going.iter().try_for_each(|version| sweep.version(version))?;
        sweep.blobs(self, &needed)?;
        sweep.partials(self, &young)?;
        sweep.temporaries(self, choice.now)?;
        sweep.words(self, &manifests, &needed)?;
        if !dry_run {
            self.prune_segments();
        }
        pruned.versions = going;
        Ok(pruned)
    }

    fn manifests(&self) -> Result<Vec<(CommitId, File, Metadata)>> {
        let root = self.root.join("manifests");
        let read = |entry: std::fs::DirEntry| {
            let commit = CommitId::parse(entry.file_name().to_str()?).ok()?;
            let file = File::open(entry.path()).ok()?;
            let found = file.metadata().ok()?;
            Some((commit, file, found))
        };
        Ok(std::fs::read_dir(&root).map_err(at("read", &root))?.filter_map(|entry| read(entry.ok()?)).collect())
    }
}

impl Needed {
    fn add_version(&mut self, version: &Cached) {
        self.commits.insert(version.commit.clone());
        self.digests.extend(version.entries.iter().map(|entry| entry.digest));
        if version.files_of_version == 0 {
            let files = walkdir::WalkDir::new(&version.path).into_iter().filter_map(std::result::Result::ok);
            self.inodes.extend(files.filter_map(|file| file.metadata().ok()).map(|found| found.ino()));
        }
    }
}

/// Removes, or only counts.
struct Sweep<'a> {
    dry_run: bool,
    pruned: &'a mut Pruned,
}

impl Sweep<'_> {
    /// The folder loses its name first: half a version is not to be found under it.
    fn version(&mut self, version: &Cached) -> Result<()> {
        for file in walkdir::WalkDir::new(&version.path).into_iter().filter_map(std::result::Result::ok) {
            let alone = file.metadata().ok().filter(|found| found.is_file() && found.nlink() == 1);
            alone.into_iter().for_each(|found| self.pruned.other.add(found.len()));
        }
        if self.dry_run {
            return Ok(());
        }
        let leaving = beside(&version.path);
        std::fs::rename(&version.path, &leaving).map_err(at("remove", &version.path))?;
        std::fs::remove_dir_all(&leaving).map_err(at("remove", &leaving))?;
        remove_empty_folders(&version.path);
        Ok(())
    }

    fn blobs(&mut self, cache: &Cache, needed: &Needed) -> Result<()> {
        for (digest, found) in cache.blobs()? {
            if !needed.digests.contains(&digest) && !needed.inodes.contains(&found.ino()) {
                self.pruned.blobs.add(found.len());
                self.remove(&cache.blob_path(&digest))?;
            }
        }
        Ok(())
    }

    /// Whoever fetches a blob holds its lock.
    fn partials(&mut self, cache: &Cache, young: &dyn Fn(&Metadata) -> bool) -> Result<()> {
        let locks = cache.locks()?;
        for (digest, found) in cache.partials()? {
            if let (false, Some(_lock)) = (young(&found), locks.try_lock(&digest)?) {
                self.pruned.partial.add(on_disk(&found));
                self.remove(&cache.part_path(&digest))?;
                self.remove(&cache.ranges_path(&digest))?;
            }
        }
        Ok(())
    }

    /// Old enough that no living process can mean them any more.
    fn temporaries(&mut self, cache: &Cache, now: Timestamp) -> Result<()> {
        let mut walk = walkdir::WalkDir::new(&cache.root).into_iter();
        while let Some(entry) = walk.next() {
            let Ok(entry) = entry else { continue };
            let temporary = entry.file_name().to_str().is_some_and(is_temporary);
            let Ok(found) = entry.metadata() else { continue };
            if !temporary || now.unix_ms() - changed(&found).unix_ms() < FRESH_MS {
                continue;
            }
            if found.is_dir() {
                walk.skip_current_dir();
            }
            self.pruned.other.add(if found.is_dir() { 0 } else { found.len() });
            match (self.dry_run, found.is_dir()) {
                (true, _) => {}
                (false, true) => std::fs::remove_dir_all(entry.path()).map_err(at("remove", entry.path()))?,
                (false, false) => self.remove(entry.path())?,
            }
        }
        Ok(())
    }

    /// Manifests without a version, and revisions without a manifest.
    fn words(&mut self, cache: &Cache, manifests: &[(CommitId, File, Metadata)], needed: &Needed) -> Result<()> {
        for (commit, ..) in manifests.iter().filter(|(commit, ..)| !needed.commits.contains(commit)) {
            self.remove(&cache.manifest_path(commit))?;
        }
        for entry in walkdir::WalkDir::new(cache.root.join("refs")).min_depth(5).into_iter().filter_map(std::result::Result::ok) {
            let named = super::refs::read_ref(entry.path()).filter(|(commit, _)| cache.manifest_path(commit).exists());
            if entry.file_type().is_file() && named.is_none() {
                self.remove(entry.path())?;
                remove_empty_folders(entry.path());
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

/// Name, namespace, kind and server of what was removed; a folder with something in it stays.
fn remove_empty_folders(path: &Path) {
    let parents: Vec<PathBuf> = path.ancestors().skip(1).take(4).map(Path::to_path_buf).collect();
    for parent in parents {
        if std::fs::remove_dir(parent).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::inventory::tests::{pulled, selected};
    use super::super::part::Part;
    use super::*;
    use crate::domain::manifest::Manifest;

    const DAY_MS: i64 = FRESH_MS;

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64)
    }

    fn prune(cache: &Cache, versions: &dyn Fn(&Cached) -> bool, now: Timestamp) -> Pruned {
        let choice = Choice { versions, fresh: false, now };
        let plan = cache.prune(&choice, true).unwrap();
        let done = cache.prune(&choice, false).unwrap();
        assert_eq!(plan, done, "a dry run says what a prune then does");
        done
    }

    /// Files below the store but for locks and the index of verified hashes.
    fn left(cache: &Cache) -> Vec<String> {
        let files = walkdir::WalkDir::new(cache.root()).sort_by_file_name().into_iter().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_type().is_file());
        let names = files.map(|entry| entry.path().strip_prefix(cache.root()).unwrap().display().to_string());
        names.filter(|name| !name.starts_with("locks") && name != "proofs").collect()
    }

    #[test]
    fn a_version_goes_with_what_only_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        pulled(&cache, "acme/net", 1, "v1", &[("a", "one"), ("b", "shared")]);
        let (second, path) = pulled(&cache, "acme/net", 2, "main", &[("a", "other"), ("b", "shared")]);
        assert_eq!(prune(&cache, &|_| false, now()), Pruned::default());

        let pruned = prune(&cache, &|version| version.number == Some(1), now());
        assert_eq!((pruned.versions.len(), pruned.blobs, pruned.freed_bytes()), (1, Tally { count: 1, bytes: 3 }, 3));
        assert_eq!(cache.list().unwrap().len(), 1);
        assert_eq!(std::fs::read_to_string(path.join("b")).unwrap(), "shared");

        let held = cache.try_hold(&second).unwrap();
        let pruned = prune(&cache, &|_| true, now());
        assert_eq!((pruned.versions.len(), pruned.in_use.len(), pruned.freed_bytes()), (0, 1, 0));
        drop(held);
        let pruned = prune(&cache, &|_| true, now());
        assert_eq!((pruned.versions.len(), pruned.freed_bytes()), (1, 11));
        assert_eq!(left(&cache), Vec::<String>::new());
        assert!(std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().is_none(), "empty folders stayed");
    }

    #[test]
    fn what_a_cut_pull_has_brought_stays_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let whole = super::super::snapshot::tests::stored(&cache, &[("a", "one"), ("b", "two")]);
        drop(cache.try_hold(&whole).unwrap());
        let digest = Digest::of(b"cut");
        let part = Part::open(&cache, &digest, 3).unwrap();
        part.write(0, &[bytes::Bytes::from_static(b"c")]).unwrap();
        assert_eq!(prune(&cache, &|_| false, now()), Pruned::default());

        let lock = cache.locks().unwrap().try_lock(&digest).unwrap();
        let pruned = prune(&cache, &|_| false, now().plus_ms(2 * DAY_MS));
        assert_eq!((pruned.blobs.count, pruned.partial.count), (2, 0), "somebody is fetching it");
        drop(lock);
        assert_eq!(prune(&cache, &|_| false, now().plus_ms(2 * DAY_MS)).partial.count, 1);
        assert_eq!(left(&cache), Vec::<String>::new());
    }

    #[test]
    fn a_selection_keeps_only_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (whole, _) = pulled(&cache, "acme/net", 1, "main", &[("a", "one"), ("b", "two")]);
        let some = Manifest::new(whole.entries()[..1].to_vec()).unwrap();
        let path = selected(&cache, "acme/net", 1, "main", &whole, &some);
        let pruned = prune(&cache, &|version| version.whole, now().plus_ms(2 * DAY_MS));
        assert_eq!((pruned.versions.len(), pruned.blobs.count), (1, 1));
        assert!(path.join("a").is_file() && cache.has_blob(&some.entries()[0].digest, 3));
    }

    #[test]
    fn a_damaged_manifest_costs_no_version_its_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (whole, _) = pulled(&cache, "acme/net", 1, "main", &[("a", "one"), ("b", "two")]);
        std::fs::write(cache.manifest_path(&whole.commit_id()), "x").unwrap();
        assert_eq!(prune(&cache, &|_| false, now().plus_ms(2 * DAY_MS)).blobs.count, 0);
    }

    #[test]
    fn what_killed_processes_left_goes_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (_, path) = pulled(&cache, "acme/net", 1, "main", &[("a", "one")]);
        let building = beside(&path);
        std::fs::create_dir(&building).unwrap();
        std::fs::hard_link(path.join("a"), building.join("a")).unwrap();
        std::fs::write(folder.path().join("manifests/.hub-1-1.tmp"), "x").unwrap();
        let before = left(&cache).len();
        prune(&cache, &|_| false, now());
        assert_eq!(left(&cache).len(), before);
        prune(&cache, &|_| false, now().plus_ms(Duration::from_secs(2 * 86_400).as_millis() as i64));
        assert_eq!(left(&cache).len(), before - 2);
        assert!(path.join("a").exists());
    }
}
