//! What a file must hash to: its sha256, or git's name for small files (SHA-1 over a head and the bytes).

use std::fs::File;
use std::io::Read as _;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::domain::digest::Digest;

const BLOCK_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Sha256(Digest),
    /// `git hash-object`; SHA-1 is weak against whoever made the file, and good against a damaged line.
    Git([u8; 20]),
}

impl Proof {
    pub fn git(hex: &str) -> Option<Proof> {
        let mut id = [0; 20];
        hex::decode_to_slice(hex, &mut id).ok().map(|()| Proof::Git(id))
    }

    /// `None`: the file of `size_bytes` is the one promised; else what it is instead.
    pub fn problem(&self, file: &mut File, size_bytes: u64) -> std::io::Result<Option<String>> {
        let (got, expected) = match self {
            Proof::Sha256(digest) => (hash(Sha256::new(), file)?, digest.as_bytes().to_vec()),
            Proof::Git(id) => (hash(Sha1::new_with_prefix(format!("blob {size_bytes}\0")), file)?, id.to_vec()),
        };
        let kind = if matches!(self, Proof::Sha256(_)) { "sha256" } else { "git object" };
        Ok((got != expected).then(|| format!("{kind} {} instead of {}", hex::encode(&got), hex::encode(&expected))))
    }
}

fn hash<D: sha2::Digest>(mut hash: D, file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().to_vec()),
            read => hash.update(&block[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn files_are_what_sha256_and_git_call_them() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello\n").unwrap();
        // `printf 'hello\n' | git hash-object --stdin`, `printf 'hello\n' | sha256sum`
        let git = Proof::git("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        let sha256 = Proof::Sha256(Digest::of(b"hello\n"));
        for proof in [git, sha256] {
            file.rewind().unwrap();
            assert_eq!(proof.problem(&mut file, 6).unwrap(), None);
        }
        file.rewind().unwrap();
        assert!(git.problem(&mut file, 7).unwrap().unwrap().contains("ce013625"));
        assert!(Proof::git("ce01").is_none() && Proof::git(&"z".repeat(40)).is_none());
    }
}
