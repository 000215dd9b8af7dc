//! The words of Xet, the way newer Hugging Face clients send large files: a file is cut into chunks, chunks travel in
//! xorbs, and a shard says which chunks of which xorbs a file is made of.
//!
//! Source: the protocol's specification (`huggingface.co/docs/xet`) and what the clients were seen to send.

pub mod shard;
pub mod xorb;

use std::fmt;

/// The key of chunks' hashes, from the specification.
const CHUNK_KEY: [u8; 32] = [
    102, 151, 245, 119, 91, 149, 80, 222, 49, 53, 203, 172, 165, 151, 24, 28, 157, 228, 33, 16, 155, 235, 43, 88, 180, 208, 176, 75, 147,
    173, 242, 41,
];
/// The key of the hashes above them.
const NODE_KEY: [u8; 32] = [
    1, 126, 197, 199, 165, 71, 41, 150, 253, 148, 102, 102, 180, 138, 2, 230, 93, 221, 83, 111, 55, 199, 109, 210, 248, 99, 82, 230, 74,
    83, 113, 63,
];
/// Nodes under one node, on average; at most twice as many and one.
const BRANCHES: u64 = 4;

/// A hash of Xet's: a keyed BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct XetHash([u8; 32]);

/// The text was not such a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash of Xet's is written as 64 lower-case hex digits")]
pub struct XetHashError;

impl XetHash {
    /// Written as four little-endian numbers of 64 bits, so each group of eight bytes stands reversed.
    pub fn parse(text: &str) -> Result<XetHash, XetHashError> {
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(XetHashError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| XetHashError)?;
        Ok(XetHash(swapped(bytes)))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> XetHash {
        XetHash(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn of_chunk(bytes: &[u8]) -> XetHash {
        XetHash(*blake3::keyed_hash(&CHUNK_KEY, bytes).as_bytes())
    }

    /// The hash of a xorb: the root of a tree over its chunks and their lengths in bytes. Which neighbours share a
    /// node, their hashes decide.
    pub fn of_xorb(chunks: &[(XetHash, u64)]) -> XetHash {
        let mut nodes = chunks.to_vec();
        while nodes.len() > 1 {
            let mut above = Vec::with_capacity(nodes.len() / 2);
            let mut rest = nodes.as_slice();
            while !rest.is_empty() {
                let (group, behind) = rest.split_at(group_length(rest));
                above.push(parent(group));
                rest = behind;
            }
            nodes = above;
        }
        nodes.first().map_or(XetHash([0; 32]), |(hash, _)| *hash)
    }

    fn ends_group(&self) -> bool {
        let mut last = [0; 8];
        last.copy_from_slice(&self.0[24..]);
        u64::from_le_bytes(last).is_multiple_of(BRANCHES)
    }
}

/// Each group of eight bytes reversed.
pub(super) fn swapped(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    bytes
}

fn group_length(nodes: &[(XetHash, u64)]) -> usize {
    let most = nodes.len().min(2 * BRANCHES as usize + 1);
    // A group has two nodes at least; the third may end it.
    (2..most).find(|at| nodes[*at].0.ends_group()).map_or(most, |at| at + 1)
}

fn parent(group: &[(XetHash, u64)]) -> (XetHash, u64) {
    let text: String = group.iter().map(|(hash, length)| format!("{hash} : {length}\n")).collect();
    (XetHash(*blake3::keyed_hash(&NODE_KEY, text.as_bytes()).as_bytes()), group.iter().map(|(_, length)| length).sum())
}

impl fmt::Display for XetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(swapped(self.0)))
    }
}

impl fmt::Debug for XetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XetHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_what_it_writes_with_its_groups_reversed() {
        let bytes: [u8; 32] = std::array::from_fn(|n| n as u8);
        let hash = XetHash::from_bytes(bytes);
        assert_eq!(hash.to_string(), "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918");
        assert_eq!(XetHash::parse(&hash.to_string()), Ok(hash));
        for text in ["", &"A".repeat(64), &"a".repeat(63), &"g".repeat(64), "../../etc/passwd"] {
            assert_eq!(XetHash::parse(text), Err(XetHashError), "{text}");
        }
    }

    #[test]
    fn a_xorb_of_one_chunk_has_its_hash_and_groups_are_bounded() {
        let chunk = |n: u64| (XetHash::of_chunk(&n.to_le_bytes()), 8);
        assert_eq!(XetHash::of_xorb(&[chunk(1)]), chunk(1).0);
        assert_ne!(XetHash::of_xorb(&[chunk(1), chunk(2)]), XetHash::of_xorb(&[chunk(2), chunk(1)]));
        let many: Vec<_> = (0..8_192).map(chunk).collect();
        let mut rest = many.as_slice();
        while !rest.is_empty() {
            let length = group_length(rest);
            assert!((1..=9).contains(&length) && (length > 1 || rest.len() == 1));
            rest = &rest[length..];
        }
        assert_ne!(XetHash::of_xorb(&many), XetHash::of_xorb(&many[1..]));
    }
}
