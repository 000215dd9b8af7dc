//! A small sender of Xet, as far as stories need one: cuts bytes into chunks, packs xorbs, writes shards.

use std::io::Write as _;

use hub::domain::xet::XetHash;
use sha2::{Digest as _, Sha256};

/// Raw bytes of a chunk; the real clients cut where the bytes say.
pub const CHUNK: usize = 64 << 10;

/// A xorb as it is sent, and what is known of it.
#[derive(Clone)]
pub struct Xorb {
    pub body: Vec<u8>,
    pub hash: String,
    pub chunks: u32,
    pub raw_bytes: u32,
}

/// Packs bytes: every third chunk as it is, the others by LZ4 in both ways.
pub fn xorb(bytes: &[u8]) -> Xorb {
    let (mut body, mut hashes) = (Vec::new(), Vec::new());
    for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
        hashes.push((XetHash::of_chunk(chunk), chunk.len() as u64));
        let grouped: Vec<u8> = (0..4).flat_map(|place| chunk.iter().skip(place).step_by(4).copied()).collect();
        match number % 3 {
            0 => body.extend(packed(0, chunk, chunk.len())),
            1 => body.extend(packed(1, &frame(chunk), chunk.len())),
            _ => body.extend(packed(2, &frame(&grouped), chunk.len())),
        }
    }
    Xorb { body, hash: XetHash::of_xorb(&hashes).to_string(), chunks: hashes.len() as u32, raw_bytes: bytes.len() as u32 }
}

/// A chunk with its header.
pub fn packed(scheme: u8, stored: &[u8], raw: usize) -> Vec<u8> {
    let u24 = |n: usize| (n as u32).to_le_bytes()[..3].to_vec();
    [vec![0], u24(stored.len()), vec![scheme], u24(raw), stored.to_vec()].concat()
}

pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A run of a xorb's chunks: its hash, its raw bytes, first and end chunk.
pub type Segment<'a> = (&'a str, u32, u32, u32);

/// A shard of files, each named by its whole bytes and made of segments.
pub fn shard(files: &[(&[u8], &[Segment<'_>])]) -> Vec<u8> {
    let mut tag = [0; 32];
    tag[..14].copy_from_slice(b"HFRepoMetaData");
    let mut shard = record(tag, [2, 0, 0, 0]);
    for (number, (bytes, segments)) in files.iter().enumerate() {
        let count = segments.len() as u32;
        shard.extend(record([number as u8; 32], [0xc000_0000, count, 0, 0]));
        for (hash, raw_bytes, first, end) in *segments {
            shard.extend(record(*XetHash::parse(hash).unwrap().as_bytes(), [0, *raw_bytes, *first, *end]));
        }
        (0..count).for_each(|_| shard.extend(record([9; 32], [0; 4])));
        let mut sha256: [u8; 32] = Sha256::digest(bytes).into();
        sha256.chunks_exact_mut(8).for_each(<[u8]>::reverse);
        shard.extend(record(sha256, [0; 4]));
    }
    shard.extend(record([0xff; 32], [0; 4]));
    shard.extend(record([0xff; 32], [0; 4]));
    shard
}

fn record(hash: [u8; 32], numbers: [u32; 4]) -> Vec<u8> {
    [hash.to_vec(), numbers.iter().flat_map(|n| n.to_le_bytes()).collect()].concat()
}

/// Bytes that shrink a little.
pub fn some_bytes(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|n| ((n / 5 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}
