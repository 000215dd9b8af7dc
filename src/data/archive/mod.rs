//! Archives, read entry by entry: zip, tar, and tar packed by gzip, zstd, xz, bzip2 or lz4. The content tells which, never
//! the name.

mod kind;
mod meter;
mod tar;
mod zip;
mod zip_names;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use kind::{Kind, kind};
pub(super) use meter::{Meter, error_at};

use super::error::{Error, Result};
use super::limits::Limits;
use super::listing::Listing;
use super::name;
use crate::archive::packing;
use crate::archive::tar::begins;

/// Lists an archive; `zip_names` is the encoding of names in a zip that says none. Zip and tar keep the file open and read
/// entries where they lie; packed tars are unpacked once into an
/// unnamed temporary file.
pub(super) fn list(path: &Path, zip_names: Option<&str>, limits: &Limits) -> Result<Listing> {
    let file = File::open(path).map_err(Error::io(path))?;
    let len = file.metadata().map_err(Error::io(path))?.len();
    let head = head(&file).map_err(Error::io(path))?;
    let shown = || name::shown(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes());
    match kind(&head) {
        None => Err(Error::ArchiveUnknown { name: shown(), what: kind::foreign(&head) }),
        Some(Kind::Zip) => zip::list(file, len, zip_names, limits),
        Some(Kind::Tar) => tar::list(file, len, limits),
        Some(Kind::Packed(packing)) => {
            let unpacked = packing::unpacked(packing, BufReader::with_capacity(1 << 16, file)).map_err(Error::io(path))?;
            tar::list_packed(unpacked, len, limits)
        }
    }
}

/// Whether a file that is called an archive holds other files: a text that was packed by itself does not. What cannot be
/// told passes for an archive, whose reader then says what is wrong.
pub(super) fn holds_files(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(Error::io(path))?;
    let Some(Kind::Packed(packing)) = kind(&head(&file).map_err(Error::io(path))?) else { return Ok(true) };
    let mut inner = [0; HEAD];
    let mut unpacked = packing::unpacked(packing, BufReader::new(file)).map_err(Error::io(path))?;
    Ok(filled(&mut inner, |rest, _| unpacked.read(rest)).map_or(true, |inner| inner.is_empty() || begins(inner)))
}

/// The name of what a file is by its first bytes, if it is known and no archive that is read.
pub(super) fn named(file: &File) -> Option<&'static str> {
    kind::foreign(&head(file).ok()?)
}

const HEAD: usize = 512;

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = [0; HEAD];
    Ok(filled(&mut head, |rest, at| file.read_at(rest, at as u64))?.to_vec())
}

/// As much as there is, up to the whole buffer.
fn filled(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<&[u8]> {
    let mut at = 0;
    while at < buffer.len() {
        match read(&mut buffer[at..], at) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(&buffer[..at])
}
