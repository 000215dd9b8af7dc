//! Publishing a folder of this machine: what the worker does with a result.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::super::{Error, Result, Service};
use super::publish::{Also, Commit, Committed};
use crate::domain::id::UploadId;
use crate::domain::manifest::ManifestEntry;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::RefName;
use crate::domain::user::Actor;

/// Times a publish is tried again because somebody else's came between.
const TRIES: usize = 5;

/// What to say about a published folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FolderCommit {
    pub message: String,
    pub tags: Vec<RefName>,
    /// Where the repo must be made first.
    pub private: bool,
    /// The base models' versions.
    pub bases: Vec<(RepoId, u32)>,
    /// What else is to be said of it.
    pub warnings: Vec<String>,
}

impl Service {
    /// Publishes all files of a folder as the next version of a repo, and makes the repo if it is not there.
    pub async fn publish_folder(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        folder: &Path,
        commit: FolderCommit,
    ) -> Result<Committed> {
        self.publish_folder_and(actor, kind, id, folder, commit, None).await
    }

    /// As [`Service::publish_folder`], and `also` in the transaction that makes the version.
    pub(in crate::service) async fn publish_folder_and(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        folder: &Path,
        commit: FolderCommit,
        also: Option<Also>,
    ) -> Result<Committed> {
        let root = folder.to_owned();
        let listed = tokio::task::spawn_blocking(move || list(&root)).await;
        let listed = listed.map_err(|e| Error::Internal(format!("listing a folder was stopped: {e}")))??;
        self.publish_files_and(actor, kind, id, listed, commit, also).await
    }

    /// As [`Service::publish_folder_and`], of files that lie anywhere, each with its path in the repo.
    pub(in crate::service) async fn publish_files_and(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        files: Vec<(RepoPath, PathBuf)>,
        commit: FolderCommit,
        also: Option<Also>,
    ) -> Result<Committed> {
        match self.get_repo(actor, kind, id).await {
            Err(Error::NotFound(_)) => {
                self.create_repo(actor, kind, id, commit.private, String::new()).await?;
            }
            other => {
                other?;
            }
        }
        let holder = UploadId::new(self.now(), self.random()?);
        let committed = self.store_and_commit(actor, (kind, id), files, commit, also, &holder).await;
        self.release(&holder).await;
        committed
    }

    /// Until `holder` is released, the collector leaves the files alone.
    async fn store_and_commit(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        files: Vec<(RepoPath, PathBuf)>,
        commit: FolderCommit,
        also: Option<Also>,
        holder: &UploadId,
    ) -> Result<Committed> {
        let files = self.store_files(files, holder).await?;
        let proved: HashSet<_> = files.iter().map(|entry| entry.digest).collect();
        let mut tries = 1;
        loop {
            let parent = self.get_repo(actor, kind, id).await?.head.map(|head| head.number);
            let FolderCommit { message, tags, bases, warnings, .. } = commit.clone();
            let next = Commit { message, parent, files: files.clone(), tags, bases, warnings, ..Commit::default() };
            match self.commit_proved(actor, kind, id, next, proved.clone(), also.clone()).await {
                Err(Error::Conflict(problem)) if problem.code == "head_moved" && tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn store_files(&self, listed: Vec<(RepoPath, PathBuf)>, holder: &UploadId) -> Result<Vec<ManifestEntry>> {
        let mut files = Vec::with_capacity(listed.len());
        for (path, file) in listed {
            let (digest, size_bytes) = self.store_file(&file, holder).await?;
            files.push(ManifestEntry { path, size_bytes, digest });
        }
        Ok(files)
    }
}

/// The regular files under a folder with their path in it. A link could lead anywhere and is refused.
fn list(root: &Path) -> Result<Vec<(RepoPath, PathBuf)>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(root).follow_links(false).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::Internal(format!("a folder to publish cannot be read: {e}")))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let shown = entry.path().display().to_string();
        let refused = |problem: String| Error::invalid("bad_path", problem, "rename or remove it and publish again");
        if !entry.file_type().is_file() {
            return Err(refused(format!("'{shown}' is not a plain file")));
        }
        let inside = entry.path().strip_prefix(root).ok().and_then(Path::to_str);
        let inside = inside.ok_or_else(|| refused(format!("the name of '{shown}' is not UTF-8")))?;
        files.push((RepoPath::parse(inside).map_err(|e| refused(e.to_string()))?, entry.into_path()));
    }
    Ok(files)
}
