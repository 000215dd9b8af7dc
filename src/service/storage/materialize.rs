//! Stored bytes as files on this machine, proved by their sha256, for those who map or decode them. Each is hashed once:
//! what is copied, on its way.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

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
        let (mut files, mut known) = (Vec::with_capacity(manifest.entries().len()), HashMap::<Digest, PathBuf>::new());
        for entry in manifest.entries() {
            let file = match known.get(&entry.digest) {
                Some(file) => file.clone(),
                None => self.local_file(&entry.digest, folder).await?,
            };
            known.insert(entry.digest, file.clone());
            files.push((entry.path.to_string(), file));
        }
        Ok((version, files))
    }

    /// One blob as a local file whose bytes were just proved.
    pub(in crate::service) async fn local_file(&self, digest: &Digest, folder: &Path) -> Result<PathBuf> {
        let copy = folder.join(digest.to_hex());
        let path = match self.blobs.local_path(digest) {
            Some(path) => path,
            // An earlier attempt left it, and the disk may have changed it since.
            None if copy.is_file() => copy,
            None => return self.copy_out(digest, folder, copy).await,
        };
        let (file, digest) = (path.clone(), *digest);
        let hashed = spawn_blocking(move || File::open(&file).and_then(|mut file| blob::sha256(&mut file)));
        let hashed = hashed.await.map_err(|e| Error::Internal(format!("hashing was stopped: {e}")))?;
        prove(&digest, hashed.map_err(|e| damaged(&digest, &e.to_string()))?)?;
        Ok(path)
    }

    /// Copies a blob of a remote store, which gets its name once it is proved.
    async fn copy_out(&self, digest: &Digest, folder: &Path, copy: PathBuf) -> Result<PathBuf> {
        let reader = self.blobs.open(digest).await?;
        let part = folder.join(format!("{digest}.part"));
        let failed = |e: std::io::Error| Error::of_file(&format!("cannot write {}", part.display()), &e);
        let stopped = |e| Error::Internal(format!("copying was stopped: {e}"));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut writing = (File::create(&part).map_err(failed)?, Sha256::new());
        let mut stream = reader.stream(0..reader.size());
        while let Some(bytes) = stream.try_next().await? {
            // Hashing and writing would hold up everything else on this thread.
            let written = spawn_blocking(move || {
                writing.1.update(&bytes);
                writing.0.write_all(&bytes).map(|()| writing)
            });
            writing = written.await.map_err(stopped)?.map_err(failed)?;
        }
        prove(digest, Digest::from_bytes(writing.1.finalize().into()))?;
        std::fs::rename(&part, &copy).map_err(failed)?;
        Ok(copy)
    }
}

fn prove(digest: &Digest, got: Digest) -> Result<()> {
    if got == *digest { Ok(()) } else { Err(damaged(digest, &format!("they have sha256 {got}"))) }
}

fn damaged(digest: &Digest, problem: &str) -> Error {
    let message = format!("the stored bytes of {digest} are damaged: {problem}");
    Error::corrupt("blob_corrupt", message, "upload the file again to repair it")
}

#[cfg(test)]
#[path = "materialize_tests.rs"]
mod tests;
