//! Uploads: announced bytes on their way into the store.

use super::digest::Digest;
use super::id::{AccountId, UploadId};
use super::ranges::Ranges;
use super::time::Timestamp;

/// An unfinished upload is kept this long after its last byte.
pub const KEPT_MS: i64 = 24 * 3_600_000;

/// A session in which one account sends the bytes of one blob, in any order. Announcing the same digest again
/// continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    pub account: AccountId,
    pub digest: Digest,
    pub size_bytes: u64,
    /// What is on the disk; all of it once the upload is complete.
    pub received: Ranges,
    /// The bytes are proved and stored, and the account may name them in a commit.
    pub complete: bool,
    pub created: Timestamp,
    /// After this the unfinished part may be thrown away.
    pub expires: Timestamp,
}

impl Upload {
    /// The byte from which a client that sends in order goes on.
    pub fn offset(&self) -> u64 {
        if self.complete { self.size_bytes } else { self.received.frontier() }
    }

    /// Are all bytes here, proved or not?
    pub fn is_whole(&self) -> bool {
        self.received.covers(&(0..self.size_bytes))
    }
}
