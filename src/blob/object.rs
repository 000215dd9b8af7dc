//! Blobs as objects of a remote store: how large, and which bytes.
//!
//! Bytes come in ranged requests of [`BLOCK_BYTES`], [`IN_FLIGHT`] side by side, each a task of its own: a
//! block that was asked for arrives whether or not its reader is quick, so a slow client never holds a
//! connection to the store. At most [`IN_FLIGHT`] blocks of a stream are in memory, the one being sent included.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::{Error, Result};
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

/// The bytes of `range`, in order.
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
