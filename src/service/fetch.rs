//! Reading files of versions, and counting downloads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Error, Result, Service};
use crate::blob;
use crate::catalog::{counters, versions};
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::{FileEntry, Repo, Version};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// Downloads are written together after this time: each alone would cost a trip to the disk.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

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
pub(super) struct Downloads {
    counted: Mutex<HashMap<RepoKey, u64>>,
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
        let reader = match self.blobs.open(&entry.digest).await {
            Ok(reader) if reader.size() == entry.size_bytes => reader,
            Ok(reader) => {
                let problem = format!("it has {} bytes instead of {}", reader.size(), entry.size_bytes);
                return Err(blob::Error::Corrupt { digest: entry.digest, problem }.into());
            }
            Err(blob::Error::NotFound(digest)) => {
                return Err(blob::Error::Corrupt { digest, problem: "they are gone".into() }.into());
            }
            Err(error) => return Err(error.into()),
        };
        Ok(OpenFile { repo, entry, version, reader })
    }

    /// Counts one download of a repo's file. Counts are written about a second later.
    pub fn count_download(&self, repo: &RepoKey) {
        let mut counted = self.downloads.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let first = counted.is_empty();
        *counted.entry(repo.clone()).or_default() += 1;
        if first {
            let service = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(FLUSH_AFTER).await;
                if let Err(error) = service.write_downloads().await {
                    tracing::warn!(%error, "some downloads were not counted");
                }
            });
        }
    }

    /// Writes what was counted; also called once when the server stops.
    pub async fn write_downloads(&self) -> Result<()> {
        let counted = std::mem::take(&mut *self.downloads.counted.lock().unwrap_or_else(PoisonError::into_inner));
        if counted.is_empty() {
            return Ok(());
        }
        let now = self.now();
        self.db
            .write(move |tx| {
                for (repo, downloads) in &counted {
                    counters::add_downloads(tx, repo, *downloads, now)?;
                }
                Ok(())
            })
            .await
    }
}

pub(super) fn no_file(repo: &Repo, version: &Version, path: &RepoPath) -> Error {
    Error::not_found(
        "file_not_found",
        format!("version {} of '{}' has no file '{path}'", version.number, repo.id),
        "list the version's files; paths are case-sensitive",
    )
}

/// Shared by all clones of a service.
pub(super) type SharedDownloads = Arc<Downloads>;
