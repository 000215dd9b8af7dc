//! Reading a shard: what files are made of.
//!
//! ```text
//! header   tag of 32 bytes, 'HFRepoMetaData' first | u64 version 2 | u64 bytes of the footer
//! file     hash 32 | u32 flags | u32 segments n | u64
//!          n x  xorb's hash 32 | u32 flags | u32 raw bytes | u32 first chunk | u32 end chunk
//!          n x  hash 32 | 16           if bit 31 of the file's flags is set
//!          1 x  sha256 32 | 16         if bit 30 is set; the digest's groups of eight bytes stand reversed
//! end      32 x 0xff | 16              then the xorbs' own section, which says nothing new, and another end
//! ```
//! All of it in records of 48 bytes, little-endian.

use super::{XetHash, swapped};
use crate::domain::digest::Digest;

/// The largest shard a client sends.
pub const MOST_SHARD_BYTES: usize = 64 << 20;
const RECORD_BYTES: usize = 48;
const TAG: &[u8] = b"HFRepoMetaData";
const VERSION: u64 = 2;
const WITH_VERIFICATION: u32 = 1 << 31;
const WITH_METADATA: u32 = 1 << 30;

/// Why bytes are no shard that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    #[error("the body does not begin like a shard of version 2")]
    Header,
    #[error("the shard ends within its {0}")]
    Short(&'static str),
    #[error("the shard names chunks {1} to {2} of the xorb {0}, which is no run of chunks")]
    Segment(XetHash, u32, u32),
    #[error("the shard does not say the sha256 of the file {0}")]
    NoSha256(XetHash),
}

/// A run of chunks of a xorb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub xorb: XetHash,
    pub raw_bytes: u32,
    pub first_chunk: u32,
    pub end_chunk: u32,
}

/// A file as a sequence of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFile {
    pub sha256: Digest,
    pub segments: Vec<Segment>,
}

/// The files of a shard.
pub fn parse(bytes: &[u8]) -> Result<Vec<ShardFile>, ShardError> {
    let mut records = Records(bytes);
    let header = records.next("header")?;
    if !header.starts_with(TAG) || header[32..40] != VERSION.to_le_bytes() {
        return Err(ShardError::Header);
    }
    let mut files = Vec::new();
    loop {
        let record = records.next("files")?;
        if is_end(record) {
            break;
        }
        files.push(file(record, &mut records)?);
    }
    // The section of the xorbs is only walked through: what the xorbs hold was read in themselves.
    loop {
        let record = records.next("xorbs")?;
        if is_end(record) {
            return Ok(files);
        }
        records.skip(number(record, 36), "xorbs")?;
    }
}

fn file(head: &[u8], records: &mut Records<'_>) -> Result<ShardFile, ShardError> {
    let (flags, count) = (number(head, 32), number(head, 36));
    let mut segments = Vec::new();
    for _ in 0..count {
        segments.push(segment(records.next("segments")?)?);
    }
    if flags & WITH_VERIFICATION != 0 {
        records.skip(count, "verification")?;
    }
    if flags & WITH_METADATA == 0 {
        return Err(ShardError::NoSha256(hash(head)));
    }
    let sha256 = hash(records.next("metadata")?);
    Ok(ShardFile { sha256: Digest::from_bytes(swapped(*sha256.as_bytes())), segments })
}

fn segment(record: &[u8]) -> Result<Segment, ShardError> {
    let segment =
        Segment { xorb: hash(record), raw_bytes: number(record, 36), first_chunk: number(record, 40), end_chunk: number(record, 44) };
    if segment.first_chunk < segment.end_chunk {
        return Ok(segment);
    }
    Err(ShardError::Segment(segment.xorb, segment.first_chunk, segment.end_chunk))
}

fn hash(record: &[u8]) -> XetHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&record[..32]);
    XetHash::from_bytes(bytes)
}

fn number(record: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&record[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn is_end(record: &[u8]) -> bool {
    record[..32].iter().all(|byte| *byte == 0xff)
}

/// What is left of a shard.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    fn next(&mut self, within: &'static str) -> Result<&'a [u8], ShardError> {
        let (record, rest) = self.0.split_at_checked(RECORD_BYTES).ok_or(ShardError::Short(within))?;
        self.0 = rest;
        Ok(record)
    }

    fn skip(&mut self, records: u32, within: &'static str) -> Result<(), ShardError> {
        let bytes = usize::try_from(records).ok().and_then(|records| records.checked_mul(RECORD_BYTES));
        self.0 = bytes.and_then(|bytes| self.0.get(bytes..)).ok_or(ShardError::Short(within))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hash: [u8; 32], numbers: [u32; 4]) -> Vec<u8> {
        [hash.to_vec(), numbers.iter().flat_map(|n| n.to_le_bytes()).collect()].concat()
    }

    fn header() -> Vec<u8> {
        let mut tag = [7; 32];
        tag[..TAG.len()].copy_from_slice(TAG);
        record(tag, [2, 0, 0, 0])
    }

    fn shard() -> Vec<u8> {
        let digest = Digest::of(b"file");
        let both = WITH_VERIFICATION | WITH_METADATA;
        [
            header(),
            record([1; 32], [both, 2, 0, 0]),
            record([2; 32], [0, 100, 0, 3]),
            record([3; 32], [0, 50, 1, 2]),
            record([9; 32], [0; 4]),
            record([9; 32], [0; 4]),
            record(swapped(*digest.as_bytes()), [0; 4]),
            record([0xff; 32], [0; 4]),
            record([2; 32], [0, 1, 100, 100]),
            record([4; 32], [0, 100, 0, 0]),
            record([0xff; 32], [0; 4]),
        ]
        .concat()
    }

    #[test]
    fn files_are_read_and_the_rest_is_walked_through() {
        let files = parse(&shard()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].sha256, Digest::of(b"file"));
        let xorb = XetHash::from_bytes([3; 32]);
        assert_eq!(files[0].segments[1], Segment { xorb, raw_bytes: 50, first_chunk: 1, end_chunk: 2 });
    }

    #[test]
    fn what_is_no_shard_is_refused_wherever_it_breaks_off() {
        let whole = shard();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut other = whole.clone();
        other[32] = 3;
        assert_eq!(parse(&other), Err(ShardError::Header));
        let mut countless = whole.clone();
        countless[48 + 36..48 + 40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(parse(&countless), Err(ShardError::Short(_) | ShardError::Segment(..))));
        let mut backwards = whole;
        backwards[96 + 40..96 + 44].copy_from_slice(&3u32.to_le_bytes());
        assert!(matches!(parse(&backwards), Err(ShardError::Segment(_, 3, 3))));
        let unnamed = [header(), record([1; 32], [0, 0, 0, 0]), record([0xff; 32], [0; 4]), record([0xff; 32], [0; 4])].concat();
        assert!(matches!(parse(&unnamed), Err(ShardError::NoSha256(_))));
    }
}
