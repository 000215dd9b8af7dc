//! What the hub asks of the store of its blobs as a whole.

use std::time::Duration;

use super::super::repos::fetch::OpenFile;
use super::super::{Result, Service};
use crate::blob;

/// How long an address into the store is good for: a client begins at once and asks for another when it resumes.
const DIRECT_FOR: Duration = Duration::from_secs(600);
/// Smaller files are passed through: a second request would cost more than it saves.
const DIRECT_FROM_BYTES: u64 = 1024 * 1024;

impl Service {
    pub fn has_remote_store(&self) -> bool {
        self.blobs.is_remote()
    }

    /// Writes to the store and reads it. True: it keeps its word on conditional writes.
    pub async fn probe_store(&self) -> blob::Result<bool> {
        self.blobs.probe().await
    }

    /// Aborts the multipart uploads that ended processes left in the store. How many there were.
    pub async fn abort_abandoned(&self) -> blob::Result<u64> {
        self.blobs.abort_abandoned().await
    }

    /// A short-lived address in the store itself at which the holder may fetch a file it has just opened here;
    /// `None` where the hub is to pass the bytes through.
    pub async fn direct_url(&self, file: &OpenFile, disposition: &str) -> Result<Option<String>> {
        if !self.policy.redirect_downloads || file.entry.size_bytes < DIRECT_FROM_BYTES {
            return Ok(None);
        }
        Ok(self.blobs.direct_url(&file.reader, disposition, DIRECT_FOR).await?)
    }
}
