//! How a worker ended, left in its lock file for whoever buries it: a worker that is out of memory says so itself with its
//! last breath, and the server that started it writes down what the kernel said.
//!
//! ```text
//! <name>.lock   lines: `out of memory` | `signal N` | `status N`
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::confine::last_word::{self, OUT_OF_MEMORY};
use crate::domain::job::Death;

const ABORTED: i32 = 6;
const KILLED: i32 = 9;

/// From now on the last word of this process goes into `lock`, which stays open until [`last_word::forget`].
pub(super) fn register(lock: &File) {
    last_word::register(lock.as_raw_fd());
}

/// Writes down how the process `pid` ended, if it was a worker of `folder` that did not take its leave. `kills_before` is
/// what [`last_word::kills_for_memory`] said when it was started.
pub fn write_down(folder: &Path, pid: u32, status: ExitStatus, kills_before: u64) {
    let mine = |name: &str| name.starts_with(&format!("{pid}-")) && name.ends_with(".lock");
    let found = fs::read_dir(folder).into_iter().flatten().flatten().find(|entry| entry.file_name().to_str().is_some_and(mine));
    let Some(lock) = found else { return };
    let mut words = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}\n"),
        (None, Some(code)) => format!("status {code}\n"),
        (None, None) => return,
    };
    if status.signal() == Some(KILLED) && last_word::kills_for_memory() > kills_before {
        words += OUT_OF_MEMORY;
    }
    let written = File::options().append(true).open(lock.path()).and_then(|mut file| file.write_all(words.as_bytes()));
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write down how a worker ended");
    }
}

/// What a lock file says of its worker's end.
pub(super) fn read(lock: &Path) -> Death {
    let text = fs::read_to_string(lock).unwrap_or_default();
    let number = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)?.parse::<i32>().ok());
    // An allocation that failed may also have been done without: then the process ended otherwise, later.
    match (number("signal "), number("status ")) {
        (None | Some(ABORTED | KILLED), None) if text.contains(OUT_OF_MEMORY) => Death::OutOfMemory,
        (Some(signal), _) => Death::Signal(signal),
        (None, Some(status)) => Death::Exit(status),
        (None, None) => Death::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_called_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("77-abc.lock");
        let after = |left: &str, status: i32| {
            fs::write(&lock, left).unwrap();
            write_down(folder.path(), 77, ExitStatus::from_raw(status), u64::MAX);
            read(&lock)
        };
        assert_eq!(after("", KILLED), Death::Signal(9));
        assert_eq!(after("out of memory\n", ABORTED), Death::OutOfMemory);
        assert_eq!(after("", ABORTED), Death::Signal(6));
        assert_eq!(after("out of memory\n", 11), Death::Signal(11), "an allocation that was done without is no cause");
        assert_eq!(after("", 3 << 8), Death::Exit(3));
        fs::write(&lock, "").unwrap();
        write_down(folder.path(), 7, ExitStatus::from_raw(KILLED), u64::MAX);
        assert_eq!(read(&lock), Death::Unknown, "another process");
        assert_eq!(read(&folder.path().join("none")), Death::Unknown);
        let words = |death: Death| death.to_string();
        assert!(words(Death::OutOfMemory).contains("batch_size"));
        for other in [Death::Signal(9), Death::Signal(6), Death::Signal(11), Death::Exit(1), Death::Unknown] {
            assert!(!words(other).contains("batch_size"), "{other}");
        }
    }
}
