//! Which files of a publish would run code in the hands of those who load them, told by their bytes alone. What the policy
//! refuses stops the publish; what it takes is marked.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::super::{Error, Pickles, Result, Service};
use super::check_dataset::not_checked;
use super::read_facts::SIDE_BY_SIDE;
use crate::archive::ReadAt;
use crate::blob::Blobs;
use crate::checks::{self, Scanned};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::mark::Mark;
use crate::domain::path::RepoPath;
use crate::import::scan::Findings;

/// Publishes of this process whose files are looked into at a time.
static SCANS: Semaphore = Semaphore::const_new(4);
/// A file of this machine up to here is proved as a whole and read where it lies; of a larger one only what is asked for is proved.
const SMALL: u64 = 1 << 20;

/// The bytes of a blob, read by a thread that may wait.
struct BlobBytes {
    blobs: Blobs,
    digest: Digest,
    size_bytes: u64,
    /// Whether it lies on this machine.
    near: bool,
    runtime: Handle,
}

impl ReadAt for BlobBytes {
    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let range = offset..offset.saturating_add(most as u64);
        let bytes = self.runtime.block_on(self.blobs.read_range(&self.digest, range));
        bytes.map(|bytes| bytes.to_vec()).map_err(io::Error::other)
    }

    /// A store is far away.
    fn block_bytes(&self) -> usize {
        if self.near { 16 << 10 } else { 4 << 20 }
    }
}

impl Service {
    /// Looks into each file that was not looked into before, and says what was found, or refuses one of them.
    pub(super) async fn scan_files(&self, manifest: &Manifest, scanned: &HashSet<Digest>) -> Result<Vec<(Digest, Mark)>> {
        let mut seen = scanned.clone();
        let unseen: Vec<ManifestEntry> = manifest.entries().iter().filter(|entry| seen.insert(entry.digest)).cloned().collect();
        if unseen.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = SCANS.acquire().await.map_err(|_| Error::Internal("the scans were closed".into()))?;
        let to_scan = |entry: ManifestEntry| async move { Ok::<_, Error>(self.to_scan(&entry).await) };
        let files = stream::iter(unseen.clone().into_iter().map(to_scan)).buffered(SIDE_BY_SIDE).try_collect().await?;
        let checks = self.checks.clone();
        let found = tokio::task::spawn_blocking(move || checks.scan(files)).await;
        let found = found.map_err(|e| Error::Internal(format!("a scan was stopped: {e}")))?;
        let found = found.map_err(|error| match error {
            ended @ checks::Error::Ended(_) => not_known(&unseen, &ended),
            other => not_checked(other),
        })?;
        unseen.iter().zip(found).map(|(entry, found)| Ok((entry.digest, judge(self.policy.pickles, &entry.path, found)?))).collect()
    }

    async fn to_scan(&self, entry: &ManifestEntry) -> Scanned {
        // Of one that cannot be proved, reading it says what is the matter.
        let path: Option<PathBuf> = match entry.size_bytes {
            ..=SMALL => self.blobs.proved_path(&entry.digest).await.unwrap_or_default(),
            _ => None,
        };
        let near = self.blobs.local_path(&entry.digest).is_some();
        let (blobs, runtime) = (self.blobs.clone(), Handle::current());
        let bytes = BlobBytes { blobs, digest: entry.digest, size_bytes: entry.size_bytes, near, runtime };
        Scanned { name: entry.path.to_string(), path, bytes: Box::new(bytes) }
    }
}

/// Of what nobody could look into nobody can say that it is safe.
fn not_known(files: &[ManifestEntry], ended: &checks::Error) -> Error {
    let what = match files {
        [one] => format!("'{}'", one.path),
        _ => format!("{} files", files.len()),
    };
    let hint = "publish the files one by one to find which, and leave that out; the server's log says more";
    Error::invalid("scan_ended", format!("the search of {what} for pickles {ended}"), hint)
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
