//! One server per data directory: staging, collection and supervision assume they are alone. The lock is the
//! kernel's, so it is gone with the process however that ends.

use std::path::Path;

use super::{Error, Result};
use crate::file_lock::FileLock;

/// Held while a server lives.
pub struct Lock {
    _lock: FileLock,
}

impl Lock {
    pub fn take(data: &Path) -> Result<Lock> {
        match FileLock::try_take(&data.join("server.lock")).map_err(|e| Error::data(data, &e))? {
            Some(lock) => Ok(Lock { _lock: lock }),
            None => {
                let message = format!("another hub is already serving {}", data.display());
                Err(Error::failed(message, "use that one, stop it first, or give this one another directory with --data DIR"))
            }
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
