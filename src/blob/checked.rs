//! The door through which the bytes of a local blob leave: a leaf is hashed when it is first read since this process
//! began, and again when its file looks otherwise than it did. What is sent is what was hashed; a leaf that is not what
//! it should be never leaves, and its blob is doubted.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::checks::{Check, Stamp};
use super::file::ReadAt;
use super::leaves::{LEAF_BYTES, Leaves};
use super::{Blobs, Inner, Result};
use crate::domain::digest::Digest;

pub(super) struct Checked {
    inner: Arc<Inner>,
    digest: Digest,
    file: File,
    check: Arc<Check>,
    leaves: OnceLock<Arc<Leaves>>,
    /// False for those who prove what they read themselves.
    is_checked: bool,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("digest", &self.digest).field("file", &self.file).finish_non_exhaustive()
    }
}

/// Are `bytes` leaf `index` of a blob? That of a blob of one leaf is the blob.
pub(super) fn is_leaf(digest: &Digest, size_bytes: u64, leaves: Option<&Leaves>, index: u64, bytes: &[u8]) -> bool {
    if size_bytes <= LEAF_BYTES {
        return Digest::of(bytes) == *digest;
    }
    leaves.is_some_and(|leaves| leaves.holds(index, bytes))
}

/// The bytes of leaf `index`.
pub(super) fn span(index: u64, size_bytes: u64) -> Range<u64> {
    index * LEAF_BYTES..size_bytes.min((index + 1) * LEAF_BYTES)
}

impl Checked {
    pub fn new(inner: Arc<Inner>, digest: Digest, file: File, is_checked: bool) -> io::Result<Checked> {
        let check = inner.checks.of(&digest, Stamp::of(&file.metadata()?));
        Ok(Checked { inner, digest, file, check, leaves: OnceLock::new(), is_checked })
    }

    pub fn size_bytes(&self) -> u64 {
        self.check.stamp.size_bytes
    }

    fn is_as_it_was(&self) -> io::Result<bool> {
        Ok(self.check.stamp.is_of(&self.file.metadata()?))
    }

    /// Where the file came to look otherwise since it was opened, its hashes were not needed before.
    fn leaves(&self) -> Option<Arc<Leaves>> {
        if self.leaves.get().is_none()
            && let Some(read) = self.inner.checks.find_list(&self.digest).or_else(|| self.inner.read_list(&self.digest, self.size_bytes()))
        {
            let _ = self.leaves.set(read);
        }
        self.leaves.get().cloned()
    }

    fn prove(&self, index: u64, bytes: &[u8]) -> io::Result<()> {
        let size = self.size_bytes();
        let leaves = if size <= LEAF_BYTES { None } else { self.leaves() };
        if size > LEAF_BYTES && leaves.is_none() {
            return Err(io::Error::other("a stored file has changed while it was read"));
        }
        if !is_leaf(&self.digest, size, leaves.as_deref(), index, bytes) {
            let (Range { start, end }, digest) = (span(index, size), self.digest);
            let problem = format!("bytes {start} to {end} of {digest} are not those that were stored");
            self.inner.checks.doubt(&digest, &problem);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if self.is_as_it_was()? {
            self.check.prove(index);
        }
        Ok(())
    }

    /// Fills `block` with bytes of leaf `index` from `offset` on.
    fn fill_from(&self, index: u64, block: &mut [u8], offset: u64) -> io::Result<()> {
        if self.check.is_proved(index) {
            self.file.read_exact_at(block, offset)?;
            if self.is_as_it_was()? {
                return Ok(());
            }
        }
        let span = span(index, self.size_bytes());
        if span.start == offset && span.end - span.start == block.len() as u64 {
            self.file.read_exact_at(block, offset)?;
            return self.prove(index, block);
        }
        let mut leaf = vec![0; (span.end - span.start) as usize];
        self.file.read_exact_at(&mut leaf, span.start)?;
        self.prove(index, &leaf)?;
        let at = (offset - span.start) as usize;
        block.copy_from_slice(&leaf[at..at + block.len()]);
        Ok(())
    }

    fn ends_early(&self) -> io::Error {
        self.inner.checks.doubt(&self.digest, "its file has become shorter");
        io::ErrorKind::UnexpectedEof.into()
    }
}

impl ReadAt for Checked {
    fn fill(&self, mut block: &mut [u8], mut offset: u64) -> io::Result<()> {
        if !self.is_checked {
            return self.file.read_exact_at(block, offset);
        }
        while !block.is_empty() {
            if offset >= self.size_bytes() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let index = offset / LEAF_BYTES;
            let room = span(index, self.size_bytes()).end - offset;
            let (now, rest) = block.split_at_mut(block.len().min(room as usize));
            match self.fill_from(index, now, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.ends_early()),
                filled => filled?,
            }
            offset += now.len() as u64;
            block = rest;
        }
        Ok(())
    }

    fn append_cached(&self, block: &mut Vec<u8>, offset: u64, most: usize) {
        if !self.is_checked {
            return self.file.append_cached(block, offset, most);
        }
        let (had, end) = (block.len(), self.size_bytes().min(offset.saturating_add(most as u64)));
        let mut proved = offset;
        while proved < end && self.check.is_proved(proved / LEAF_BYTES) {
            proved = span(proved / LEAF_BYTES, end).end;
        }
        if proved > offset {
            self.file.append_cached(block, offset, (proved - offset) as usize);
            // Looked at after it was read: what was read then was there when it looked as it did.
            if !self.is_as_it_was().unwrap_or(false) {
                block.truncate(had);
            }
        }
    }

    fn drop_cached(&self) {
        self.file.drop_cached();
    }

    fn all_proved(&self) -> bool {
        self.check.all_proved() && self.is_as_it_was().unwrap_or(false)
    }

    fn get_ready(self: Arc<Self>) -> Option<BoxFuture<'static, Result<()>>> {
        if !self.is_checked || self.size_bytes() <= LEAF_BYTES || self.check.all_proved() || self.leaves.get().is_some() {
            return None;
        }
        let blobs = Blobs { inner: self.inner.clone() };
        let ready = async move {
            // Another may have set it, to the same.
            let _ = self.leaves.set(blobs.leaves(&self.digest, self.size_bytes()).await?);
            Ok(())
        };
        Some(ready.boxed())
    }
}
