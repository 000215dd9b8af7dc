//! Staging: bytes arrive in parts, in any order and several at once, and get their final name only when size and
//! sha256 match (`proved`).
//!
//! A staging file is sparse: each part is written at its place. Which runs of it count says the caller's catalog,
//! which records a run only after [`Part::sync`] has put it on the disk. The order of [`Blobs::finish`] is what makes
//! an acknowledged blob survive a power cut: the file is synced, renamed, and then every folder above the new name
//! is synced.
//!
//! Who writes a block holds a shared lock on the file for that long, who finishes an exclusive one; both look
//! whether the file still has its name, so that a file that was promoted is never written to again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::task::spawn_blocking;

use super::part::{Part, Staged};
use super::proved::Proved;
use super::running::Turn;
use super::staged_file::{is_named, remove, wait_for};
use super::{Blobs, Error, Inner, Result};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;

/// Bytes read at once from a file of this machine.
const BLOCK_BYTES: usize = 1024 * 1024;

impl Blobs {
    /// Opens an upload of `announced` bytes for writing. Of `received` the caller's catalog says that it is on the
    /// disk; those bytes are not written again. [`Error::Vanished`]: they are not there, the upload must start again.
    pub async fn part(&self, id: &UploadId, announced: u64, received: &Ranges) -> Result<Part> {
        if self.inner.is_shared && !self.inner.lost(id, received).await?.is_empty() {
            return Err(Error::Vanished);
        }
        let (inner, id, held) = (self.inner.clone(), id.clone(), received.clone());
        spawn_blocking(move || {
            let path = inner.staging_path(&id);
            let staged = match open(&path) {
                // What other nodes have received is not in this machine's file, and need not be.
                _ if inner.is_shared => Staged { file: inner.sessions.of(&id).open(&path)?, fresh: true },
                Ok(file) if file.metadata()?.len() < held.end() => return Err(Error::Vanished),
                Ok(file) => Staged { file, fresh: false },
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                Err(_) if !held.is_empty() => return Err(Error::Vanished),
                // Another request may make it at the same time: both then write to the same file.
                Err(_) => Staged { file: create(&path)?, fresh: true },
            };
            Ok(Part::new(inner, id, staged, announced, held))
        })
        .await?
    }

    /// Puts bytes this server has itself into an upload, each run at its offset, as a client's parts would be. What
    /// is on the disk when this returns, for the caller to record.
    pub async fn fill_staged<S>(&self, id: &UploadId, announced: u64, received: &Ranges, runs: Vec<(u64, S)>) -> Result<Ranges>
    where
        S: Stream<Item = Result<Bytes>> + Unpin,
    {
        let mut part = self.part(id, announced, received).await?;
        for (offset, mut bytes) in runs {
            part.go_to(offset..announced).await?;
            while let Some(bytes) = bytes.next().await {
                part.write(bytes?).await?;
            }
        }
        part.settle().await?;
        part.sync().await
    }

    /// Waits until no other request of this process finishes the upload.
    pub async fn turn(&self, id: &UploadId) -> Turn {
        self.inner.sessions.of(id).turn().await
    }

    /// Proves size and sha256 of an upload whose bytes have all arrived, gives them their final name, and returns
    /// when both are on the disk. After [`Error::Mismatch`], [`Error::Unsynced`] and [`Error::Vanished`] nothing is
    /// left of it.
    pub async fn finish(&self, id: &UploadId, announced: u64, expected: &Digest) -> Result<()> {
        self.prove(id, announced, Some(*expected)).await?.promote().await?;
        self.drop_pieces(id).await
    }

    /// Proves size and, where one is expected, sha256. Until the answer is dropped nobody writes to these bytes.
    pub async fn prove(&self, id: &UploadId, announced: u64, expected: Option<Digest>) -> Result<Proved> {
        if self.inner.is_shared {
            self.gather(id, announced).await?;
        }
        let (inner, staged) = (self.inner.clone(), id.clone());
        let proved = spawn_blocking(move || prove(inner, staged, announced, expected)).await?;
        if let Err(Error::Mismatch { .. } | Error::Unsynced(_)) = &proved {
            self.drop_pieces(id).await?;
        }
        proved
    }

    /// Is the staging file of this machine there, as long as its received bytes say?
    pub fn has_staged(&self, id: &UploadId, received: &Ranges) -> bool {
        received.is_empty() || std::fs::metadata(self.inner.staging_path(id)).is_ok_and(|meta| meta.len() >= received.end())
    }

    /// Hashes on to byte `frontier` in the background, so that little is left to do when the upload is finished.
    pub fn follow(&self, id: &UploadId, frontier: u64) {
        let (inner, id) = (self.inner.clone(), id.clone());
        // Nobody waits for it: whoever finishes hashes what is left, and meets the same trouble then.
        spawn_blocking(move || -> Result<()> {
            let (file, session) = (File::open(inner.staging_path(&id))?, inner.sessions.of(&id));
            let here = if inner.is_shared { session.here().frontier() } else { frontier };
            Ok(session.follow(&file, frontier.min(here))?)
        });
    }

    /// Forgets an upload.
    pub async fn discard(&self, id: &UploadId) -> Result<()> {
        self.discard_here(id).await?;
        self.drop_pieces(id).await
    }

    /// The same for what no other node knows.
    async fn discard_here(&self, id: &UploadId) -> Result<()> {
        self.inner.sessions.forget(id);
        let path = self.inner.staging_path(id);
        Ok(spawn_blocking(move || remove(&path)).await??)
    }

    /// Stores a file of this machine; its digest and size.
    pub async fn store_file(&self, path: &Path, id: &UploadId) -> Result<(Digest, u64)> {
        let proved = self.prove_file(path, id).await?;
        let stored = (*proved.digest(), proved.size_bytes());
        proved.promote().await?;
        Ok(stored)
    }

    /// Stages a copy of a file of this machine.
    pub async fn prove_file(&self, path: &Path, id: &UploadId) -> Result<Proved> {
        let (file, size) = (Arc::new(File::open(path)?), tokio::fs::metadata(path).await?.len());
        let blocks = stream::try_unfold(file, |file| async move {
            let read_from = file.clone();
            let block = spawn_blocking(move || {
                let mut block = Vec::with_capacity(BLOCK_BYTES);
                (&*read_from).take(BLOCK_BYTES as u64).read_to_end(&mut block).map(|_| block)
            });
            let block = block.await??;
            Ok((!block.is_empty()).then(|| (Bytes::from(block), file)))
        });
        self.stage_bytes(id, size, Box::pin(blocks)).await
    }

    /// Stages bytes of this process, and proves that they are what was staged.
    pub(super) async fn stage_bytes(
        &self,
        id: &UploadId,
        size: u64,
        mut bytes: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Proved> {
        self.discard_here(id).await?;
        let mut part = self.part(id, size, &Ranges::default()).await?;
        while let Some(block) = bytes.next().await {
            part.write(block?).await?;
        }
        part.settle().await?;
        if part.offset() != size {
            return Err(Error::Short { received: part.offset(), announced: size });
        }
        drop(part);
        self.prove(id, size, None).await
    }
}

impl Inner {
    pub(super) fn staging_path(&self, id: &UploadId) -> PathBuf {
        self.staging.join(id.as_str())
    }

    /// A file whose sync failed may have lost any of its bytes, and a second sync would say "fine": it is thrown
    /// away and the upload starts again.
    pub(super) fn synced(&self, id: &UploadId, file: &File) -> Result<()> {
        let Err(error) = file.sync_data() else { return Ok(()) };
        self.sessions.of(id).reset();
        remove(&self.staging_path(id))?;
        Err(Error::Unsynced(error.to_string()))
    }
}

/// Takes a staged file for itself and proves it. Wrong bytes are thrown away.
fn prove(inner: Arc<Inner>, id: UploadId, announced: u64, expected: Option<Digest>) -> Result<Proved> {
    let path = inner.staging_path(&id);
    let file = if announced == 0 { create(&path) } else { open(&path) }.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::Vanished,
        _ => error.into(),
    })?;
    wait_for(|| file.try_lock())?;
    if !is_named(&file, &path)? || file.metadata()?.len() != announced {
        return Err(Error::Vanished);
    }
    inner.synced(&id, &file)?;
    let session = inner.sessions.of(&id);
    let (digest, leaves) = session.finish(&file, announced)?;
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        session.reset();
        remove(&path)?;
        return Err(Error::Mismatch { expected, got: digest });
    }
    Ok(Proved { inner, id, file: Arc::new(file), digest, leaves, size: announced })
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
