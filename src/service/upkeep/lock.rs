//! Who may remove bytes. A collector is alone with the store; backups are many, and no collector is beside them.
//! The lock is a file's in the data directory, so it counts between processes, and the kernel drops it when its
//! holder ends, however that ends.

use std::io;
use std::path::Path;

use crate::file_lock::FileLock;

const FILE: &str = "upkeep.lock";

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
        Ok(FileLock::try_take(&data.join(FILE))?.map(|lock| Alone { _lock: lock }))
    }

    /// Waits for others to end.
    pub fn take(data: &Path) -> io::Result<Alone> {
        FileLock::take(&data.join(FILE)).map(|lock| Alone { _lock: lock })
    }
}

impl Beside {
    /// `None` while a collector is at work.
    pub fn try_take(data: &Path) -> io::Result<Option<Beside>> {
        Ok(FileLock::try_share(&data.join(FILE))?.map(|lock| Beside { _lock: lock }))
    }

    /// Waits for a collector to end.
    pub fn take(data: &Path) -> io::Result<Beside> {
        FileLock::share(&data.join(FILE)).map(|lock| Beside { _lock: lock })
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
