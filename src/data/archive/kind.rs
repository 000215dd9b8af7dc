//! What an archive file is, by its first bytes.

use crate::archive::packing::{self, Packing};
use crate::archive::{tar, zip};

/// What a file that is no archive we read is called, where its first bytes tell.
pub type Foreign = &'static str;

/// An archive that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Zip,
    Tar,
    /// Something packed; a tar, one hopes.
    Packed(Packing),
}

/// Looks at the first 512 bytes; `None` for anything we do not read.
pub fn kind(head: &[u8]) -> Option<Kind> {
    match packing::of(head) {
        _ if zip::begins(head) => Some(Kind::Zip),
        Some(packing) => Some(Kind::Packed(packing)),
        None => tar::begins(head).then_some(Kind::Tar),
    }
}

/// The name of what these first bytes are, if it is known and not read.
pub fn foreign(head: &[u8]) -> Option<Foreign> {
    match head {
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("a 7z archive"),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Some("a RAR archive"),
        [b'M', b'S', b'C', b'F', ..] => Some("a cabinet"),
        [0x1f, 0x9d, ..] => Some("packed by compress (.Z)"),
        [0x5d, 0, 0, ..] => Some("packed by LZMA without xz"),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => Some("an ar archive"),
        [0x89, b'H', b'D', b'F', ..] => Some("HDF5 data"),
        [b'%', b'P', b'D', b'F', ..] => Some("a PDF"),
        _ if head.starts_with(crate::data::image::LFS_POINTER) => Some("a git-lfs pointer, not the file itself"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_has_a_name() {
        for (head, named) in [
            (&b"7z\xbc\xaf\x27\x1c\0\x04"[..], "7z"),
            (b"Rar!\x1a\x07\x01\0", "RAR"),
            (b"Rar!\x1a\x07\0", "RAR"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs"),
        ] {
            assert_eq!(kind(head), None);
            assert!(foreign(head).is_some_and(|name| name.contains(named)), "{named}");
        }
        assert_eq!(foreign(b"hello"), None);
    }
}
