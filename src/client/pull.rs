//! Pull: a revision becomes a proved manifest, the blobs the cache lacks are fetched side by side, and the version
//! stands in the cache as a folder. One request asks for the manifest, and each file costs one more, or one for
//! each piece of a large one; a second pull asks for the manifest and nothing else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::download::{Downloads, Want, blocking};
use super::prove::{Target, prove};
use super::reuse::may_share;
use super::{Client, Error, Event, Result};
use crate::cache::{Cache, Hold, Place, VerifiedHashes};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::selection::Selection;
use crate::wire;

/// A version, or some of its files, that stands in the cache, every byte of it proved.
#[derive(Debug, Clone)]
pub struct Pulled {
    pub kind: RepoKind,
    /// As the server writes it.
    pub id: RepoId,
    pub number: u32,
    /// The version's.
    pub manifest: Manifest,
    /// What the folder holds: all of the manifest, or what was asked for.
    pub files: Manifest,
    /// Files that would fit, but are or hold pickles, which were not asked for.
    pub left_out: Vec<RepoPath>,
    /// The snapshot's folder.
    pub path: PathBuf,
    pub fetched_bytes: u64,
    pub fetched_files: usize,
    /// No prune takes the folder while this lives.
    pub hold: Hold,
}

impl Pulled {
    /// Does the folder hold the whole version?
    pub fn is_whole(&self) -> bool {
        self.files == self.manifest
    }
}

impl Client {
    /// Brings a version into the cache. Errors: not found (also: not yours to see), unreachable, corrupt
    /// (nothing of the version gets its name), no room.
    pub async fn pull(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Pulled> {
        self.pull_some(cache, kind, id, revision, &Selection::everything()).await
    }

    /// Some of a version's files.
    pub async fn pull_some(
        &self,
        cache: &Cache,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        selection: &Selection,
    ) -> Result<Pulled> {
        let (answer, name) = self.manifest_and_name(kind, id, revision).await?;
        let target = prove(kind, &name, revision, &answer)?;
        let (files, left_out) = choose(&target, selection)?;
        let hold = self.hold(cache, &target.manifest).await?;
        let verified = Arc::new(cache.verified_hashes());
        let (fetched_files, fetched_bytes) = self.fetch_missing(cache, &verified, &target, &files).await?;
        let path = self.assemble(cache, &verified, &target, &files).await?;
        for name in [id, &target.id] {
            let folder = self.address.folder();
            cache.remember(&Place { server: &folder, kind, id: name }, revision, target.number, &target.manifest)?;
            cache.remember_marked(&target.manifest, &target.marked)?;
        }
        let Target { id, number, manifest, .. } = target;
        Ok(Pulled { kind, id, number, manifest, files, left_out, path, fetched_bytes, fetched_files, hold })
    }

    /// The same from the cache alone, without a word to the server.
    pub async fn recall(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision, selection: &Selection) -> Result<Pulled> {
        let folder = self.address.folder();
        let absent = |what: String| Error::Answer {
            kind: wire::error::Kind::NotFound,
            code: "not_cached".into(),
            message: what,
            hint: "pull it once while the server can be reached".into(),
        };
        let found = cache.recall(&Place { server: &folder, kind, id }, revision)?;
        let found = found.ok_or_else(|| absent(format!("{id}@{revision} is not in the cache")))?;
        let marked = cache.recall_marked(&found.manifest);
        let target = Target { kind, id: id.clone(), number: found.number, manifest: found.manifest, marked };
        let (files, left_out) = choose(&target, selection)?;
        let hold = self.hold(cache, &target.manifest).await?;
        let verified = Arc::new(cache.verified_hashes());
        let missing = self.missing(cache, &verified, &files).await?;
        if let Some(entry) = missing.first() {
            return Err(absent(format!("{} of {id}@{revision} is not in the cache, or was damaged there", entry.path)));
        }
        let path = self.assemble(cache, &verified, &target, &files).await?;
        let Target { id, number, manifest, .. } = target;
        Ok(Pulled { kind, id, number, manifest, files, left_out, path, fetched_bytes: 0, fetched_files: 0, hold })
    }

    /// Could [`Client::recall`] know this version?
    pub fn remembers(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision) -> bool {
        let folder = self.address.folder();
        matches!(cache.recall(&Place { server: &folder, kind, id }, revision), Ok(Some(_)))
    }

    /// From here on no prune takes what the version needs.
    async fn hold(&self, cache: &Cache, manifest: &Manifest) -> Result<Hold> {
        let mut told = false;
        loop {
            if let Some(hold) = cache.try_hold(manifest)? {
                return Ok(hold);
            }
            if !std::mem::replace(&mut told, true) {
                (self.sink)(Event::Note("another hub process is pruning the cache; waiting for it".into()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn assemble(&self, cache: &Cache, verified: &Arc<VerifiedHashes>, target: &Target, files: &Manifest) -> Result<PathBuf> {
        let (cache, verified, folder) = (cache.clone(), verified.clone(), self.address.folder());
        let (kind, id, whole, files) = (target.kind, target.id.clone(), target.manifest.clone(), files.clone());
        blocking(move || cache.assemble(&verified, &Place { server: &folder, kind, id: &id }, &whole, &files)).await
    }

    /// Files and bytes fetched by this process.
    async fn fetch_missing(
        &self,
        cache: &Cache,
        verified: &Arc<VerifiedHashes>,
        target: &Target,
        files: &Manifest,
    ) -> Result<(usize, u64)> {
        let missing = self.missing(cache, verified, files).await?;
        if missing.is_empty() {
            return Ok((0, 0));
        }
        let bytes: u64 = missing.iter().map(|entry| entry.size_bytes).sum();
        let downloads = Downloads::new(self, cache, verified)?;
        let arrived: u64 = missing.iter().map(|entry| downloads.arrived_bytes(&entry.digest, entry.size_bytes)).sum();
        cache.check_room(bytes.saturating_sub(arrived))?;
        (self.sink)(Event::Begin { what: "downloading", files: missing.len() as u64, bytes });
        let wants = missing.iter().map(|entry| self.want(target, entry)).collect();
        let result = downloads.fetch_all(wants).await;
        (self.sink)(Event::End);
        result
    }

    fn want(&self, target: &Target, entry: &ManifestEntry) -> Want {
        // By number: versions are immutable, while `main` may move between two files.
        let number = target.number.to_string();
        let url = |what: &str| {
            let mut parts = vec!["versions", &number, what];
            parts.extend(entry.path.as_str().split('/'));
            self.address.repo(target.kind, &target.id, &parts)
        };
        let segments = may_share(entry.path.as_str(), entry.size_bytes).then(|| url("segments"));
        Want { url: url("files"), digest: entry.digest, size_bytes: entry.size_bytes, name: entry.path.to_string(), segments }
    }

    /// One entry for each blob that is absent or damaged; the others are proved, most of them without reading them
    /// again.
    async fn missing(&self, cache: &Cache, verified: &Arc<VerifiedHashes>, manifest: &Manifest) -> Result<Vec<ManifestEntry>> {
        let distinct: HashMap<Digest, &ManifestEntry> = manifest.entries().iter().rev().map(|entry| (entry.digest, entry)).collect();
        let mut entries: Vec<ManifestEntry> = distinct.into_values().cloned().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let (store, known) = (cache.clone(), verified.clone());
        let (mut missing, unread) = blocking(move || Ok(look(&store, &known, entries))).await?;
        if unread.is_empty() {
            return Ok(missing);
        }
        let bytes = unread.iter().map(|entry| entry.size_bytes).sum();
        (self.sink)(Event::Begin { what: "verifying", files: unread.len() as u64, bytes });
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
        let proved = stream::iter(unread).map(|entry| {
            let (cache, verified) = (cache.clone(), verified.clone());
            blocking(move || cache.prove_blob(&verified, &entry.digest, entry.size_bytes).map(|good| (entry, good)))
        });
        let proved: Vec<_> = proved.buffered(threads).collect().await;
        for proof in proved {
            let (entry, good) = proof?;
            match good {
                true => (self.sink)(Event::Advance(entry.size_bytes)),
                false => missing.push(entry),
            }
        }
        (self.sink)(Event::End);
        Ok(missing)
    }
}

/// What is absent, and what must be read to know. Blobs that were proved and have not changed are neither.
fn look(cache: &Cache, verified: &VerifiedHashes, entries: Vec<ManifestEntry>) -> (Vec<ManifestEntry>, Vec<ManifestEntry>) {
    let unknown = entries.into_iter().filter(|entry| !cache.is_proved(verified, &entry.digest, entry.size_bytes));
    unknown.partition(|entry| !cache.blob_path(&entry.digest).exists())
}

fn choose(target: &Target, selection: &Selection) -> Result<(Manifest, Vec<RepoPath>)> {
    selection.of(&target.manifest, &target.marked).ok_or_else(|| Error::Answer {
        kind: wire::error::Kind::NotFound,
        code: "no_file_fits".into(),
        message: format!(
            "no file of {} version {} fits --include and --exclude (pickles fit with --allow-pickle only)",
            target.id, target.number
        ),
        hint: format!("`hub show {}@{} --files` lists them; '*' also matches '/', and case matters", target.id, target.number),
    })
}
