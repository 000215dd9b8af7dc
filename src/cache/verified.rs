//! The index of verified hashes: a file of this inode, size and time of change had that sha256. So gigabytes
//! are hashed once and not at every pull, while a file that was touched since is hashed anew.
//!
//! The file `proofs` has a line for each, `<sha256> <inode> <size> <mtime in ns>`, and only grows; several
//! processes append to it at once. A lost or torn line costs one more hashing and nothing else.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use parking_lot::{Mutex, MutexGuard};

use super::error::{at, unless_read_only};
use super::link::write_whole;
use super::stamp::Stamp;
use super::{Cache, Result};
use crate::domain::digest::Digest;

/// Lines above which a file of many repeats is written anew.
const CROWDED: usize = 10_000;
/// Most lines that are kept; a version has at most 100,000 files.
const MOST: usize = 400_000;

/// The index of one store, shared by the threads of a pull.
#[derive(Debug)]
pub struct VerifiedHashes {
    path: PathBuf,
    known: Mutex<HashMap<Stamp, Digest>>,
}

impl Cache {
    /// Reads what is known. A file that cannot be read proves nothing.
    pub fn verified_hashes(&self) -> VerifiedHashes {
        let path = self.root.join("proofs");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let newest = &lines[lines.len().saturating_sub(MOST)..];
        let known: HashMap<Stamp, Digest> = newest.iter().filter_map(|line| read(line)).collect();
        if lines.len() > CROWDED && lines.len() > 2 * known.len() {
            // What another process appends meanwhile is lost, and hashed once more some day.
            let _ = write_whole(&path, known.iter().map(|(stamp, digest)| line(stamp, digest)).collect::<String>().as_bytes());
        }
        VerifiedHashes { path, known: Mutex::new(known) }
    }
}

impl VerifiedHashes {
    /// What such a file is known to hold.
    pub fn find(&self, stamp: &Stamp) -> Option<Digest> {
        self.known().get(stamp).copied()
    }

    /// Remembers these for all processes.
    pub fn add(&self, proved: &[(Stamp, Digest)]) -> Result<()> {
        if proved.is_empty() {
            return Ok(());
        }
        self.known().extend(proved.iter().copied());
        let lines: String = proved.iter().map(|(stamp, digest)| line(stamp, digest)).collect();
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        // One write: lines of two processes do not mix.
        unless_read_only(file.and_then(|mut file| file.write_all(lines.as_bytes()))).map_err(at("write", &self.path))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Stamp, Digest>> {
        self.known.lock()
    }
}

fn line(stamp: &Stamp, digest: &Digest) -> String {
    format!("{digest} {} {} {}\n", stamp.inode, stamp.size_bytes, stamp.modified_ns)
}

fn read(line: &str) -> Option<(Stamp, Digest)> {
    let mut words = line.split(' ');
    let digest = Digest::parse(words.next()?).ok()?;
    let stamp =
        Stamp { inode: words.next()?.parse().ok()?, size_bytes: words.next()?.parse().ok()?, modified_ns: words.next()?.parse().ok()? };
    words.next().is_none().then_some((stamp, digest))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::stamp::mark;
    use super::*;

    #[test]
    fn a_touched_file_is_not_known_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let stamp = mark(&File::open(&path).unwrap()).unwrap();
        let verified = cache.verified_hashes();
        verified.add(&[(stamp, Digest::of(b"one"))]).unwrap();
        let look = || Stamp::of(&std::fs::metadata(&path).unwrap());
        assert_eq!((verified.find(&look()), cache.verified_hashes().find(&look())), (Some(Digest::of(b"one")), Some(Digest::of(b"one"))));

        // In the same tick, of the same length, under the same inode.
        std::fs::write(&path, "two").unwrap();
        assert_eq!(cache.verified_hashes().find(&look()), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "one").unwrap();
        assert_eq!(cache.verified_hashes().find(&look()), None, "another file of that name");
    }

    #[test]
    fn torn_lines_prove_nothing_and_repeats_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let stamp = Stamp { inode: 7, size_bytes: 3, modified_ns: 5 };
        let line = line(&stamp, &Digest::of(b"x"));
        std::fs::write(folder.path().join("proofs"), format!("nonsense\n{line}{} 1 2\n{} 1 2 x", Digest::of(b"y"), Digest::of(b"z")))
            .unwrap();
        let verified = cache.verified_hashes();
        assert_eq!((verified.find(&stamp), verified.known().len()), (Some(Digest::of(b"x")), 1));

        std::fs::write(folder.path().join("proofs"), line.repeat(CROWDED + 1)).unwrap();
        assert_eq!(cache.verified_hashes().find(&stamp), Some(Digest::of(b"x")));
        assert_eq!(std::fs::read_to_string(folder.path().join("proofs")).unwrap(), line);
    }
}
