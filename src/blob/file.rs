//! Reading a local file: what the kernel holds in memory is read on the spot, the rest on blocking threads.
//!
//! Copying a block out of the page cache takes some microseconds, less than the trip to a blocking thread and
//! back, and the block is still in the processor's cache when it is sent. `RWF_NOWAIT` makes that safe: the
//! kernel answers only what it has and never waits for the disk. What it lacks is read ahead elsewhere, in
//! larger blocks. A stream holds at most one warm block, or [`COLD_AHEAD`] cold ones and the one being sent.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use tokio::task::{JoinHandle, spawn_blocking};

use super::leaves::LEAF_BYTES;
use super::{Error, Result};
use crate::domain::digest::Digest;

/// As much as actix keeps room for between two writes (its buffer holds the head of the answer, too); larger
/// blocks would make it allocate anew for each.
const WARM_BYTES: u64 = 120 * 1024;
/// Warm bytes handed over before others on this thread get their turn.
const WARM_SPREE: u64 = 1024 * 1024;
/// Large enough that the trip to a blocking thread costs little, small enough that 64 downloads stay in 128 MiB; and a
/// leaf, from its first byte on, so that what must be hashed is hashed once and where it lies.
const COLD_BYTES: u64 = LEAF_BYTES;
/// Blocks on their way while one is being sent.
const COLD_AHEAD: usize = 3;
/// After so much from the disk it is worth asking again whether the rest is in memory.
const COLD_RUN: u64 = 8 * 1024 * 1024;

/// Bytes of this machine that can be read from any place, by several threads at once: a file, or pieces of several.
pub(super) trait ReadAt: Debug + Send + Sync {
    /// Fills the block, from the disk where need be.
    fn fill(&self, block: &mut [u8], offset: u64) -> io::Result<()>;

    /// Appends up to `most` bytes, as far as they are in memory; nothing where the first is not, or where this
    /// file system cannot say (then, and at the end of the file, reading it properly tells what is the matter).
    fn append_cached(&self, block: &mut Vec<u8>, offset: u64, most: usize);

    /// Lets the kernel forget what it has of them in memory.
    fn drop_cached(&self);

    /// All bytes were found good, and nothing needs to be hashed.
    fn all_proved(&self) -> bool {
        false
    }

    /// What is to be done before anything is read, where something is.
    fn get_ready(self: Arc<Self>) -> Option<BoxFuture<'static, Result<()>>>;
}

/// The bytes of `range`, in order.
pub(super) fn blocks(digest: Digest, file: Arc<dyn ReadAt>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    Blocks { digest, file, rest: range, ahead: VecDeque::new(), cold_until: 0, spree: 0 }.boxed()
}

struct Blocks {
    digest: Digest,
    file: Arc<dyn ReadAt>,
    /// What is neither handed over nor being read.
    rest: Range<u64>,
    /// Cold blocks on their way, in order.
    ahead: VecDeque<JoinHandle<Result<Bytes>>>,
    /// Up to here the bytes are taken to be on the disk only.
    cold_until: u64,
    /// Warm bytes since the last turn of others.
    spree: u64,
}

impl Stream for Blocks {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = self.get_mut();
        this.read_ahead();
        if let Some(first) = this.ahead.front_mut() {
            let block = ready!(Pin::new(first).poll(context));
            this.ahead.pop_front();
            return Poll::Ready(Some(this.ended_by(block.unwrap_or_else(|stopped| Err(stopped.into())))));
        }
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        if this.spree >= WARM_SPREE {
            this.spree = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match read_cached(&*this.file, this.rest.start, WARM_BYTES.min(this.rest.end - this.rest.start)) {
            Some(block) => {
                this.rest.start += block.len() as u64;
                this.spree += block.len() as u64;
                Poll::Ready(Some(Ok(block)))
            }
            None => {
                this.cold_until = this.rest.end.min(this.rest.start + COLD_RUN);
                Pin::new(this).poll_next(context)
            }
        }
    }
}

impl Blocks {
    /// Keeps blocks on their way while the bytes are cold.
    fn read_ahead(&mut self) {
        while self.ahead.len() < COLD_AHEAD && !self.rest.is_empty() {
            if self.rest.start >= self.cold_until {
                // Behind blocks that are still on their way, only a look: their turn comes first.
                if self.ahead.is_empty() || read_cached(&*self.file, self.rest.start, 1).is_some() {
                    return;
                }
                self.cold_until = self.rest.end.min(self.rest.start + COLD_RUN);
            }
            let block = self.rest.start..self.cold_until.min((self.rest.start / COLD_BYTES + 1) * COLD_BYTES);
            self.rest.start = block.end;
            let (digest, file) = (self.digest, self.file.clone());
            self.ahead.push_back(spawn_blocking(move || read_block(digest, &*file, block)));
        }
    }

    /// Nothing follows an error.
    fn ended_by(&mut self, block: Result<Bytes>) -> Result<Bytes> {
        if block.is_err() {
            self.ahead.clear();
            self.rest = 0..0;
        }
        block
    }
}

pub(super) fn read_block(digest: Digest, file: &dyn ReadAt, range: Range<u64>) -> Result<Bytes> {
    let mut block = vec![0; (range.end - range.start) as usize];
    match file.fill(&mut block, range.start) {
        Ok(()) => Ok(block.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Corrupt { digest, problem: format!("it ends before byte {}", range.end) })
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Error::Corrupt { digest, problem: error.to_string() }),
        Err(error) => Err(error.into()),
    }
}

/// Up to `most` bytes that are in memory; `None` where the first is not.
fn read_cached(file: &dyn ReadAt, at: u64, most: u64) -> Option<Bytes> {
    let mut block = Vec::with_capacity(most as usize);
    file.append_cached(&mut block, at, most as usize);
    (!block.is_empty()).then(|| block.into())
}

impl ReadAt for File {
    fn fill(&self, block: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(block, offset)
    }

    #[cfg(target_os = "linux")]
    fn append_cached(&self, block: &mut Vec<u8>, offset: u64, most: usize) {
        use std::os::fd::AsRawFd as _;
        block.reserve(most);
        let free = block.spare_capacity_mut();
        let into = libc::iovec { iov_base: free.as_mut_ptr().cast(), iov_len: free.len().min(most) };
        let Ok(offset) = libc::off_t::try_from(offset) else { return };
        // SAFETY: the descriptor is open as long as `self` is borrowed; `into` names bytes at the end of `block`
        // that nobody else sees, and the kernel writes no more than those.
        let read = unsafe { libc::preadv2(self.as_raw_fd(), &into, 1, offset, libc::RWF_NOWAIT) };
        // Negative: it would have had to wait, or cannot say.
        let read = usize::try_from(read).unwrap_or(0);
        // SAFETY: the kernel has written the next `read` bytes, which are within the capacity.
        unsafe { block.set_len(block.len() + read) };
    }

    #[cfg(not(target_os = "linux"))]
    fn append_cached(&self, _: &mut Vec<u8>, _: u64, _: usize) {}

    fn drop_cached(&self) {
        use std::os::fd::AsRawFd as _;
        // SAFETY: the descriptor is `self`'s own; advice changes no data. It may be ignored, and so is the answer.
        let _ = unsafe { libc::posix_fadvise(self.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }

    fn get_ready(self: Arc<Self>) -> Option<BoxFuture<'static, Result<()>>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use futures_util::TryStreamExt;

    use super::*;

    /// A file whose pages can be dropped from memory: on the disk, not in a file system in memory.
    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, Arc<File>) {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("blob");
        let mut file = File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
        (dir, Arc::new(File::open(path).unwrap()))
    }

    fn forget(file: &File, range: Range<usize>) {
        let (start, length) = (range.start as libc::off_t, range.len() as libc::off_t);
        // SAFETY: a plain system call on an open descriptor.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), start, length, libc::POSIX_FADV_DONTNEED) };
    }

    async fn read(file: &Arc<File>, range: Range<u64>) -> Result<Vec<u8>> {
        let parts: Vec<Bytes> = blocks(Digest::of(b""), file.clone(), range).try_collect().await?;
        Ok(parts.concat())
    }

    #[tokio::test]
    async fn warm_cold_and_mixed_files_read_the_same() {
        let bytes: Vec<u8> = (0..20_000_003u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let (_dir, file) = file_of(&bytes);
        let len = bytes.len() as u64;
        for forgotten in [0..0, 0..bytes.len(), 0..9_000_000, 3_000_000..4_000_000, 12_000_000..bytes.len()] {
            for range in [0..len, 1..len - 1, 2_999_999..3_000_001, 8_388_607..8_388_609, len - 1..len, 7..7] {
                forget(&file, forgotten.clone());
                let read = read(&file, range.clone()).await.unwrap();
                assert!(read == bytes[range.start as usize..range.end as usize], "{range:?}, without {forgotten:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_damaged_warm_or_cold() {
        let (_dir, file) = file_of(&[7; 1_000_000]);
        for forgotten in [0..0, 0..1_000_000] {
            forget(&file, forgotten);
            let mut stream = blocks(Digest::of(b""), file.clone(), 0..1_000_001);
            let mut good = 0;
            let error = loop {
                match stream.next().await.unwrap() {
                    Ok(block) => good += block.len(),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::Corrupt { .. }) && good <= 1_000_000, "{error}");
            assert!(stream.next().await.is_none(), "nothing follows an error");
        }
    }
}
