//! The client's store of what it has fetched: bytes under their sha256, and versions as folders of links to
//! them. Nothing gets its final name before its digest is proved, so whatever has a name can be used, also
//! offline; several processes may share one store.
//!
//! ```text
//! blobs/<ab>/<sha256>                                   proved bytes, read-only
//! partial/<sha256>.part, .ranges                        bytes that have arrived so far, and which they are
//! locks/blobs, locks/store                              who fetches which blob; who prunes
//! snapshots/<server>/<kind>/<ns>/<name>/<commit>/...    a version's files, hard links to blobs
//! snapshots/.../<commit>-only-<id>/...                  some of a version's files
//! manifests/<commit>                                    canonical manifest; hashes to its own name; locked while in use
//! refs/<server>/<kind>/<ns>/<name>/<revision>           the commit a revision named when last asked
//! segments/<sha256>                                     where a blob's bytes lie in others, by its server's word
//! proofs                                                files that were hashed, by inode, size and time
//! hashes                                                digests of the user's own files, for publishing them again
//! ```
//!
//! - `lock`, `hold`: between processes. `part`, `shelf`: bytes on their way in. `verified` (by a file's `stamp`): what need not be read again.
//! - `snapshot`, `refs`, `export`: versions; `unwritten`: what a file system cannot hold of one. `hugging_face`: the cache of `huggingface_hub` beside this one. `inventory`, `verify`, `prune`: looking after the store.

mod blobs;
mod error;
mod export;
mod hashes;
mod hold;
mod hugging_face;
mod inventory;
mod link;
mod lock;
mod part;
mod prune;
mod refs;
mod segments;
mod shelf;
mod snapshot;
mod stamp;
mod unwritten;
mod verified;
mod verify;

use std::path::{Path, PathBuf};

pub use blobs::hash_file;
pub use error::Error;
pub use export::Exported;
pub use hashes::Hashes;
pub use hold::Hold;
pub use hugging_face::HuggingFaceCache;
pub use inventory::{Cached, Tally};
pub use lock::{Lock, Locks};
pub use part::{Part, StopOnDrop};
pub use prune::{Choice, Pruned};
pub use refs::Remembered;
pub use segments::Reused;
pub use shelf::Shelf;
pub use stamp::Stamp;
pub use unwritten::unwritten;
pub use verified::VerifiedHashes;
pub use verify::{Damaged, Verified};

use crate::domain::name::{RepoId, RepoKind};
use error::{at, unless_read_only};

pub type Result<T> = std::result::Result<T, Error>;

/// A store in one folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Whose repo a snapshot is of. Commits are the hash of what they hold, so two servers can never
/// disagree about a snapshot; the server's name only keeps the folders readable.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Host and port, as [`server_folder`] writes them.
    pub server: &'a str,
    pub kind: RepoKind,
    pub id: &'a RepoId,
}

impl Cache {
    /// Makes the folders that are not there yet. A cache that is there and may not be written to can be used as well.
    pub fn open(root: impl Into<PathBuf>) -> Result<Cache> {
        let root = root.into();
        let is_there = root.is_dir();
        for folder in ["blobs", "partial", "locks", "snapshots", "manifests", "refs", "segments"] {
            let path = root.join(folder);
            let made = std::fs::create_dir_all(&path);
            let made = if is_there { unless_read_only(made) } else { made };
            made.map_err(at("make the folder", &path))?;
        }
        Ok(Cache { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that can still be written where the store lies.
    pub fn free_bytes(&self) -> Result<u64> {
        fs4::available_space(&self.root).map_err(at("measure the free space of", &self.root))
    }
}

impl Place<'_> {
    fn folder(&self, below: &Path) -> PathBuf {
        below.join(self.server).join(self.kind.as_str()).join(self.id.namespace().as_str()).join(self.id.name().as_str())
    }
}

/// A server's address as a folder name: `hub.example.com_8080`.
pub fn server_folder(host: &str, port: Option<u16>, path: &str) -> String {
    let mut text = host.to_ascii_lowercase();
    if let Some(port) = port {
        text.push_str(&format!("_{port}"));
    }
    text.push_str(path.trim_end_matches('/'));
    let safe: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect();
    let safe = safe.trim_start_matches('.');
    if safe.is_empty() { "server".into() } else { safe.chars().take(120).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_one_harmless_folder() {
        assert_eq!(server_folder("Hub.example.com", Some(8080), "/"), "hub.example.com_8080");
        assert_eq!(server_folder("::1", Some(8080), ""), "__1_8080");
        assert_eq!(server_folder("..", None, ""), "server");
        assert_eq!(server_folder("a", None, "/../../etc/"), "a_.._.._etc");
    }
}
