//! Uploads under a clock that the test moves, and a disk that loses bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::stream;

use super::*;
use crate::blob::Blobs;
use crate::db::Db;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::name::Name;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::user::Scope;
use crate::service::Policy;

const HOUR_MS: i64 = 3_600_000;
const BYTES: &[u8] = b"twelve bytes";

#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

struct House {
    service: Service,
    clock: Hands,
    ada: Actor,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("hub.db")).await.unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let clock = Hands(Arc::new(AtomicI64::new(now.as_millis() as i64)));
        let blobs = Blobs::open_local(folder.path()).unwrap();
        let service = Service::new(db, blobs, Arc::new(clock.clone()), Policy::default());
        let (account, token) = (AccountId::new(clock.now(), [1; 10]), TokenId::new(clock.now(), [2; 10]));
        let ada = Actor::User { account, name: Name::parse_owner("ada").unwrap(), is_admin: false, scope: Scope::Write, token };
        House { service, clock, ada, folder }
    }

    fn wait(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    async fn announce(&self) -> Upload {
        self.service.create_upload(&self.ada, Digest::of(BYTES), BYTES.len() as u64).await.unwrap()
    }

    async fn put(&self, upload: &Upload, run: Range<usize>) -> Result<Upload> {
        let body = stream::iter([Ok(Bytes::copy_from_slice(&BYTES[run.clone()]))]);
        let range = (run.start as u64..run.end as u64, BYTES.len() as u64);
        self.service.put_part(&self.ada, &upload.id, range, body).await
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("staging")).unwrap().count()
    }
}

#[tokio::test]
async fn an_upload_expires_a_day_after_its_last_byte() {
    let house = House::new().await;
    let upload = house.announce().await;
    house.put(&upload, 0..3).await.unwrap();
    house.wait(23 * HOUR_MS);
    house.put(&upload, 5..6).await.unwrap();
    house.wait(23 * HOUR_MS);
    house.service.expire_uploads().await.unwrap();
    assert_eq!(house.service.get_upload(&house.ada, &upload.id).await.unwrap().received.to_string(), "0-3,5-6");
    house.wait(2 * HOUR_MS);
    house.service.expire_uploads().await.unwrap();
    assert!(matches!(house.service.get_upload(&house.ada, &upload.id).await, Err(Error::NotFound(_))));
    assert!(matches!(house.put(&upload, 0..3).await, Err(Error::NotFound(_))));
    assert_eq!(house.staged(), 0);
}

#[tokio::test]
async fn after_a_failed_sync_an_upload_starts_again_from_nothing() {
    let house = House::new().await;
    let upload = house.announce().await;
    let upload = house.put(&upload, 0..6).await.unwrap();
    let lost = house.service.after_loss(&upload, blob::Error::Unsynced("the disk said no".into())).await;
    assert!(matches!(lost, Err(Error::Busy(problem)) if problem.code == "store_unavailable"));
    assert!(matches!(house.put(&upload, 6..12).await, Err(Error::NotFound(_))), "nothing is added to what was lost");
    assert_eq!(house.staged(), 0);
    let again = house.announce().await;
    assert!(again.id != upload.id && again.received.is_empty());
    assert!(house.put(&again, 0..12).await.unwrap().complete);
}

#[tokio::test]
async fn a_part_that_was_under_way_when_the_upload_ended_changes_nothing() {
    let house = House::new().await;
    let upload = house.announce().await;
    // Read before the other part came, recorded after the upload was complete.
    let mut late = house.service.blobs.part(&upload.id, 12, &upload.received).await.unwrap();
    late.write(Bytes::from_static(b"xxx")).await.unwrap();
    assert!(house.put(&upload, 0..12).await.unwrap().complete);
    let settled = house.service.settle(upload.clone(), late, None).await.unwrap();
    assert!(settled.complete);
    assert_eq!(house.service.blobs.read_all(&upload.digest, 99).await.unwrap(), BYTES);
    // The same whole file twice at once: the second staged it for nothing.
    let mut second = house.service.blobs.part(&upload.id, 12, &Ranges::default()).await.unwrap();
    second.write(Bytes::from_static(BYTES)).await.unwrap();
    assert_eq!(house.staged(), 1);
    assert!(house.service.settle(upload, second, None).await.unwrap().complete);
    assert_eq!(house.staged(), 0);
}

#[tokio::test]
async fn a_whole_upload_that_was_not_finished_is_finished_by_the_next_announcement() {
    let house = House::new().await;
    let upload = house.announce().await;
    house.put(&upload, 0..6).await.unwrap();
    // As a server does that is killed between the last part and the proof.
    let runs = vec![(6, stream::iter([Ok(Bytes::from_static(&BYTES[6..]))]))];
    let whole = house.service.fill_upload(house.service.get_upload(&house.ada, &upload.id).await.unwrap(), runs).await.unwrap();
    assert!(whole.is_whole() && !whole.complete);
    let done = house.announce().await;
    assert_eq!((done.complete, done.id), (true, upload.id));
}

#[tokio::test]
async fn a_node_goes_on_with_what_is_in_the_bucket_and_asks_again_for_what_is_not() {
    let (house, store) = (House::new().await, Arc::new(object_store::memory::InMemory::new()));
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = |folder: &tempfile::TempDir| {
        let blobs = Blobs::over(store.clone(), folder.path()).unwrap().shared_by_nodes();
        Service::new(house.service.db.clone(), blobs, Arc::new(house.clock.clone()), Policy::default())
    };
    let (one, two) = (node(&folders[0]), node(&folders[1]));
    let (digest, size) = (Digest::of(BYTES), BYTES.len() as u64);
    let part = |run: Range<usize>| stream::iter([Ok(Bytes::copy_from_slice(&BYTES[run]))]);
    let upload = one.create_upload(&house.ada, digest, size).await.unwrap();
    let upload = one.put_part(&house.ada, &upload.id, (0..6, size), part(0..6)).await.unwrap();
    // As a node does that has all, and cannot reach the bucket when it is proved.
    one.record(&upload, Ranges::from(6..9)).await.unwrap();
    let there = two.create_upload(&house.ada, digest, size).await.unwrap();
    assert_eq!((&there.id, there.received.to_string().as_str()), (&upload.id, "0-6"), "nobody but the other node has the rest");
    let done = two.put_part(&house.ada, &there.id, (6..12, size), part(6..12)).await.unwrap();
    assert!(done.complete && one.get_upload(&house.ada, &upload.id).await.unwrap().complete);
    assert_eq!(one.blobs.read_all(&digest, 99).await.unwrap(), BYTES);
    // What the first still has of it is nobody's, and is cleared away after an hour.
    house.wait(2 * HOUR_MS);
    assert_eq!(one.stray_files().await.unwrap(), [upload.id.to_string()]);
}

#[tokio::test]
async fn an_upload_of_crumbs_is_refused() {
    let house = House::new().await;
    let size = 3 * MOST_RUNS as u64;
    let upload = house.service.create_upload(&house.ada, Digest::of(b"many"), size).await.unwrap();
    let crumbs = |count: usize| (0..count).map(|n| (3 * n as u64, stream::iter([Ok(Bytes::from_static(b"x"))]))).collect();
    let full = house.service.fill_upload(upload.clone(), crumbs(MOST_RUNS)).await.unwrap();
    assert_eq!(full.received.runs().len(), MOST_RUNS);
    let body = || stream::iter([Ok(Bytes::from_static(b"x"))]);
    let one_more = house.service.put_part(&house.ada, &upload.id, (size - 1..size, size), body()).await;
    assert!(matches!(one_more, Err(Error::Invalid(problem)) if problem.code == "too_scattered"));
    assert!(house.service.put_part(&house.ada, &upload.id, (1..2, size), body()).await.is_ok(), "what joins others still fits");
}
