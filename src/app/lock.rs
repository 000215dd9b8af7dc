//! One server per data directory: staging, collection and supervision assume they are alone. The lock is the
//! kernel's, so it is gone with the process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::{Error, Result};

/// Held while a server lives.
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(data: &Path) -> Result<Lock> {
        let path = data.join("server.lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|e| Error::data(data, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another hub is already serving {}", data.display());
                Err(Error::failed(message, "use that one, stop it first, or give this one another directory with --data DIR"))
            }
            Err(TryLockError::Error(e)) => Err(Error::data(data, &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let second = Lock::take(dir.path()).err().unwrap();
        assert!(second.to_string().contains("already serving"), "{second}");
        drop(first);
        assert!(Lock::take(dir.path()).is_ok());
    }
}
