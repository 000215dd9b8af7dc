//! Finding out the hashes of a blob's leaves: in memory, in the store, or, where nobody has written them (blobs of
//! earlier versions, lists that are lost or damaged), by reading the blob once and proving it by its sha256.
//!
//! One reads, all others who ask for the same blob wait for it; it goes on when nobody waits any more, so that who comes
//! again finds it done. Only a few blobs are read so at a time.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use tokio::task::spawn_blocking;

use super::checks::Stamp;
use super::leaves::{Hashing, Leaves};
use super::{Blobs, Error, Inner, Result, object, object_key};
use crate::domain::digest::Digest;

const BLOCK_BYTES: usize = 1 << 20;

impl Blobs {
    /// The leaves of a blob of more than one.
    pub(super) async fn leaves(&self, digest: &Digest, size_bytes: u64) -> Result<Arc<Leaves>> {
        if let Some(known) = self.inner.checks.find_list(digest) {
            return Ok(known);
        }
        let (blobs, digest) = (self.clone(), *digest);
        tokio::spawn(async move { blobs.search_leaves(&digest, size_bytes).await }).await?
    }

    async fn search_leaves(&self, digest: &Digest, size_bytes: u64) -> Result<Arc<Leaves>> {
        let (checks, turn) = (&self.inner.checks, self.inner.checks.search(digest));
        let _turn = turn.lock().await;
        if let Some(known) = checks.find_list(digest) {
            return Ok(known);
        }
        if let Some(written) = self.find_list(digest, size_bytes).await? {
            checks.keep_list(digest, written.clone());
            return Ok(written);
        }
        let _permit = checks.first_readings.acquire().await.map_err(|e| Error::Store(e.to_string()))?;
        let (got, leaves) = self.hash_stored(digest, size_bytes).await?;
        if got != *digest {
            let problem = format!("its bytes have sha256 {got}");
            checks.doubt(digest, &problem);
            return Err(Error::Corrupt { digest: *digest, problem });
        }
        self.keep_leaves(digest, &leaves).await;
        let leaves = Arc::new(leaves);
        checks.keep_list(digest, leaves.clone());
        Ok(leaves)
    }

    /// The list that the store has, if it can be believed.
    pub(super) async fn find_list(&self, digest: &Digest, size_bytes: u64) -> Result<Option<Arc<Leaves>>> {
        if self.inner.root.is_some() {
            let (inner, digest) = (self.inner.clone(), *digest);
            return Ok(spawn_blocking(move || inner.read_list(&digest, size_bytes)).await?);
        }
        match object::read(self.inner.store.as_ref(), &list_key(digest).into()).await? {
            Some(text) => Ok(Leaves::decode(digest, size_bytes, &text).map(Arc::new)),
            None => Ok(None),
        }
    }

    /// Reads all of a blob.
    async fn hash_stored(&self, digest: &Digest, size_bytes: u64) -> Result<(Digest, Leaves)> {
        if let Some(root) = &self.inner.root {
            let (inner, path, digest) = (self.inner.clone(), root.join(super::key(digest)), *digest);
            return spawn_blocking(move || {
                let mut file = File::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => Error::NotFound(digest),
                    _ => error.into(),
                })?;
                let stamp = Stamp::of(&file.metadata()?);
                let (got, leaves) = hash_file(&mut file)?;
                if got == digest && Stamp::of(&file.metadata()?) == stamp {
                    inner.checks.of(&digest, stamp).prove_all();
                }
                Ok((got, leaves))
            })
            .await?;
        }
        let mut bytes = object::blocks(*digest, self.inner.store.clone(), object_key(digest), 0..size_bytes);
        let mut hashing = Hashing::default();
        while let Some(block) = bytes.try_next().await? {
            hashing = spawn_blocking(move || {
                hashing.update(&block);
                hashing
            })
            .await?;
        }
        Ok(hashing.finish())
    }

    /// Writes a blob's leaves down. That they could not be is no trouble: they are found out again.
    pub(super) async fn keep_leaves(&self, digest: &Digest, leaves: &Leaves) {
        let (inner, digest) = (self.inner.clone(), *digest);
        let kept = match &self.inner.root {
            Some(_) => {
                let leaves = leaves.clone();
                spawn_blocking(move || inner.write_list(&digest, &leaves)).await.map_err(io::Error::other).flatten().map_err(Error::from)
            }
            None => {
                let put = inner.store.put(&list_key(&digest).into(), leaves.encode(&digest).into()).await;
                put.map(drop).map_err(Error::from)
            }
        };
        if let Err(error) = kept {
            tracing::warn!(%digest, %error, "the hashes of a blob's parts were not written; its next reader waits until all of it was read");
        }
    }

    /// Removes a blob's leaves.
    pub(super) async fn forget_leaves(&self, digest: &Digest) -> Result<()> {
        let key = list_key(digest);
        let Some(root) = &self.inner.root else {
            return match self.inner.store.delete(&key.into()).await {
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(error.into()),
                _ => Ok(()),
            };
        };
        let path = root.join(key);
        Ok(spawn_blocking(move || super::staged_file::remove(&path)).await??)
    }
}

impl Inner {
    /// The list in the local directory.
    pub(super) fn read_list(&self, digest: &Digest, size_bytes: u64) -> Option<Arc<Leaves>> {
        let text = std::fs::read(self.list_path(digest)?).ok()?;
        Leaves::decode(digest, size_bytes, &text).map(Arc::new)
    }

    /// Written beside and renamed, but not synced: a list that a power cut tore is not believed.
    pub(super) fn write_list(&self, digest: &Digest, leaves: &Leaves) -> io::Result<()> {
        let Some(path) = self.list_path(digest).filter(|_| leaves.is_needed()) else { return Ok(()) };
        let beside = temporary(&path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&leaves.encode(digest))?;
        std::fs::rename(beside, path)
    }

    fn list_path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.root.as_ref()?.join(list_key(digest)))
    }
}

/// Two that write one list write the same.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

fn list_key(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("hashes/{}/{}/{hex}", &hex[..2], &hex[2..4])
}

/// The sha256 and the leaves of a file from where it stands.
pub(super) fn hash_file(file: &mut File) -> io::Result<(Digest, Leaves)> {
    let (mut hashing, mut block) = (Hashing::default(), vec![0; BLOCK_BYTES]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hashing.finish()),
            read => hashing.update(&block[..read]),
        }
    }
}
