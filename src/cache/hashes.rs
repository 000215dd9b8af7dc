//! Digests of the user's own files, so that publishing a folder again need not read it again. A digest is remembered
//! for an inode with its size and its times of change, to the nanosecond; any write to the file changes those.
//!
//! ```text
//! hashes    one line a file: <device> <inode> <size> <modified ns> <changed ns> <sha256> <crc32 of the line before>
//! ```
//!
//! Processes append whole lines at once and never wait for each other. The newest line of a file counts; a line that
//! is damaged, or half of one, does not. A lost line costs one more look at the file.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::blobs::hash_open;
use super::error::at;
use super::link::write_whole;
use super::{Cache, Result};
use crate::domain::digest::Digest;

/// A file may change twice within one tick of its clock, and the second change would not show. So what was changed
/// just now is not remembered.
const SETTLED: Duration = Duration::from_secs(2);
/// Lines kept when the list is written anew, newest first.
const MOST_LINES: usize = 100_000;

/// A file as it was when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified_ns: i128,
    /// Nobody but the system sets this one, so a copied time of modification deceives nobody.
    changed_ns: i128,
}

impl Fingerprint {
    fn of(facts: &Metadata) -> Fingerprint {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Fingerprint {
            device: facts.dev(),
            inode: facts.ino(),
            size_bytes: facts.len(),
            modified_ns: ns(facts.mtime(), facts.mtime_nsec()),
            changed_ns: ns(facts.ctime(), facts.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        self.modified_ns.max(self.changed_ns) < now - SETTLED.as_nanos() as i128
    }
}

/// What is remembered, and what was learned since.
#[derive(Debug, Default)]
pub struct Hashes {
    /// Where it is kept; nowhere: nothing is remembered beyond this process.
    path: Option<PathBuf>,
    known: HashMap<(u64, u64), (Fingerprint, Digest)>,
    /// Lines of the file, also those that do not count any more.
    lines: usize,
    learned: Mutex<Vec<(Fingerprint, Digest)>>,
}

impl Cache {
    /// The digests remembered here. A list that cannot be read is an empty one.
    pub fn hashes(&self) -> Hashes {
        let path = self.root.join("hashes");
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let known: HashMap<_, _> =
            text.lines().filter_map(read_line).map(|(print, digest)| ((print.device, print.inode), (print, digest))).collect();
        Hashes { path: Some(path), known, lines: text.lines().count(), learned: Mutex::default() }
    }

    /// Forgets all digests: one of them was not that of its file. (Who writes through a memory map may change a file
    /// long before its times say so.)
    pub fn forget_hashes(&self) {
        // What cannot be removed was not there, or cannot be written either.
        let _ = std::fs::remove_file(self.root.join("hashes"));
    }
}

impl Hashes {
    /// The sha256 and the size of a file: remembered, or read from its bytes.
    pub fn hash(&self, path: &Path, advance: &mut dyn FnMut(u64)) -> Result<(Digest, u64)> {
        let file = File::open(path).map_err(at("open", path))?;
        let looked = || file.metadata().map(|facts| Fingerprint::of(&facts)).map_err(at("read", path));
        let (before, now) = (looked()?, SystemTime::now());
        if let Some(digest) = self.find(&before) {
            advance(before.size_bytes);
            return Ok((digest, before.size_bytes));
        }
        let (digest, size_bytes) = hash_open(&file, path, advance)?;
        // A file that was written to while it was read has the digest of neither state.
        if looked()? == before && size_bytes == before.size_bytes {
            self.learn(before, digest, now);
        }
        Ok((digest, size_bytes))
    }

    /// `now`: a moment before the file was read.
    fn learn(&self, print: Fingerprint, digest: Digest, now: SystemTime) {
        if print.is_settled(now) {
            self.learned.lock().push((print, digest));
        }
    }

    fn find(&self, print: &Fingerprint) -> Option<Digest> {
        self.known.get(&(print.device, print.inode)).filter(|(known, _)| known == print).map(|(_, digest)| *digest)
    }

    /// Keeps what was learned.
    pub fn save(self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let learned = self.learned.into_inner();
        if learned.is_empty() {
            return Ok(());
        }
        let lines: String = learned.iter().map(|(print, digest)| line(print, digest)).collect();
        if self.lines + learned.len() > MOST_LINES.max(2 * (self.known.len() + learned.len())) {
            return write_anew(path, &lines);
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        // A line that another process left half written must not swallow the next.
        file.and_then(|mut file| file.write_all(format!("\n{lines}").as_bytes())).map_err(at("write", path))
    }
}

/// Leaves out the lines that do not count any more, and the oldest where there are too many. What another process
/// appends meanwhile is lost, and learned again.
fn write_anew(path: &Path, learned: &str) -> Result<()> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut seen = std::collections::HashSet::new();
    let newest = text.lines().chain(learned.lines()).rev().filter_map(read_line);
    let mut kept: Vec<String> = newest
        .filter(|(print, _)| seen.insert((print.device, print.inode)))
        .take(MOST_LINES / 2)
        .map(|(print, digest)| line(&print, &digest))
        .collect();
    kept.reverse();
    write_whole(path, kept.concat().as_bytes()).map_err(at("write", path))
}

fn line(print: &Fingerprint, digest: &Digest) -> String {
    let Fingerprint { device, inode, size_bytes, modified_ns, changed_ns } = print;
    let text = format!("{device} {inode} {size_bytes} {modified_ns} {changed_ns} {digest}");
    format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn read_line(line: &str) -> Option<(Fingerprint, Digest)> {
    let (text, crc) = line.rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let print = Fingerprint {
        device: words.next()?.parse().ok()?,
        inode: words.next()?.parse().ok()?,
        size_bytes: words.next()?.parse().ok()?,
        modified_ns: words.next()?.parse().ok()?,
        changed_ns: words.next()?.parse().ok()?,
    };
    let digest = Digest::parse(words.next()?).ok()?;
    words.next().is_none().then_some((print, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache, and a file.
    fn desk(bytes: &[u8]) -> (tempfile::TempDir, Cache, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache")).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (folder, cache, path)
    }

    /// As [`Hashes::hash`]; what was learned is kept.
    fn hash(cache: &Cache, path: &Path) -> Digest {
        let hashes = cache.hashes();
        let digest = hashes.hash(path, &mut |_| ()).unwrap().0;
        // A list that cannot be written is no list.
        let _ = hashes.save();
        digest
    }

    /// Remembers a digest that is not the file's, so that it shows whether the file was read.
    fn plant(cache: &Cache, path: &Path, digest: &Digest) {
        let hashes = cache.hashes();
        hashes.learned.lock().push((Fingerprint::of(&path.metadata().unwrap()), *digest));
        hashes.save().unwrap();
    }

    #[test]
    fn what_is_remembered_is_not_read_again_until_it_changes() {
        let (_folder, cache, path) = desk(b"one");
        let planted = Digest::of(b"planted");
        plant(&cache, &path, &planted);
        assert_eq!(hash(&cache, &path), planted);
        std::fs::write(&path, b"two").unwrap();
        assert_eq!(hash(&cache, &path), Digest::of(b"two"), "the same size, another time");
        plant(&cache, &path, &planted);
        let modified = path.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, b"six").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(hash(&cache, &path), Digest::of(b"six"), "a time that was set back deceives nobody");
    }

    #[test]
    fn what_changed_just_now_is_not_remembered() {
        let (_folder, cache, path) = desk(b"one");
        let print = Fingerprint::of(&path.metadata().unwrap());
        let modified = path.metadata().unwrap().modified().unwrap();
        for (later, remembered) in [(0, 0), (1_999, 0), (3_000, 1)] {
            let hashes = cache.hashes();
            hashes.learn(print, Digest::of(b"one"), modified + Duration::from_millis(later));
            assert_eq!(hashes.learned.lock().len(), remembered, "{later} ms later");
        }
        let from_tomorrow = Fingerprint { modified_ns: print.modified_ns + 86_400_000_000_000, ..print };
        assert!(!from_tomorrow.is_settled(SystemTime::now() + Duration::from_secs(3)));
    }

    #[test]
    fn damage_costs_a_look_at_the_file_and_nothing_else() {
        let (_folder, cache, path) = desk(b"one");
        plant(&cache, &path, &Digest::of(b"planted"));
        let list = cache.root().join("hashes");
        let whole = std::fs::read(&list).unwrap();
        for at in 1..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&list, &damaged).unwrap();
            assert_eq!(hash(&cache, &path), Digest::of(b"one"), "byte {at}");
            std::fs::write(&list, &whole[..at]).unwrap();
            assert_eq!(hash(&cache, &path), Digest::of(b"one"), "cut at {at}");
        }
        // After half a line the next still counts.
        std::fs::write(&list, &whole[..whole.len() / 2]).unwrap();
        plant(&cache, &path, &Digest::of(b"planted"));
        assert_eq!(hash(&cache, &path), Digest::of(b"planted"));
        std::fs::remove_file(&list).unwrap();
        std::fs::create_dir(&list).unwrap();
        assert_eq!(hash(&cache, &path), Digest::of(b"one"));
    }

    #[test]
    fn many_at_once_lose_nothing_and_the_list_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let print = |inode: u64| Fingerprint { device: 1, inode, size_bytes: 1, modified_ns: 5, changed_ns: -5 };
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for n in 0..50 {
                        let hashes = cache.hashes();
                        hashes.learned.lock().push((print(thread * 100 + n), Digest::of(&[thread as u8, n as u8])));
                        hashes.save().unwrap();
                    }
                });
            }
        });
        assert_eq!(cache.hashes().known.len(), 400);
        let again: String = (0..MOST_LINES as u64).map(|n| line(&print(n % 7), &Digest::of(&n.to_le_bytes()))).collect();
        std::fs::write(folder.path().join("hashes"), again).unwrap();
        plant(&cache, folder.path(), &Digest::of(b"x"));
        let hashes = cache.hashes();
        assert_eq!((hashes.lines, hashes.known.len()), (8, 8));
        assert_eq!(hashes.find(&print(3)), Some(Digest::of(&99_998u64.to_le_bytes())), "the newest line counts");
    }
}
