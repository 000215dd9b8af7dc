//! Reading files of versions, and counting downloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::{Error, Result, Service, access};
use crate::blob;
use crate::catalog::{counters, versions};
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::{FileEntry, Repo, Version};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::people::journal;

/// Downloads are written together after this time: each alone would cost a trip to the disk.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// The longest pause between two files of a pull, and pulls that are remembered.
const PULL_PAUSE: Duration = Duration::from_secs(600);
const MOST_PULLS: usize = 20_000;

/// A file of a version, ready to be read.
#[derive(Debug, Clone)]
pub struct OpenFile {
    pub repo: RepoKey,
    pub entry: FileEntry,
    pub version: Version,
    pub reader: blob::Reader,
}

/// Downloads not yet written down.
#[derive(Default)]
pub(in crate::service) struct Downloads {
    counted: Mutex<HashMap<RepoKey, u64>>,
    /// When a file of a repo was last sent to an address.
    pulls: Mutex<HashMap<(RepoKey, String), Instant>>,
}

impl Downloads {
    /// Whether a file belongs to a pull that is counted already: of the same repo by the same address, not long after the file before it.
    fn goes_on(&self, repo: &RepoKey, address: String, now: Instant) -> bool {
        if address.is_empty() {
            return false;
        }
        let mut pulls = self.pulls.lock();
        if pulls.len() >= MOST_PULLS {
            pulls.retain(|_, last| now.duration_since(*last) < PULL_PAUSE);
            // So many at once are no longer told apart: each counts.
            if pulls.len() >= MOST_PULLS {
                pulls.clear();
            }
        }
        pulls.insert((repo.clone(), address), now).is_some_and(|last| now.duration_since(last) < PULL_PAUSE)
    }
}

impl Service {
    pub async fn open_file(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision, path: &RepoPath) -> Result<OpenFile> {
        let wanted = path.clone();
        let (repo, version, entry) = self
            .at(actor, kind, id, revision, move |tx, repo, version| {
                let entry = versions::find_file(tx, &repo.key, version.number, wanted.as_str())?;
                let entry = entry.ok_or_else(|| no_file(&repo, &version, &wanted))?;
                Ok((repo.key, version, entry))
            })
            .await?;
        self.open_entry(repo, version, entry).await
    }

    /// The newest file, over all versions, of one of these paths whose sha256 begins so.
    pub async fn open_file_of_digest(&self, actor: &Actor, id: &RepoId, wanted: Vec<(RepoPath, String)>) -> Result<OpenFile> {
        let (actor, id) = (actor.clone(), id.clone());
        let found = self.db.read(move |tx| {
            let repo = access::see_repo(tx, &actor, RepoKind::Model, &id)?;
            for (path, prefix) in &wanted {
                if let Some((entry, number)) = versions::find_file_of_digest(tx, &repo.key, path.as_str(), prefix)? {
                    return Ok(versions::find(tx, &repo.key, number)?.map(|version| (repo.key, version, entry)));
                }
            }
            Ok::<_, Error>(None)
        });
        let none = || {
            let hint = "the name is STEM-SHA.EXT: the file STEM.EXT of any version, and 8 digits or more of its sha256";
            Error::not_found("file_not_found", "no file of this repo has that name and sha256", hint)
        };
        let (repo, version, entry) = found.await?.ok_or_else(none)?;
        self.open_entry(repo, version, entry).await
    }

    /// A file with its first bytes, at most so many.
    pub async fn peek(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        revision: &Revision,
        path: &RepoPath,
        most: u64,
    ) -> Result<(OpenFile, Vec<u8>)> {
        let file = self.open_file(actor, kind, id, revision, path).await?;
        let bytes = self.blobs.read_range(&file.entry.digest, 0..file.entry.size_bytes.min(most)).await?;
        Ok((file, bytes.to_vec()))
    }

    pub(in crate::service) async fn open_entry(&self, repo: RepoKey, version: Version, entry: FileEntry) -> Result<OpenFile> {
        let reader = match self.blobs.open(&entry.digest).await {
            Ok(reader) if reader.size() == entry.size_bytes => reader,
            Ok(reader) => {
                let problem = format!("it has {} bytes instead of {}", reader.size(), entry.size_bytes);
                self.blobs.doubt(&entry.digest, &problem);
                return Err(blob::Error::Corrupt { digest: entry.digest, problem }.into());
            }
            Err(blob::Error::NotFound(digest)) => {
                return Err(blob::Error::Corrupt { digest, problem: "they are gone".into() }.into());
            }
            Err(error) => return Err(error.into()),
        };
        Ok(OpenFile { repo, entry, version, reader })
    }

    /// Counts a download of a repo: the first file of a pull, the others belong to it. Counts are written about a second later.
    pub fn count_download(&self, repo: &RepoKey) {
        if self.downloads.goes_on(repo, journal::address(), Instant::now()) {
            return;
        }
        let mut counted = self.downloads.counted.lock();
        let first = counted.is_empty();
        *counted.entry(repo.clone()).or_default() += 1;
        if first {
            let service = self.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(FLUSH_AFTER).await;
                    match service.write_downloads().await {
                        Ok(()) => return,
                        // They were put back: the database is away for a moment.
                        Err(Error::Busy(_)) => {}
                        Err(error) => return tracing::warn!(%error, "some downloads were not counted"),
                    }
                }
            });
        }
    }

    /// Writes what was counted; also called once when the server stops.
    pub async fn write_downloads(&self) -> Result<()> {
        let counted = std::mem::take(&mut *self.downloads.counted.lock());
        if counted.is_empty() {
            return Ok(());
        }
        let (now, again) = (self.now(), counted.clone());
        let written = self
            .db
            .write(move |tx| {
                for (repo, downloads) in &counted {
                    counters::add_downloads(tx, repo, *downloads, now)?;
                }
                Ok(())
            })
            .await;
        if let Err(Error::Busy(_)) = written {
            let mut counted = self.downloads.counted.lock();
            for (repo, downloads) in again {
                *counted.entry(repo).or_default() += downloads;
            }
        }
        written
    }
}

pub(in crate::service) fn no_file(repo: &Repo, version: &Version, path: &RepoPath) -> Error {
    Error::not_found(
        "file_not_found",
        format!("version {} of '{}' has no file '{path}'", version.number, repo.id),
        "list the version's files; paths are case-sensitive",
    )
}

/// Shared by all clones of a service.
pub(in crate::service) type SharedDownloads = Arc<Downloads>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_pull_of_several_files_counts_once() {
        let (downloads, now) = (Downloads::default(), Instant::now());
        let key = |n| RepoKey::new(Timestamp::from_unix_ms(0), [n; 10]);
        let goes_on =
            |repo: u8, address: &str, after: u64| downloads.goes_on(&key(repo), address.to_owned(), now + Duration::from_secs(after));
        assert!(!goes_on(1, "10.0.0.1", 0) && goes_on(1, "10.0.0.1", 5) && goes_on(1, "10.0.0.1", 600), "one pull");
        assert!(!goes_on(2, "10.0.0.1", 5) && !goes_on(1, "10.0.0.2", 5), "another repo, another address");
        assert!(!goes_on(1, "10.0.0.1", 1_300), "and another pull, later");
        assert!(!goes_on(1, "", 0) && !goes_on(1, "", 0), "what has no address is each time new");
    }
}
