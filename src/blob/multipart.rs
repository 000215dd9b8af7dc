//! Proved bytes on their way from staging into a remote store.
//!
//! ```text
//! DIR/multipart/<upload id>        keys and ids of multipart uploads under way; locked while their process lives
//! ```
//!
//! A store keeps (and bills) the parts of an upload that nobody completes or aborts. The note is written before
//! the first part is sent, so that after a crash the next start, or the next try of the same upload, aborts
//! what was left behind. What a store will not abort (it may have done so before, and its answer was lost) stays noted
//! and keeps nobody from trying anew. Names are digests: two writers of one name write the same bytes, and a store that
//! forgets the condition of a conditional write does no harm.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{Blobs, Error, Inner, Result, object, object_key};
use crate::domain::digest::Digest;
use crate::file_lock::FileLock;

const MIB: u64 = 1024 * 1024;
/// The smallest part, and the largest object that is sent in one request.
const SMALLEST_PART: u64 = 8 * MIB;
/// Beyond as many, parts grow, up to [`LARGEST_PART`]; beyond [`MOST_PARTS`] (stores take 10,000) they must.
const WANTED_PARTS: u64 = 1_000;
const MOST_PARTS: u64 = 9_000;
const LARGEST_PART: u64 = 64 * MIB;
/// Parts of one upload on their way.
const PARTS_AT_ONCE: usize = 4;
/// A note forgets the oldest of more uploads that the store would not abort.
const MOST_NOTED: usize = 16;
/// What parts on their way may hold in memory, all uploads together.
const ROOM_MIB: usize = 128;

/// What a remote store has beside reading and writing whole objects.
pub(super) struct Remote {
    parts: Arc<dyn MultipartStore>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    notes: PathBuf,
    /// One permit for each MiB of parts in memory.
    room: Arc<Semaphore>,
}

impl Remote {
    pub(super) fn new(parts: Arc<dyn MultipartStore>, signer: Option<Arc<dyn Signer>>, notes: PathBuf) -> Result<Remote> {
        std::fs::create_dir_all(&notes)?;
        Ok(Remote { parts, signer, notes, room: Arc::new(Semaphore::new(ROOM_MIB)) })
    }

    /// Waits for room for so many bytes in memory, which is held until the answer is dropped.
    pub(super) async fn room_of(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let permits = (bytes / MIB).clamp(1, ROOM_MIB as u64) as u32;
        self.room.clone().acquire_many_owned(permits).await.map_err(|e| Error::Store(e.to_string()))
    }
}

/// Copies a proved file into the remote store; afterwards the store has it under its digest.
pub(super) async fn put(inner: &Inner, staged: &Path, file: &Arc<File>, digest: &Digest) -> Result<()> {
    let (key, size) = (object_key(digest), file.metadata()?.len());
    if size <= SMALLEST_PART {
        put_whole(inner, &key, read(file.clone(), 0..size).await?, digest).await?;
    } else if let Err(error) = put_parts(inner, staged, file.clone(), size, &key).await {
        // The store may have put the parts together, and only its answer was lost.
        return if has(inner, &key, size).await.is_ok_and(|has| has) { Ok(()) } else { Err(error) };
    }
    // A store that says yes and keeps something else shall not have the last word.
    if has(inner, &key, size).await? { Ok(()) } else { Err(Error::Store(format!("it took {size} bytes for {key} and has not kept them"))) }
}

async fn has(inner: &Inner, key: &Key, size: u64) -> Result<bool> {
    Ok(object::find_size(inner.store.as_ref(), key).await? == Some(size))
}

/// Creates the object. Where one is already, it stays if its bytes are right: a bucket that keeps old versions
/// should not keep the same bytes twice.
async fn put_whole(inner: &Inner, key: &Key, bytes: Bytes, digest: &Digest) -> Result<()> {
    match inner.store.put_opts(key, bytes.clone().into(), PutMode::Create.into()).await {
        Ok(_) => return Ok(()),
        Err(StoreError::AlreadyExists { .. }) => {
            let there = inner.store.get(key).await?.bytes().await?;
            if Digest::of(&there) == *digest {
                return Ok(());
            }
        }
        // Where the line breaks the library does not repeat a conditional write, but it does repeat a plain one, and
        // the same bytes twice do no harm.
        Err(StoreError::NotImplemented { .. } | StoreError::Generic { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    inner.store.put(key, bytes.into()).await?;
    Ok(())
}

async fn put_parts(inner: &Inner, staged: &Path, file: Arc<File>, size: u64, key: &Key) -> Result<()> {
    let remote = inner.remote.as_ref().ok_or_else(|| Error::Store("this store takes no parts".into()))?;
    let name = staged.file_name().ok_or_else(|| Error::Store("a staging file has no name".into()))?;
    let mut note = Note::take(remote.notes.join(name)).await?;
    let old = note.abort_old(remote).await?.left;
    let id = remote.parts.create_multipart(key).await?;
    note.write(&[&old[..], &[(key.to_string(), id.clone())]].concat()).await?;
    let sent = async {
        let parts = send_parts(remote, file, size, key, &id).await?;
        Ok(remote.parts.complete_multipart(key, &id, parts).await?)
    };
    let sent: Result<_> = sent.await;
    let left = match sent {
        Ok(_) => note.write(&old).await.map(|()| old)?,
        Err(_) => note.abort_old(remote).await?.left,
    };
    // Where even that fails the note stays, for the next try or the next start.
    if left.is_empty() {
        note.remove().await?;
    }
    sent.map(drop)
}

/// Sends all parts, a few side by side; each is a task of its own, whose hashing and reading keep nobody waiting.
async fn send_parts(remote: &Remote, file: Arc<File>, size: u64, key: &Key, id: &str) -> Result<Vec<PartId>> {
    let length = part_bytes(size);
    let sending = stream::iter((0..size).step_by(length as usize).enumerate()).map(|(index, start)| {
        let (file, range) = (file.clone(), start..size.min(start + length));
        let (parts, room, key, id) = (remote.parts.clone(), remote.room.clone(), key.clone(), id.to_owned());
        Task(tokio::spawn(async move {
            let permits = (length / MIB).clamp(1, ROOM_MIB as u64) as u32;
            let _permit = room.acquire_many(permits).await.map_err(|e| Error::Store(e.to_string()))?;
            let bytes = read(file, range).await?;
            Ok::<_, Error>(parts.put_part(&key, &id, index, bytes.into()).await?)
        }))
    });
    sending.buffered(PARTS_AT_ONCE).map(|sent| sent?).try_collect().await
}

/// A task that ends when nobody waits for it any more.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = std::result::Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All parts but the last are of one size, which some stores insist on.
fn part_bytes(size: u64) -> u64 {
    let wanted = (size / WANTED_PARTS).next_multiple_of(MIB).clamp(SMALLEST_PART, LARGEST_PART);
    wanted.max((size / MOST_PARTS).next_multiple_of(MIB))
}

pub(super) async fn read(file: Arc<File>, range: Range<u64>) -> Result<Bytes> {
    spawn_blocking(move || {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    })
    .await?
}

/// What came of aborting the uploads of a note.
#[derive(Default)]
struct Aborted {
    count: u64,
    /// Those that the store would not abort, and why the last of them.
    left: Vec<(String, String)>,
    trouble: Option<Error>,
}

/// A note of multipart uploads under way; see the top of this file.
struct Note {
    path: PathBuf,
    lock: Arc<FileLock>,
}

impl Note {
    /// Opens and locks; `InUse` where its upload is being worked on.
    async fn take(path: PathBuf) -> Result<Note> {
        spawn_blocking(move || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let lock = FileLock::try_on(file)?.ok_or(Error::InUse)?;
            Ok(Note { path, lock: Arc::new(lock) })
        })
        .await?
    }

    /// Names these uploads, by key and id, and no other.
    async fn write(&mut self, named: &[(String, String)]) -> Result<()> {
        let kept = &named[named.len().saturating_sub(MOST_NOTED)..];
        let (lock, text) = (self.lock.clone(), kept.iter().map(|(key, id)| format!("{key}\n{id}\n")).collect::<String>());
        spawn_blocking(move || {
            let mut file = lock.file();
            file.rewind()?;
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            Ok(file.sync_all()?)
        })
        .await?
    }

    async fn named(&self) -> Result<Vec<(String, String)>> {
        let lock = self.lock.clone();
        let text = spawn_blocking(move || {
            let mut text = String::new();
            let mut file = lock.file();
            file.rewind()?;
            file.read_to_string(&mut text).map(|_| text)
        })
        .await??;
        // A note without the last line was being written when its process ended: no part had been sent.
        let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
        Ok(lines.as_chunks().0.iter().map(|[key, id]| (key.clone(), id.clone())).collect())
    }

    /// Aborts what the note names, and keeps of it what the store will not abort. The store may know nothing of it any more.
    async fn abort_old(&mut self, remote: &Remote) -> Result<Aborted> {
        let mut aborted = Aborted::default();
        for (key, id) in self.named().await? {
            match remote.parts.abort_multipart(&key.as_str().into(), &id).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => aborted.count += 1,
                Err(error) => {
                    aborted.left.push((key, id));
                    aborted.trouble = Some(error.into());
                }
            }
        }
        self.write(&aborted.left).await?;
        Ok(aborted)
    }

    async fn remove(self) -> Result<()> {
        Ok(tokio::fs::remove_file(&self.path).await?)
    }
}

impl Blobs {
    /// Aborts the multipart uploads that ended processes left in the store. How many there were.
    pub async fn abort_abandoned(&self) -> Result<u64> {
        let Some(remote) = &self.inner.remote else { return Ok(0) };
        let (mut aborted, notes) = (0, remote.notes.clone());
        let paths = spawn_blocking(move || std::fs::read_dir(notes)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
        for path in paths.await?? {
            match Note::take(path).await {
                Ok(mut note) => {
                    let old = note.abort_old(remote).await?;
                    aborted += old.count;
                    match old.trouble {
                        None => note.remove().await?,
                        Some(error) => tracing::warn!(%error, uploads = old.left.len(), "the store would not abort multipart uploads"),
                    }
                }
                // Another process is at work on it.
                Err(Error::InUse) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(aborted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_of_bounded_size() {
        for (size, part) in [(8 * MIB + 1, 8), (1 << 30, 8), (16 << 30, 17), (64 << 30, 64), (500 << 30, 64)] {
            assert_eq!(part_bytes(size), part * MIB, "{size}");
        }
        for size in [1u64 << 40, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size)) <= MOST_PARTS, "{size}");
        }
    }
}
