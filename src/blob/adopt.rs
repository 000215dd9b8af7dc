//! Taking a file of this machine into a store under a digest it is said to have: proved first, then linked where
//! both lie on one disk, else copied. How backups and restored hubs get their bytes.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::first_reading::hash_file;
use super::list::found;
use super::{Blobs, Error, Inner, Result, key, sync_above};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;

impl Blobs {
    /// Stores `path` as `expected`, or fails with `Mismatch`. The file must never change afterwards: where it can,
    /// the store shares it. `staging` names a file of the staging directory that is free.
    pub async fn adopt(&self, path: &Path, expected: &Digest, staging: &UploadId) -> Result<()> {
        if self.inner.root.is_some() {
            let (inner, from, name, expected) = (self.inner.clone(), path.to_owned(), self.inner.staging.join(staging.as_str()), *expected);
            if spawn_blocking(move || link(&inner, &from, &name, &expected)).await?? {
                return Ok(());
            }
        }
        let proved = self.prove_file(path, staging).await?;
        match *proved.digest() {
            got if got == *expected => proved.promote().await,
            got => {
                proved.discard().await?;
                Err(Error::Mismatch { expected: *expected, got })
            }
        }
    }
}

/// Proves a file and gives the very same file its final name; false where the disks differ or the file system
/// knows no links.
fn link(inner: &Inner, from: &Path, staged: &PathBuf, expected: &Digest) -> Result<bool> {
    found(std::fs::remove_file(staged))?;
    // Whether linking works is found out first: a copy proves the bytes by itself.
    if std::fs::hard_link(from, staged).is_err() {
        return Ok(false);
    }
    let linked = name_linked(inner, staged, expected);
    if linked.is_err() {
        found(std::fs::remove_file(staged))?;
    }
    linked.map(|()| true)
}

fn name_linked(inner: &Inner, staged: &PathBuf, expected: &Digest) -> Result<()> {
    let mut file = File::open(staged)?;
    let (got, leaves) = hash_file(&mut file)?;
    if got != *expected {
        return Err(Error::Mismatch { expected: *expected, got });
    }
    inner.write_list(expected, &leaves)?;
    let Some(target) = inner.root.as_ref().map(|root| root.join(key(expected))) else { return Ok(()) };
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let same = |other: std::fs::Metadata, this: std::fs::Metadata| (other.dev(), other.ino()) == (this.dev(), this.ino());
    if found(std::fs::metadata(&target))?.is_some_and(|there| file.metadata().is_ok_and(|this| same(there, this))) {
        // Renaming a file over itself would leave both names.
        found(std::fs::remove_file(staged))?;
    } else {
        std::fs::rename(staged, &target)?;
    }
    sync_above(&target)
}
