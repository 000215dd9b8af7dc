//! A lock between processes, kept on a file. The kernel holds it for an open file and gives it back when that is closed,
//! however its process ends: nothing is left behind that somebody would have to clear away. It counts between two openers
//! of one process as well.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Held until dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Alone, on a file that is made where it is not there. `None` while anybody else holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<FileLock>> {
        FileLock::try_on(open(path)?)
    }

    /// Alone; waits for others to end.
    pub fn take(path: &Path) -> io::Result<FileLock> {
        let file = open(path)?;
        file.lock()?;
        Ok(FileLock { file })
    }

    /// With others that share it. `None` while somebody holds it alone. One who may only read the file can share it too.
    pub fn try_share(path: &Path) -> io::Result<Option<FileLock>> {
        let file = open(path).or_else(|error| File::open(path).map_err(|_| error))?;
        let tried = file.try_lock_shared();
        held(file, tried)
    }

    /// With others that share it; waits for who holds it alone.
    pub fn share(path: &Path) -> io::Result<FileLock> {
        FileLock::share_on(open(path)?)
    }

    /// Alone, on a file that is open already and has its own use.
    pub fn try_on(file: File) -> io::Result<Option<FileLock>> {
        let tried = file.try_lock();
        held(file, tried)
    }

    /// Shared, on a file that is open already; waits.
    pub fn share_on(file: File) -> io::Result<FileLock> {
        file.lock_shared()?;
        Ok(FileLock { file })
    }

    pub fn file(&self) -> &File {
        &self.file
    }
}

fn held(file: File, tried: Result<(), TryLockError>) -> io::Result<Option<FileLock>> {
    match tried {
        Ok(()) => Ok(Some(FileLock { file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What is in the file is nobody's business here.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_several_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let alone = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none() && FileLock::try_share(&path).unwrap().is_none());
        drop(alone);
        let (one, two) = (FileLock::try_share(&path).unwrap().unwrap(), FileLock::share(&path).unwrap());
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop((one, two));
        drop(FileLock::take(&path).unwrap());
        assert!(FileLock::try_take(&folder.path().join("none/lock")).is_err(), "no folder, no lock");
    }

    #[test]
    fn what_a_file_holds_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        std::fs::write(&path, "text").unwrap();
        let lock = FileLock::take(&path).unwrap();
        assert!(FileLock::try_on(File::open(&path).unwrap()).unwrap().is_none());
        assert_eq!((lock.file().metadata().unwrap().len(), std::fs::read_to_string(&path).unwrap()), (4, "text".into()));
    }
}
