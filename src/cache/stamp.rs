//! By what a file is known again without reading it: inode, size and time of change.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// By what a file is known again without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    pub(super) inode: u64,
    pub(super) size_bytes: u64,
    pub(super) modified_ns: i128,
}

impl Stamp {
    pub fn of(file: &Metadata) -> Stamp {
        let modified_ns = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
        Stamp { inode: file.ino(), size_bytes: file.size(), modified_ns }
    }

    /// A file that was changed just now may be changed again within the same tick of the kernel's clock, and
    /// would look the same.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i128::try_from(now.as_nanos()).is_ok_and(|now| (self.modified_ns + 1_000_000_000) < now)
    }
}

/// Gives a file just written a time of change of the finest clock. The kernel's own advances in ticks of
/// milliseconds, and two writes within one tick would look the same.
pub(super) fn mark(file: &File) -> std::io::Result<Stamp> {
    file.set_modified(SystemTime::now())?;
    file.metadata().map(|found| Stamp::of(&found))
}
