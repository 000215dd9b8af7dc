//! Staged bytes whose size and sha256 were proved, in nobody's hands but ours, before they get their final name:
//! whole ([`Proved::promote`]), or as pieces of other blobs ([`Blobs::compose`]).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;

use super::leaves::Leaves;
use super::multipart::put;
use super::promote::promote;
use super::reader::Reader;
use super::staged_file::remove;
use super::{Blobs, Error, Inner, Result};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::pieces::{Piece, PieceHasher};

/// Bytes read at a time.
const BLOCK_BYTES: u64 = 1024 * 1024;

/// The staging file is locked until this is dropped.
pub struct Proved {
    pub(super) inner: Arc<Inner>,
    pub(super) id: UploadId,
    pub(super) file: Arc<File>,
    pub(super) digest: Digest,
    pub(super) leaves: Leaves,
    pub(super) size: u64,
}

impl Proved {
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    pub(super) fn path(&self) -> PathBuf {
        self.inner.staging_path(&self.id)
    }

    /// Gives the bytes their final name, as one file, and returns when that is on the disk, as they are.
    pub async fn promote(self) -> Result<()> {
        let path = self.path();
        let Proved { inner, id, file, digest, leaves, .. } = self;
        if inner.root.is_none() {
            put(&inner, &path, &file, &digest).await?;
        }
        if leaves.is_needed() {
            Blobs { inner: inner.clone() }.keep_leaves(&digest, &leaves).await;
        }
        let promoted = spawn_blocking(move || {
            match &inner.root {
                Some(root) => promote(root, &inner.folders, &path, &file, &digest)?,
                None => remove(&path)?,
            }
            inner.sessions.of(&id).reset();
            Ok(())
        });
        promoted.await?
    }

    /// Throws the bytes away: they are stored otherwise.
    pub async fn discard(self) -> Result<()> {
        let discarded = spawn_blocking(move || {
            self.inner.sessions.of(&self.id).reset();
            remove(&self.path())
        });
        Ok(discarded.await??)
    }

    /// Some of the bytes; the range is cut to what there is.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let (file, range) = (self.file.clone(), range.start.min(self.size)..range.end.min(self.size));
        Ok(spawn_blocking(move || read_block(&file, range)).await??)
    }

    /// The sha256 of each of these runs.
    pub async fn hash_pieces(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Piece>> {
        let (file, end) = (self.file.clone(), ranges.last().map_or(0, |last| last.end));
        let hashed = spawn_blocking(move || {
            let mut hasher = PieceHasher::new(ranges);
            for start in (0..end).step_by(BLOCK_BYTES as usize) {
                hasher.update(&read_block(&file, start..end.min(start + BLOCK_BYTES))?);
            }
            Ok::<_, io::Error>(hasher.finish())
        });
        Ok(hashed.await??)
    }

    /// Are the bytes from `at` on those of `other` in `range`? Bytes that `other` cannot give are not.
    pub async fn equals(&self, at: u64, other: &Reader, range: Range<u64>) -> Result<bool> {
        if range.end > other.size() || at + (range.end - range.start) > self.size {
            return Ok(false);
        }
        let mut blocks = other.stream(range);
        let mut at = at;
        while let Some(block) = blocks.next().await {
            let theirs = match block {
                Ok(block) => block,
                Err(Error::Corrupt { .. } | Error::NotFound(_)) => return Ok(false),
                Err(error) => return Err(error),
            };
            let (file, ours) = (self.file.clone(), at..at + theirs.len() as u64);
            at = ours.end;
            let same = spawn_blocking(move || Ok::<_, io::Error>(read_block(&file, ours)? == theirs));
            if !same.await?? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What `runs` leave out, one run behind the other, as proved bytes of their own, staged under `id`.
    pub async fn carve(&self, blobs: &Blobs, runs: Vec<Range<u64>>, id: &UploadId) -> Result<Proved> {
        let size = runs.iter().map(|run| run.end - run.start).sum();
        let blocks = runs.into_iter().flat_map(|run| {
            let end = run.end;
            run.step_by(BLOCK_BYTES as usize).map(move |start| start..end.min(start + BLOCK_BYTES))
        });
        let bytes = stream::iter(blocks).then(|block| self.read(block));
        blobs.stage_bytes(id, size, bytes.boxed()).await
    }
}

fn read_block(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let mut block = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut block, range.start)?;
    Ok(block.into())
}
