//! Streams that are packed as a whole, and what comes out of them.

use std::io::{self, BufRead, Read};

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

/// How a stream is packed, by its first bytes.
pub fn of(head: &[u8]) -> Option<Packing> {
    match head {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Packing::Bzip2),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Packing::Lz4),
        _ => None,
    }
}

/// What is packed, as it comes out: all members or frames, one after the other.
pub fn unpacked<'a>(packing: Packing, packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::Gzip => Box::new(Members::new(packed, true, flate2::bufread::GzDecoder::new, flate2::bufread::GzDecoder::into_inner)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Packing::Lz4 => Box::new(Frames(lz4_flex::frame::FrameDecoder::new(packed))),
    })
}

/// What zlib packed: all streams, one after the other.
pub fn zlib<'a>(packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    Box::new(Members::new(packed, false, flate2::bufread::ZlibDecoder::new, flate2::bufread::ZlibDecoder::into_inner))
}

/// What LZMA without xz packed: its head is the properties, the dictionary's size and the size of what is packed.
pub fn lzma<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(Box::new(lzma_rust2::LzmaReader::new_mem_limit(packed, XZ_MEMORY_KIB, None)?))
}

/// Every member of a stream, each by a decoder of its own. Zeros between those of gzip are padding.
struct Members<R, D> {
    decoder: Option<D>,
    is_padded: bool,
    begin: fn(R) -> D,
    end: fn(D) -> R,
}

impl<R: BufRead, D: Read> Members<R, D> {
    fn new(packed: R, is_padded: bool, begin: fn(R) -> D, end: fn(D) -> R) -> Members<R, D> {
        Members { decoder: Some(begin(packed)), is_padded, begin, end }
    }
}

impl<R: BufRead, D: Read> Read for Members<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut packed) = self.decoder.take().map(self.end) else { return Ok(0) };
            loop {
                let seen = packed.fill_buf()?;
                let zeros = if self.is_padded { seen.iter().take_while(|byte| **byte == 0).count() } else { 0 };
                match (seen.is_empty(), zeros) {
                    (true, _) => return Ok(0),
                    (false, 0) => break,
                    (false, zeros) => packed.consume(zeros),
                }
            }
            self.decoder = Some((self.begin)(packed));
        }
    }
}

/// Every frame of a stream; the reader underneath stops between them.
struct Frames<R: BufRead>(lz4_flex::frame::FrameDecoder<R>);

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_member_of_a_stream_is_read() {
        let gzip = |text: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            out.write_all(text).unwrap();
            out.finish().unwrap()
        };
        let lz4 = |text: &[u8]| {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(text).unwrap();
            out.finish().unwrap()
        };
        let bzip2 = |text: &[u8]| {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            out.write_all(text).unwrap();
            out.finish().unwrap()
        };
        let xz = |text: &[u8]| {
            let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
            out.write_all(text).unwrap();
            out.finish().unwrap()
        };
        let zstd = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
        for [one, two] in [
            [gzip(b"one "), gzip(b"two")],
            [lz4(b"one "), lz4(b"two")],
            [bzip2(b"one "), bzip2(b"two")],
            [xz(b"one "), xz(b"two")],
            [zstd(b"one "), zstd(b"two")],
        ] {
            let both = [one, two].concat();
            let mut text = String::new();
            unpacked(of(&both).unwrap(), &both[..]).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one two");
        }
        let padded = [gzip(b"one "), vec![0; 70_000], gzip(b"two"), vec![0; 9]].concat();
        let mut text = String::new();
        unpacked(Packing::Gzip, io::BufReader::with_capacity(512, &padded[..])).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
        let junk = [gzip(b"one "), b"x".to_vec()].concat();
        assert!(unpacked(Packing::Gzip, &junk[..]).unwrap().read_to_string(&mut text).is_err(), "other bytes are no padding");
    }
}
