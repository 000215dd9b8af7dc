//! Uploads: announced bytes on their way into the store.

use super::digest::Digest;
use super::id::{AccountId, UploadId};
use super::time::Timestamp;

/// A session in which one account sends the bytes of one blob. Announcing the same digest again continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    pub account: AccountId,
    pub digest: Digest,
    pub size_bytes: u64,
    /// The byte to go on from.
    pub offset: u64,
    /// The bytes are proved and stored, and the account may name them in a commit.
    pub complete: bool,
    pub created: Timestamp,
    /// After this the unfinished part may be thrown away.
    pub expires: Timestamp,
}
