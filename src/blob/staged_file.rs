//! The file an upload is staged in, as all who work on it see it: locked for moments, known by its inode, gone when it
//! was promoted or thrown away.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Error, Result};

/// How often and how long to wait for a lock that is held for moments only, or for seconds where the disk is busy.
const LOCK_TRIES: u32 = 2_000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Takes a lock that others hold for moments only.
pub(super) fn wait_for(mut take: impl FnMut() -> std::result::Result<(), TryLockError>) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match take() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(Error::InUse)
}

/// Does the name still lead to this file? Else it was promoted or thrown away meanwhile.
pub(super) fn is_named(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file; one that is gone already is no trouble.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
