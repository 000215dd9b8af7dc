//! Leases under a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::blob::Blobs;
use crate::catalog::users;
use crate::db::Db;
use crate::domain::id::AccountId;
use crate::domain::name::{Name, RepoId};
use crate::domain::recipe::Recipe;
use crate::domain::time::Clock;
use crate::domain::user::{Account, AccountKind};
use crate::domain::work::{FineTune, Work};
use crate::service::Policy;

#[derive(Clone, Default)]
struct Hands(Arc<AtomicI64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }
}

impl Hands {
    fn forward(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

struct House {
    service: Service,
    clock: Hands,
    ada: Actor,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("hub.db")).await.unwrap();
        let clock = Hands(Arc::new(AtomicI64::new(1_000_000)));
        let (id, name) = (AccountId::new(clock.now(), [1; 10]), Name::parse_owner("ada").unwrap());
        let account = Account {
            id: id.clone(),
            name: name.clone(),
            kind: AccountKind::User,
            is_admin: false,
            disabled: false,
            full_name: String::new(),
            created: clock.now(),
        };
        db.write(move |tx| users::insert(tx, &account)).await.unwrap();
        let service = Service::new(db, Blobs::memory().unwrap(), Arc::new(clock.clone()), Policy::default());
        let token = TokenId::new(clock.now(), [2; 10]);
        let ada = Actor::User { account: id, name, is_admin: false, scope: Scope::Write, token };
        House { service, clock, ada, _folder: folder }
    }

    /// Queues a job past admission, which has stories of its own.
    async fn queue(&self) -> JobId {
        let repo = |text: &str| RepoId::parse(text).unwrap();
        let task = FineTune {
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
        let owner = (self.ada.account().unwrap().clone(), "ada".to_owned());
        let job = super::super::queue::queued(JobId::new(self.clock.now(), [3; 10]), owner, Work::FineTune(task), self.clock.now());
        let id = job.id.clone();
        self.service.db.write(move |tx| jobs::insert(tx, &job)).await.unwrap();
        id
    }

    async fn lease(&self, worker: &str) -> Option<Lease> {
        self.service.lease_job(worker).await.unwrap().map(|(lease, _)| lease)
    }

    async fn job(&self, id: &JobId) -> Job {
        self.service.get_job(&self.ada, id).await.unwrap()
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<()> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"weights").unwrap();
        self.service.save_checkpoint(lease, file.path()).await
    }
}

fn log(message: &str) -> Vec<Event> {
    vec![Event::Log { level: Level::Info, message: message.into() }]
}

fn lost(result: Result<()>) -> bool {
    matches!(result, Err(Error::Conflict(problem)) if problem.code == "lease_lost")
}

#[tokio::test]
async fn a_worker_that_slept_through_its_lease_changes_nothing() {
    let house = House::new().await;
    let id = house.queue().await;
    let old = house.lease("sleeper").await.unwrap();
    assert!(house.lease("other").await.is_none(), "one job, one worker");
    house.clock.forward(LEASE_MS + 1);
    assert!(house.lease("other").await.is_none(), "the silent worker's job waits for its back-off");
    house.clock.forward(BACK_OFF_MS);
    let new = house.lease("other").await.unwrap();

    assert_eq!(house.service.heartbeat(&old, log("from the grave")).await.unwrap(), Beat::Lost);
    assert!(lost(house.checkpoint(&old).await));
    assert!(lost(house.service.fail_job(&old, "no".into()).await));
    assert!(lost(house.service.release_job(&old).await));
    assert!(lost(house.service.retry_job(&old, "no").await));
    assert_eq!(house.service.heartbeat(&new, log("alive")).await.unwrap(), Beat::GoOn);
    let events = house.service.job_events(&house.ada, &id, 0).await.unwrap();
    assert!(events.iter().all(|event| !event.event.body().to_string().contains("grave")));
    assert_eq!((house.job(&id).await.state, house.job(&id).await.attempt), (JobState::Running, 2));
}

#[tokio::test]
async fn heartbeats_keep_a_lease_for_hours() {
    let house = House::new().await;
    house.queue().await;
    let lease = house.lease("w").await.unwrap();
    for _ in 0..200 {
        house.clock.forward(LEASE_MS - RENEW_MS + 1_000);
        assert_eq!(house.service.heartbeat(&lease, Vec::new()).await.unwrap(), Beat::GoOn);
        assert!(house.lease("thief").await.is_none());
    }
}

#[tokio::test]
async fn a_job_that_kills_its_workers_fails_after_three() {
    let house = House::new().await;
    let id = house.queue().await;
    for wait in [BACK_OFF_MS, 2 * BACK_OFF_MS] {
        let lease = house.lease("w").await.unwrap();
        assert_eq!(house.service.bury_worker(&lease.worker, Death::OutOfMemory).await.unwrap(), 1);
        house.clock.forward(wait - 1);
        assert!(house.lease("w").await.is_none());
        house.clock.forward(1);
    }
    house.lease("w").await.unwrap();
    house.service.bury_worker("w", Death::OutOfMemory).await.unwrap();
    let job = house.job(&id).await;
    let error = job.error.unwrap();
    assert_eq!((job.state, job.attempt), (JobState::Failed, 3));
    assert!(error.contains("out of memory") && error.contains("batch_size"), "{error}");
    assert!(house.lease("w").await.is_none());
}

#[tokio::test]
async fn a_job_without_room_on_the_disk_is_told_of_the_disk_and_not_of_memory() {
    let house = House::new().await;
    let id = house.queue().await;
    for wait in [BACK_OFF_MS, 2 * BACK_OFF_MS, 0] {
        let lease = house.lease("w").await.unwrap();
        house.service.retry_job(&lease, "the disk of this worker is full; make room on it").await.unwrap();
        house.clock.forward(wait);
    }
    let job = house.job(&id).await;
    let error = job.error.unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(error.contains("disk of this worker is full") && !error.contains("memory") && !error.contains("batch_size"), "{error}");
}

#[tokio::test]
async fn a_job_that_moves_on_may_lose_many_workers() {
    let house = House::new().await;
    let id = house.queue().await;
    for _ in 0..10 {
        let lease = house.lease("w").await.expect("no back-off after a checkpoint");
        house.checkpoint(&lease).await.unwrap();
        house.service.bury_worker("w", Death::Unknown).await.unwrap();
    }
    let lease = house.lease("w").await.unwrap();
    assert_eq!(house.job(&id).await.attempt, 11);
    let folder = tempfile::tempdir().unwrap();
    let path = house.service.fetch_checkpoint(&lease, folder.path()).await.unwrap().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"weights");
}

#[tokio::test]
async fn cancelling_reaches_the_living_and_the_dead() {
    let house = House::new().await;
    let id = house.queue().await;
    let lease = house.lease("w").await.unwrap();
    assert!(house.service.cancel_job(&house.ada, &id).await.unwrap().cancel_requested);
    assert_eq!(house.service.heartbeat(&lease, Vec::new()).await.unwrap(), Beat::Cancel);
    house.clock.forward(LEASE_MS + 1);
    assert!(house.lease("other").await.is_none());
    assert_eq!(house.job(&id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn shutting_down_is_no_fault_of_the_job() {
    let house = House::new().await;
    let id = house.queue().await;
    for _ in 0..5 {
        let lease = house.lease("w").await.unwrap();
        house.service.release_job(&lease).await.unwrap();
    }
    assert_eq!(house.job(&id).await.state, JobState::Queued);
}

#[tokio::test]
async fn a_disabled_owner_has_no_rights_left() {
    let house = House::new().await;
    let id = house.queue().await;
    let job = house.job(&id).await;
    assert!(house.service.job_owner(&job).await.is_ok());
    let owner = job.owner.clone();
    let disable = move |tx: &mut Tx<'_>| {
        let account = users::find_by_id(tx, &owner)?.unwrap();
        users::update(tx, &Account { disabled: true, ..account })
    };
    house.service.db.write(disable).await.unwrap();
    assert!(matches!(house.service.job_owner(&job).await, Err(Error::Forbidden(_))));
}

#[path = "sweeps_tests.rs"]
mod sweeps;
