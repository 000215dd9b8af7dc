//! Reading a xorb while it arrives.
//!
//! ```text
//! chunk   u8 version 0 | u24 stored length | u8 scheme | u24 raw length | stored bytes     (little-endian)
//! xorb    chunks, then perhaps a footer that begins 'XETBLOB'
//! scheme  0 as it is   1 an LZ4 frame   2 an LZ4 frame of the bytes 0, 4, 8 ..., then 1, 5, 9 ..., and so on
//! ```
//!
//! What a chunk unpacks to is bounded by the length it states, which is bounded itself: no bytes swell in here.

use bytes::{Buf, Bytes, BytesMut};

use super::XetHash;

/// Raw bytes of a chunk.
pub const MOST_CHUNK_BYTES: usize = 128 << 10;
/// Raw bytes of a xorb that its chunks may unpack to however few bytes they are packed in; beyond, so many for each packed one.
const FREE_BYTES: u64 = 4 << 20;
const MOST_SWELLING: u64 = 64;
/// Raw bytes of a xorb.
pub const MOST_XORB_BYTES: u64 = 64 << 20;
/// Chunks of a xorb.
pub const MOST_CHUNKS: usize = 8_192;
/// A body of more than this is no xorb: what does not shrink is stored as it is.
pub const MOST_BODY_BYTES: u64 = 72 << 20;
const HEADER_BYTES: usize = 8;
const FOOTER: &[u8] = b"XETBLOB";
/// A frame around what does not shrink is longer than that.
const MOST_STORED_BYTES: usize = MOST_CHUNK_BYTES + (4 << 10);
const LZ4_MAGIC: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
/// The bit of a block's length that says it is stored as it is.
const LZ4_STORED: u32 = 1 << 31;

/// Why bytes are no xorb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XorbError {
    #[error("chunk {0} of the xorb {1}")]
    Chunk(usize, &'static str),
    #[error("the xorb holds more than {MOST_CHUNKS} chunks or {MOST_XORB_BYTES} bytes")]
    TooLarge,
    #[error("{1} bytes of the xorb unpack to {0}: that is more than {MOST_SWELLING} for each")]
    Swollen(u64, u64),
    #[error("the xorb is empty, or ends within a chunk")]
    Short,
}

/// Takes a xorb apart, as many bytes at a time as come.
#[derive(Default)]
pub struct XorbReader {
    buffer: BytesMut,
    taken: u64,
    /// Bytes of the chunks as they came.
    packed: u64,
    chunks: Vec<(XetHash, u64)>,
    raw_bytes: u64,
    in_footer: bool,
}

impl XorbReader {
    /// The raw bytes of the chunks that end in `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, XorbError> {
        self.taken += bytes.len() as u64;
        if self.taken > MOST_BODY_BYTES {
            return Err(XorbError::TooLarge);
        }
        let mut raw = Vec::new();
        if self.in_footer {
            return Ok(raw);
        }
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= HEADER_BYTES {
            if self.buffer.starts_with(FOOTER) {
                self.in_footer = true;
                self.buffer.clear();
                break;
            }
            let header = self.header()?;
            if self.buffer.len() < HEADER_BYTES + header.stored {
                break;
            }
            self.buffer.advance(HEADER_BYTES);
            let stored = self.buffer.split_to(header.stored);
            raw.push(self.unpack(&header, &stored)?);
        }
        Ok(raw)
    }

    /// The xorb's hash, and the lengths of its chunks.
    pub fn finish(self) -> Result<(XetHash, Vec<u32>), XorbError> {
        if self.chunks.is_empty() || !self.buffer.is_empty() {
            return Err(XorbError::Short);
        }
        let lengths = self.chunks.iter().map(|(_, length)| *length as u32).collect();
        Ok((XetHash::of_xorb(&self.chunks), lengths))
    }

    fn header(&self) -> Result<Header, XorbError> {
        let bytes = &self.buffer[..HEADER_BYTES];
        let u24 = |at: usize| usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8 | usize::from(bytes[at + 2]) << 16;
        let header = Header { stored: u24(1), scheme: bytes[4], raw: u24(5) };
        let problem = match header {
            _ if bytes[0] != 0 => "has a version this server does not know",
            Header { raw: 0, .. } => "is empty",
            Header { raw, .. } if raw > MOST_CHUNK_BYTES => "is longer than 128 KiB",
            Header { stored, .. } if stored == 0 || stored > MOST_STORED_BYTES => "has an impossible stored length",
            Header { scheme: 3.., .. } => "is packed in a way this server does not know",
            Header { scheme: 0, stored, raw } if stored != raw => "is not packed, yet states two lengths",
            _ => return Ok(header),
        };
        Err(self.wrong(problem))
    }

    fn unpack(&mut self, header: &Header, stored: &[u8]) -> Result<Bytes, XorbError> {
        let raw = match header.scheme {
            0 => stored.to_vec(),
            scheme => {
                let mut raw = vec![0; header.raw];
                unframe(stored, &mut raw).map_err(|problem| self.wrong(problem))?;
                if scheme == 2 { ungrouped(&raw) } else { raw }
            }
        };
        self.raw_bytes += raw.len() as u64;
        if self.chunks.len() == MOST_CHUNKS || self.raw_bytes > MOST_XORB_BYTES {
            return Err(XorbError::TooLarge);
        }
        self.packed += (HEADER_BYTES + stored.len()) as u64;
        if self.raw_bytes > FREE_BYTES + self.packed * MOST_SWELLING {
            return Err(XorbError::Swollen(self.raw_bytes, self.packed));
        }
        self.chunks.push((XetHash::of_chunk(&raw), raw.len() as u64));
        Ok(raw.into())
    }

    fn wrong(&self, problem: &'static str) -> XorbError {
        XorbError::Chunk(self.chunks.len(), problem)
    }
}

struct Header {
    stored: usize,
    scheme: u8,
    raw: usize,
}

/// Unpacks an LZ4 frame that fills `raw` exactly. Its check sums are not looked at: hashes tell more.
///
/// The frame is walked here and not by the library's reader, which gives each frame buffers as large as the frame
/// asks for; thousands of tiny frames that ask for megabytes would keep a processor busy with clearing memory.
fn unframe(frame: &[u8], raw: &mut [u8]) -> Result<(), &'static str> {
    const BROKEN: &str = "is no LZ4 frame of the length it states";
    let rest = frame.strip_prefix(LZ4_MAGIC).ok_or(BROKEN)?;
    let flags = *rest.first().ok_or(BROKEN)?;
    if flags >> 6 != 1 || flags & 1 != 0 {
        return Err(BROKEN);
    }
    let (block_sums, states_size) = (flags & 0x10 != 0, flags & 0x08 != 0);
    // Flags, block size, perhaps the whole size, a check sum.
    let mut rest = rest.get(if states_size { 11 } else { 3 }..).ok_or(BROKEN)?;
    let mut at = 0;
    loop {
        let (word, behind) = rest.split_first_chunk::<4>().ok_or(BROKEN)?;
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            return if at == raw.len() { Ok(()) } else { Err(BROKEN) };
        }
        let length = (word & !LZ4_STORED) as usize;
        let block = behind.get(..length).ok_or(BROKEN)?;
        // Blocks may refer to what came before them.
        let (before, room) = raw.split_at_mut(at);
        at += if word & LZ4_STORED != 0 {
            room.get_mut(..length).ok_or(BROKEN)?.copy_from_slice(block);
            length
        } else {
            lz4_flex::block::decompress_into_with_dict(block, room, before).map_err(|_| BROKEN)?
        };
        rest = behind.get(length + if block_sums { 4 } else { 0 }..).ok_or(BROKEN)?;
    }
}

/// Bytes that were sorted by their place in groups of four, back in order.
fn ungrouped(grouped: &[u8]) -> Vec<u8> {
    let mut raw = vec![0; grouped.len()];
    let mut planes = grouped;
    for place in 0..4 {
        let slots = raw.iter_mut().skip(place).step_by(4);
        let (plane, behind) = planes.split_at(slots.len());
        slots.zip(plane).for_each(|(slot, byte)| *slot = *byte);
        planes = behind;
    }
    raw
}

#[cfg(test)]
#[path = "xorb_tests.rs"]
mod tests;
