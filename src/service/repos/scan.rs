//! Which files of a publish would run code in the hands of those who load them, told by their bytes alone. What the policy
//! refuses stops the publish; what it takes is marked.

use std::collections::HashSet;
use std::io;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::super::{Error, Pickles, Result, Service};
use super::read_facts::SIDE_BY_SIDE;
use crate::archive::ReadAt;
use crate::blob::{Blobs, Local};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::mark::Mark;
use crate::domain::path::RepoPath;
use crate::import::scan::{self, Findings};

/// Files of this process that are looked into at a time.
static SCANS: Semaphore = Semaphore::const_new(4);

/// The bytes of a blob, read by a thread that may wait.
struct BlobBytes {
    blobs: Blobs,
    digest: Digest,
    size_bytes: u64,
    local: Option<Local>,
    runtime: Handle,
}

impl ReadAt for BlobBytes {
    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let bytes = match &self.local {
            Some(local) => local.read_at(offset, most),
            None => self.runtime.block_on(self.blobs.read_range(&self.digest, offset..offset.saturating_add(most as u64))),
        };
        bytes.map(|bytes| bytes.to_vec()).map_err(io::Error::other)
    }

    /// A store is far away.
    fn block_bytes(&self) -> usize {
        if self.local.is_some() { 16 << 10 } else { 4 << 20 }
    }
}

impl Service {
    /// Looks into each file that was not looked into before, and says what was found.
    pub(super) async fn scan_files(&self, manifest: &Manifest, scanned: &HashSet<Digest>) -> Result<Vec<(Digest, Mark)>> {
        let mut unseen = manifest.entries().to_vec();
        unseen.retain(|entry| !scanned.contains(&entry.digest));
        let scan = |entry: ManifestEntry| async move { Ok::<_, Error>((entry.digest, self.scan_file(&entry).await?)) };
        stream::iter(unseen.into_iter().map(scan)).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }

    /// What is found in a file, or the refusal of it.
    pub(super) async fn scan_file(&self, entry: &ManifestEntry) -> Result<Mark> {
        let _turn = SCANS.acquire().await.map_err(|_| Error::Internal("the scans were closed".into()))?;
        let local = match self.blobs.open(&entry.digest).await {
            Ok(reader) => reader.local().await?,
            // Reading it says what is the matter.
            Err(_) => None,
        };
        let (blobs, runtime) = (self.blobs.clone(), Handle::current());
        let bytes = BlobBytes { blobs, digest: entry.digest, size_bytes: entry.size_bytes, local, runtime };
        let found = tokio::task::spawn_blocking(move || scan::scan(&bytes)).await;
        let found = found.map_err(|e| Error::Internal(format!("a scan was stopped: {e}")))?;
        judge(self.policy.pickles, &entry.path, found.map_err(not_read)?)
    }
}

/// A store that is in the way says so itself.
fn not_read(error: io::Error) -> Error {
    match error.downcast::<crate::blob::Error>() {
        Ok(error) => error.into(),
        Err(error) => Error::Internal(format!("a file could not be scanned: {error}")),
    }
}

fn judge(policy: Pickles, path: &RepoPath, found: Findings) -> Result<Mark> {
    let refuse = |why: String| {
        let hint = "convert it with 'hub import' and publish the safetensors file, or leave it out; the server's administrator decides with 'pickle'";
        Err(Error::invalid("pickle_refused", why, hint))
    };
    if let (Some(why), Pickles::Scan | Pickles::Refuse) = (&found.ambiguous_because, policy)
        && found.unsafe_because.is_none()
    {
        let why = format!("'{path}' could be read as two different archives: {why}");
        let hint = "pack its files again with one tool, in one go, and publish that; or publish the files themselves";
        return Err(Error::invalid("archive_ambiguous", why, hint));
    }
    match (policy, found) {
        (Pickles::Allow, Findings { ambiguous_because: Some(_), .. }) => Ok(Mark::Unsafe),
        (Pickles::Allow, Findings { unsafe_because: Some(_), .. }) => Ok(Mark::Unsafe),
        (_, Findings { unsafe_because: Some(name), .. }) => {
            refuse(format!("'{path}' holds {}; loading it can run anything its maker wrote", named(&name)))
        }
        (Pickles::Refuse, Findings { pickle: true, .. }) => {
            refuse(format!("'{path}' is or holds a Python pickle, and this server takes none"))
        }
        (_, Findings { pickle: true, .. }) => Ok(Mark::Pickle),
        (_, Findings { unscanned: Some(_), .. }) => Ok(Mark::Unscanned),
        _ => Ok(Mark::Clean),
    }
}

/// A name stands in quotes; a reason is words.
fn named(name: &str) -> String {
    if name.contains(' ') {
        name.to_owned()
    } else {
        format!("a pickle or layer that names `{name}`, which is not on the list of harmless names")
    }
}
