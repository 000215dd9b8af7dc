//! The last word of a process that is out of memory: one line into a file it has open, so that whoever buries it knows.

use std::fs;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// What the line says.
pub const OUT_OF_MEMORY: &str = "out of memory";

/// The file that a last word goes to, by its number; -1 while there is none.
struct LastWord(AtomicI32);

static LAST_WORD: LastWord = LastWord(AtomicI32::new(-1));

impl LastWord {
    /// Allocates nothing.
    fn write(&self) {
        let file = self.0.swap(-1, Ordering::Relaxed);
        if file >= 0 {
            let line = b"out of memory\n";
            // SAFETY: writes bytes of this program to a file that is open; a failure changes nothing.
            let _ = unsafe { libc::write(file, line.as_ptr().cast(), line.len()) };
        }
    }
}

/// From now on [`note_out_of_memory`] writes into this file, which stays open until [`forget`].
pub fn register(file: RawFd) {
    LAST_WORD.0.store(file, Ordering::Relaxed);
}

pub fn forget() {
    LAST_WORD.0.store(-1, Ordering::Relaxed);
}

/// An allocation has failed. Called by the allocator.
pub fn note_out_of_memory() {
    LAST_WORD.write();
}

/// Processes that the kernel killed for want of memory so far, here or on this machine.
pub fn kills_for_memory() -> u64 {
    let read = |path: &str| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    read("/sys/fs/cgroup/memory.events").or_else(|| read("/proc/vmstat")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_last_word_of_a_process_without_memory_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1-x.lock");
        let lock = File::create(&path).unwrap();
        let last = LastWord(AtomicI32::new(lock.as_raw_fd()));
        last.write();
        last.write();
        assert_eq!(fs::read_to_string(&path).unwrap(), "out of memory\n");
    }
}
