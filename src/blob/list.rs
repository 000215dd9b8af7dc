//! What lies in the store, whatever the catalog says, and taking it away. For the collector and for those who
//! compare: everybody else knows digests.
//!
//! A local directory is walked itself: object_store hides the half-written files (`name#1`) that a crash leaves.
//! An error ends a listing. "I cannot tell" is never taken for "it is not there".

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;

use super::{Blobs, Error, Result, key, object};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::time::Timestamp;
use crate::file_lock::FileLock;

/// Things handed over together.
const CHUNK: usize = 500;
const FOLDER: &str = "blobs";

/// What something in the store is, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lying {
    /// All bytes of a blob.
    Whole(Digest),
    /// Where the bytes of a blob lie in others.
    Segments(Digest),
    /// Written by nobody any more: a crash came before its final name.
    Leftover,
    /// Not ours.
    Foreign,
}

impl Lying {
    pub fn digest(self) -> Option<Digest> {
        match self {
            Lying::Whole(digest) | Lying::Segments(digest) => Some(digest),
            Lying::Leftover | Lying::Foreign => None,
        }
    }

    /// `name` begins with `blobs/`.
    fn of(name: &str) -> Lying {
        let file = name.rsplit('/').next().unwrap_or_default();
        let (hex, segments) = match file.strip_suffix(".segments") {
            Some(hex) => (hex, true),
            None => (file, false),
        };
        match Digest::parse(hex) {
            Ok(digest) if name.strip_suffix(".segments").unwrap_or(name) == key(&digest) => {
                if segments {
                    Lying::Segments(digest)
                } else {
                    Lying::Whole(digest)
                }
            }
            _ if file.contains('#') => Lying::Leftover,
            _ => Lying::Foreign,
        }
    }
}

/// Something that lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// From the store's root, with slashes.
    pub name: String,
    pub lying: Lying,
    pub size_bytes: u64,
    pub modified: Timestamp,
}

/// What there is of an upload: a file of the staging directory, or pieces in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    pub name: String,
    pub size_bytes: u64,
    pub modified: Timestamp,
}

impl Blobs {
    /// Everything under `blobs/`, in no order.
    pub fn list(&self) -> BoxStream<'static, Result<Vec<Stored>>> {
        match &self.inner.root {
            Some(root) => walk(root.clone()),
            None => {
                let prefix = object_store::path::Path::from(FOLDER);
                let listed = self.inner.store.list(Some(&prefix)).map_ok(|meta| {
                    let name = meta.location.to_string();
                    let modified = Timestamp::from_unix_ms(meta.last_modified.timestamp_millis());
                    Stored { lying: Lying::of(&name), name, size_bytes: meta.size, modified }
                });
                listed.map_err(Error::from).try_chunks(CHUNK).map_err(|stopped| stopped.1).boxed()
            }
        }
    }

    /// Removes a blob's bytes, in whatever form they lie there; how many it was. None is no error.
    pub async fn delete(&self, digest: &Digest) -> Result<u64> {
        self.forget_leaves(digest).await?;
        let whole = key(digest);
        let mut freed = 0;
        for name in [format!("{whole}.segments"), whole] {
            freed += match &self.inner.root {
                Some(root) => {
                    let path = root.join(name);
                    tokio::task::spawn_blocking(move || remove_file(&path)).await??
                }
                None => self.delete_object(&name.into()).await?,
            };
        }
        Ok(freed)
    }

    async fn delete_object(&self, name: &object_store::path::Path) -> Result<u64> {
        let Some(size) = object::find_size(self.inner.store.as_ref(), name).await? else { return Ok(0) };
        match self.inner.store.delete(name).await {
            Ok(()) => Ok(size),
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a half-written file that was not touched since `before`; its size, or `None` where it stays.
    pub async fn remove_leftover(&self, name: &str, before: Timestamp) -> Result<Option<u64>> {
        let Some(root) = self.inner.root.clone().filter(|_| Lying::of(name) == Lying::Leftover) else { return Ok(None) };
        let path = root.join(name);
        Ok(tokio::task::spawn_blocking(move || remove_old(&path, before)).await??)
    }

    /// The files of the staging directory, and what uploads have in a store that several nodes share.
    pub async fn staged(&self) -> Result<Vec<Staged>> {
        let mut all = self.staged_here().await?;
        for elsewhere in self.pieces_by_upload().await? {
            match all.iter_mut().find(|staged| staged.name == elsewhere.name) {
                Some(staged) => {
                    staged.size_bytes = staged.size_bytes.max(elsewhere.size_bytes);
                    staged.modified = staged.modified.max(elsewhere.modified);
                }
                None => all.push(elsewhere),
            }
        }
        Ok(all)
    }

    async fn staged_here(&self) -> Result<Vec<Staged>> {
        let folder = self.inner.staging.clone();
        tokio::task::spawn_blocking(move || {
            let mut staged = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                // It may have ended its life as a blob since it was listed.
                let Some(meta) = found(entry.metadata())?.filter(std::fs::Metadata::is_file) else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                staged.push(Staged { name, size_bytes: meta.len(), modified: modified(&meta)? });
            }
            Ok(staged)
        })
        .await?
    }

    /// Removes a staging file that nobody holds and that was not touched since `before`; its size.
    pub async fn discard_stray(&self, name: &str, before: Timestamp) -> Result<Option<u64>> {
        if name.contains('/') {
            return Ok(None);
        }
        let path = self.inner.staging.join(name);
        let mut freed = tokio::task::spawn_blocking(move || remove_old(&path, before)).await??;
        let Ok(id) = UploadId::parse(name) else { return Ok(freed) };
        if freed.is_some() {
            self.inner.sessions.forget(&id);
        }
        let elsewhere = self.pieces_by_upload().await?.into_iter().find(|staged| staged.name == name && staged.modified <= before);
        if let Some(staged) = elsewhere {
            self.drop_pieces(&id).await?;
            freed = Some(freed.unwrap_or(0).max(staged.size_bytes));
        }
        Ok(freed)
    }
}

/// Walks the directory on a blocking thread, which waits while nobody takes what it found.
fn walk(root: PathBuf) -> BoxStream<'static, Result<Vec<Stored>>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        for entry in walkdir::WalkDir::new(root.join(FOLDER)).follow_links(false) {
            match look(&root, entry) {
                Ok(None) => continue,
                Ok(Some(stored)) => chunk.push(stored),
                // Nobody listening means that nobody wants to know.
                Err(error) => return drop(sender.blocking_send(Err(error))),
            }
            if chunk.len() == CHUNK && sender.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        }
        // As above.
        let _ = sender.blocking_send(Ok(chunk));
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) }).boxed()
}

fn look(root: &Path, entry: walkdir::Result<walkdir::DirEntry>) -> Result<Option<Stored>> {
    let gone = |error: &walkdir::Error| error.depth() > 0 && error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    let entry = match entry {
        Ok(entry) if entry.file_type().is_dir() => return Ok(None),
        Ok(entry) => entry,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(Error::Store(format!("the store cannot be listed: {error}"))),
    };
    let meta = match entry.metadata() {
        Ok(meta) => meta,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(Error::Store(format!("the store cannot be listed: {error}"))),
    };
    let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let name = inside.to_string_lossy().replace('\\', "/");
    let lying = if meta.is_file() { Lying::of(&name) } else { Lying::Foreign };
    Ok(Some(Stored { name, lying, size_bytes: meta.len(), modified: modified(&meta)? }))
}

fn modified(meta: &std::fs::Metadata) -> std::io::Result<Timestamp> {
    let since = meta.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// `None` for what is not there.
pub(super) fn found<T>(looked: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match looked {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_file(path: &Path) -> std::io::Result<u64> {
    let Some(meta) = found(std::fs::symlink_metadata(path))? else { return Ok(0) };
    Ok(found(std::fs::remove_file(path))?.map_or(0, |()| meta.len()))
}

/// Removes a file unless somebody holds its lock or has written to it of late.
fn remove_old(path: &Path, before: Timestamp) -> std::io::Result<Option<u64>> {
    let Some(file) = found(std::fs::File::open(path))? else { return Ok(None) };
    let Some(lock) = FileLock::try_on(file)? else { return Ok(None) };
    let meta = lock.file().metadata()?;
    if modified(&meta)? > before {
        return Ok(None);
    }
    Ok(found(std::fs::remove_file(path))?.map(|()| meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_lies_there() {
        let digest = Digest::of(b"x");
        let whole = key(&digest);
        assert_eq!(Lying::of(&whole), Lying::Whole(digest));
        assert_eq!(Lying::of(&format!("{whole}.segments")), Lying::Segments(digest));
        assert_eq!(Lying::of(&format!("{whole}#1")), Lying::Leftover);
        for foreign in
            ["blobs/README", "blobs/ab/cd/x", &format!("blobs/00/00/{digest}"), &format!("blobs/{digest}"), &format!("{whole}.bak")]
        {
            assert_eq!(Lying::of(foreign), Lying::Foreign, "{foreign}");
        }
    }
}
