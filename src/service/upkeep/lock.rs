//! Who may remove bytes. A collector is alone with the store; backups are many, and no collector is beside them.
//! The lock is a file's in the data directory, so it counts between processes, and the kernel drops it when its
//! holder ends, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

const FILE: &str = "upkeep.lock";

/// Nobody else removes bytes or needs them to stay.
#[derive(Debug)]
pub struct Alone {
    _file: File,
}

/// Nobody removes bytes.
#[derive(Debug)]
pub struct Beside {
    _file: File,
}

impl Alone {
    /// `None` while a collector or a backup is at work.
    pub fn try_take(data: &Path) -> io::Result<Option<Alone>> {
        let file = open(data)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Alone { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for others to end.
    pub fn take(data: &Path) -> io::Result<Alone> {
        let file = open(data)?;
        file.lock()?;
        Ok(Alone { _file: file })
    }
}

impl Beside {
    /// `None` while a collector is at work.
    pub fn try_take(data: &Path) -> io::Result<Option<Beside>> {
        let file = open(data)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Beside { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for a collector to end.
    pub fn take(data: &Path) -> io::Result<Beside> {
        let file = open(data)?;
        file.lock_shared()?;
        Ok(Beside { _file: file })
    }
}

fn open(data: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(data.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_alone_and_backups_stand_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let one = Beside::try_take(dir.path()).unwrap().unwrap();
        let two = Beside::try_take(dir.path()).unwrap().unwrap();
        assert!(Alone::try_take(dir.path()).unwrap().is_none());
        drop((one, two));
        let alone = Alone::try_take(dir.path()).unwrap().unwrap();
        assert!(Alone::try_take(dir.path()).unwrap().is_none() && Beside::try_take(dir.path()).unwrap().is_none());
        drop(alone);
        assert!(Alone::take(dir.path()).is_ok() && Beside::take(dir.path()).is_ok());
    }
}
