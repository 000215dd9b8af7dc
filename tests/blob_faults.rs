//! What becomes of blobs when their store fails, delays, forgets and lies: never a name without its bytes, never
//! "there is none" for "I do not know", and all is well once the store is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use hub::blob::{Blobs, Error};
use hub::domain::digest::Digest;
use hub::domain::id::UploadId;
use hub::domain::ranges::Ranges;
use hub::domain::time::Timestamp;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A store in memory with the manners of a bad one.
#[derive(Debug)]
struct Bad {
    store: InMemory,
    random: Mutex<ChaCha8Rng>,
    /// Of a hundred requests so many fail; half of those after they have done their work.
    failing: AtomicU32,
    /// Conditional writes are written whatever the condition.
    lying: AtomicBool,
    /// The bytes of parts are dropped.
    forgetful: AtomicBool,
    /// Parts are never answered.
    hanging: AtomicBool,
    hung: AtomicU32,
    /// Reads so far.
    reads: AtomicU32,
    /// Multipart uploads that are neither completed nor aborted.
    open: Mutex<HashSet<MultipartId>>,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bad store")
    }
}

impl Bad {
    fn new(seed: u64) -> Arc<Bad> {
        Arc::new(Bad {
            store: InMemory::new(),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            failing: AtomicU32::new(0),
            lying: AtomicBool::new(false),
            forgetful: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
            hung: AtomicU32::new(0),
            reads: AtomicU32::new(0),
            open: Mutex::default(),
        })
    }

    fn error<T>() -> Result<T> {
        Err(object_store::Error::Generic { store: "bad", source: "503 Slow Down".into() })
    }

    /// Waits a little; true: fail now.
    async fn stumble(&self) -> bool {
        let (wait, dice) = {
            let mut random = self.random.lock().unwrap();
            (random.random_range(0..3), random.random_range(0..200))
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        dice < self.failing.load(SeqCst)
    }

    async fn through<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.stumble().await {
            return Bad::error();
        }
        let done = work.await;
        if self.stumble().await { Bad::error() } else { done }
    }
}

#[async_trait]
impl ObjectStore for Bad {
    async fn put_opts(&self, key: &Path, bytes: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.lying.load(SeqCst) {
            options.mode = PutMode::Overwrite;
        }
        self.through(self.store.put_opts(key, bytes, options)).await
    }

    async fn put_multipart_opts(&self, key: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.fetch_add(1, SeqCst);
        self.through(self.store.get_opts(key, options)).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Bad {
    /// An upload whose id never arrives cannot be aborted by anybody who does not list; that is the lifecycle
    /// rule's case, so here it either begins or does not.
    async fn create_multipart(&self, key: &Path) -> Result<MultipartId> {
        if self.stumble().await {
            return Bad::error();
        }
        let id = self.store.create_multipart(key).await?;
        self.open.lock().unwrap().insert(id.clone());
        Ok(id)
    }

    async fn put_part(&self, key: &Path, id: &MultipartId, index: usize, bytes: PutPayload) -> Result<PartId> {
        if self.hanging.load(SeqCst) {
            self.hung.fetch_add(1, SeqCst);
            std::future::pending::<()>().await;
        }
        let bytes = if self.forgetful.load(SeqCst) { PutPayload::new() } else { bytes };
        self.through(self.store.put_part(key, id, index, bytes)).await
    }

    async fn complete_multipart(&self, key: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let completing = async {
            let done = self.store.complete_multipart(key, id, parts).await;
            self.open.lock().unwrap().remove(id);
            done
        };
        self.through(completing).await
    }

    async fn abort_multipart(&self, key: &Path, id: &MultipartId) -> Result<()> {
        if self.stumble().await {
            return Bad::error();
        }
        if !self.open.lock().unwrap().remove(id) {
            return Err(object_store::Error::NotFound { path: key.to_string(), source: "NoSuchUpload".into() });
        }
        self.store.abort_multipart(key, id).await
    }
}

fn id(n: u8) -> UploadId {
    UploadId::new(Timestamp::from_unix_ms(1), [n; 10])
}

fn bytes_of(len: usize, seed: usize) -> Bytes {
    (0..len).map(|at| ((at * 31 + seed) % 251) as u8).collect::<Vec<_>>().into()
}

async fn send(blobs: &Blobs, id: &UploadId, bytes: &Bytes) -> hub::blob::Result<()> {
    let (size, all) = (bytes.len() as u64, Ranges::from(0..bytes.len() as u64));
    if bytes.is_empty() || !blobs.has_staged(id, &all) {
        let mut part = blobs.part(id, size, &Ranges::default()).await?;
        part.go_to(0..size).await?;
        part.write(bytes.clone()).await?;
        part.settle().await?;
        part.sync().await?;
    }
    blobs.finish(id, size, &Digest::of(bytes)).await
}

fn key(bytes: &[u8]) -> Path {
    let hex = Digest::of(bytes).to_hex();
    format!("blobs/{}/{}/{hex}", &hex[..2], &hex[2..4]).into()
}

const PART: usize = 8 << 20;

#[tokio::test]
async fn what_a_failing_store_acknowledged_is_whole_and_an_upload_goes_on_where_it_stopped() {
    let mut failed = 0;
    for seed in 0..12 {
        let (bad, dir) = (Bad::new(seed), tempfile::tempdir().unwrap());
        let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
        let lens = [0, 5, 70_000, PART, PART + 1, 2 * PART + 77];
        for (n, len) in lens.into_iter().enumerate() {
            let bytes = bytes_of(len, seed as usize);
            bad.failing.store(30, SeqCst);
            bad.lying.store(seed % 2 == 0, SeqCst);
            while let Err(error) = send(&blobs, &id(n as u8), &bytes).await {
                assert!(matches!(error, Error::Store(_)), "{error}");
                assert!(blobs.has_staged(&id(n as u8), &Ranges::from(0..len as u64)), "what was sent stays");
                failed += 1;
            }
            match blobs.read_all(&Digest::of(&bytes), u64::MAX).await {
                Ok(read) => assert_eq!(read, bytes),
                Err(error) => assert!(matches!(error, Error::Store(_)), "a store that fails has not lost anything: {error}"),
            }
            bad.failing.store(0, SeqCst);
            assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
            assert!(!blobs.has_staged(&id(n as u8), &Ranges::from(0..1)));
        }
        blobs.abort_abandoned().await.unwrap();
        assert!(bad.open.lock().unwrap().is_empty(), "no parts are left behind");
    }
    assert!(failed > 20, "the store must have failed: {failed}");
}

#[tokio::test]
async fn racers_of_one_digest_end_with_its_bytes_whether_or_not_the_store_keeps_its_word() {
    for lying in [false, true] {
        for len in [3_000, PART + 5] {
            let (bad, dir) = (Bad::new(1), tempfile::tempdir().unwrap());
            bad.lying.store(lying, SeqCst);
            let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
            assert_eq!(blobs.probe().await.unwrap(), !lying, "the probe sees it");
            let bytes = bytes_of(len, 7);
            let racers = (0..4).map(|n| (id(n), &blobs, &bytes)).map(|(id, blobs, bytes)| async move { send(blobs, &id, bytes).await });
            for ended in join_all(racers).await {
                ended.unwrap();
            }
            assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
            assert!(bad.open.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn wrong_bytes_under_a_name_are_replaced() {
    for len in [3_000, PART + 5] {
        let (bad, dir) = (Bad::new(2), tempfile::tempdir().unwrap());
        let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
        let (bytes, wrong) = (bytes_of(len, 1), bytes_of(len, 2));
        bad.store.put(&key(&bytes), wrong.into()).await.unwrap();
        send(&blobs, &id(1), &bytes).await.unwrap();
        assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_store_that_says_yes_and_keeps_less_is_not_believed() {
    let (bad, dir) = (Bad::new(3), tempfile::tempdir().unwrap());
    let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
    let bytes = bytes_of(2 * PART + 1, 1);
    bad.forgetful.store(true, SeqCst);
    assert!(matches!(send(&blobs, &id(1), &bytes).await, Err(Error::Store(_))));
    bad.forgetful.store(false, SeqCst);
    send(&blobs, &id(1), &bytes).await.unwrap();
    assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
}

#[tokio::test]
async fn parts_that_a_crash_left_behind_are_aborted_by_the_next_start_or_the_next_try() {
    let bytes = bytes_of(3 * PART, 1);
    for retried in [false, true] {
        let (bad, dir) = (Bad::new(4), tempfile::tempdir().unwrap());
        let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
        bad.hanging.store(true, SeqCst);
        let id = id(1);
        let mut sending = Box::pin(send(&blobs, &id, &bytes));
        // All three parts are read from staging and on their way.
        let hung = async {
            while bad.hung.load(SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            sent = &mut sending => panic!("nobody answered, and yet it ended: {sent:?}"),
            hung = tokio::time::timeout(Duration::from_secs(120), hung) => hung.expect("three parts are on their way"),
        }
        let started_meanwhile = Blobs::over(bad.clone(), dir.path()).unwrap();
        assert_eq!(started_meanwhile.abort_abandoned().await.unwrap(), 0, "a living upload is left alone");
        drop(sending);
        bad.hanging.store(false, SeqCst);
        let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
        if retried {
            send(&blobs, &id, &bytes).await.unwrap();
            assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
        } else {
            assert_eq!(blobs.abort_abandoned().await.unwrap(), 1);
        }
        assert!(bad.open.lock().unwrap().is_empty());
        assert_eq!(blobs.abort_abandoned().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_slow_reader_holds_three_blocks_and_no_more() {
    let (bad, dir) = (Bad::new(5), tempfile::tempdir().unwrap());
    let blobs = Blobs::over(bad.clone(), dir.path()).unwrap();
    let bytes = bytes_of(PART, 1);
    send(&blobs, &id(1), &bytes).await.unwrap();
    let reader = blobs.open(&Digest::of(&bytes)).await.unwrap();
    // The hashes of its leaves are read once.
    reader.stream(0..1).next().await.unwrap().unwrap();
    bad.reads.store(0, SeqCst);
    let mut stream = reader.stream(100..bytes.len() as u64);
    let mut at = 100;
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        assert!(piece.len() <= 120 * 1024, "the sender copies a piece at a time");
        assert_eq!(piece, bytes[at..at + piece.len()]);
        at += piece.len();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let wanted_so_far = ((at - 100 - 1) >> 20) as u32 + 3;
        assert!(bad.reads.load(SeqCst) <= wanted_so_far, "{} blocks at byte {at}", bad.reads.load(SeqCst));
    }
    assert_eq!(at, bytes.len());
}
