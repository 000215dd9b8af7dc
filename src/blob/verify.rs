//! Reading blobs again: do the stored bytes still have the sha256 they are named by? And putting aside those that
//! do not, so that nobody is served them and whoever has the true bytes is asked for them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::checks::Stamp;
use super::leaves::{Hashing, Leaves};
use super::list::found;
use super::{Blobs, Error, Result, key, object, object_key, sync_directory};
use crate::domain::digest::Digest;

const BLOCK_BYTES: usize = 1 << 20;
const QUARANTINE: &str = "quarantine";

/// What a reading found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Nothing lies under the name.
    Missing,
    /// So many bytes lie there.
    Size(u64),
    /// The bytes have this sha256.
    Content(Digest),
    /// The disk gave an error for this blob.
    Unreadable(String),
    /// It lies in pieces of others, and the list of them or one of those is damaged or gone.
    Broken(String),
}

/// How fast to read. One pace may be shared by nobody: it remembers what it is owed.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<f64>,
    due: Instant,
}

impl Pace {
    /// As fast as it goes.
    pub fn free() -> Pace {
        Pace { bytes_per_second: None, due: Instant::now() }
    }

    pub fn of(bytes_per_second: f64) -> Pace {
        Pace { bytes_per_second: Some(bytes_per_second.max(1.0)), due: Instant::now() }
    }

    async fn spend(&mut self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        // Time that went by unused is not made up for in a rush.
        self.due = self.due.max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate);
        tokio::time::sleep_until(self.due).await;
    }
}

impl Blobs {
    /// Reads a blob and says whether it is what it is named by. Errors of the store are errors: only what was
    /// read is judged.
    pub async fn verify(&self, digest: &Digest, size_bytes: u64, pace: &mut Pace, tell: impl Fn(u64)) -> Result<Verdict> {
        let seen = self.look_at(digest).await?;
        let reader = match self.open_as(digest, false).await {
            Ok(reader) => reader,
            Err(Error::NotFound(_)) => return Ok(Verdict::Missing),
            Err(Error::Unreadable(problem)) => return Ok(Verdict::Unreadable(problem)),
            Err(Error::Corrupt { problem, .. }) => return Ok(Verdict::Broken(problem)),
            Err(error) => return Err(error),
        };
        if reader.size() != size_bytes {
            return Ok(Verdict::Size(reader.size()));
        }
        // What is in memory says nothing about the disk.
        reader.drop_cached();
        let mut hashing = Hashing::default();
        let mut stream = reader.stream(0..size_bytes);
        loop {
            match stream.try_next().await {
                Ok(None) => break,
                Ok(Some(block)) => {
                    hashing.update(&block);
                    tell(block.len() as u64);
                    pace.spend(block.len()).await;
                }
                Err(Error::Unreadable(problem)) => return Ok(Verdict::Unreadable(problem)),
                Err(Error::NotFound(_)) => return Ok(Verdict::Missing),
                // It ended too early: somebody cut the file since it was opened.
                Err(Error::Corrupt { .. }) => return Ok(Verdict::Size(self.find_size(digest).await?.unwrap_or(0))),
                Err(error) => return Err(error),
            }
        }
        reader.drop_cached();
        match hashing.finish() {
            (got, leaves) if got == *digest => {
                if !reader.is_composed() {
                    self.learn(digest, leaves, seen).await?;
                }
                Ok(Verdict::Good)
            }
            (got, _) => Ok(Verdict::Content(got)),
        }
    }

    /// How a blob's file looks, where it has one.
    async fn look_at(&self, digest: &Digest) -> Result<Option<Stamp>> {
        let Some(path) = self.inner.root.as_ref().map(|root| root.join(key(digest))) else { return Ok(None) };
        let meta = spawn_blocking(move || found(std::fs::metadata(path))).await??;
        Ok(meta.map(|meta| Stamp::of(&meta)))
    }

    /// All of a blob was read and found good: nobody needs to hash it again as long as it looks as it did, and the
    /// hashes of its leaves are known.
    async fn learn(&self, digest: &Digest, leaves: Leaves, seen: Option<Stamp>) -> Result<()> {
        if let Some(stamp) = seen
            && self.look_at(digest).await? == seen
        {
            self.inner.checks.of(digest, stamp).prove_all();
        }
        if !leaves.is_needed() {
            return Ok(());
        }
        let leaves = Arc::new(leaves);
        if self.find_list(digest, leaves.size_bytes()).await?.as_ref() != Some(&leaves) {
            self.keep_leaves(digest, &leaves).await;
        }
        // Another list in memory would doubt the blob for ever.
        self.inner.checks.keep_list(digest, leaves);
        Ok(())
    }

    /// Moves a damaged blob to `quarantine/`, after reading it once more; false where it proves good now, or is
    /// gone: a repair came first.
    pub async fn quarantine(&self, digest: &Digest) -> Result<bool> {
        let Some(root) = self.inner.root.clone() else { return self.quarantine_object(digest).await };
        let digest = *digest;
        tokio::task::spawn_blocking(move || quarantine_file(&root, &digest)).await?
    }

    /// Whether scrub has put a blob aside.
    pub async fn is_quarantined(&self, digest: &Digest) -> Result<bool> {
        let name = format!("{QUARANTINE}/{digest}");
        match &self.inner.root {
            Some(root) => Ok(tokio::fs::try_exists(root.join(name)).await?),
            None => Ok(object::find_size(self.inner.store.as_ref(), &name.into()).await?.is_some()),
        }
    }

    /// A store elsewhere cannot move and compare in one step; between the last look and the removal a repair
    /// could come. It would be lost, and asked for again.
    async fn quarantine_object(&self, digest: &Digest) -> Result<bool> {
        let (from, to) = (object_key(digest), object_store::path::Path::from(format!("{QUARANTINE}/{digest}")));
        let seen = match self.inner.store.get_opts(&from, object_store::GetOptions::default()).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (tag, mut hash) = (seen.meta.e_tag.clone(), Sha256::new());
        let mut stream = seen.into_stream();
        while let Some(block) = stream.try_next().await? {
            hash.update(&block);
        }
        if Digest::from_bytes(hash.finalize().into()) == *digest {
            return Ok(false);
        }
        self.inner.store.copy(&from, &to).await?;
        if self.inner.store.head(&from).await?.e_tag != tag {
            return Ok(false);
        }
        self.inner.store.delete(&from).await?;
        Ok(true)
    }
}

/// The file that is read is the file that is moved: if a repair took its name meanwhile, the name is given back.
fn quarantine_file(root: &Path, digest: &Digest) -> Result<bool> {
    let path = root.join(key(digest));
    let Some(mut file) = found(File::open(&path))? else { return Ok(false) };
    if sha256(&mut file)? == *digest {
        return Ok(false);
    }
    let folder = root.join(QUARANTINE);
    std::fs::create_dir_all(&folder)?;
    let aside = folder.join(digest.to_hex());
    if found(std::fs::rename(&path, &aside))?.is_none() {
        return Ok(false);
    }
    let (read, moved) = (file.metadata()?, std::fs::metadata(&aside)?);
    if (read.dev(), read.ino()) != (moved.dev(), moved.ino()) {
        std::fs::rename(&aside, &path)?;
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        sync_directory(parent)?;
    }
    sync_directory(&folder)?;
    Ok(true)
}

/// The sha256 of a file from where it stands.
pub fn sha256(file: &mut File) -> std::io::Result<Digest> {
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&block[..read]),
        }
    }
}
