//! Blocks of objects that several read at the same time: each is fetched from the store and hashed once for all of them, so that many who pull
//! one model at once cost the store about as much as one.
//!
//! Nothing is kept for a single reader, and nothing beyond the last one: whoever reads later reads what the store has then. What is kept was
//! found good, and is bounded.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::Result;
use crate::domain::digest::Digest;

/// Of all blobs together.
const MOST_BYTES: usize = 128 << 20;
/// Blobs that were read; those that are no more are forgotten beyond.
const MOST_BLOBS: usize = 1_000;

/// Which blobs are being read.
#[derive(Default)]
pub(super) struct Hot {
    blobs: Mutex<HashMap<Digest, Weak<HotBlob>>>,
    bytes: Arc<AtomicUsize>,
}

/// Somebody who reads a blob, until it is dropped.
pub(super) struct Reading {
    pub blob: Arc<HotBlob>,
}

/// The blocks of one blob, for as long as anybody reads it.
pub(super) struct HotBlob {
    blocks: Mutex<Blocks>,
    readers: AtomicUsize,
    /// Of all blobs.
    bytes: Arc<AtomicUsize>,
}

/// Empty where the one who fetched it could not.
type Slot = Arc<OnceCell<Option<Bytes>>>;

#[derive(Default)]
struct Blocks {
    slots: HashMap<Range<u64>, Slot>,
    /// Those that are there, the oldest first, and how many bytes they are.
    order: VecDeque<Range<u64>>,
    bytes: usize,
}

impl Hot {
    /// Begins to read a blob.
    pub fn read(&self, digest: &Digest) -> Reading {
        let mut blobs = self.blobs.lock();
        if blobs.len() >= MOST_BLOBS {
            blobs.retain(|_, blob| blob.strong_count() > 0);
        }
        let blob = blobs.get(digest).and_then(Weak::upgrade).unwrap_or_else(|| {
            let blob = HotBlob { blocks: Mutex::default(), readers: AtomicUsize::new(0), bytes: self.bytes.clone() };
            let blob = Arc::new(blob);
            blobs.insert(*digest, Arc::downgrade(&blob));
            blob
        });
        blob.readers.fetch_add(1, Ordering::Relaxed);
        Reading { blob }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.blob.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HotBlob {
    /// A block: one that is there, or is on its way for another reader, or is fetched now. Where the other one fails, each fetches for itself.
    pub async fn block<F>(&self, range: Range<u64>, fetch: impl Fn() -> F) -> Result<Bytes>
    where
        F: Future<Output = Result<Bytes>>,
    {
        let slot = self.blocks.lock().slots.entry(range.clone()).or_default().clone();
        let mut fetched = None;
        let (told, fetching) = (&mut fetched, &fetch);
        let fetch_for_all = move || async move {
            let got = fetching().await;
            let kept = got.as_ref().ok().cloned();
            *told = Some(got);
            kept
        };
        let shared = slot.get_or_init(fetch_for_all).await.clone();
        match (shared, fetched) {
            (_, Some(got)) => {
                self.settle(&range, &slot, got.as_ref().ok());
                got
            }
            (Some(bytes), None) => Ok(bytes),
            (None, None) => fetch().await,
        }
    }

    /// Keeps a block that was fetched, if anybody else may want it and there is room; the oldest of this blob make some.
    fn settle(&self, range: &Range<u64>, slot: &Slot, got: Option<&Bytes>) {
        let mut blocks = self.blocks.lock();
        if !blocks.slots.get(range).is_some_and(|known| Arc::ptr_eq(known, slot)) {
            return;
        }
        let Some(bytes) = got.filter(|_| self.readers.load(Ordering::Relaxed) > 1) else {
            blocks.slots.remove(range);
            return;
        };
        blocks.order.push_back(range.clone());
        blocks.bytes += bytes.len();
        let mut all = self.bytes.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        while all > MOST_BYTES
            && let Some(oldest) = blocks.order.pop_front()
        {
            let Some(gone) = blocks.slots.remove(&oldest) else { continue };
            let length = gone.get().and_then(Option::as_ref).map_or(0, Bytes::len);
            blocks.bytes -= length;
            all = self.bytes.fetch_sub(length, Ordering::Relaxed) - length;
        }
    }
}

impl Drop for HotBlob {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.blocks.get_mut().bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Error;

    /// A store that counts how often it is asked, and is away as long as it is told to be.
    #[derive(Default)]
    struct Store {
        asked: AtomicUsize,
        away: AtomicUsize,
    }

    impl Store {
        async fn read(&self, range: Range<u64>) -> Result<Bytes> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            match self.away.load(Ordering::SeqCst) {
                0 => Ok(Bytes::from(vec![7; (range.end - range.start) as usize])),
                _ => Err(Error::NotFound(Digest::of(b"away"))),
            }
        }

        async fn through(self: Arc<Self>, blob: Arc<HotBlob>, range: Range<u64>) -> Result<Bytes> {
            blob.block(range.clone(), || self.read(range.clone())).await
        }

        async fn by_many(self: &Arc<Self>, readings: &[Reading], range: Range<u64>) -> Vec<Result<Bytes>> {
            let asked = readings.iter().map(|reading| tokio::spawn(self.clone().through(reading.blob.clone(), range.clone())));
            futures_util::future::join_all(asked.collect::<Vec<_>>()).await.into_iter().map(|got| got.unwrap()).collect()
        }
    }

    #[tokio::test]
    async fn many_who_read_at_once_ask_the_store_once() {
        let (hot, store) = (Hot::default(), Arc::new(Store::default()));
        let digest = Digest::of(b"a model");
        let readings: Vec<Reading> = (0..50).map(|_| hot.read(&digest)).collect();
        assert!(store.by_many(&readings, 0..100).await.iter().all(|got| got.as_ref().unwrap().len() == 100));
        assert_eq!((store.asked.load(Ordering::SeqCst), hot.bytes.load(Ordering::SeqCst)), (1, 100));
        store.by_many(&readings[..2], 0..100).await;
        assert_eq!(store.asked.load(Ordering::SeqCst), 1, "it is kept for those who come behind");
        store.by_many(&readings[..2], 0..50).await;
        assert_eq!(store.asked.load(Ordering::SeqCst), 2, "another run is another block");
        drop(readings);
        assert_eq!(hot.bytes.load(Ordering::SeqCst), 0, "nothing is kept beyond the last");
        let alone = [hot.read(&digest)];
        store.by_many(&alone, 0..100).await;
        store.by_many(&alone, 0..100).await;
        assert_eq!((store.asked.load(Ordering::SeqCst), hot.bytes.load(Ordering::SeqCst)), (4, 0), "one alone has nothing kept");
    }

    #[tokio::test]
    async fn what_one_could_not_fetch_each_asks_for_itself() {
        let (hot, store) = (Hot::default(), Arc::new(Store::default()));
        store.away.store(1, Ordering::SeqCst);
        let readings: Vec<Reading> = (0..20).map(|_| hot.read(&Digest::of(b"a model"))).collect();
        let begun = std::time::Instant::now();
        assert!(store.by_many(&readings, 0..100).await.iter().all(Result::is_err));
        assert_eq!(store.asked.load(Ordering::SeqCst), 20);
        assert!(begun.elapsed() < std::time::Duration::from_millis(300), "all at once, not one after the other");
        store.away.store(0, Ordering::SeqCst);
        assert!(store.by_many(&readings, 0..100).await.iter().all(Result::is_ok));
        assert_eq!(store.asked.load(Ordering::SeqCst), 21, "and once together when it is back");
    }

    #[tokio::test]
    async fn the_oldest_make_room() {
        let (hot, store) = (Hot::default(), Arc::new(Store::default()));
        let readings = [hot.read(&Digest::of(b"a model")), hot.read(&Digest::of(b"a model"))];
        let half = MOST_BYTES as u64 / 2;
        for start in [0, 1, 2] {
            store.by_many(&readings, start..start + half).await;
        }
        assert_eq!(hot.bytes.load(Ordering::SeqCst), MOST_BYTES);
        store.by_many(&readings, 2..2 + half).await;
        assert_eq!(store.asked.load(Ordering::SeqCst), 3);
        store.by_many(&readings, 0..half).await;
        assert_eq!((store.asked.load(Ordering::SeqCst), hot.bytes.load(Ordering::SeqCst)), (4, MOST_BYTES));
    }
}
