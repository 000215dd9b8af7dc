//! Pieces: the runs of a safetensors file that are compared with those of other files. A tensor of 4 KiB and
//! more is a piece of its own; smaller ones (norms, biases) that stand together are one piece together, so
//! that the pieces cover everything behind the header.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::safetensors::Header;

/// Tensors from this size on are looked for in other blobs. Smaller ones cost more to remember than to keep.
pub const LEAST_BYTES: u64 = 4 * 1024;
/// Files from this size on are looked at at all.
pub const LEAST_FILE_BYTES: u64 = 1024 * 1024;
/// Pieces of one file: more tensors than any network has today.
pub const MOST_PIECES: usize = 16_384;

/// A piece and the sha256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub size_bytes: u64,
    pub sha256: Digest,
}

impl Piece {
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size_bytes)
    }
}

/// Where the pieces of a file lie, in order; none for one of too many.
pub fn ranges(header: &Header) -> Vec<Range<u64>> {
    let mut pieces: Vec<Range<u64>> = Vec::new();
    let mut open = false;
    for tensor in header.tensors.iter().filter(|tensor| tensor.size_bytes > 0) {
        let (start, end) = (tensor.offset, tensor.offset + tensor.size_bytes);
        let small = tensor.size_bytes < LEAST_BYTES;
        match pieces.last_mut() {
            Some(last) if small && open => last.end = end,
            _ => pieces.push(start..end),
        }
        open = small;
    }
    if pieces.len() > MOST_PIECES { Vec::new() } else { pieces }
}

/// Hashes pieces as the file's bytes go by.
pub struct PieceHasher {
    /// The pieces not yet at their end, the next one last.
    ahead: Vec<Range<u64>>,
    at: u64,
    hash: Sha256,
    done: Vec<Piece>,
}

impl PieceHasher {
    /// `pieces` in order and without overlap, counted from the start of the file.
    pub fn new(mut pieces: Vec<Range<u64>>) -> PieceHasher {
        pieces.reverse();
        PieceHasher { done: Vec::with_capacity(pieces.len()), ahead: pieces, at: 0, hash: Sha256::new() }
    }

    /// The file's next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.ahead.last().cloned() {
            let before = piece.start.saturating_sub(self.at).min(bytes.len() as u64);
            let (_, rest) = bytes.split_at(before as usize);
            self.at += before;
            let inside = piece.end.saturating_sub(self.at).min(rest.len() as u64);
            let (ours, rest) = rest.split_at(inside as usize);
            self.hash.update(ours);
            self.at += inside;
            bytes = rest;
            if self.at < piece.end {
                return;
            }
            self.ahead.pop();
            let sha256 = Digest::from_bytes(self.hash.finalize_reset().into());
            self.done.push(Piece { offset: piece.start, size_bytes: piece.end - piece.start, sha256 });
        }
        self.at += bytes.len() as u64;
    }

    /// The pieces whose last byte has gone by.
    pub fn finish(self) -> Vec<Piece> {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::safetensors::parse_header;

    fn header(sizes: &[usize]) -> Header {
        let mut at = 0;
        let tensors: Vec<String> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| {
                let text = format!("\"t{index:03}\":{{\"dtype\":\"U8\",\"shape\":[{size}],\"data_offsets\":[{at},{}]}}", at + size);
                at += size;
                text
            })
            .collect();
        let json = format!("{{{}}}", tensors.join(","));
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        parse_header(&bytes, (bytes.len() + at) as u64).unwrap()
    }

    #[test]
    fn small_tensors_that_stand_together_are_one_piece() {
        let sizes = |sizes: &[usize]| ranges(&header(sizes)).iter().map(|r| r.end - r.start).collect::<Vec<_>>();
        assert_eq!(sizes(&[4096, 5000, 10, 20, 0, 30, 4096, 7]), [4096, 5000, 60, 4096, 7]);
        assert_eq!(sizes(&[4095, 4095]), [8190]);
        assert!(sizes(&vec![4096; MOST_PIECES + 1]).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_are_hashed_however_the_bytes_arrive(sizes in prop::collection::vec(1usize..9_000, 1..12), cuts in prop::collection::vec(1usize..7_000, 1..8)) {
            let header = header(&sizes);
            let ranges = ranges(&header);
            let end = ranges.last().unwrap().end as usize;
            let bytes: Vec<u8> = (0..end + 5).map(|at| (at * 31 % 251) as u8).collect();
            let mut hasher = PieceHasher::new(ranges.clone());
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                hasher.update(now);
                rest = later;
                if rest.is_empty() { break }
            }
            let expected: Vec<Piece> = ranges.iter().map(|r| Piece { offset: r.start, size_bytes: r.end - r.start, sha256: Digest::of(&bytes[r.start as usize..r.end as usize]) }).collect();
            prop_assert_eq!(hasher.finish(), expected);
        }
    }
}
