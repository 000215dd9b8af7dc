//! Packs: objects one after the other, each deflated by itself, the SHA-1 of it all at the end. Weights do not get smaller by
//! deltas, and what does is small.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

use super::ObjectKind;

/// A pack that is being written.
#[derive(Debug, Clone)]
pub struct PackWriter {
    hash: Sha1,
    out: Vec<u8>,
}

impl PackWriter {
    pub fn new(objects: u32) -> PackWriter {
        let mut writer = PackWriter { hash: Sha1::new(), out: Vec::new() };
        writer.out.extend_from_slice(b"PACK\0\0\0\x02");
        writer.out.extend_from_slice(&objects.to_be_bytes());
        writer
    }

    pub fn add(&mut self, kind: ObjectKind, bytes: &[u8]) -> io::Result<()> {
        head(&mut self.out, kind, bytes.len() as u64);
        let mut encoder = ZlibEncoder::new(&mut self.out, Compression::fast());
        encoder.write_all(bytes)?;
        encoder.finish()?;
        Ok(())
    }

    /// What was written since this was last asked.
    pub fn take(&mut self) -> Bytes {
        self.hash.update(&self.out);
        std::mem::take(&mut self.out).into()
    }

    /// The rest of it.
    pub fn finish(mut self) -> Bytes {
        self.hash.update(&self.out);
        self.out.extend_from_slice(&self.hash.finalize());
        self.out.into()
    }
}

/// Three bits of kind and four of size, then seven more of size a byte, the lowest first; the highest bit says that more follow.
fn head(out: &mut Vec<u8>, kind: ObjectKind, size: u64) {
    let kind = match kind {
        ObjectKind::Commit => 1_u8,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
    };
    let (mut byte, mut left) = (kind << 4 | (size & 15) as u8, size >> 4);
    while left > 0 {
        out.push(byte | 0x80);
        (byte, left) = ((left & 127) as u8, left >> 7);
    }
    out.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_seven_bits_a_byte() {
        let written = |size| {
            let mut out = Vec::new();
            head(&mut out, ObjectKind::Blob, size);
            out
        };
        assert_eq!(written(0), [0x30]);
        assert_eq!(written(15), [0x3f]);
        assert_eq!(written(16), [0xb0, 0x01]);
        assert_eq!(written(5_000_000), [0xb0, 0xb4, 0x89, 0x13]);
    }

    #[test]
    fn the_whole_is_hashed_however_it_is_taken() {
        let write = |takes: bool| {
            let (mut writer, mut out) = (PackWriter::new(2), Vec::new());
            for text in ["one", "two"] {
                writer.add(ObjectKind::Blob, text.as_bytes()).unwrap();
                if takes {
                    out.extend(writer.take());
                }
            }
            out.extend(writer.finish());
            out
        };
        let (once, often) = (write(false), write(true));
        assert_eq!(once, often);
        assert_eq!(&once[..12], b"PACK\0\0\0\x02\0\0\0\x02");
        let (body, trailer) = once.split_at(once.len() - 20);
        assert_eq!(Sha1::digest(body).as_slice(), trailer);
    }
}
