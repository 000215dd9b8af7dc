//! Git's names for stored files: clients of the Hugging Face Hub compare a small file's with their own, and leave out
//! what has not changed. They are not kept but computed where they are asked for: small files are read quickly.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha1::{Digest as _, Sha1};

use super::super::Service;
use crate::blob;
use crate::domain::digest::Digest;
use crate::domain::git::ObjectId;
use crate::domain::repo::FileEntry;

/// Bytes that are read for one question; what lies beyond has no name and is sent again.
const MOST_BYTES: u64 = 256 << 20;
const SIDE_BY_SIDE: usize = 8;

impl Service {
    /// The names of these files, which were just listed for the caller, by their digests. A file that cannot be read
    /// has none: sending it again repairs it.
    pub async fn git_names(&self, files: &[&FileEntry]) -> HashMap<Digest, String> {
        let mut room = MOST_BYTES;
        let mut wanted: HashMap<Digest, u64> = files.iter().map(|file| (file.digest, file.size_bytes)).collect();
        wanted.retain(|_, size_bytes| {
            let left = room.checked_sub(*size_bytes);
            room = left.unwrap_or(room);
            left.is_some()
        });
        let named = stream::iter(wanted).map(|(digest, size_bytes)| async move { (digest, self.git_name(&digest, size_bytes).await) });
        let named: Vec<_> = named.buffer_unordered(SIDE_BY_SIDE).collect().await;
        named.into_iter().filter_map(|(digest, name)| Some((digest, name.ok()?.to_string()))).collect()
    }

    /// SHA-1 over a head and the bytes, as `git hash-object` computes it.
    pub(super) async fn git_name(&self, digest: &Digest, size_bytes: u64) -> blob::Result<ObjectId> {
        let mut bytes = self.blobs.open(digest).await?.stream(0..size_bytes);
        let mut hash = Sha1::new_with_prefix(format!("blob {size_bytes}\0"));
        while let Some(block) = bytes.try_next().await? {
            // Off the threads that answer everybody else.
            let hashed = tokio::task::spawn_blocking(move || {
                hash.update(&block);
                hash
            });
            hash = hashed.await.map_err(|e| blob::Error::Store(format!("hashing was stopped: {e}")))?;
        }
        Ok(ObjectId::from_bytes(hash.finalize().into()))
    }
}
