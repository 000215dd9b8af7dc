//! Bytes named by their sha256, over object_store; immutable once they have a name.
//!
//! ```text
//! DIR/staging/<upload id>          sparse, filled in any order; a crash leaves them for the sweeper
//! DIR/blobs/ab/cd/<64 hex>         final: size and sha256 were proved, file and folders are on the disk
//! DIR/blobs/ab/cd/<64 hex>.segments  the same, its bytes in pieces of other blobs
//! DIR/hashes/ab/cd/<64 hex>        of its leaves, by which any run of it is checked: `leaves`
//! DIR/quarantine/<64 hex>          had a final name and no longer its sha256
//! ```
//!
//! Parts go into staging files (`stage`, `part`), their hash follows (`running`), and what was proved (`proved`) gets
//! its final name, whole (`promote`) or as pieces of other blobs (`compose`); nothing else writes final names. Folders
//! below `blobs` are never removed. The local directory is the default store; a bucket of an S3 store takes
//! the same keys below its prefix, with staging still in a local directory, and where several nodes stand on it also in the bucket (`shared`).

mod adopt;
mod checked;
mod checks;
mod compose;
mod direct;
pub mod error;
mod file;
mod first_reading;
mod hot;
mod leaves;
mod list;
mod multipart;
mod object;
mod open;
pub mod part;
mod promote;
mod proved;
mod reader;
mod running;
mod shared;
pub mod stage;
mod staged_file;
mod verify;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use checked::Checked;
use futures_util::TryStreamExt;
use object::Object;
use object_store::ObjectStore;

pub use compose::Composed;
pub use error::{Error, Result};
pub use list::{Lying, Staged, Stored};
use multipart::Remote;
pub use open::S3;
pub use part::Part;
pub use proved::Proved;
pub use reader::{Local, Reader};
pub use verify::{Pace, Verdict, sha256};

use crate::domain::digest::Digest;

/// The store of blobs; cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// What a store that is no directory of ours has beside that.
    remote: Option<Remote>,
    /// Where the store's files lie, when it is a local directory: reading and promoting go straight to them.
    root: Option<PathBuf>,
    staging: PathBuf,
    /// Several nodes stand on the store: uploads under way lie in it as well.
    is_shared: bool,
    /// What is known of uploads between two requests, so that the next one need not read everything again.
    sessions: running::Sessions,
    /// What is known of stored bytes, so that not all of it is hashed at each reading.
    checks: checks::Checks,
    /// Blocks of objects that several read at once.
    hot: hot::Hot,
    folders: promote::Folders,
    /// Keeps a test's staging directory alive.
    _temporary: Option<tempfile::TempDir>,
}

impl Blobs {
    fn of(
        store: Arc<dyn ObjectStore>,
        remote: Option<Remote>,
        root: Option<PathBuf>,
        staging: PathBuf,
        temporary: Option<tempfile::TempDir>,
    ) -> Blobs {
        let (sessions, checks, hot, folders) = Default::default();
        Blobs {
            inner: Arc::new(Inner {
                store,
                remote,
                root,
                staging,
                is_shared: false,
                sessions,
                checks,
                hot,
                folders,
                _temporary: temporary,
            }),
        }
    }

    /// Blobs lie in a store across a network, not in a directory of this machine.
    pub fn is_remote(&self) -> bool {
        self.inner.remote.is_some()
    }

    /// The size of a stored blob.
    pub async fn find_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.find_whole_size(digest).await? {
            Some(size) => Ok(Some(size)),
            None => self.find_composed_size(digest).await,
        }
    }

    async fn find_whole_size(&self, digest: &Digest) -> Result<Option<u64>> {
        object::find_size(self.inner.store.as_ref(), &object_key(digest)).await
    }

    /// Opens a blob, whole or composed; its bytes are read, and checked, when the reader is asked for them.
    pub async fn open(&self, digest: &Digest) -> Result<Reader> {
        self.open_as(digest, true).await
    }

    /// Unchecked is for those who prove the bytes themselves, and want them as they lie.
    async fn open_as(&self, digest: &Digest, checked: bool) -> Result<Reader> {
        match self.open_whole(digest, checked).await {
            Err(Error::NotFound(_)) => self.open_composed(digest, checked).await,
            other => other,
        }
    }

    async fn open_whole(&self, digest: &Digest, checked: bool) -> Result<Reader> {
        let Some(root) = &self.inner.root else {
            let size = self.find_whole_size(digest).await?.ok_or(Error::NotFound(*digest))?;
            return Ok(Reader::of_object(*digest, size, Object::new(self.clone(), *digest, size, checked)));
        };
        let (inner, path, digest) = (self.inner.clone(), root.join(key(digest)), *digest);
        tokio::task::spawn_blocking(move || match File::open(path) {
            Ok(file) => Ok(Reader::of_file(digest, Checked::new(inner, digest, file, checked)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound(digest)),
            Err(error) => Err(error.into()),
        })
        .await?
    }

    /// A whole blob of at most `max` bytes; a larger one is cut there.
    pub async fn read_all(&self, digest: &Digest, max: u64) -> Result<Bytes> {
        self.read_range(digest, 0..max).await
    }

    /// Some bytes of a blob; the range is cut to its size.
    pub async fn read_range(&self, digest: &Digest, range: Range<u64>) -> Result<Bytes> {
        let reader = self.open(digest).await?;
        let range = range.start.min(reader.size())..range.end.min(reader.size());
        let parts: Vec<Bytes> = reader.stream(range).try_collect().await?;
        Ok(parts.concat().into())
    }

    /// The next blob whose bytes were found to be others than it is named by, for a second look ([`Blobs::settle`]).
    pub async fn next_doubtful(&self) -> Digest {
        self.inner.checks.next_doubtful().await
    }

    /// A doubtful blob was looked at again, and put aside if it is damaged.
    pub fn settle(&self, digest: &Digest) {
        self.inner.checks.settle(digest);
    }

    /// What is wrong with a blob is not only the business of its reader.
    pub fn doubt(&self, digest: &Digest, problem: &str) {
        self.inner.checks.doubt(digest, problem);
    }

    /// [`Blobs::local_path`] of a blob whose bytes are good: those that were not read before are.
    pub async fn proved_path(&self, digest: &Digest) -> Result<Option<PathBuf>> {
        let Some(path) = self.local_path(digest) else { return Ok(None) };
        self.open_whole(digest, true).await?.prove().await?;
        Ok(Some(path))
    }

    /// The file of a blob, for those on this machine who prove its bytes themselves; `None` for other stores, and for
    /// blobs that lie in pieces. It is read-only and must stay as it is.
    pub fn local_path(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.inner.root.as_ref()?.join(key(digest));
        path.is_file().then_some(path)
    }
}

/// `blobs/ab/cd/<64 hex>`: two levels keep folders small for millions of blobs.
fn key(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("blobs/{}/{}/{hex}", &hex[..2], &hex[2..4])
}

fn object_key(digest: &Digest) -> object_store::path::Path {
    key(digest).into()
}

/// Writes the three folders above a blob's new name to the disk: any of them may be new, too.
fn sync_above(target: &Path) -> Result<()> {
    target.ancestors().skip(1).take(3).try_for_each(sync_directory)
}

/// A new name in a directory survives a power cut only once the directory itself is written.
fn sync_directory(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}
