//! Blobs as objects of a remote store: how large, and which bytes.
//!
//! Bytes come in ranged requests of [`BLOCK_BYTES`], [`IN_FLIGHT`] side by side, each a task of its own: a
//! block that was asked for arrives whether or not its reader is quick, so a slow client never holds a
//! connection to the store. At most [`IN_FLIGHT`] blocks of a stream are in memory, the one being sent included, and what several
//! who read at once share (`hot`).
//!
//! Blocks are whole leaves, each hashed before it is handed over, whenever it is read: nothing tells whether an object is
//! what it was.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use tokio::task::spawn_blocking;

use super::checked::{is_leaf, span};
use super::hot::HotBlob;
use super::leaves::{LEAF_BYTES, Leaves};
use super::{Blobs, Error, Result, object_key};
use crate::domain::digest::Digest;

/// A request to a store takes some ten milliseconds, whatever it asks: three of these a time keep a fast line busy.
const BLOCK_BYTES: u64 = 1024 * 1024;
const IN_FLIGHT: usize = 3;
/// What is handed over at once: the sender copies it, and its buffer should stay small.
const PIECE_BYTES: usize = 120 * 1024;

/// The size of an object. A store that does not answer, or has no such bucket, is an error and never "there is none".
pub(super) async fn find_size(store: &dyn ObjectStore, key: &Path) -> Result<Option<u64>> {
    match store.head(key).await {
        Ok(meta) => Ok(Some(meta.size)),
        // The answer to HEAD has no body that could say whether it is the bucket that is missing.
        Err(StoreError::NotFound { .. }) => match store.get(key).await {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(error @ StoreError::NotFound { .. }) if !names_bucket(&error) => Ok(None),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// S3's words for a bucket that is not there.
fn names_bucket(error: &StoreError) -> bool {
    error.to_string().contains("NoSuchBucket")
}

/// A small object, all of it; `None` where there is none.
pub(super) async fn read(store: &dyn ObjectStore, key: &Path) -> Result<Option<Bytes>> {
    match store.get(key).await {
        Ok(found) => Ok(Some(found.bytes().await?)),
        Err(error @ StoreError::NotFound { .. }) if !names_bucket(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A blob in a store elsewhere.
pub(super) struct Object {
    blobs: Blobs,
    digest: Digest,
    size_bytes: u64,
    key: Path,
    is_checked: bool,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("key", &self.key).field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

impl Object {
    pub fn new(blobs: Blobs, digest: Digest, size_bytes: u64, is_checked: bool) -> Object {
        Object { blobs, digest, size_bytes, key: object_key(&digest), is_checked }
    }

    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The bytes of `range`, in order, as far as they are what was stored.
    pub fn blocks(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if !self.is_checked {
            return blocks(self.digest, self.blobs.inner.store.clone(), self.key.clone(), range);
        }
        let ready = async move {
            if range.end > self.size_bytes {
                return Err(Error::Corrupt { digest: self.digest, problem: format!("the object ends before byte {}", range.end) });
            }
            let leaves = if self.size_bytes > LEAF_BYTES { Some(self.blobs.leaves(&self.digest, self.size_bytes).await?) } else { None };
            let starts = (range.start / LEAF_BYTES * LEAF_BYTES..range.end).step_by(BLOCK_BYTES as usize);
            let reading = self.blobs.inner.hot.read(&self.digest);
            let blocks = stream::iter(starts).map(move |start| {
                let block = tokio::spawn(self.clone().checked_block(reading.blob.clone(), leaves.clone(), start, range.clone()));
                async move { block.await? }
            });
            Ok(blocks.buffered(IN_FLIGHT).flat_map(|block| stream::iter(pieces(block))))
        };
        stream::once(ready).try_flatten().boxed()
    }

    /// What `range` has of the block that begins at `start`.
    async fn checked_block(
        self: Arc<Self>,
        hot: Arc<HotBlob>,
        leaves: Option<Arc<Leaves>>,
        start: u64,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let needed = range.end.div_ceil(LEAF_BYTES) * LEAF_BYTES;
        let block = start..self.size_bytes.min(needed).min(start + BLOCK_BYTES);
        let wanted = range.start.max(start)..range.end.min(block.end);
        let bytes = hot.block(block.clone(), || self.clone().fetch(leaves.clone(), block.clone())).await?;
        Ok(bytes.slice((wanted.start - start) as usize..(wanted.end - start) as usize))
    }

    /// A run of whole leaves from the store, as it was stored.
    async fn fetch(self: Arc<Self>, leaves: Option<Arc<Leaves>>, block: Range<u64>) -> Result<Bytes> {
        let bytes = read_block(self.digest, self.blobs.inner.store.clone(), self.key.clone(), block.clone()).await?;
        // Hashing would hold up everything else on this thread.
        spawn_blocking(move || {
            for index in block.start / LEAF_BYTES..block.end.div_ceil(LEAF_BYTES) {
                let leaf = span(index, self.size_bytes);
                let here = (leaf.start - block.start) as usize..(leaf.end - block.start) as usize;
                if !is_leaf(&self.digest, self.size_bytes, leaves.as_deref(), index, &bytes[here]) {
                    let problem = format!("bytes {} to {} are not those that were stored", leaf.start, leaf.end);
                    self.blobs.doubt(&self.digest, &problem);
                    return Err(Error::Corrupt { digest: self.digest, problem });
                }
            }
            Ok(bytes)
        })
        .await?
    }
}

/// The bytes of `range`, in order, unproved.
pub(super) fn blocks(digest: Digest, store: Arc<dyn ObjectStore>, key: Path, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let starts = (range.start..range.end).step_by(BLOCK_BYTES as usize);
    let blocks = stream::iter(starts).map(move |start| {
        let block = start..range.end.min(start + BLOCK_BYTES);
        let reading = tokio::spawn(read_block(digest, store.clone(), key.clone(), block));
        async move { reading.await? }
    });
    blocks.buffered(IN_FLIGHT).flat_map(|block| stream::iter(pieces(block))).boxed()
}

async fn read_block(digest: Digest, store: Arc<dyn ObjectStore>, key: Path, range: Range<u64>) -> Result<Bytes> {
    match store.get_range(&key, range.clone()).await {
        Ok(block) if block.len() as u64 == range.end - range.start => Ok(block),
        Ok(_) => Err(Error::Corrupt { digest, problem: format!("the object ends before byte {}", range.end) }),
        Err(error @ StoreError::NotFound { .. }) if !names_bucket(&error) => Err(Error::NotFound(digest)),
        Err(error) => Err(error.into()),
    }
}

/// A block in the order of its bytes, without copying.
fn pieces(block: Result<Bytes>) -> impl Iterator<Item = Result<Bytes>> {
    let (mut bytes, failed) = match block {
        Ok(bytes) => (bytes, None),
        Err(error) => (Bytes::new(), Some(error)),
    };
    let pieces = std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(PIECE_BYTES.min(bytes.len()))));
    pieces.map(Ok).chain(failed.map(Err))
}
