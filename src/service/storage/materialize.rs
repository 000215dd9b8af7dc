//! Stored bytes as files on this machine, proved by their sha256, for those who map or decode them.

use std::fs::File;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::super::{Error, Result, Service};
use crate::blob;
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

impl Service {
    /// The files of a version as (path in the repo, local file). Files of the local store are used where they
    /// lie and must not be changed; those of another store are copied into `folder`.
    pub async fn materialize(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        folder: &Path,
    ) -> Result<(Version, Vec<(String, PathBuf)>)> {
        let (version, manifest) = self.manifest(actor, kind, id, revision).await?;
        let mut files = Vec::with_capacity(manifest.entries().len());
        for entry in manifest.entries() {
            files.push((entry.path.to_string(), self.local_file(&entry.digest, folder).await?));
        }
        Ok((version, files))
    }

    /// One blob as a local file whose bytes were just proved.
    pub(in crate::service) async fn local_file(&self, digest: &Digest, folder: &Path) -> Result<PathBuf> {
        let path = match self.blobs.local_path(digest) {
            Some(path) => path,
            None => self.copy_out(digest, folder).await?,
        };
        let (proved, digest) = (path.clone(), *digest);
        tokio::task::spawn_blocking(move || prove(&proved, &digest))
            .await
            .map_err(|e| Error::Internal(format!("hashing was stopped: {e}")))??;
        Ok(path)
    }

    /// Copies a blob of a remote store; a copy that is there already is left for the proof to judge.
    async fn copy_out(&self, digest: &Digest, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(digest.to_hex());
        if path.is_file() {
            return Ok(path);
        }
        let reader = self.blobs.open(digest).await?;
        let part = folder.join(format!("{digest}.part"));
        let failed = |e: std::io::Error| Error::Internal(format!("cannot write {}: {e}", part.display()));
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        let mut file = tokio::fs::File::create(&part).await.map_err(failed)?;
        let mut stream = reader.stream(0..reader.size());
        while let Some(bytes) = stream.try_next().await? {
            file.write_all(&bytes).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        tokio::fs::rename(&part, &path).await.map_err(failed)?;
        Ok(path)
    }
}

fn prove(path: &Path, digest: &Digest) -> Result<()> {
    let damaged = |problem: String| {
        let message = format!("the stored bytes of {digest} are damaged: {problem}");
        Error::corrupt("blob_corrupt", message, "upload the file again to repair it")
    };
    match File::open(path).and_then(|mut file| blob::sha256(&mut file)) {
        Ok(got) if got == *digest => Ok(()),
        Ok(got) => Err(damaged(format!("they have sha256 {got}"))),
        Err(error) => Err(damaged(error.to_string())),
    }
}
