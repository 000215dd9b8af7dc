//! Bytes that have arrived of a blob that is still on its way, in any order, from any thread. Which ones is
//! kept beside them, so that another process goes on where this one was killed:
//!
//! ```text
//! partial/<sha256>.part      as long as the blob, with holes
//! partial/<sha256>.ranges    a line START END for each run of bytes, appended after they were written
//! ```
//!
//! Neither file is flushed before the end: a killed process leaves both in the page cache, and what a power
//! cut mixes up is found out by the sha256 of the whole.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};

use super::error::at;
use super::link::write_whole;
use super::{Cache, Result};
use crate::domain::digest::Digest;
use crate::domain::ranges::Ranges;

/// Small enough to stay in the processor's cache between the copy and the hash.
const HASH_BLOCK: usize = 256 << 10;
/// What `fill` carries at once.
const FILL_BLOCK: usize = 1 << 20;

/// A blob on its way. Whoever opens one holds the blob's lock.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    ranges_path: PathBuf,
    size_bytes: u64,
    file: File,
    ranges: File,
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrived: Ranges,
    stopped: bool,
}

impl Cache {
    /// Where a blob's bytes gather until they are proved.
    pub fn part_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{digest}.part"))
    }

    pub(super) fn ranges_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{digest}.ranges"))
    }

    /// Bytes an earlier pull has left of a blob.
    pub fn arrived_bytes(&self, digest: &Digest, size_bytes: u64) -> u64 {
        let found = std::fs::metadata(self.part_path(digest)).map_or(0, |part| part.len());
        if found == size_bytes { read_ranges(&self.ranges_path(digest), size_bytes).total() } else { 0 }
    }
}

impl Part {
    /// Goes on with what an earlier process has left, or begins.
    pub fn open(cache: &Cache, digest: &Digest, size_bytes: u64) -> Result<Part> {
        let (path, ranges_path) = (cache.part_path(digest), cache.ranges_path(digest));
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(at("open", &path))?;
        let arrived = match file.metadata().map_err(at("look at", &path))?.len() {
            found if found == size_bytes => read_ranges(&ranges_path, size_bytes),
            _ => Ranges::default(),
        };
        // In this order: a process killed in between leaves no ranges that speak of another file.
        let lines: String = arrived.runs().iter().map(line).collect();
        write_whole(&ranges_path, lines.as_bytes()).map_err(at("write", &ranges_path))?;
        file.set_len(size_bytes).map_err(at("resize", &path))?;
        let ranges = OpenOptions::new().append(true).open(&ranges_path).map_err(at("open", &ranges_path))?;
        let state = Mutex::new(State { arrived, stopped: false });
        Ok(Part { path, ranges_path, size_bytes, file, ranges, state, grown: Condvar::new() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn arrived_bytes(&self) -> u64 {
        self.state().arrived.total()
    }

    /// What has arrived.
    pub(super) fn arrived(&self) -> Ranges {
        self.state().arrived.clone()
    }

    /// What is still to come, in order.
    pub fn missing(&self) -> Vec<Range<u64>> {
        self.state().arrived.gaps(0..self.size_bytes)
    }

    /// Writes bytes one after the other from `offset`.
    pub fn write(&self, offset: u64, chunks: &[Bytes]) -> Result<()> {
        let mut end = offset;
        for chunk in chunks {
            self.file.write_all_at(chunk, end).map_err(at("write", &self.path))?;
            end += chunk.len() as u64;
        }
        self.arrive(offset..end)
    }

    /// Writes all that `from` gives at `offset`; answers how much that was.
    pub fn fill(&self, offset: u64, from: &mut dyn Read) -> Result<u64> {
        let mut block = vec![0; FILL_BLOCK];
        let mut end = offset;
        loop {
            let count = match from.read(&mut block) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.map_err(at("fill", &self.path))?,
            };
            if count == 0 {
                return Ok(end - offset);
            }
            self.file.write_all_at(&block[..count], end).map_err(at("write", &self.path))?;
            self.arrive(end..end + count as u64)?;
            end += count as u64;
        }
    }

    /// Their bytes are written, so they may be spoken of.
    fn arrive(&self, range: Range<u64>) -> Result<()> {
        (&self.ranges).write_all(line(&range).as_bytes()).map_err(at("write", &self.ranges_path))?;
        let mut state = self.state();
        let before = state.arrived.frontier();
        state.arrived.insert(range);
        if state.arrived.frontier() > before {
            self.grown.notify_all();
        }
        Ok(())
    }

    /// Asks the kernel to begin with bringing these bytes to the disk, so that [`Part::sync`] finds little to do.
    pub fn begin_write_back(&self, range: &Range<u64>) {
        let (start, length) = (range.start.cast_signed(), (range.end - range.start).cast_signed());
        // SAFETY: the descriptor is open for as long as `self` lives. A refusal costs time at the end and nothing else.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE) };
    }

    /// Returns when the bytes are on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(at("write", &self.path))
    }

    /// The sha256 of the whole, worked out while the bytes arrive: follows the run from the first byte, and reads
    /// back from the page cache what was written. None once the part is stopped.
    pub fn hash(&self) -> Result<Option<Digest>> {
        let mut hasher = Sha256::new();
        let mut block = vec![0; HASH_BLOCK];
        let mut hashed = 0;
        while hashed < self.size_bytes {
            let Some(end) = self.wait_beyond(hashed) else { return Ok(None) };
            while hashed < end {
                let length = block.len().min(usize::try_from(end - hashed).unwrap_or(usize::MAX));
                self.file.read_exact_at(&mut block[..length], hashed).map_err(at("read", &self.path))?;
                hasher.update(&block[..length]);
                hashed += length as u64;
            }
        }
        Ok(Some(Digest::from_bytes(hasher.finalize().into())))
    }

    /// The end of the first run once it lies beyond `hashed`.
    fn wait_beyond(&self, hashed: u64) -> Option<u64> {
        let waits = |state: &mut State| !state.stopped && state.arrived.frontier() <= hashed;
        let mut state = self.state();
        self.grown.wait_while(&mut state, waits);
        (!state.stopped).then(|| state.arrived.frontier())
    }

    /// Ends [`Part::hash`]: nothing more will arrive.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.grown.notify_all();
    }

    /// Throws away what has arrived. Writes still under way go to a file without a name.
    pub fn discard(&self) -> Result<()> {
        self.stop();
        for path in [&self.ranges_path, &self.path] {
            std::fs::remove_file(path).map_err(at("remove", path))?;
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Stops a part when the story that fills it ends early.
pub struct StopOnDrop(pub Arc<Part>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn line(range: &Range<u64>) -> String {
    format!("{} {}\n", range.start, range.end)
}

/// Whole lines within the file; the last may be torn.
fn read_ranges(path: &Path, size_bytes: u64) -> Ranges {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut ranges = Ranges::default();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let numbers = line.split_once(' ').and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
        numbers.filter(|range| range.end <= size_bytes).into_iter().for_each(|range| ranges.insert(range));
    }
    ranges
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // a list of one range is meant
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn bytes_in_any_order_are_hashed_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let whole = bytes(1_000_003);
        let digest = Digest::of(&whole);
        let part = Part::open(&cache, &digest, whole.len() as u64).unwrap();
        std::thread::scope(|scope| {
            let hash = scope.spawn(|| part.hash().unwrap());
            let mut pieces: Vec<(usize, &[u8])> = whole.chunks(70_000).enumerate().collect();
            pieces.reverse();
            for (at, piece) in pieces {
                let offset = at as u64 * 70_000;
                match at % 2 {
                    0 => part.write(offset, &[Bytes::copy_from_slice(&piece[..9]), Bytes::copy_from_slice(&piece[9..])]).unwrap(),
                    _ => assert_eq!(part.fill(offset, &mut &piece[..]).unwrap(), piece.len() as u64),
                }
            }
            assert_eq!(hash.join().unwrap(), Some(digest));
        });
        assert_eq!((part.missing(), part.arrived_bytes()), (vec![], 1_000_003));
        part.sync().unwrap();
        assert_eq!(std::fs::read(part.path()).unwrap(), whole);
    }

    #[test]
    fn another_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let whole = bytes(1_000);
        let digest = Digest::of(&whole);
        let chunk = |range: Range<usize>| [Bytes::copy_from_slice(&whole[range])];
        let first = Part::open(&cache, &digest, 1_000).unwrap();
        first.write(0, &chunk(0..100)).unwrap();
        first.write(500, &chunk(500..600)).unwrap();
        drop(first);
        // Killed in the middle of a line, after bytes nobody speaks of.
        let ranges = cache.ranges_path(&digest);
        let text = std::fs::read_to_string(&ranges).unwrap();
        std::fs::write(&ranges, format!("{text}2000 3000\n9 x\n600 9")).unwrap();

        assert_eq!(cache.arrived_bytes(&digest, 1_000), 200);
        let second = Part::open(&cache, &digest, 1_000).unwrap();
        assert_eq!(second.missing(), [100..500, 600..1_000]);
        second.write(600, &chunk(600..1_000)).unwrap();
        second.write(100, &chunk(100..500)).unwrap();
        assert_eq!(second.hash().unwrap(), Some(digest));
        second.discard().unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn ranges_of_another_file_count_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"x");
        std::fs::write(cache.ranges_path(&digest), "0 10\n").unwrap();
        std::fs::write(cache.part_path(&digest), "short").unwrap();
        assert_eq!(cache.arrived_bytes(&digest, 10), 0);
        let part = Part::open(&cache, &digest, 10).unwrap();
        assert_eq!(part.missing(), [0..10], "the file was not as long as the blob");
        part.stop();
        assert_eq!(part.hash().unwrap(), None);
    }
}
