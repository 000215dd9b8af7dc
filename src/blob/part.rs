//! A part of an upload while its body arrives: blocks are gathered, and written at their place on a blocking thread
//! while the next ones arrive.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::running::Session;
use super::staged_file::{is_named, wait_for};
use super::{Error, Inner, Result, sync_directory};
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;

/// Bytes gathered before a trip to a blocking thread.
const BLOCK_BYTES: u64 = 1024 * 1024;

/// An open staging file.
pub(super) struct Staged {
    pub file: File,
    /// This process has just made it: its name may not be on the disk yet.
    pub fresh: bool,
}

/// Writes into one upload; others may write to other places of it meanwhile.
pub struct Part {
    target: Arc<Target>,
    announced: u64,
    fresh: bool,
    /// Where the next bytes go, and where they must end.
    run: Range<u64>,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// The block that is on its way into the file.
    writing: Option<(Range<u64>, JoinHandle<Result<()>>)>,
    /// What is in the file, by this part or from before.
    written: Ranges,
    /// What of it this part has put into the store for other nodes.
    handed: Ranges,
    /// A write failed: what was written before counts, nothing more is taken.
    failed: bool,
}

/// What a blocking thread needs to write a block.
struct Target {
    inner: Arc<Inner>,
    id: UploadId,
    session: Arc<Session>,
    file: File,
    /// Recorded as received: not written again, whatever arrives.
    held: Ranges,
    /// Something was written since the last sync.
    dirty: AtomicBool,
}

impl Part {
    pub(super) fn new(inner: Arc<Inner>, id: UploadId, staged: Staged, announced: u64, held: Ranges) -> Part {
        let session = inner.sessions.of(&id);
        let target = Target { inner, id, session, file: staged.file, held, dirty: AtomicBool::new(false) };
        Part {
            target: Arc::new(target),
            announced,
            fresh: staged.fresh,
            run: 0..announced,
            gathered: Vec::new(),
            gathered_bytes: 0,
            writing: None,
            written: Ranges::default(),
            handed: Ranges::default(),
            failed: false,
        }
    }

    /// The next bytes go to `run`, and are at most as many as it has.
    pub async fn go_to(&mut self, run: Range<u64>) -> Result<()> {
        if run.start > run.end || run.end > self.announced {
            return Err(Error::TooLong { announced: self.announced });
        }
        self.flush().await?;
        self.run = run;
        Ok(())
    }

    /// The byte the next write begins at.
    pub fn offset(&self) -> u64 {
        self.run.start
    }

    /// What is in the file of all that was taken.
    pub fn written(&self) -> &Ranges {
        &self.written
    }

    /// Takes the next bytes. They are on the disk once [`Part::sync`] or [`super::Blobs::finish`] says so.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.len() as u64 > self.run.end - self.run.start {
            return Err(Error::TooLong { announced: self.run.end });
        }
        self.run.start += bytes.len() as u64;
        self.gathered_bytes += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.gathered_bytes >= BLOCK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Waits until all that was taken is in the file, if not yet on the disk.
    pub async fn settle(&mut self) -> Result<()> {
        self.flush().await?;
        self.wait().await
    }

    /// Puts on the disk what is in the file, or into the store that several nodes share, and says which runs that are; the caller
    /// records them. After a failed write these are the runs from before it.
    pub async fn sync(&mut self) -> Result<Ranges> {
        let (target, fresh) = (self.target.clone(), self.fresh);
        // Until it is known to have gone well; a second sync would not say what the first has lost.
        let written = std::mem::take(&mut self.written);
        if target.inner.is_shared {
            self.hand_over(&written).await?;
            self.written = written;
            return Ok(self.written.clone());
        }
        spawn_blocking(move || {
            if target.dirty.swap(false, Ordering::Relaxed) {
                target.inner.synced(&target.id, &target.file)?;
            }
            // A run that is recorded must not lose its file: the name is put on the disk as well.
            if fresh { sync_directory(&target.inner.staging) } else { Ok(()) }
        })
        .await??;
        self.fresh = false;
        self.written = written;
        Ok(self.written.clone())
    }

    /// What was held before lies there already.
    async fn hand_over(&mut self, written: &Ranges) -> Result<()> {
        let (target, new) = (self.target.clone(), written.without(&self.target.held).without(&self.handed));
        target.inner.hand_over(&target.id, Arc::new(target.file.try_clone()?), &new).await?;
        self.handed.extend(&new);
        Ok(())
    }

    /// Hands the gathered bytes to a blocking thread, which writes and hashes them while the next arrive.
    async fn flush(&mut self) -> Result<()> {
        self.wait().await?;
        if self.gathered.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.gathered);
        let run = self.run.start - self.gathered_bytes..self.run.start;
        self.gathered_bytes = 0;
        let (target, place) = (self.target.clone(), run.clone());
        self.writing = Some((run, spawn_blocking(move || target.write(place, block))));
        Ok(())
    }

    /// Waits for the block that is being written.
    async fn wait(&mut self) -> Result<()> {
        if self.failed {
            return Err(Error::Store("an earlier write to this upload failed; ask what it has received and go on from there".into()));
        }
        let Some((run, writing)) = self.writing.take() else { return Ok(()) };
        // Until it is known to have gone well.
        self.failed = true;
        writing.await??;
        self.failed = false;
        self.written.insert(run);
        Ok(())
    }
}

impl Target {
    /// Writes what of a block is not held already, under the lock that keeps finishers away.
    fn write(&self, run: Range<u64>, mut block: Vec<Bytes>) -> Result<()> {
        let gaps = self.held.gaps(run.clone());
        if gaps.is_empty() {
            return Ok(());
        }
        wait_for(|| self.file.try_lock_shared())?;
        let written = self.write_gaps(run.start, &gaps, &mut block);
        self.file.unlock()?;
        written
    }

    fn write_gaps(&self, mut at: u64, gaps: &[Range<u64>], block: &mut Vec<Bytes>) -> Result<()> {
        if !is_named(&self.file, &self.inner.staging_path(&self.id))? {
            return Err(Error::Vanished);
        }
        self.dirty.store(true, Ordering::Relaxed);
        for gap in gaps {
            drop(split(block, gap.start - at));
            let bytes = split(block, gap.end - gap.start);
            self.session.write(&self.file, gap.start, &bytes)?;
            at = gap.end;
        }
        Ok(())
    }
}

/// Takes the first `length` bytes off a block.
fn split(block: &mut Vec<Bytes>, length: u64) -> Vec<Bytes> {
    let (mut taken, mut left) = (Vec::new(), length as usize);
    let whole = block.iter().take_while(|bytes| {
        let fits = bytes.len() <= left;
        left -= if fits { bytes.len() } else { 0 };
        fits
    });
    let whole = whole.count();
    taken.extend(block.drain(..whole));
    if let (1.., Some(bytes)) = (left, block.first_mut()) {
        taken.push(bytes.split_to(left));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_split_anywhere() {
        let whole = b"abcdefghi";
        for (first, second) in (0..=9).flat_map(|first| (0..=9 - first).map(move |second| (first, second))) {
            let mut block: Vec<Bytes> = ["abc", "", "d", "efghi"].into_iter().map(Bytes::from).collect();
            assert_eq!(split(&mut block, first as u64).concat(), whole[..first]);
            assert_eq!(split(&mut block, second as u64).concat(), whole[first..first + second]);
            assert_eq!(block.concat(), whole[first + second..]);
        }
    }
}
