//! Archives, read entry by entry: zip, tar, and tar packed by gzip or zstd. The content tells which, never the name.

mod meter;
mod tar;
mod zip;

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::{Error, Result};
use super::limits::Limits;
use super::listing::Listing;
use super::name;

/// What an archive file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Zip,
    Tar,
    TarGz,
    TarZst,
}

/// Looks at the first 512 bytes; `None` for anything we do not read.
pub fn kind(head: &[u8]) -> Option<Kind> {
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        [0x1f, 0x8b, ..] => Some(Kind::TarGz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Kind::TarZst),
        _ if head.len() >= 512 && (&head[257..262] == b"ustar" || has_tar_checksum(&head[..512])) => Some(Kind::Tar),
        _ => None,
    }
}

/// Tars older than `ustar` have no magic, but their first block carries its own checksum.
fn has_tar_checksum(block: &[u8]) -> bool {
    let mut header = ::tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum: u32 = block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    block[0] != 0 && header.cksum().is_ok_and(|stated| stated == sum)
}

/// Lists an archive. Zip and tar keep the file open and read entries where they lie; packed tars are unpacked once into an
/// unnamed temporary file.
pub(super) fn list(path: &Path, limits: &Limits) -> Result<Listing> {
    let file = File::open(path).map_err(Error::io(path))?;
    let len = file.metadata().map_err(Error::io(path))?.len();
    let mut head = [0u8; 512];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64).map_err(Error::io(path))? {
            0 => break,
            n => filled += n,
        }
    }
    let shown = || name::shown(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes());
    match kind(&head[..filled]) {
        None => Err(Error::ArchiveUnknown { name: shown() }),
        Some(Kind::Zip) => zip::list(file, len, limits),
        Some(Kind::Tar) => tar::list(file, len, limits),
        Some(Kind::TarGz) => tar::list_packed(MultiGzDecoder::new(BufReader::new(file)), len, limits),
        Some(Kind::TarZst) => {
            let mut decoder = zstd::Decoder::new(file).map_err(Error::io(path))?;
            // The window a frame may ask for is memory that a stranger chooses; `zstd -19` needs 2^23, we allow 2^25.
            decoder.window_log_max(25).map_err(Error::io(path))?;
            tar::list_packed(decoder, len, limits)
        }
    }
}
