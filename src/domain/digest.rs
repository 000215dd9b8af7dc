//! sha256 digests, and the commit ids cut from them.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The sha256 of some bytes; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text was not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is the sha256 of the bytes as 64 lower-case hex digits")]
pub struct DigestError;

impl Digest {
    pub fn parse(text: &str) -> Result<Digest, DigestError> {
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Digest(bytes))
    }

    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.to_hex())
    }
}

/// The first 40 hex digits of a manifest's digest; what Hugging Face clients take for a git commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(String);

impl CommitId {
    pub fn parse(text: &str) -> Result<CommitId, DigestError> {
        if text.len() != 40 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError);
        }
        Ok(CommitId(text.into()))
    }

    pub fn of_manifest(digest: &Digest) -> CommitId {
        CommitId(digest.to_hex()[..40].into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form shown where space is short.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&digest.to_hex()), Ok(digest));
        assert_eq!(CommitId::of_manifest(&digest).as_str(), &digest.to_hex()[..40]);
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_a_digest() {
        let good = "a".repeat(64);
        for text in [&good[..63], &format!("{good}a"), &good.to_uppercase(), "sha256:../", &"٣".repeat(32), &"g".repeat(64)] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }
}
