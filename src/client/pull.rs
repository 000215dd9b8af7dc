//! Pull: a revision becomes a proved manifest, the missing blobs are fetched side by side, and the version
//! stands in the cache as a folder. The manifest must hash to the commit it claims, and each path in it is
//! parsed as ours are, so a hostile server can at most be refused.

use std::collections::HashMap;
use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::download::Want;
use super::{Client, Error, Event, Result};
use crate::cache::{Cache, Place};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::wire;

/// Files fetched at the same time.
const AT_ONCE: usize = 4;

/// A version that stands in the cache, every byte of it proved just now.
#[derive(Debug, Clone)]
pub struct Pulled {
    pub kind: RepoKind,
    /// As the server writes it.
    pub id: RepoId,
    pub number: u32,
    pub manifest: Manifest,
    /// The snapshot's folder.
    pub path: PathBuf,
    pub fetched_bytes: u64,
    pub fetched_files: usize,
}

/// Which version, proved.
struct Target {
    kind: RepoKind,
    id: RepoId,
    number: u32,
    manifest: Manifest,
}

impl Client {
    /// Brings a version into the cache. Errors: not found (also: not yours to see), unreachable, corrupt
    /// (nothing of the version gets its name), no room.
    pub async fn pull(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Pulled> {
        let answer = self.manifest(kind, id, revision).await?;
        let target = prove(kind, id, revision, &answer)?;
        let (fetched_files, fetched_bytes) = self.fetch_missing(cache, &target).await?;
        let folder = self.address.folder();
        let place = Place { server: &folder, kind, id: &target.id };
        let path = cache.assemble(&place, &target.manifest)?;
        for name in [id, &target.id] {
            cache.remember(&Place { id: name, ..place.clone() }, revision, target.number, &target.manifest)?;
        }
        Ok(Pulled { kind, id: target.id, number: target.number, manifest: target.manifest, path, fetched_bytes, fetched_files })
    }

    /// The same from the cache alone, without a word to the server.
    pub async fn recall(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Pulled> {
        let folder = self.address.folder();
        let place = Place { server: &folder, kind, id };
        let absent = |what: String| Error::Answer {
            kind: wire::error::Kind::NotFound,
            code: "not_cached".into(),
            message: what,
            hint: "pull it once while the server can be reached".into(),
        };
        let found = cache.recall(&place, revision)?.ok_or_else(|| absent(format!("{id}@{revision} is not in the cache")))?;
        let missing = self.missing(cache, &found.manifest).await?;
        if let Some(entry) = missing.first() {
            return Err(absent(format!("{} of {id}@{revision} is not in the cache, or was damaged there", entry.path)));
        }
        let path = cache.assemble(&place, &found.manifest)?;
        Ok(Pulled { kind, id: id.clone(), number: found.number, manifest: found.manifest, path, fetched_bytes: 0, fetched_files: 0 })
    }

    /// Could [`Client::recall`] know this version?
    pub fn remembers(&self, cache: &Cache, kind: RepoKind, id: &RepoId, revision: &Revision) -> bool {
        let folder = self.address.folder();
        matches!(cache.recall(&Place { server: &folder, kind, id }, revision), Ok(Some(_)))
    }

    async fn fetch_missing(&self, cache: &Cache, target: &Target) -> Result<(usize, u64)> {
        let missing = self.missing(cache, &target.manifest).await?;
        let bytes = missing.iter().map(|entry| entry.size_bytes).sum();
        let arrived = |entry: &ManifestEntry| std::fs::metadata(cache.part_path(&entry.digest)).map_or(0, |part| part.len());
        cache.check_room(missing.iter().map(|entry| entry.size_bytes.saturating_sub(arrived(entry))).sum())?;
        if missing.is_empty() {
            return Ok((0, 0));
        }
        (self.sink)(Event::Begin { what: "downloading", files: missing.len() as u64, bytes });
        let wants = missing.iter().map(|entry| self.want(target, entry));
        let result = stream::iter(wants)
            .map(|want| async move { self.fetch(cache, &want).await })
            .buffer_unordered(AT_ONCE)
            .try_fold((0, 0), |(files, sum), bytes| async move { Ok((files + usize::from(bytes > 0), sum + bytes)) })
            .await;
        (self.sink)(Event::End);
        result
    }

    fn want(&self, target: &Target, entry: &ManifestEntry) -> Want {
        // By number: versions are immutable, while `main` may move between two files.
        let number = target.number.to_string();
        let mut parts = vec!["versions", &number, "files"];
        parts.extend(entry.path.as_str().split('/'));
        let url = self.address.repo(target.kind, &target.id, &parts);
        Want { url, digest: entry.digest, size_bytes: entry.size_bytes, name: entry.path.to_string() }
    }

    /// One entry for each blob that is absent or damaged; the others have been read and proved.
    async fn missing(&self, cache: &Cache, manifest: &Manifest) -> Result<Vec<ManifestEntry>> {
        let distinct: HashMap<Digest, &ManifestEntry> = manifest.entries().iter().rev().map(|entry| (entry.digest, entry)).collect();
        let mut entries: Vec<&ManifestEntry> = distinct.into_values().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
        let bytes = entries.iter().filter(|e| cache.has_blob(&e.digest, e.size_bytes)).map(|e| e.size_bytes).sum();
        if bytes > 0 {
            (self.sink)(Event::Begin { what: "verifying", files: entries.len() as u64, bytes });
        }
        let proofs = stream::iter(entries.into_iter().cloned()).map(|entry| {
            let cache = cache.clone();
            tokio::task::spawn_blocking(move || cache.prove_blob(&entry.digest, entry.size_bytes).map(|good| (entry, good)))
        });
        let proofs: Vec<_> = proofs.buffered(threads).collect().await;
        let mut missing = Vec::new();
        for proof in proofs {
            let (entry, good) = proof.map_err(|e| self.strange(format!("checking the cache failed: {e}")))??;
            if good {
                (self.sink)(Event::Advance(entry.size_bytes));
            } else {
                missing.push(entry);
            }
        }
        if bytes > 0 {
            (self.sink)(Event::End);
        }
        Ok(missing)
    }
}

/// The server's word for a version, or the reason not to take it. Nothing has been written yet.
fn prove(kind: RepoKind, asked: &RepoId, revision: &Revision, answer: &wire::files::Manifest) -> Result<Target> {
    let refuse = |why: String| Error::Corrupt(format!("the server's list of files for {asked}@{revision} is refused: {why}"));
    let id = RepoId::parse(&answer.repo).map_err(|e| refuse(format!("it names the repo {:?}: {e}", answer.repo)))?;
    if id.folded() != asked.folded() {
        return Err(refuse(format!("it is of another repo, {id}")));
    }
    let entry = |file: &wire::files::File| {
        let path = RepoPath::parse(&file.path).map_err(|e| refuse(e.to_string()))?;
        let digest = Digest::parse(&file.sha256).map_err(|e| refuse(format!("{path}: {e}")))?;
        Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
    };
    let entries = answer.files.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let total = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size_bytes));
    if total.is_none() {
        return Err(refuse("its sizes add up to more than there is".into()));
    }
    let manifest = Manifest::new(entries).map_err(|e| refuse(e.to_string()))?;
    let (digest, commit) = (manifest.digest(), manifest.commit_id());
    let version = &answer.version;
    if version.manifest != digest.to_hex() || version.commit != commit.as_str() {
        return Err(refuse(format!("its files hash to the commit {commit}, not to {}", version.commit)));
    }
    let as_asked = match revision {
        Revision::Commit(prefix) => commit.as_str().starts_with(prefix),
        Revision::Manifest(wanted) => digest == *wanted,
        Revision::Number(number) => version.number == *number,
        Revision::Ref(_) => true,
    };
    if !as_asked {
        return Err(refuse(format!("it is of version {} ({commit})", version.number)));
    }
    Ok(Target { kind, id, number: version.number, manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(files: &[(&str, &str)]) -> wire::files::Manifest {
        let digest = Digest::of(b"x");
        let files: Vec<_> = files
            .iter()
            .map(|(path, sha)| wire::files::File {
                path: (*path).into(),
                size_bytes: 1,
                sha256: if sha.is_empty() { digest.to_hex() } else { (*sha).into() },
            })
            .collect();
        let canonical: String = files.iter().map(|f| format!("{} {} {}\n", f.sha256, f.size_bytes, f.path)).collect();
        let manifest = Digest::of(canonical.as_bytes()).to_hex();
        let version = wire::repos::Version {
            number: 1,
            commit: manifest[..40].into(),
            manifest,
            parent: None,
            author: "a".into(),
            message: "m".into(),
            created: "2026-01-01T00:00:00.000Z".into(),
            state: "live".into(),
            files: files.len() as u64,
            total_bytes: files.len() as u64,
        };
        wire::files::Manifest { repo: "acme/net".into(), kind: "model".into(), version, files }
    }

    fn judge(answer: &wire::files::Manifest, revision: &str) -> Result<Target> {
        prove(RepoKind::Model, &RepoId::parse("acme/net").unwrap(), &Revision::parse(revision).unwrap(), answer)
    }

    #[test]
    fn an_honest_list_is_believed() {
        let honest = answer(&[("README.md", ""), ("model.safetensors", "")]);
        assert_eq!(judge(&honest, "main").unwrap().manifest.entries().len(), 2);
        assert!(judge(&honest, &honest.version.commit[..7]).is_ok());
        assert!(judge(&honest, &format!("sha256:{}", honest.version.manifest)).is_ok());
    }

    #[test]
    fn hostile_paths_refuse_the_whole_snapshot() {
        for path in ["../../.bashrc", "/etc/x", "C:\\x", "a/../b", ".git/hooks/post-checkout", "a\u{202e}b", "con", ""] {
            let error = judge(&answer(&[("README.md", ""), (path, "")]), "main").err().unwrap_or_else(|| panic!("{path:?} was believed"));
            assert_eq!(error.exit_code(), 5, "{error}");
        }
        assert!(judge(&answer(&[("a", ""), ("A", "")]), "main").is_err(), "two names equal but for case");
        assert!(judge(&answer(&[("a", "../../x")]), "main").is_err(), "a digest that is a path");
    }

    #[test]
    fn a_list_that_is_not_its_commit_is_refused() {
        let mut other = answer(&[("README.md", "")]);
        other.files[0].size_bytes = 2;
        assert!(judge(&other, "main").is_err(), "files changed");
        let mut other = answer(&[("README.md", "")]);
        other.version.commit = "0".repeat(40);
        assert!(judge(&other, "main").is_err(), "commit changed");
        let mut other = answer(&[("README.md", "")]);
        other.repo = "evil/net".into();
        assert!(judge(&other, "main").is_err(), "another repo");
        assert!(judge(&answer(&[("README.md", "")]), "0000000").is_err(), "another commit than asked");
        assert!(judge(&answer(&[("README.md", "")]), "2").is_err(), "another number than asked");
    }
}
