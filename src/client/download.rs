//! Bytes into the cache: many small files at once, large ones in pieces over several connections, each blob by one
//! process at a time. What arrives gets its name only if size and sha256 hold; a server that lies about ranges or
//! lengths, or sends other bytes, is asked once more from the start and then refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::Semaphore;

use super::event::calm;
use super::retry::Line;
use super::{Client, Error, Event, Result};
use crate::cache::{self, Cache, Lock, Locks, Shelf, VerifiedHashes};
use crate::domain::digest::Digest;

/// Up to here a file is held in memory until it is whole.
const SMALL_BYTES: u64 = 512 << 10;
/// Small files under way at once: 2,000 of them over a line with 50 ms of delay take 3 s.
const SMALL_AT_ONCE: usize = 32;
/// Larger files begun at once, so that the end of one (its last bytes' hash, its flush) hides behind the next.
const LARGE_AT_ONCE: usize = 8;
/// Connections for pieces of larger files, all files together.
const PIECES_AT_ONCE: usize = 8;
/// How often another process's lock is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A blob that is wanted, and where it can be had.
pub(super) struct Want {
    pub url: Url,
    pub digest: Digest,
    pub size_bytes: u64,
    /// What people call it.
    pub name: String,
    /// Who can say what of it other blobs have.
    pub segments: Option<Url>,
}

/// The downloads of one pull.
pub(super) struct Downloads {
    pub client: Client,
    pub cache: Cache,
    pub verified: Arc<VerifiedHashes>,
    pub shelf: Shelf,
    /// Rights to ask for a piece.
    pub connections: Semaphore,
    locks: Locks,
    /// What earlier pulls began.
    begun: HashSet<Digest>,
    told_of_wait: AtomicBool,
    cleared: Mutex<Instant>,
}

impl Downloads {
    pub fn new(client: &Client, cache: &Cache, verified: &Arc<VerifiedHashes>) -> Result<Downloads> {
        Ok(Downloads {
            client: Client { sink: calm(&client.sink), ..client.clone() },
            cache: cache.clone(),
            verified: verified.clone(),
            shelf: Shelf::new(cache.clone(), verified.clone())?,
            connections: Semaphore::new(PIECES_AT_ONCE),
            locks: cache.locks()?,
            begun: cache.begun()?,
            told_of_wait: AtomicBool::new(false),
            cleared: Mutex::new(Instant::now()),
        })
    }

    /// Bytes an earlier pull has left of a blob.
    pub fn arrived_bytes(&self, digest: &Digest, size_bytes: u64) -> u64 {
        if self.begun.contains(digest) { self.cache.arrived_bytes(digest, size_bytes) } else { 0 }
    }

    /// Afterwards the cache has all of them, proved. Answers the files and bytes this process fetched: not what
    /// another process was quicker with, nor what an earlier pull had left.
    pub async fn fetch_all(&self, wants: Vec<Want>) -> Result<(usize, u64)> {
        let (small, large): (Vec<Want>, Vec<Want>) = wants.into_iter().partition(|want| want.size_bytes <= SMALL_BYTES);
        let small = async {
            let fetched = self.fetch_some(small, SMALL_AT_ONCE).await?;
            let shelf = self.shelf.clone();
            blocking(move || shelf.clear()).await?;
            Ok(fetched)
        };
        let (small, large) = tokio::try_join!(small, self.fetch_some(large, LARGE_AT_ONCE))?;
        Ok((small.0 + large.0, small.1 + large.1))
    }

    async fn fetch_some(&self, wants: Vec<Want>, at_once: usize) -> Result<(usize, u64)> {
        let fetches = stream::iter(wants).map(|want| async move { self.fetch(&want).await });
        let sum = |(files, sum): (usize, u64), bytes: u64| async move { Ok((files + usize::from(bytes > 0), sum + bytes)) };
        fetches.buffer_unordered(at_once).try_fold((0, 0), sum).await
    }

    async fn fetch(&self, want: &Want) -> Result<u64> {
        let lock = self.lock(want).await?;
        if self.cache.has_blob(&want.digest, want.size_bytes) {
            // The process that held the lock has fetched and proved it.
            self.tell(Event::Advance(want.size_bytes));
            return Ok(0);
        }
        if self.borrow(want).await? {
            self.tell(Event::Advance(want.size_bytes));
            return Ok(0);
        }
        match want.size_bytes {
            0..=SMALL_BYTES => self.fetch_small(want, lock, self.begun.contains(&want.digest)).await,
            _ => self.fetch_large(want, lock).await,
        }
    }

    /// Does another cache have it? The lock is held.
    async fn borrow(&self, want: &Want) -> Result<bool> {
        let Some(theirs) = self.client.neighbour.clone() else { return Ok(false) };
        let (cache, verified, digest, size_bytes) = (self.cache.clone(), self.verified.clone(), want.digest, want.size_bytes);
        blocking(move || cache.borrow(&verified, &theirs, &digest, size_bytes)).await
    }

    async fn lock(&self, want: &Want) -> Result<Lock> {
        loop {
            if let Some(lock) = self.locks.try_lock(&want.digest)? {
                return Ok(lock);
            }
            if !self.told_of_wait.swap(true, Ordering::Relaxed) {
                self.tell(Event::Waiting { what: want.name.clone() });
            }
            tokio::time::sleep(LOOK).await;
            self.give_others_theirs().await?;
        }
    }

    /// The process this one waits for may itself be waiting for a file that is done here but lies on the shelf.
    async fn give_others_theirs(&self) -> Result<()> {
        {
            let mut cleared = self.cleared.lock();
            if cleared.elapsed() < LOOK {
                return Ok(());
            }
            *cleared = Instant::now();
        }
        let shelf = self.shelf.clone();
        blocking(move || shelf.clear()).await
    }

    pub(super) fn tell(&self, event: Event) {
        (self.client.sink)(event);
    }

    /// Bytes were untrue: the first time they may be fetched once more, the second time they are refused.
    pub(super) fn refuse(&self, want: &Want, why: &str, before: &mut bool) -> Result<()> {
        if std::mem::replace(before, true) {
            return Err(Error::Corrupt(format!("{}: {why}, also after a second try", want.name)));
        }
        self.tell(Event::Note(format!("{}: {why}; fetching it once more from the start", want.name)));
        Ok(())
    }

    /// The line broke after `arrived` bytes of this range: waits before another try, or gives up.
    pub(super) async fn wait_for_line(&self, want: &Want, line: &mut Line, arrived: u64, why: &str) -> Result<()> {
        let Some(after) = line.broke(arrived) else {
            let why = format!("{} broke off again and again ({why}); what has arrived is kept, run the command again", want.name);
            return Err(self.client.unreachable(why));
        };
        self.tell(Event::Repeat { reason: format!("{} broke off ({why})", want.name), after });
        tokio::time::sleep(after).await;
        Ok(())
    }
}

impl Want {
    pub fn wrong_digest(&self, found: &Digest) -> String {
        format!("its bytes have the sha256 {found}, not {}", self.digest)
    }
}

/// Work on the disk, off the threads that wait for the network.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> cache::Result<T> + Send + 'static) -> Result<T> {
    finished(tokio::task::spawn_blocking(work)).await
}

pub(super) async fn finished<T>(work: tokio::task::JoinHandle<cache::Result<T>>) -> Result<T> {
    match work.await {
        Ok(done) => Ok(done?),
        Err(e) => Err(Error::Input { code: "internal", message: e.to_string(), hint: "run the command again".into() }),
    }
}
