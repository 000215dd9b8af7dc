//! Staging: bytes arrive, are hashed as they arrive, and get their final name only when size and sha256
//! match. Nothing else writes final names.
//!
//! The order of [`Stage::finish`] is what makes an acknowledged blob survive a power cut: the file is
//! synced, renamed, and then every folder above the new name is synced. A staging file's length is the
//! truth about how far an upload is; what a crash left behind half-written is found out by the hash.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Blobs, Error, Inner, Result, key, object_key, sync_directory};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;

/// Bytes gathered before a trip to a blocking thread.
const BLOCK_BYTES: usize = 1024 * 1024;
/// Hashes kept between requests; one is some hundred bytes.
const KEPT_HASHES: usize = 4096;

/// An upload this request is writing to; nobody else can meanwhile.
pub struct Stage {
    inner: Arc<Inner>,
    id: UploadId,
    announced: u64,
    /// Bytes accepted, written or not.
    offset: u64,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    work: Work,
}

/// The file is either here or on a blocking thread that writes the last block.
enum Work {
    Idle(State),
    Busy(JoinHandle<Result<State>>),
    /// A write failed; the next request reads what the file holds.
    Lost,
}

struct State {
    file: File,
    hash: Sha256,
}

impl Blobs {
    /// Opens the staging file of an upload of `announced` bytes, at the byte it stands at.
    pub async fn stage(&self, id: &UploadId, announced: u64) -> Result<Stage> {
        let (inner, id) = (self.inner.clone(), id.clone());
        spawn_blocking(move || {
            let file = lock(&inner.staging.join(id.as_str()))?;
            let (offset, hash) = inner.resume(&id, &file)?;
            let work = Work::Idle(State { file, hash });
            Ok(Stage { inner, id, announced, offset, gathered: Vec::new(), gathered_bytes: 0, work })
        })
        .await?
    }

    /// How many bytes of an upload are here.
    pub fn staged_bytes(&self, id: &UploadId) -> u64 {
        std::fs::metadata(self.inner.staging.join(id.as_str())).map_or(0, |meta| meta.len())
    }

    /// Forgets an upload.
    pub async fn discard(&self, id: &UploadId) -> Result<()> {
        self.inner.hashes().remove(id);
        let path = self.inner.staging.join(id.as_str());
        Ok(spawn_blocking(move || remove(&path)).await??)
    }

    /// Stores a file of this machine; its digest and size.
    pub async fn store_file(&self, path: &Path, id: &UploadId) -> Result<(Digest, u64)> {
        let (path, size) = (path.to_owned(), tokio::fs::metadata(path).await?.len());
        self.discard(id).await?;
        let mut stage = self.stage(id, size).await?;
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
            stage.write(block.into()).await?;
        }
        let digest = stage.digest().await?;
        stage.finish(&digest).await?;
        Ok((digest, size))
    }
}

impl Inner {
    fn hashes(&self) -> MutexGuard<'_, std::collections::HashMap<UploadId, (u64, Sha256)>> {
        self.hashes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The running hash at the end of a staging file: kept from the last request, or computed again.
    fn resume(&self, id: &UploadId, mut file: &File) -> Result<(u64, Sha256)> {
        let length = file.metadata()?.len();
        let kept = self.hashes().remove(id);
        if let Some((_, hash)) = kept.filter(|(offset, _)| *offset == length) {
            file.seek(SeekFrom::End(0))?;
            return Ok((length, hash));
        }
        let mut hash = Sha256::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = 0;
        file.seek(SeekFrom::Start(0))?;
        loop {
            match file.read(&mut block)? {
                0 => return Ok((offset, hash)),
                read => {
                    hash.update(&block[..read]);
                    offset += read as u64;
                }
            }
        }
    }
}

impl Stage {
    /// The byte the next write begins at.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes. They are on the disk once [`Stage::sync`] or [`Stage::finish`] says so.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.len() as u64 > self.announced - self.offset.min(self.announced) {
            return Err(Error::TooLong { announced: self.announced });
        }
        self.offset += bytes.len() as u64;
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= BLOCK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Hands the gathered bytes to a blocking thread, which hashes and writes them while the next arrive.
    async fn flush(&mut self) -> Result<()> {
        let mut state = self.idle().await?;
        let block = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        self.work = Work::Busy(spawn_blocking(move || {
            for bytes in &block {
                state.file.write_all(bytes)?;
                state.hash.update(bytes);
            }
            Ok(state)
        }));
        Ok(())
    }

    async fn idle(&mut self) -> Result<State> {
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Idle(state) => Ok(state),
            Work::Busy(writing) => writing.await?,
            Work::Lost => Err(Error::Store("an earlier write to this upload failed; ask for its offset and go on from there".into())),
        }
    }

    async fn settle(&mut self) -> Result<State> {
        self.flush().await?;
        self.idle().await
    }

    /// The sha256 of all bytes so far.
    pub async fn digest(&mut self) -> Result<Digest> {
        let state = self.settle().await?;
        let digest = Digest::from_bytes(state.hash.clone().finalize().into());
        self.work = Work::Idle(state);
        Ok(digest)
    }

    /// Ends a request in the middle of an upload: what was taken is on the disk. The byte it stands at.
    pub async fn sync(mut self) -> Result<u64> {
        let State { file, hash } = self.settle().await?;
        self.synced(file).await?;
        let mut hashes = self.inner.hashes();
        if hashes.len() >= KEPT_HASHES {
            hashes.clear();
        }
        hashes.insert(self.id.clone(), (self.offset, hash));
        Ok(self.offset)
    }

    /// A file whose sync failed may have lost any of its bytes, and a second sync would say "fine": it is
    /// thrown away and the upload starts again.
    async fn synced(&self, file: File) -> Result<File> {
        let path = self.path();
        spawn_blocking(move || match file.sync_all() {
            Ok(()) => Ok(file),
            Err(error) => {
                remove(&path)?;
                Err(error.into())
            }
        })
        .await?
    }

    fn path(&self) -> PathBuf {
        self.inner.staging.join(self.id.as_str())
    }

    /// Proves size and sha256, gives the bytes their final name, and returns when both are on the disk.
    pub async fn finish(mut self, expected: &Digest) -> Result<()> {
        if self.offset != self.announced {
            return Err(Error::Short { received: self.offset, announced: self.announced });
        }
        let State { file, hash } = self.settle().await?;
        let got = Digest::from_bytes(hash.finalize().into());
        let (path, inner) = (self.path(), self.inner.clone());
        if got != *expected {
            spawn_blocking(move || remove(&path)).await??;
            return Err(Error::Mismatch { expected: *expected, got });
        }
        let file = self.synced(file).await?;
        match inner.root.clone() {
            Some(root) => spawn_blocking(move || promote(&root, &path, file, &got)).await?,
            None => {
                put(&inner, &path, file, &got).await?;
                Ok(spawn_blocking(move || remove(&path)).await??)
            }
        }
    }
}

/// Opens a staging file for one writer. Its name may have been promoted between opening and locking; then
/// the file in hand is a blob already and must not be written to.
fn lock(path: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let ours = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A rename on the same file system: gigabytes are written once. Renaming over an equal blob repairs it.
fn promote(root: &Path, staged: &Path, file: File, digest: &Digest) -> Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    let target = root.join(key(digest));
    let folders: Vec<&Path> = target.ancestors().skip(1).take(3).collect();
    if let Some(folder) = folders.first() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::rename(staged, &target)?;
    // All three, always: another request may have made a folder and not have synced it yet.
    folders.into_iter().try_for_each(sync_directory)
}

/// Other stores get a copy, in parts.
async fn put(inner: &Inner, staged: &Path, file: File, digest: &Digest) -> Result<()> {
    let key = object_key(digest);
    if file.metadata()?.len() <= BLOCK_BYTES as u64 {
        let bytes = tokio::fs::read(staged).await?;
        inner.store.put(&key, bytes.into()).await?;
        return Ok(());
    }
    let mut upload = WriteMultipart::new(inner.store.put_multipart(&key).await?);
    let mut file = tokio::fs::File::open(staged).await?;
    loop {
        let mut block = bytes::BytesMut::with_capacity(BLOCK_BYTES);
        if tokio::io::AsyncReadExt::read_buf(&mut file, &mut block).await? == 0 {
            break;
        }
        upload.wait_for_capacity(4).await?;
        upload.put(block.freeze());
    }
    upload.finish().await?;
    Ok(())
}
