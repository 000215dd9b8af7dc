//! The one way in which archives are read, whoever reads them: zips by their directory, tars header by header, packed streams
//! within bounds. An archive in which two programs could read two different things is told apart from a sound one here, once.

pub mod packing;
pub mod tar;
pub mod zip;

use std::fs::File;
use std::io;

/// Bytes that can be read in any order, wherever they lie.
pub trait ReadAt {
    fn size(&self) -> u64;
    /// Some of the bytes from `offset` on, at most `most`; none only at the end.
    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>>;

    /// How many bytes cost about as much to read as one.
    fn block_bytes(&self) -> usize {
        16 << 10
    }
}

impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self[from..self.len().min(from.saturating_add(most))].to_vec())
    }
}

/// A file with its size.
pub struct OpenFile<'a>(pub &'a File, pub u64);

impl ReadAt for OpenFile<'_> {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; most];
        let read = self.0.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Exactly as many bytes as there are from `offset` on, up to `most`.
pub fn read(bytes: &dyn ReadAt, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let wanted = most.min(usize::try_from(bytes.size().saturating_sub(offset)).unwrap_or(usize::MAX));
    let mut read = Vec::new();
    while read.len() < wanted {
        let more = bytes.read_at(offset + read.len() as u64, wanted - read.len())?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match read.is_empty() {
            true => read = more,
            false => read.extend_from_slice(&more),
        }
    }
    Ok(read)
}
