//! What an archive file is, by its first bytes.

use std::io::Read;

use super::tar;

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

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
}

/// Dictionaries that a packed stream may ask for are memory that a stranger chooses: `xz -9` needs 64 MiB, `zstd -19` 8 MiB.
const XZ_MEMORY_KIB: u32 = 80 << 10;
const ZSTD_WINDOW_LOG: u32 = 25;

/// Looks at the first 512 bytes; `None` for anything we do not read.
pub fn kind(head: &[u8]) -> Option<Kind> {
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        [0x1f, 0x8b, ..] => Some(Kind::Packed(Packing::Gzip)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Kind::Packed(Packing::Zstd)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Kind::Packed(Packing::Xz)),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Kind::Packed(Packing::Bzip2)),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Kind::Packed(Packing::Lz4)),
        _ if tar::begins(head) => Some(Kind::Tar),
        _ => None,
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

/// What is packed, as it comes out.
pub fn unpacked<'a>(packing: Packing, packed: impl std::io::BufRead + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Packing::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
    })
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
