//! How a file is cut for its way to the server, and a run of it as a request's body.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{Event, Sink};

const MIB: u64 = 1 << 20;
/// A file of one such part at most goes in one request.
pub(super) const SMALLEST_PART: u64 = 8 * MIB;
/// The most a server takes at once.
const LARGEST_PART: u64 = 64 * MIB;
/// Smaller ones are not tried where a proxy refuses a body for its size.
const LEAST_PART: u64 = 64 << 10;
/// Parts of a large file: few enough that what surrounds each does not count, many enough that a broken line costs
/// little.
const PARTS: u64 = 64;
/// Bytes read at once.
const BLOCK: u64 = 256 << 10;
/// Blocks read ahead of the line.
const AHEAD: usize = 2;

/// The length of one part of a file.
pub(super) fn part_bytes(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(PARTS).next_multiple_of(MIB).clamp(SMALLEST_PART, LARGEST_PART)
}

/// Half of a part that did not get through. None: it is as small as it is worth to be.
pub(super) fn smaller_part(part: u64) -> Option<u64> {
    (part > LEAST_PART).then(|| (part / 2).max(LEAST_PART))
}

/// Cuts runs at multiples of `part`, so that a part that broke off is completed by a smaller one and the others keep
/// their places.
pub(super) fn cut(runs: &[Range<u64>], part: u64) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    for run in runs {
        let mut at = run.start;
        while at < run.end {
            let end = run.end.min((at / part + 1) * part);
            parts.push(at..end);
            at = end;
        }
    }
    parts
}

/// How much of a file the person was told is sent.
pub(super) struct Shown {
    sink: Sink,
    bytes: AtomicU64,
}

impl Shown {
    pub fn new(sink: Sink) -> Arc<Shown> {
        Arc::new(Shown { sink, bytes: AtomicU64::new(0) })
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        (self.sink)(Event::Advance(bytes));
    }

    /// What is really there.
    pub fn set(&self, now: u64) {
        let before = self.bytes.swap(now, Ordering::Relaxed);
        match now.checked_sub(before) {
            Some(0) => {}
            Some(more) => (self.sink)(Event::Advance(more)),
            None => (self.sink)(Event::Retreat(before - now)),
        }
    }
}

/// A run of a file as a body, read as the connection takes it. Cheap to clone; each clone's stream begins anew.
#[derive(Clone)]
pub(super) struct FileRun {
    pub file: Arc<File>,
    pub run: Range<u64>,
    pub shown: Arc<Shown>,
    /// Bytes the connection has taken, in all streams of this run.
    taken: Arc<AtomicU64>,
}

impl FileRun {
    pub fn new(file: Arc<File>, run: Range<u64>, shown: Arc<Shown>) -> FileRun {
        FileRun { file, run, shown, taken: Arc::default() }
    }

    pub fn length(&self) -> u64 {
        self.run.end - self.run.start
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn stream(&self) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let (whole, run, end) = (self.clone(), self.clone(), self.run.end);
        let starts = (self.run.start..end).step_by(BLOCK as usize);
        let blocks = stream::iter(starts).map(move |start| {
            let file = run.file.clone();
            async move { tokio::task::spawn_blocking(move || read_block(&file, start..end.min(start + BLOCK))).await? }
        });
        blocks.buffered(AHEAD).inspect(move |block| {
            if let Ok(block) = block {
                whole.taken.fetch_add(block.len() as u64, Ordering::Relaxed);
                whole.shown.add(block.len() as u64);
            }
        })
    }
}

fn read_block(file: &File, run: Range<u64>) -> std::io::Result<Bytes> {
    let mut block = vec![0; (run.end - run.start) as usize];
    file.read_exact_at(&mut block, run.start)?;
    Ok(block.into())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn parts_grow_with_the_file() {
        for (size, part) in [(0, 8), (1, 8), (512, 8), (513, 9), (1 << 10, 16), (4 << 10, 64), (1 << 20, 64)] {
            assert_eq!(part_bytes(size * MIB), part * MIB, "{size} MiB");
        }
        assert_eq!(part_bytes(u64::MAX / 2), LARGEST_PART);
        let sizes = std::iter::successors(Some(8 * MIB), |part| smaller_part(*part));
        assert_eq!((sizes.clone().last(), sizes.count()), (Some(LEAST_PART), 8));
    }

    #[test]
    fn what_is_missing_is_cut_where_the_whole_was() {
        let shown =
            |runs: &[Range<u64>]| cut(runs, 10).iter().map(|run| format!("{}-{}", run.start, run.end)).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(&[Range { start: 0, end: 25 }]), "0-10 10-20 20-25");
        assert_eq!(shown(&[3..12, 20..30, 35..36]), "3-10 10-12 20-30 35-36");
        assert_eq!(shown(&[]), "");
    }

    #[tokio::test]
    async fn a_run_is_read_as_it_is_taken_and_told_once() {
        use std::io::Write as _;
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let told = Arc::new(Mutex::new(0i64));
        let sum = told.clone();
        let sink: Sink = Arc::new(move |event| match event {
            Event::Advance(count) => *sum.lock() += count as i64,
            Event::Retreat(count) => *sum.lock() -= count as i64,
            _ => {}
        });
        let shown = Shown::new(sink);
        let run = FileRun::new(Arc::new(file), 100..900_000, shown.clone());
        for _ in 0..2 {
            let blocks: Vec<Bytes> = run.stream().map(Result::unwrap).collect().await;
            assert_eq!(blocks.concat(), bytes[100..900_000]);
        }
        assert_eq!((run.taken(), *told.lock()), (2 * 899_900, 2 * 899_900));
        shown.set(899_900);
        assert_eq!(*told.lock(), 899_900);
        let short = FileRun::new(run.file.clone(), 999_000..1_000_001, shown);
        assert!(short.stream().any(|block| async move { block.is_err() }).await, "a file that became shorter is an error");
    }
}
