//! The collector under a clock the test moves: what somebody names or is about to name stays, everything else
//! goes, whatever comes between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod held;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hub::blob::Blobs;
use hub::catalog::jobs;
use hub::db::Db;
use hub::domain::digest::Digest;
use hub::domain::id::{JobId, TokenId, UploadId};
use hub::domain::job::{Job, JobState};
use hub::domain::manifest::ManifestEntry;
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::path::RepoPath;
use hub::domain::recipe::Recipe;
use hub::domain::revision::Revision;
use hub::domain::time::{Clock, SystemClock, Timestamp};
use hub::domain::user::{AccountKind, Actor, Scope};
use hub::domain::work::{FineTune, Work};
use hub::service::repos::publish::Commit;
use hub::service::upkeep::Tell;
use hub::service::upkeep::collect::{Collected, Collection};
use hub::service::upkeep::lock::Alone;
use hub::service::{Error, Policy, Service};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::until;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const MODEL: RepoKind = RepoKind::Model;

/// A clock that runs with the machine's and can be moved forward.
#[derive(Clone, Default)]
struct Hands {
    ahead_ms: Arc<AtomicI64>,
    /// How often somebody asked for the time, as everybody does who begins something.
    asked: Arc<AtomicU64>,
}

impl Hands {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.asked.fetch_add(1, Ordering::Relaxed);
        SystemClock.now().plus_ms(self.ahead_ms.load(Ordering::Relaxed))
    }
}

#[derive(Clone)]
struct House {
    dir: Arc<tempfile::TempDir>,
    service: Service,
    db: Db,
    blobs: Blobs,
    clock: Hands,
    ada: Actor,
}

fn silent() -> Tell {
    Arc::new(|_| {})
}

fn repo(name: &str) -> RepoId {
    RepoId::parse(name).unwrap()
}

impl House {
    async fn new(blobs: impl Fn(&Path) -> Blobs) -> House {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let (db, blobs, clock) = (Db::open(&dir.path().join("hub.db")).await.unwrap(), blobs(dir.path()), Hands::default());
        let service = Service::new(db.clone(), blobs.clone(), Arc::new(clock.clone()), Policy::default());
        let (account, _) = service.create_account(&Actor::System, "ada", AccountKind::User, "").await.unwrap();
        let token = TokenId::new(clock.now(), [2; 10]);
        let ada = Actor::User { account: account.id, name: account.name, is_admin: false, scope: Scope::Admin, token };
        House { dir, service, db, blobs, clock, ada }
    }

    async fn local() -> House {
        House::new(|dir| Blobs::open_local(dir).unwrap()).await
    }

    /// As another process sees it: nothing is shared but the files.
    async fn other_process(&self) -> House {
        let (db, blobs) = (Db::open(&self.path("hub.db")).await.unwrap(), Blobs::open_local(self.dir.path()).unwrap());
        let service = Service::new(db.clone(), blobs.clone(), Arc::new(self.clock.clone()), Policy::default());
        House { service, db, blobs, ..self.clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn forward(&self, ms: i64) {
        self.clock.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    async fn collect(&self, grace_ms: i64) -> Collected {
        let alone = loop {
            match Alone::try_take(self.dir.path()).unwrap() {
                Some(alone) => break alone,
                None => tokio::task::yield_now().await,
            }
        };
        self.service.collect(&alone, Collection { grace_ms, dry_run: false, force: false }, &silent()).await.unwrap()
    }

    async fn create(&self, name: &str) {
        self.service.create_repo(&self.ada, MODEL, &repo(name), false, String::new()).await.unwrap();
    }

    async fn send(&self, bytes: &Bytes) -> Result<(), Error> {
        let digest = Digest::of(bytes);
        if self.service.missing_blobs(&self.ada, vec![digest]).await?.is_empty() {
            return Ok(());
        }
        let upload = self.service.create_upload(&self.ada, digest, bytes.len() as u64).await?;
        if !upload.complete {
            let parts = stream::iter(vec![Ok(bytes.slice(upload.offset() as usize..))]);
            let upload = self.service.append_upload(&self.ada, &upload.id, upload.offset(), parts).await?;
            assert!(upload.complete);
        }
        Ok(())
    }

    async fn commit(&self, name: &str, files: &[Bytes]) -> Result<u32, Error> {
        let entries = files.iter().enumerate().map(|(at, bytes)| ManifestEntry {
            path: RepoPath::parse(&format!("{at}.dat")).unwrap(),
            size_bytes: bytes.len() as u64,
            digest: Digest::of(bytes),
        });
        let parent = self.service.get_repo(&self.ada, MODEL, &repo(name)).await?.head.map(|head| head.number);
        let commit = Commit { message: "a story".into(), parent, files: entries.collect(), ..Commit::default() };
        Ok(self.service.commit(&self.ada, MODEL, &repo(name), commit).await?.version.number)
    }

    async fn publish(&self, name: &str, files: &[Bytes]) -> Result<u32, Error> {
        for bytes in files {
            self.send(bytes).await?;
        }
        self.commit(name, files).await
    }

    async fn delete(&self, name: &str, number: u32) {
        self.service.delete_version(&self.ada, MODEL, &repo(name), number).await.unwrap();
    }

    /// All files of a version, read whole and compared.
    async fn read(&self, name: &str, number: u32, files: &[Bytes]) -> Result<(), String> {
        for (at, bytes) in files.iter().enumerate() {
            let path = RepoPath::parse(&format!("{at}.dat")).unwrap();
            let file = self.service.open_file(&self.ada, MODEL, &repo(name), &Revision::Number(number), &path).await;
            let file = file.map_err(|e| e.to_string())?;
            let read: Vec<Bytes> = file.reader.stream(0..file.reader.size()).try_collect().await.map_err(|e| e.to_string())?;
            if read.concat() != *bytes {
                return Err("other bytes".into());
            }
        }
        Ok(())
    }

    /// Digests of what lies in the store.
    async fn lying(&self) -> BTreeSet<Digest> {
        let chunks: Vec<_> = self.blobs.list().try_collect().await.unwrap();
        chunks.into_iter().flatten().map(|stored| stored.lying.digest().expect("only blobs")).collect()
    }
}

fn digests(files: &[Bytes]) -> BTreeSet<Digest> {
    files.iter().map(|bytes| Digest::of(bytes)).collect()
}

#[tokio::test]
async fn a_deleted_version_goes_in_two_steps_a_grace_period_apart() {
    for house in [House::local().await, House::new(|_| Blobs::memory().unwrap()).await] {
        house.create("ada/net").await;
        let (kept, gone) = (Bytes::from_static(b"in both"), Bytes::from_static(b"only in the first"));
        house.publish("ada/net", &[kept.clone(), gone.clone()]).await.unwrap();
        house.publish("ada/net", std::slice::from_ref(&kept)).await.unwrap();
        house.forward(2 * DAY);
        assert_eq!(house.collect(DAY).await.marked.blobs, 0, "all is named");
        house.delete("ada/net", 1).await;
        let first = house.collect(DAY).await;
        assert_eq!((first.marked.blobs, first.marked.bytes, first.freed.blobs), (1, gone.len() as u64, 0));
        assert_eq!(house.lying().await.len(), 2, "the bytes stay a grace period longer");
        house.forward(DAY - HOUR);
        assert_eq!(house.collect(DAY).await.freed.blobs, 0);
        house.forward(HOUR);
        let second = house.collect(DAY).await;
        assert_eq!((second.freed.blobs, second.freed.bytes, second.waiting.blobs), (1, gone.len() as u64, 0));
        assert_eq!(house.lying().await, digests(std::slice::from_ref(&kept)));
        house.read("ada/net", 2, &[kept]).await.unwrap();
    }
}

/// A publish reads its files; while it does, an hour passes and the collector takes them.
#[tokio::test]
async fn bytes_collected_while_a_publish_reads_them_are_called_gone() {
    let store = held::Held::new();
    let house = House::new(|dir| Blobs::over(store.clone(), dir).unwrap()).await;
    house.create("ada/net").await;
    let bytes = Bytes::from_static(b"a file that is read before it is named");
    for sent_again in [false, true] {
        house.send(&bytes).await.unwrap();
        store.hold();
        let (reader, files) = (house.clone(), [bytes.clone()]);
        let publish = tokio::spawn(async move { reader.commit("ada/net", &files).await });
        store.came.acquire().await.unwrap().forget();
        house.forward(2 * HOUR);
        assert_eq!(house.collect(0).await.freed.blobs, 1);
        if sent_again {
            house.send(&bytes).await.unwrap();
        }
        store.release();
        match publish.await.unwrap() {
            Err(Error::Invalid(problem)) if !sent_again => assert_eq!(problem.code, "blob_unknown"),
            published => assert_eq!((sent_again, published.unwrap()), (true, 1)),
        }
    }
}

#[tokio::test]
async fn bytes_sent_again_are_taken_back_from_the_collector() {
    let house = House::local().await;
    house.create("ada/net").await;
    let bytes = Bytes::from_static(b"here, gone, here");
    house.publish("ada/net", std::slice::from_ref(&bytes)).await.unwrap();
    house.forward(3 * DAY);
    house.delete("ada/net", 1).await;
    house.collect(DAY).await;
    let missing = house.service.missing_blobs(&house.ada, vec![Digest::of(&bytes)]).await.unwrap();
    assert_eq!(missing.len(), 1, "without its row a blob must be sent");
    let number = house.publish("ada/net", std::slice::from_ref(&bytes)).await.unwrap();
    house.forward(3 * DAY);
    let collected = house.collect(0).await;
    assert_eq!((collected.freed.blobs, collected.waiting.blobs), (0, 0));
    house.read("ada/net", number, &[bytes]).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_and_not_committed_is_kept_for_an_hour_whatever_the_grace_and_as_long_as_more_is_sent() {
    let house = House::local().await;
    house.create("ada/net").await;
    let files: Vec<Bytes> = (0..40u8).map(|n| Bytes::from(vec![n; 1_000])).collect();
    house.send(&files[0]).await.unwrap();
    house.forward(HOUR - 60_000);
    house.collect(0).await;
    // A publish that takes more than a day, with something arriving every hour.
    for bytes in &files[1..] {
        house.send(bytes).await.unwrap();
        house.forward(HOUR - 60_000);
        house.collect(0).await;
    }
    let number = house.commit("ada/net", &files).await.expect("nothing was collected meanwhile");
    house.read("ada/net", number, &files).await.unwrap();
    let abandoned = Bytes::from_static(b"abandoned");
    house.send(&abandoned).await.unwrap();
    house.forward(2 * HOUR);
    assert_eq!(house.collect(0).await.freed.blobs, 1);
    let error = house.commit("ada/net", &[abandoned]).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(problem) if problem.code == "blob_unknown"), "{error:?}");
}

#[tokio::test]
async fn telling_a_sender_that_bytes_are_here_keeps_them_here() {
    let house = House::local().await;
    house.create("ada/net").await;
    let bytes = Bytes::from_static(b"sent yesterday, never committed");
    house.send(&bytes).await.unwrap();
    house.forward(23 * HOUR);
    assert!(house.service.missing_blobs(&house.ada, vec![Digest::of(&bytes)]).await.unwrap().is_empty());
    house.forward(HOUR / 2);
    house.collect(0).await;
    assert!(house.service.create_upload(&house.ada, Digest::of(&bytes), bytes.len() as u64).await.unwrap().complete);
    house.forward(HOUR / 2);
    house.collect(0).await;
    house.commit("ada/net", &[bytes]).await.unwrap();
}

#[tokio::test]
async fn orphans_leftovers_and_strays_go_and_what_is_not_ours_stays() {
    let house = House::local().await;
    let bytes = Bytes::from_static(b"a crash came between name and row");
    let file = house.path("file");
    std::fs::write(&file, &bytes).unwrap();
    house.blobs.store_file(&file, &UploadId::new(house.clock.now(), [1; 10])).await.unwrap();
    let blob = house.blobs.local_path(&Digest::of(&bytes)).unwrap();
    let folder = blob.parent().unwrap();
    for name in [folder.join("x#1"), house.path("staging/stray"), folder.join("README")] {
        std::fs::write(name, "half").unwrap();
    }
    let young = house.collect(DAY).await;
    assert_eq!((young.orphans.blobs, young.leftovers.blobs), (0, 0), "all of it may be somebody's");
    house.forward(DAY + HOUR);
    let dry = Collection { grace_ms: DAY, dry_run: true, force: false };
    let alone = Alone::take(house.dir.path()).unwrap();
    let would = house.service.collect(&alone, dry, &silent()).await.unwrap();
    assert_eq!((would.orphans.blobs, would.leftovers.blobs, would.list.len()), (1, 1, 1));
    assert!(blob.exists() && folder.join("x#1").exists());
    drop(alone);
    let old = house.collect(DAY).await;
    assert_eq!((old.orphans.blobs, old.leftovers.blobs), (1, 2));
    house.forward(DAY);
    assert_eq!(house.collect(DAY).await.freed.blobs, 1);
    assert!(!blob.exists() && !house.path("staging/stray").exists() && folder.join("README").exists());
}

#[tokio::test]
async fn a_strange_store_is_not_swept_and_one_that_is_gone_neither() {
    let house = House::local().await;
    for n in 0..1_000u32 {
        let digest = Digest::of(&n.to_be_bytes());
        let hex = digest.to_hex();
        let folder = house.path(&format!("blobs/{}/{}", &hex[..2], &hex[2..4]));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(hex), n.to_be_bytes()).unwrap();
    }
    house.forward(DAY);
    let alone = Alone::take(house.dir.path()).unwrap();
    let mut asked = Collection { grace_ms: 0, dry_run: false, force: false };
    let refused = house.service.collect(&alone, asked, &silent()).await.unwrap_err();
    assert!(refused.to_string().contains("1000 of the 1000 blobs"), "{refused}");
    assert_eq!(house.lying().await.len(), 1_000);
    asked.force = true;
    assert_eq!(house.service.collect(&alone, asked, &silent()).await.unwrap().freed.blobs, 1_000);
    std::fs::rename(house.path("blobs"), house.path("elsewhere")).unwrap();
    let error = house.service.collect(&alone, asked, &silent()).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
}

#[tokio::test]
async fn a_collector_that_died_is_finished_by_the_next() {
    let house = House::local().await;
    house.create("ada/net").await;
    let bytes = Bytes::from_static(b"half deleted");
    house.publish("ada/net", std::slice::from_ref(&bytes)).await.unwrap();
    house.delete("ada/net", 1).await;
    house.forward(2 * HOUR);
    let digest = Digest::of(&bytes);
    let reach = hub::catalog::gc::Reach { now: house.clock.now(), grace_ms: 0 };
    let begun = house.db.write(move |tx| {
        use hub::catalog::gc::{begin_deleting, mark};
        Ok::<_, hub::db::Error>(mark(tx, &reach, &digest)? && begin_deleting(tx, &reach, &digest)?)
    });
    assert!(begun.await.unwrap());
    let (other, before) = (house.clone(), house.clock.asked());
    let sent = tokio::spawn(async move { other.send(&Bytes::from_static(b"half deleted")).await });
    until("the sender has begun", async || house.clock.asked() > before).await;
    for n in 0..5 {
        house.send(&Bytes::from(vec![n; 100])).await.unwrap();
    }
    assert!(!sent.is_finished(), "others who came later have stored theirs, and who wants to store this waits");
    house.service.end_interrupted(&Alone::take(house.dir.path()).unwrap()).await.unwrap();
    sent.await.unwrap().unwrap();
    house.commit("ada/net", std::slice::from_ref(&bytes)).await.unwrap();
    house.read("ada/net", 2, &[bytes]).await.unwrap();
}

#[tokio::test]
async fn checkpoints_live_as_long_as_their_job() {
    let house = House::local().await;
    let Actor::User { account, .. } = &house.ada else { unreachable!() };
    let now = house.clock.now();
    let fine_tune = FineTune {
        base: repo("tiny"),
        base_version: 1,
        dataset: repo("colours"),
        dataset_version: 1,
        name: repo("ada/out"),
        private: false,
        recipe: Recipe::default(),
        sweep: None,
        replays: None,
        chosen: None,
        trial: None,
    };
    let job = Job {
        id: JobId::new(now, [3; 10]),
        owner: account.clone(),
        owner_name: "ada".into(),
        parent: None,
        waits: false,
        work: Work::FineTune(fine_tune),
        state: JobState::Queued,
        attempt: 0,
        cancel_requested: false,
        priority: 0,
        urgency: 0,
        paused: false,
        step: 0,
        total_steps: 0,
        stage: String::new(),
        error: None,
        result_version: None,
        created: now,
        started: None,
        finished: None,
    };
    house.db.write(move |tx| jobs::insert(tx, &job)).await.unwrap();
    let worker = house.other_process().await;
    let (lease, _) = worker.service.lease_job("w").await.unwrap().unwrap();
    for step in ["one", "two"] {
        let file = house.path("checkpoint");
        std::fs::write(&file, step).unwrap();
        worker.service.save_checkpoint(&lease, &file).await.unwrap();
    }
    assert_eq!(house.collect(0).await.freed.blobs, 1, "the first is nobody's any more");
    let found = worker.service.fetch_checkpoint(&lease, &house.path("scratch")).await.unwrap().unwrap();
    assert_eq!(std::fs::read(found).unwrap(), b"two");
    worker.service.fail_job(&lease, "enough".into()).await.unwrap();
    assert_eq!(house.collect(0).await.freed.blobs, 1);
    assert!(house.lying().await.is_empty());
}

/// Versions that are there, and their files.
type Live = Arc<Mutex<BTreeMap<(String, u32), Vec<Bytes>>>>;

/// One who publishes, reads and deletes at random; half of them as another process would.
struct Dweller {
    house: House,
    rng: ChaCha8Rng,
    live: Live,
    /// Versions that were live once: the answer to a publish may come when its version is deleted again.
    told: Arc<Mutex<BTreeSet<(String, u32)>>>,
    pool: Arc<Vec<Bytes>>,
    refused: usize,
}

impl Dweller {
    fn some_files(&mut self) -> Vec<Bytes> {
        let many = self.rng.random_range(1..4);
        (0..many).map(|_| self.pool[self.rng.random_range(0..self.pool.len())].clone()).collect()
    }

    fn some_live(&mut self) -> Option<((String, u32), Vec<Bytes>)> {
        let live = self.live.lock().unwrap();
        let at = self.rng.random_range(0..live.len().max(1));
        live.iter().nth(at).map(|(key, files)| (key.clone(), files.clone()))
    }

    async fn act(&mut self) {
        let name = format!("ada/net{}", self.rng.random_range(0..3));
        // Few live versions, so that the same bytes are named, forgotten and sent again over and over.
        let crowded = self.live.lock().unwrap().len() > 4;
        match if crowded { 8 } else { self.rng.random_range(0..12) } {
            0..3 => {
                let files = self.some_files();
                let published = self.house.publish(&name, &files).await;
                self.note(name, files, published);
            }
            3..5 => {
                let files = self.some_files();
                let published = self.publish_folder(&name, &files).await;
                self.note(name, files, published);
            }
            5 => {
                let abandoned = self.some_files();
                let digest = Digest::of(&abandoned[0]);
                let upload = self.house.service.create_upload(&self.house.ada, digest, abandoned[0].len() as u64).await;
                if let Ok(upload) = upload
                    && !upload.complete
                    && self.rng.random()
                {
                    // Somebody else may have ended it already; it is the same account's.
                    let _ = self.house.service.cancel_upload(&self.house.ada, &upload.id).await;
                }
            }
            6..8 => {
                let Some(((name, number), files)) = self.some_live() else { return };
                if let Err(problem) = self.house.read(&name, number, &files).await {
                    let there = self.live.lock().unwrap().contains_key(&(name.clone(), number));
                    assert!(!there, "{name}@{number} is live and cannot be read: {problem}");
                }
            }
            8..10 => {
                let Some((key, _)) = self.some_live() else { return };
                if self.live.lock().unwrap().remove(&key).is_some() {
                    self.house.delete(&key.0, key.1).await;
                }
            }
            // More than an hour: whoever is in the middle of something has taken too long.
            _ => self.house.forward(self.rng.random_range(0..150) * 60_000),
        }
    }

    async fn publish_folder(&mut self, name: &str, files: &[Bytes]) -> Result<u32, Error> {
        let folder = tempfile::tempdir().unwrap();
        for (at, bytes) in files.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{at}.dat")), bytes).unwrap();
        }
        let published = self.house.service.publish_folder(&self.house.ada, MODEL, &repo(name), folder.path(), Default::default()).await?;
        Ok(published.version.number)
    }

    /// A publish may fail because others were quicker; what it may not is succeed and be lost.
    fn note(&mut self, name: String, files: Vec<Bytes>, published: Result<u32, Error>) {
        match published {
            Ok(number) => {
                if self.told.lock().unwrap().insert((name.clone(), number)) {
                    self.live.lock().unwrap().insert((name, number), files);
                }
            }
            Err(Error::Conflict(_) | Error::Busy(_)) => self.refused += 1,
            Err(Error::Invalid(problem)) if problem.code == "blob_unknown" => self.refused += 1,
            Err(Error::NotFound(problem)) if problem.code == "upload_not_found" => self.refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Dwellers and a collector without grace, all at once; afterwards every live version is whole and nothing else
/// is there. Answers how many blobs were freed meanwhile, and how many versions are live in the end.
async fn a_life(seed: u64, steps: usize) -> (u64, usize) {
    let house = House::local().await;
    for n in 0..3 {
        house.create(&format!("ada/net{n}")).await;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let content = |n: u8| Bytes::from(vec![n; rng.random_range(0..60_000)]);
    let pool: Arc<Vec<Bytes>> = Arc::new((0..12u8).map(content).collect());
    let (live, told, stop) = (Live::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
    let mut dwellers = Vec::new();
    for n in 0..4u64 {
        let house = if n % 2 == 0 { house.clone() } else { house.other_process().await };
        let rng = ChaCha8Rng::seed_from_u64(seed * 31 + n);
        let mut dweller = Dweller { house, rng, live: live.clone(), told: Arc::clone(&told), pool: pool.clone(), refused: 0 };
        let runtime = tokio::runtime::Handle::current();
        dwellers.push(tokio::task::spawn_blocking(move || {
            (0..steps).for_each(|_| runtime.block_on(dweller.act()));
            dweller.refused
        }));
    }
    let (other, stopped) = (house.other_process().await, stop.clone());
    let collector = tokio::spawn(async move {
        let (mut passes, mut freed) = (0, 0);
        while !stopped.load(Ordering::Relaxed) {
            freed += other.collect(0).await.freed.blobs;
            passes += 1;
        }
        (passes, freed)
    });
    let refused: usize =
        stream::iter(dwellers).then(|dweller| async { dweller.await.unwrap() }).collect::<Vec<_>>().await.into_iter().sum();
    stop.store(true, Ordering::Relaxed);
    let (passes, freed) = collector.await.unwrap();
    let live: Vec<_> = live.lock().unwrap().clone().into_iter().collect();
    println!("seed {seed}: {} live versions, {refused} publishes refused, {passes} collections, {freed} blobs freed", live.len());
    let told = (freed, live.len());
    let still = |house: House| async move {
        for ((name, number), files) in &live {
            house.read(name, *number, files).await.unwrap_or_else(|problem| panic!("{name}@{number}: {problem}"));
        }
        live.iter().flat_map(|(_, files)| digests(files)).collect::<BTreeSet<Digest>>()
    };
    let named = still(house.clone()).await;
    let checked = house.service.fsck(&silent()).await.unwrap();
    assert!(checked.damaged.is_empty(), "{checked:?}");
    house.forward(10 * DAY);
    house.collect(DAY).await;
    house.forward(2 * DAY);
    house.collect(DAY).await;
    assert_eq!(house.lying().await, named, "exactly what is named is left");
    assert_eq!(house.service.fsck(&silent()).await.unwrap().garbage, BTreeMap::new());
    told
}

/// Four lives; `HUB_UPKEEP_LIVES` asks for more.
#[allow(clippy::disallowed_methods)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_comes_between_live_versions_stay_whole() {
    let lives = std::env::var("HUB_UPKEEP_LIVES").ok().and_then(|count| count.parse().ok()).unwrap_or(4);
    let (mut freed, mut live) = (0, 0);
    for seed in 1..=lives {
        let told = a_life(seed, 120).await;
        (freed, live) = (freed + told.0, live + told.1);
    }
    assert!(freed > 0 && live > 0, "the stories told nothing: {freed} blobs freed, {live} versions live");
}
