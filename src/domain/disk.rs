//! A disk without room, told from other trouble with files: people make room then, and look for no other cause.

use std::io::{Error, ErrorKind};

/// Whether nothing more can be written where this happened. A quota and a limit on the size of files answer otherwise
/// than a full disk does, and people do the same about all three.
pub fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// What to do about trouble with a file, for whoever runs the machine.
pub fn advice(error: &Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => "the disk is full: make room on it and start again",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "check who owns the folder and that it can be written",
        ErrorKind::NotFound => "check that it is still there",
        _ => "check the path and the disk it lies on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_told_from_no_right_and_no_memory() {
        let advice_on = |number: i32| advice(&Error::from_raw_os_error(number));
        for full in [28, 122, 27] {
            assert!(is_full(&Error::from_raw_os_error(full)) && advice_on(full).contains("full"), "{full}");
        }
        for (other, word) in [(13, "owns"), (30, "owns"), (2, "there"), (5, "disk"), (12, "disk")] {
            assert!(!is_full(&Error::from_raw_os_error(other)) && advice_on(other).contains(word), "{other}");
        }
    }
}
