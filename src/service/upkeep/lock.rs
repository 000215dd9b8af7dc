//! Who may remove bytes. A collector is alone with the store; backups are many, and no collector is beside them.
//! And what all of these locks are made of.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

const FILE: &str = "upkeep.lock";

/// A lock on a file. It counts between processes, and the kernel drops it when its holder ends, however that ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// For one holder; `None` while there is another.
    pub fn try_alone(path: &Path) -> io::Result<Option<FileLock>> {
        FileLock::at_once(path, File::try_lock)
    }

    fn at_once(path: &Path, take: impl FnOnce(&File) -> Result<(), TryLockError>) -> io::Result<Option<FileLock>> {
        let file = open(path)?;
        match take(&file) {
            Ok(()) => Ok(Some(FileLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for those who hold it otherwise.
    fn patiently(path: &Path, take: impl FnOnce(&File) -> io::Result<()>) -> io::Result<FileLock> {
        let file = open(path)?;
        take(&file)?;
        Ok(FileLock { _file: file })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Nobody else removes bytes or needs them to stay.
#[derive(Debug)]
pub struct Alone {
    _lock: FileLock,
}

/// Nobody removes bytes.
#[derive(Debug)]
pub struct Beside {
    _lock: FileLock,
}

impl Alone {
    /// `None` while a collector or a backup is at work.
    pub fn try_take(data: &Path) -> io::Result<Option<Alone>> {
        Ok(FileLock::try_alone(&data.join(FILE))?.map(|lock| Alone { _lock: lock }))
    }

    /// Waits for others to end.
    pub fn take(data: &Path) -> io::Result<Alone> {
        Ok(Alone { _lock: FileLock::patiently(&data.join(FILE), File::lock)? })
    }
}

impl Beside {
    /// `None` while a collector is at work.
    pub fn try_take(data: &Path) -> io::Result<Option<Beside>> {
        Ok(FileLock::at_once(&data.join(FILE), File::try_lock_shared)?.map(|lock| Beside { _lock: lock }))
    }

    /// Waits for a collector to end.
    pub fn take(data: &Path) -> io::Result<Beside> {
        Ok(Beside { _lock: FileLock::patiently(&data.join(FILE), File::lock_shared)? })
    }
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
