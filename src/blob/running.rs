//! The sha256 of an upload, and the hashes of its leaves, while its bytes arrive in any order. It follows the first run of bytes: from memory
//! where they are written in order, read back from the page cache for what came before its turn.
//!
//! A hash that is kept while others write is only worth something if no byte behind it can change unnoticed.
//! So each write says where it writes before it does: writing again what was hashed throws the hash away, and
//! what is being written is not hashed until it is written. Of two that write to one place at once nobody knows whose
//! bytes stand there after: such a place is hashed from the file, never from the memory of either.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::leaves::{Hashing, Leaves};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;

/// Bytes hashed before a writer is let in between.
const STEP_BYTES: u64 = 1024 * 1024;
/// Sessions kept between requests; one is some hundred bytes.
const KEPT: usize = 4096;

/// What a process remembers of an upload between and during requests. Losing it costs time, nothing else.
#[derive(Default)]
pub(super) struct Session {
    running: Mutex<Running>,
    /// Held by the one request that finishes the upload.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to finish an upload, until dropped. It holds the session too, which otherwise could be swept away and
/// made a second time.
pub struct Turn {
    _session: Arc<Session>,
    _guard: tokio::sync::OwnedMutexGuard<()>,
}

#[derive(Default)]
struct Running {
    hash: Hashing,
    /// The hash is that of the file's first so many bytes.
    hashed: u64,
    /// Runs whose bytes are on their way into the file.
    writing: Vec<Writing>,
    /// How far the hash may follow, and whether a thread is at it.
    wanted: u64,
    is_followed: bool,
    /// Files that were here before this one.
    past: u64,
    /// What this process has written into the file.
    here: Ranges,
}

struct Writing {
    run: Range<u64>,
    /// Another was written over a part of it meanwhile.
    is_contested: bool,
}

/// The sessions of a store.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<UploadId, Arc<Session>>>);

impl Sessions {
    pub fn of(&self, id: &UploadId) -> Arc<Session> {
        let mut sessions = self.0.lock();
        if sessions.len() >= KEPT && !sessions.contains_key(id) {
            // One that a request holds must stay: a second one of the same upload would not see its writes. Nor would it know what is in
            // the file, where that is not all that was received.
            sessions.retain(|_, session| Arc::strong_count(session) > 1 || !session.here().is_empty());
        }
        sessions.entry(id.clone()).or_default().clone()
    }

    pub fn forget(&self, id: &UploadId) {
        self.0.lock().remove(id);
    }
}

impl Session {
    /// Waits until nobody else of this process has it.
    pub async fn turn(self: Arc<Self>) -> Turn {
        let guard = self.turn.clone().lock_owned().await;
        Turn { _session: self, _guard: guard }
    }

    /// What this process has written into the file.
    pub fn here(&self) -> Ranges {
        self.running.lock().here.clone()
    }

    /// Opens the file, or makes it, in which case nothing of it is there.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let mut running = self.running.lock();
        match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *running = Running { past: running.past + 1, ..Running::default() };
                File::options().read(true).write(true).create(true).truncate(false).open(path)
            }
            opened => opened,
        }
    }

    /// The file is gone: promoted, or thrown away.
    pub fn reset(&self) {
        let mut running = self.running.lock();
        *running = Running { past: running.past + 1, ..Running::default() };
    }

    /// Writes a block at `at`; where the hash stands there, it goes on over the block.
    pub fn write(&self, file: &File, at: u64, block: &[Bytes]) -> io::Result<()> {
        let run = at..at + block.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        self.running.lock().begin(&run);
        let written = write_at(file, at, block);
        let mut running = self.running.lock();
        let is_ours = running.end(&run);
        written?;
        running.here.insert(run.clone());
        if is_ours && running.hashed == at && running.is_quiet(&run) {
            block.iter().for_each(|bytes| running.hash.update(bytes));
            running.hashed = run.end;
        }
        Ok(())
    }

    /// Hashes on to byte `to`, or to the first byte that is being written. The bytes before `to` must be in the file.
    /// Where a thread is at it already, that one goes on as far.
    pub fn follow(&self, file: &File, to: u64) -> io::Result<()> {
        let past = {
            let mut running = self.running.lock();
            running.wanted = running.wanted.max(to);
            if std::mem::replace(&mut running.is_followed, true) {
                return Ok(());
            }
            running.past
        };
        let mut block = Vec::new();
        loop {
            let mut running = self.running.lock();
            if running.past != past {
                return Ok(());
            }
            let wanted = running.wanted;
            let stepped = running.step(file, wanted, &mut block);
            if !matches!(stepped, Ok(true)) {
                // Under the same lock as the last look at what is wanted, so that no wish is overheard.
                running.is_followed = false;
                return stepped.map(drop);
            }
            drop(running);
            // Writers wait for the lock.
            std::thread::yield_now();
        }
    }

    /// The hashes of the file's first `size` bytes. Nobody may write meanwhile.
    pub fn finish(&self, file: &File, size: u64) -> io::Result<(Digest, Leaves)> {
        let mut block = Vec::new();
        let mut running = self.running.lock();
        while running.step(file, size, &mut block)? {}
        if running.hashed != size {
            return Err(io::Error::other("the upload was written to while it was finished"));
        }
        Ok(running.hash.clone().finish())
    }
}

impl Running {
    fn begin(&mut self, run: &Range<u64>) {
        if run.start < self.hashed {
            (self.hash, self.hashed) = (Hashing::default(), 0);
        }
        let mut is_contested = false;
        for other in self.writing.iter_mut().filter(|other| other.meets(run)) {
            (other.is_contested, is_contested) = (true, true);
        }
        self.writing.push(Writing { run: run.clone(), is_contested });
    }

    /// Does the file hold at `run` what was written there? False where another wrote there at the same time.
    fn end(&mut self, run: &Range<u64>) -> bool {
        // Of two with one run both are contested, so that it does not matter which of them is taken.
        let at = self.writing.iter().position(|other| other.run == *run);
        at.is_some_and(|at| !self.writing.swap_remove(at).is_contested)
    }

    /// Reads and hashes the next bytes before `to`. False: there are none, or they are being written.
    fn step(&mut self, file: &File, to: u64, block: &mut Vec<u8>) -> io::Result<bool> {
        let next = self.hashed..to.min(self.hashed + STEP_BYTES);
        if next.is_empty() || !self.is_quiet(&next) {
            return Ok(false);
        }
        block.resize((next.end - next.start) as usize, 0);
        file.read_exact_at(block, next.start)?;
        self.hash.update(&*block);
        self.hashed = next.end;
        Ok(true)
    }

    fn is_quiet(&self, run: &Range<u64>) -> bool {
        !self.writing.iter().any(|other| other.meets(run))
    }
}

impl Writing {
    fn meets(&self, run: &Range<u64>) -> bool {
        self.run.start < run.end && run.start < self.run.end
    }
}

fn write_at(file: &File, mut at: u64, block: &[Bytes]) -> io::Result<()> {
    for bytes in block {
        file.write_all_at(bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    impl Session {
        fn digest(&self, file: &File, size: u64) -> io::Result<Digest> {
            self.finish(file, size).map(|(digest, _)| digest)
        }
    }

    fn hashed(session: &Session) -> u64 {
        session.running.lock().hashed
    }

    #[test]
    fn what_comes_in_order_is_hashed_from_memory_and_the_rest_read_back() {
        let (session, file) = (Session::default(), file());
        session.write(&file, 0, &["ab".into(), "c".into()]).unwrap();
        assert_eq!(hashed(&session), 3);
        session.write(&file, 6, &["ghi".into()]).unwrap();
        session.write(&file, 3, &["def".into()]).unwrap();
        assert_eq!(hashed(&session), 6, "what lies behind is read back when it is known to be there");
        session.follow(&file, 9).unwrap();
        assert_eq!(session.digest(&file, 9).unwrap(), Digest::of(b"abcdefghi"));
    }

    #[test]
    fn a_byte_that_was_hashed_does_not_change_unnoticed() {
        let (session, file) = (Session::default(), file());
        session.write(&file, 0, &["abcdef".into()]).unwrap();
        session.write(&file, 2, &["X".into()]).unwrap();
        assert_eq!(session.digest(&file, 6).unwrap(), Digest::of(b"abXdef"));
        session.write(&file, 0, &["abc".into()]).unwrap();
        assert_eq!(session.digest(&file, 6).unwrap(), Digest::of(b"abcdef"));
    }

    #[test]
    fn whose_bytes_another_wrote_over_is_not_hashed_from_memory() {
        for (first, other) in [(0..4, 0..4), (0..4, 2..4), (2..4, 0..4), (0..4, 3..9)] {
            let mut running = Running::default();
            running.begin(&first);
            running.begin(&other);
            assert!(!running.end(&other), "{other:?} while {first:?} was being written");
            // The first one's bytes may be under the other's, although it ends last.
            assert!(!running.end(&first), "{first:?}, which {other:?} was written over");
            running.begin(&first);
            assert!(running.end(&first), "alone again");
        }
        let mut running = Running::default();
        running.begin(&(0..4));
        running.begin(&(4..8));
        assert!(running.end(&(0..4)) && running.end(&(4..8)), "side by side is no trouble");
    }

    #[test]
    fn what_is_being_written_is_not_hashed() {
        let (session, file) = (Session::default(), file());
        file.write_all_at(b"abcdef", 0).unwrap();
        session.running.lock().begin(&(4..6));
        session.follow(&file, 4).unwrap();
        session.follow(&file, 6).unwrap();
        assert_eq!(hashed(&session), 4, "a step that meets a writer is not taken");
        session.write(&file, 4, &["ef".into()]).unwrap();
        assert_eq!(hashed(&session), 4, "two writers on one run: neither is believed");
        assert!(session.digest(&file, 6).is_err());
        assert!(!session.running.lock().end(&(4..6)));
        assert_eq!(session.digest(&file, 6).unwrap(), Digest::of(b"abcdef"));
    }

    #[test]
    fn many_follow_as_one_and_a_file_that_is_gone_is_not_followed() {
        let (session, file) = (Session::default(), file());
        let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        std::thread::scope(|scope| {
            for to in (1..=50).map(|n| n * 100_000) {
                let (session, file) = (&session, &file);
                scope.spawn(move || session.follow(file, to).unwrap());
            }
        });
        assert_eq!(hashed(&session), 5_000_000);
        assert_eq!(session.digest(&file, 5_000_000).unwrap(), Digest::of(&bytes));
        session.reset();
        assert_eq!((hashed(&session), session.running.lock().wanted), (0, 0));
        assert!(session.follow(&file, 6_000_000).is_err(), "it ends before");
        session.follow(&file, 10).unwrap_err();
    }

    #[test]
    fn a_session_in_use_is_never_replaced() {
        let sessions = Sessions::default();
        let id = |n: u32| UploadId::new(crate::domain::time::Timestamp::from_unix_ms(i64::from(n)), [0; 10]);
        let held = sessions.of(&id(0));
        (1..=KEPT as u32 + 1).for_each(|n| drop(sessions.of(&id(n))));
        assert!(Arc::ptr_eq(&held, &sessions.of(&id(0))));
        assert!(sessions.0.lock().len() < KEPT);
        sessions.forget(&id(0));
        assert!(!Arc::ptr_eq(&held, &sessions.of(&id(0))));
    }
}
