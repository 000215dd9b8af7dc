//! A remote store that refuses, delays, breaks off and loses its answers at random: what was acknowledged reads back,
//! and whatever failed says so in a way the caller can act on.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::crash_kit::{File, content};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use hub::blob::Blobs;
use hub::db::Db;
use hub::domain::digest::Digest;
use hub::domain::manifest::ManifestEntry;
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::path::RepoPath;
use hub::domain::revision::Revision;
use hub::domain::time::SystemClock;
use hub::domain::user::Actor;
use hub::service::repos::publish::Commit;
use hub::service::{Error, Policy, Service};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use rand::{Rng as _, RngExt as _};
use rand_chacha::ChaCha8Rng;

/// Of `make test`; `make soak` sets many more by HUB_CRASH_ROUNDS.
const ROUNDS: u64 = 12;
const PUBLISHERS: u64 = 3;
/// Tries of one publish. With one call in ten failing, hundreds are never needed.
const TRIES: usize = 500;

/// What a call will come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// Nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    Unheard,
    /// The answer breaks off in its midst.
    CutShort,
}

struct Flaky {
    inner: InMemory,
    random: Mutex<ChaCha8Rng>,
    calm: AtomicBool,
    failed: AtomicU64,
}

impl Flaky {
    async fn fate(&self) -> Fate {
        if self.calm.load(Ordering::Relaxed) {
            return Fate::Good;
        }
        let (fate, delay) = {
            let mut random = self.random.lock().unwrap();
            let fate = match random.random_range(0..100) {
                0..5 => Fate::Refused,
                5..8 => Fate::Unheard,
                8..11 => Fate::CutShort,
                _ => Fate::Good,
            };
            (fate, if random.random_bool(0.1) { random.random_range(1..5_000) } else { 0 })
        };
        if delay > 0 {
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
        if fate != Fate::Good {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        fate
    }

    fn trouble() -> object_store::Error {
        object_store::Error::Generic { store: "flaky", source: "503 SlowDown".into() }
    }

    /// A call that writes: refused, or done with or without an answer.
    async fn write<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        match self.fate().await {
            Fate::Refused => Err(Flaky::trouble()),
            Fate::Unheard => {
                let _ = call.await;
                Err(Flaky::trouble())
            }
            _ => call.await,
        }
    }
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flaky store")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.write(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        self.write(self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let fate = self.fate().await;
        if [Fate::Refused, Fate::Unheard].contains(&fate) {
            return Err(Flaky::trouble());
        }
        let answer = self.inner.get_opts(location, options).await?;
        if fate == Fate::Good || answer.range.is_empty() {
            return Ok(answer);
        }
        let (meta, range, attributes, extensions) =
            (answer.meta.clone(), answer.range.clone(), answer.attributes.clone(), answer.extensions.clone());
        let mut bytes = answer.bytes().await?;
        bytes.truncate(bytes.len() / 2);
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes), Err(Flaky::trouble())]).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.write(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.write(self.inner.copy_opts(from, to, options)).await
    }
}

#[async_trait]
impl MultipartStore for Flaky {
    async fn create_multipart(&self, path: &Path) -> StoreResult<MultipartId> {
        self.write(self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> StoreResult<PartId> {
        self.write(self.inner.put_part(path, id, index, data)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> StoreResult<PutResult> {
        self.write(self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> StoreResult<()> {
        self.write(self.inner.abort_multipart(path, id)).await
    }
}

/// The answer, or nothing where the store was in the way, or another who sends the same bytes; any other trouble is a fault of ours.
fn unless_unavailable<T>(what: &str, answer: hub::service::Result<T>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(Error::Busy(problem) | Error::Conflict(problem)) => {
            assert!(["store_unavailable", "overtaken", "upload_in_use", "wrong_offset"].contains(&problem.code), "{what}: {problem:?}");
            assert!(!problem.message.is_empty() && !problem.hint.is_empty());
            None
        }
        Err(Error::NotFound(problem)) if problem.code == "upload_not_found" && what == "append" => None,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

struct Person {
    service: Service,
    actor: Actor,
    repo: RepoId,
    random: ChaCha8Rng,
    refusals: u64,
}

impl Person {
    /// Sends a file until it is acknowledged.
    async fn send(&mut self, file: &File) -> Digest {
        let digest = Digest::parse(&file.sha256).unwrap();
        for _ in 0..TRIES {
            let size = file.bytes.len() as u64;
            let announced = self.service.create_upload(&self.actor, digest, size).await;
            let Some(upload) = unless_unavailable("announce", announced) else {
                self.refusals += 1;
                continue;
            };
            if upload.complete {
                return digest;
            }
            let parts: Vec<_> = file.bytes.chunks(300_000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let sent =
                self.service.append_upload(&self.actor, &upload.id, upload.offset(), stream::iter(skip(parts, upload.offset()))).await;
            match unless_unavailable("append", sent) {
                Some(upload) if upload.complete => return digest,
                _ => self.refusals += 1,
            }
        }
        let upload = self.service.create_upload(&self.actor, digest, file.bytes.len() as u64).await;
        panic!("{} was refused {TRIES} times, in the end with {upload:?}", file.path);
    }

    async fn publish(&mut self, files: &[File]) -> u32 {
        let mut entries = Vec::new();
        for file in files {
            let (path, size_bytes) = (RepoPath::parse(&file.path).unwrap(), file.bytes.len() as u64);
            entries.push(ManifestEntry { path, size_bytes, digest: self.send(file).await });
        }
        for _ in 0..TRIES {
            let head = self.service.get_repo(&self.actor, RepoKind::Model, &self.repo).await.unwrap().head;
            let parent = head.map(|head| head.number);
            let commit = Commit { parent, files: entries.clone(), ..Commit::default() };
            match unless_unavailable("commit", self.service.commit(&self.actor, RepoKind::Model, &self.repo, commit).await) {
                Some(committed) => return committed.version.number,
                None => self.refusals += 1,
            }
        }
        panic!("a commit was refused {TRIES} times");
    }

    /// Reads a file once: all of it and right, or an error.
    async fn read(&mut self, number: u32, file: &File) -> bool {
        let (revision, path) = (Revision::parse(&number.to_string()).unwrap(), RepoPath::parse(&file.path).unwrap());
        let opened = self.service.open_file(&self.actor, RepoKind::Model, &self.repo, &revision, &path).await;
        let Some(opened) = unless_unavailable("open", opened) else { return false };
        match opened.reader.stream(0..file.bytes.len() as u64).try_collect::<Vec<Bytes>>().await {
            Ok(parts) => {
                assert!(parts.concat() == file.bytes, "{}@{number} {}: other bytes", self.repo, file.path);
                true
            }
            Err(error) => {
                unless_unavailable::<()>("read", Err(error.into()));
                false
            }
        }
    }
}

/// The bytes behind the first `offset`.
fn skip(parts: Vec<hub::service::Result<Bytes>>, offset: u64) -> Vec<hub::service::Result<Bytes>> {
    let mut left = offset as usize;
    parts.into_iter().map(|part| part.map(|mut bytes| bytes.split_off(std::mem::take(&mut left).min(bytes.len())))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flaky_store_acknowledged_reads_back() {
    let (seed, rounds) = crate::crash_kit::seed_and_rounds(ROUNDS);
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Flaky {
        inner: InMemory::new(),
        random: Mutex::new(crate::crash_kit::random(seed, 1)),
        calm: AtomicBool::new(false),
        failed: AtomicU64::new(0),
    });
    let blobs = Blobs::over(store.clone(), dir.path()).unwrap();
    let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
    let service = Service::new(db, blobs, Arc::new(SystemClock), Policy::default());
    let token = service.first_start().await.unwrap().unwrap().token;
    let actor = service.authenticate(&token).await.unwrap();

    let people = (0..PUBLISHERS).map(|number| {
        let (service, actor) = (service.clone(), actor.clone());
        let (repo, random) = (RepoId::parse(&format!("library/net{number}")).unwrap(), crate::crash_kit::random(seed, 100 + number));
        let mut person = Person { service, actor, repo, random, refusals: 0 };
        async move {
            person.service.create_repo(&person.actor, RepoKind::Model, &person.repo, false, String::new()).await.unwrap();
            let mut published: Vec<(u32, Vec<File>)> = Vec::new();
            for _ in 0..rounds {
                let mut files = content(&mut person.random, &person.repo.to_string());
                if person.random.random_bool(0.2) {
                    // Large enough to travel in parts.
                    let mut bytes = vec![0; 9 << 20];
                    person.random.fill_bytes(&mut bytes);
                    files.push(File::new("large.dat", bytes));
                }
                let number = person.publish(&files).await;
                published.push((number, files));
                let (number, files) = &published[person.random.random_range(0..published.len())];
                let file = &files[person.random.random_range(0..files.len())];
                person.read(*number, file).await;
            }
            (person, published)
        }
    });
    let ended = futures_util::future::join_all(people).await;

    store.calm.store(true, Ordering::Relaxed);
    let mut named = BTreeSet::new();
    let (mut versions, mut refusals) = (0, 0);
    for (mut person, published) in ended {
        for (number, files) in &published {
            for file in files {
                assert!(person.read(*number, file).await, "{}@{number} {}", person.repo, file.path);
                named.insert(file.sha256.clone());
            }
        }
        versions += published.len();
        refusals += person.refusals;
    }
    let failed = store.failed.load(Ordering::Relaxed);
    println!("{failed} calls of the store failed, {refusals} requests were refused, {versions} versions are whole");
    assert!(failed > 0 && refusals > 0, "the store was not flaky enough to prove anything");
}
