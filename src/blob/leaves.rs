//! The hashes of a blob's leaves: runs of [`LEAF_BYTES`], the last one shorter. With them any run of a blob can be checked
//! without reading the rest. They are made with the blob's sha256, of the same bytes, and kept beside the blobs:
//!
//! ```text
//! hashes/ab/cd/<64 hex>      "hub leaves 1\n", the blob's size and LEAF_BYTES as u64 (big endian), 32 bytes a leaf,
//!                            and the BLAKE3 of the blob's sha256 with all of that
//! ```
//!
//! They follow from the bytes, and so from the name: a list that is lost, torn or not believed is made again by reading
//! the whole blob. A blob of one leaf needs none, its name is the hash.

use sha2::{Digest as _, Sha256};

use crate::domain::digest::Digest;

/// As much as is read from a disk at once.
pub(super) const LEAF_BYTES: u64 = 512 * 1024;
const MAGIC: &[u8] = b"hub leaves 1\n";
const HASH_BYTES: usize = 32;

/// How many leaves a blob of this size has.
pub(super) fn count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(LEAF_BYTES)
}

/// The hashes of all leaves of a blob, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leaves {
    size_bytes: u64,
    hashes: Vec<[u8; HASH_BYTES]>,
}

impl Leaves {
    /// Are these the bytes of leaf `index`?
    pub fn holds(&self, index: u64, bytes: &[u8]) -> bool {
        let expected = usize::try_from(index).ok().and_then(|index| self.hashes.get(index));
        expected.is_some_and(|expected| blake3::hash(bytes) == *expected)
    }

    /// A blob of one leaf is proved by its name.
    pub fn is_needed(&self) -> bool {
        self.size_bytes > LEAF_BYTES
    }

    /// Bytes of the blob.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What it holds in memory.
    pub fn memory_bytes(&self) -> usize {
        self.hashes.len() * HASH_BYTES
    }

    pub fn encode(&self, digest: &Digest) -> Vec<u8> {
        let sizes = [self.size_bytes, LEAF_BYTES].map(u64::to_be_bytes);
        let mut text = [MAGIC, &sizes[0], &sizes[1], self.hashes.as_flattened()].concat();
        text.extend_from_slice(sum(digest, &text).as_bytes());
        text
    }

    /// `None` for a list that is not this blob's, or not as it was written.
    pub fn decode(digest: &Digest, size_bytes: u64, text: &[u8]) -> Option<Leaves> {
        let (text, read) = text.split_last_chunk::<HASH_BYTES>()?;
        if sum(digest, text) != *read {
            return None;
        }
        let sizes = [size_bytes, LEAF_BYTES].map(u64::to_be_bytes);
        let hashes = text.strip_prefix(MAGIC)?.strip_prefix(sizes.as_flattened())?;
        let (hashes, rest) = hashes.as_chunks::<HASH_BYTES>();
        (rest.is_empty() && hashes.len() as u64 == count(size_bytes)).then(|| Leaves { size_bytes, hashes: hashes.to_vec() })
    }
}

fn sum(digest: &Digest, text: &[u8]) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(digest.as_bytes()).update(text);
    hash.finalize()
}

/// Hashes bytes as they come: the whole and its leaves.
#[derive(Debug, Clone, Default)]
pub(super) struct Hashing {
    whole: Sha256,
    leaf: blake3::Hasher,
    leaves: Leaves,
}

impl Hashing {
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        while !bytes.is_empty() {
            let room = LEAF_BYTES - self.leaf.count();
            let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.leaf.update(now);
            self.leaves.size_bytes += now.len() as u64;
            bytes = rest;
            if self.leaf.count() == LEAF_BYTES {
                self.end_leaf();
            }
        }
    }

    pub fn finish(mut self) -> (Digest, Leaves) {
        if self.leaf.count() > 0 {
            self.end_leaf();
        }
        (Digest::from_bytes(self.whole.finalize().into()), self.leaves)
    }

    fn end_leaf(&mut self) {
        self.leaves.hashes.push(*self.leaf.finalize().as_bytes());
        self.leaf.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(bytes: &[u8], step: usize) -> (Digest, Leaves) {
        let mut hashing = Hashing::default();
        bytes.chunks(step).for_each(|block| hashing.update(block));
        hashing.finish()
    }

    #[test]
    fn leaves_are_the_same_however_the_bytes_come_and_tell_one_changed_byte() {
        for len in [0, 1, LEAF_BYTES as usize - 1, LEAF_BYTES as usize, LEAF_BYTES as usize + 1, 3_000_000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
            let (digest, leaves) = hashed(&bytes, 300_001);
            assert_eq!((digest, &leaves), (Digest::of(&bytes), &hashed(&bytes, 1 << 20).1));
            for (index, leaf) in bytes.chunks(LEAF_BYTES as usize).enumerate() {
                assert!(leaves.holds(index as u64, leaf));
                let mut changed = leaf.to_vec();
                changed[leaf.len() / 2] ^= 1;
                assert!(!leaves.holds(index as u64, &changed) && !leaves.holds(index as u64 + 1, leaf));
            }
            assert_eq!(Leaves::decode(&digest, len as u64, &leaves.encode(&digest)), Some(leaves));
        }
    }

    #[test]
    fn a_list_that_is_another_blobs_or_changed_is_not_believed() {
        let (digest, leaves) = hashed(&[7; 2_000_000], 1 << 20);
        let text = leaves.encode(&digest);
        assert_eq!(Leaves::decode(&Digest::of(b"other"), 2_000_000, &text), None);
        assert_eq!(Leaves::decode(&digest, 2_000_001, &text), None);
        assert_eq!(Leaves::decode(&digest, 2_000_000, &text[..text.len() - 1]), None);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 0x10;
            assert_eq!(Leaves::decode(&digest, 2_000_000, &changed), None, "byte {at}");
        }
    }
}
