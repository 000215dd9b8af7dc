//! Staging: bytes arrive in parts, in any order and several at once, and get their final name only when size and
//! sha256 match. Nothing else writes final names.
//!
//! A staging file is sparse: each part is written at its place. Which runs of it count says the caller's catalog,
//! which records a run only after [`Part::sync`] has put it on the disk. The order of [`Blobs::finish`] is what makes
//! an acknowledged blob survive a power cut: the file is synced, renamed, and then every folder above the new name
//! is synced.
//!
//! Who writes a block holds a shared lock on the file for that long, who finishes an exclusive one; both look
//! whether the file still has its name, so that a file that was promoted is never written to again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::spawn_blocking;

use super::part::{Part, Staged};
use super::promote::{promote, put};
use super::running::Turn;
use super::{Blobs, Error, Inner, Result};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;

/// Bytes read at once from a file of this machine.
const BLOCK_BYTES: usize = 1024 * 1024;
/// How often and how long to wait for a lock that is held for moments only.
const LOCK_TRIES: u32 = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

impl Blobs {
    /// Opens an upload of `announced` bytes for writing. Of `received` the caller's catalog says that it is on the
    /// disk; those bytes are not written again. [`Error::Vanished`]: they are not there, the upload must start again.
    pub async fn part(&self, id: &UploadId, announced: u64, received: &Ranges) -> Result<Part> {
        let (inner, id, held) = (self.inner.clone(), id.clone(), received.clone());
        spawn_blocking(move || {
            let path = inner.staging_path(&id);
            let staged = match open(&path) {
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
        self.prove(id, announced, Some(*expected)).await.map(drop)
    }

    async fn prove(&self, id: &UploadId, announced: u64, expected: Option<Digest>) -> Result<Digest> {
        let (inner, id) = (self.inner.clone(), id.clone());
        let (digest, locked) = {
            let (inner, id) = (inner.clone(), id.clone());
            spawn_blocking(move || inner.proved(&id, announced, expected)).await??
        };
        if let Some(file) = locked {
            let path = inner.staging_path(&id);
            put(&inner, &path, file, &digest).await?;
            spawn_blocking(move || remove(&path)).await??;
            inner.sessions.of(&id).reset();
        }
        Ok(digest)
    }

    /// Is the staging file there, as long as its received bytes say?
    pub fn has_staged(&self, id: &UploadId, received: &Ranges) -> bool {
        received.is_empty() || std::fs::metadata(self.inner.staging_path(id)).is_ok_and(|meta| meta.len() >= received.end())
    }

    /// Hashes on to byte `frontier` in the background, so that little is left to do when the upload is finished.
    pub fn follow(&self, id: &UploadId, frontier: u64) {
        let (inner, id) = (self.inner.clone(), id.clone());
        // Nobody waits for it: whoever finishes hashes what is left, and meets the same trouble then.
        spawn_blocking(move || -> Result<()> {
            let file = File::open(inner.staging_path(&id))?;
            Ok(inner.sessions.of(&id).follow(&file, frontier)?)
        });
    }

    /// Forgets an upload.
    pub async fn discard(&self, id: &UploadId) -> Result<()> {
        self.inner.sessions.forget(id);
        let path = self.inner.staging_path(id);
        Ok(spawn_blocking(move || remove(&path)).await??)
    }

    /// Uploads whose staging file was last written before `then`; some of them may be nobody's.
    pub async fn staged_before(&self, then: SystemTime) -> Result<Vec<UploadId>> {
        let inner = self.inner.clone();
        let listed = spawn_blocking(move || {
            let mut old = Vec::new();
            for entry in std::fs::read_dir(&inner.staging)? {
                let entry = entry?;
                let id = entry.file_name().to_str().and_then(|name| UploadId::parse(name).ok());
                // One that ended while the folder was read is no longer of interest.
                let written = entry.metadata().and_then(|meta| meta.modified());
                if let (Some(id), true) = (id, written.is_ok_and(|written| written < then)) {
                    old.push(id);
                }
            }
            Ok::<_, std::io::Error>(old)
        });
        Ok(listed.await??)
    }

    /// Stores a file of this machine; its digest and size.
    pub async fn store_file(&self, path: &Path, id: &UploadId) -> Result<(Digest, u64)> {
        let (path, size) = (path.to_owned(), tokio::fs::metadata(path).await?.len());
        self.discard(id).await?;
        let mut part = self.part(id, size, &Ranges::default()).await?;
        let mut file = File::open(path)?;
        loop {
            let (read_from, block) = spawn_blocking(move || {
                let mut block = Vec::with_capacity(BLOCK_BYTES);
                (&file).take(BLOCK_BYTES as u64).read_to_end(&mut block).map(|_| (file, block))
            })
            .await??;
            if block.is_empty() {
                break;
            }
            file = read_from;
            part.write(block.into()).await?;
        }
        part.settle().await?;
        if part.offset() != size {
            return Err(Error::Short { received: part.offset(), announced: size });
        }
        Ok((self.prove(id, size, None).await?, size))
    }
}

impl Inner {
    pub(super) fn staging_path(&self, id: &UploadId) -> PathBuf {
        self.staging.join(id.as_str())
    }

    /// Proves a staged file and promotes it in a local store. For another it comes back, still locked, to be copied.
    fn proved(&self, id: &UploadId, announced: u64, expected: Option<Digest>) -> Result<(Digest, Option<File>)> {
        let path = self.staging_path(id);
        let file = if announced == 0 { create(&path) } else { open(&path) }.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Vanished,
            _ => error.into(),
        })?;
        wait_for(|| file.try_lock())?;
        if !is_named(&file, &path)? || file.metadata()?.len() != announced {
            return Err(Error::Vanished);
        }
        self.synced(id, &file)?;
        let session = self.sessions.of(id);
        let digest = session.digest(&file, announced)?;
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            session.reset();
            remove(&path)?;
            return Err(Error::Mismatch { expected, got: digest });
        }
        let Some(root) = &self.root else { return Ok((digest, Some(file))) };
        promote(root, &self.folders, &path, file, &digest)?;
        session.reset();
        Ok((digest, None))
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

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Takes a lock that others hold for moments only.
pub(super) fn wait_for(mut take: impl FnMut() -> std::result::Result<(), TryLockError>) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match take() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(Error::InUse)
}

/// Does the name still lead to this file? Else it was promoted or thrown away meanwhile.
pub(super) fn is_named(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
