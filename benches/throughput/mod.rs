//! How much goes through at once: publishes and claims a second (on a server: by two nodes), answers a second over 32 connections. Prints
//! `rate NAME VALUE` (a second) and `p99 NAME VALUE` (milliseconds).

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hub::catalog::jobs;
use hub::db::{Db, Error};
use hub::domain::digest::Digest;
use hub::domain::id::{AccountId, JobId};
use hub::domain::job::{Job, JobState};
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::recipe::Recipe;
use hub::domain::time::Timestamp;
use hub::domain::work::{FineTune, Work};
use serde_json::{Value, json};

use super::connection::Connection;
use super::scale_kit::{Draw, drawn};
use super::support::Server;

const PUBLISHERS: u64 = 16;
/// Of one publisher.
const PUBLISHES: u64 = 40;
const WORKERS: u64 = 8;
const JOBS: u64 = 800;
const CONNECTIONS: u64 = 32;
/// Of one connection, for one kind of answer.
const REQUESTS: u64 = 400;

/// What was measured, by name, a second.
pub type Rates = Vec<(&'static str, f64)>;

/// Measures a catalog of so many repos; with a database server also a second node beside the first.
pub fn measure(data: &Path, many: u64, database: Option<&str>, end: &str) -> Rates {
    let mut environment = vec![("HUB_MAX_REQUESTS_PER_MINUTE", "100000000")];
    environment.extend(database.map(|address| ("HUB_DB", address)));
    let start = |data: &Path| Server::start_on(data, &["--workers", "0"], &environment);
    let beside = tempfile::tempdir().unwrap();
    let mut nodes = vec![start(data)];
    let token = nodes[0].admin_token.clone();
    assert!(!token.is_empty(), "{} has no admin-token; empty SCALE_DIR", data.display());
    nodes.extend(database.map(|_| start(beside.path())));
    let addresses: Vec<String> = nodes.iter().map(|node| node.authority().to_owned()).collect();
    let mut rates = Vec::new();
    let mut told = |name: &'static str, done: u64, mut times: Vec<Duration>, took: Duration| {
        times.sort_unstable();
        let p99 = times[(times.len() - 1) * 99 / 100].as_secs_f64() * 1e3;
        let rate = done as f64 / took.as_secs_f64();
        println!("rate {name}-{many}{end} {rate:.0}");
        println!("p99 {name}-{many}{end} {p99:.2}");
        rates.push((name, rate));
    };
    let (times, took) = together(PUBLISHERS, |publisher| publish(&addresses, &token, publisher));
    told("publishes", times.len() as u64, times, took);
    let secret = worker_token(&addresses[0], &token);
    queue(data, database);
    let left = AtomicU64::new(JOBS);
    let (times, took) = together(WORKERS, |worker| claim(&addresses, &secret, worker, &left));
    told("claims", times.len() as u64, times, took);
    for (name, prefix) in [("model-json", "/api/v1/models/"), ("model-page", "/")] {
        let one = &addresses[..1];
        together(CONNECTIONS, |client| ask(one, many, prefix, client, REQUESTS / 10));
        let (times, took) = together(CONNECTIONS, |client| ask(one, many, prefix, client, REQUESTS));
        told(name, times.len() as u64, times, took);
    }
    rates
}

/// All at once; how long each thing took, and all together.
fn together(count: u64, each: impl Fn(u64) -> Vec<Duration> + Sync) -> (Vec<Duration>, Duration) {
    let begun = Instant::now();
    let times = std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = (0..count).map(|at| scope.spawn(move || each(at))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (times, begun.elapsed())
}

fn nth(addresses: &[String], at: u64) -> &str {
    &addresses[at as usize % addresses.len()]
}

fn publish(addresses: &[String], token: &str, publisher: u64) -> Vec<Duration> {
    let mut connection = Connection::open(nth(addresses, publisher));
    // Another one in each run of a catalog that is kept.
    let run = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let repo = format!("library/bench-{run}-{publisher}");
    connection.send("POST", "/api/v1/repos", token, &said(&json!({"kind": "model", "id": repo})), &[201]);
    let mut draw = Draw::new(publisher ^ run as u64);
    (0..PUBLISHES)
        .map(|number| {
            let bytes: Vec<u8> = (0..128).flat_map(|_| draw.any().to_le_bytes()).collect();
            let sha256 = Digest::of(&bytes).to_hex();
            let begun = Instant::now();
            connection.send("PUT", &format!("/api/v1/blobs/{sha256}"), token, &bytes, &[200]);
            let file = json!({"path": "weights.bin", "size_bytes": bytes.len(), "sha256": sha256});
            let parent = (number > 0).then_some(number);
            let commit = json!({"message": "measured", "parent": parent, "files": [file]});
            connection.send("POST", &format!("/api/v1/models/{repo}/commits"), token, &said(&commit), &[201]);
            begun.elapsed()
        })
        .collect()
}

fn said(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).unwrap()
}

fn worker_token(address: &str, token: &str) -> String {
    let run = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let body = said(&json!({"name": format!("bench-{run}")}));
    let (_, made) = Connection::open(address).send("POST", "/api/v1/admin/worker-tokens", token, &body, &[201]);
    serde_json::from_slice::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned()
}

/// Puts jobs in the queue that nobody will run.
fn queue(data: &Path, database: Option<&str>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = match database {
            Some(address) => Db::connect(address).await.unwrap(),
            None => Db::open(&data.join("hub.db")).await.unwrap(),
        };
        let put = |tx: &mut hub::db::Tx<'_>| {
            let owner = tx.one("select id from accounts order by id limit 1", &[])?.text("id")?;
            let owner = AccountId::parse(&owner).map_err(|e| Error::Engine(e.to_string()))?;
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as i64;
            (0..JOBS).try_for_each(|at| jobs::insert(tx, &job(owner.clone(), at, Timestamp::from_unix_ms(now))))
        };
        db.write(put).await.unwrap();
    });
}

fn job(owner: AccountId, at: u64, now: Timestamp) -> Job {
    let repo = |text: &str| RepoId::parse(text).unwrap();
    let work = FineTune {
        base: repo("library/base"),
        base_version: 1,
        dataset: repo("library/set"),
        dataset_version: 1,
        name: repo("library/out"),
        private: false,
        recipe: Recipe::default(),
        sweep: None,
        replays: None,
        chosen: None,
        trial: None,
    };
    let mut random = [9; 10];
    random[..8].copy_from_slice(&at.to_be_bytes());
    Job {
        id: JobId::new(now, random),
        owner,
        owner_name: String::new(),
        parent: None,
        waits: false,
        work: Work::FineTune(work),
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
    }
}

/// Claims jobs until there are none.
fn claim(addresses: &[String], secret: &str, worker: u64, left: &AtomicU64) -> Vec<Duration> {
    let mut connection = Connection::open(nth(addresses, worker));
    let mut times = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let body = said(&json!({"worker": format!("bench-{worker}.{}", times.len())}));
        let begun = Instant::now();
        let (status, _) = connection.send("POST", "/api/v1/worker/claims", secret, &body, &[200, 204]);
        if status == 204 {
            break;
        }
        times.push(begun.elapsed());
    }
    times
}

/// Public models, one after the other.
fn ask(addresses: &[String], many: u64, prefix: &str, client: u64, requests: u64) -> Vec<Duration> {
    let (mut connection, mut draw) = (Connection::open(nth(addresses, client)), Draw::new(client));
    (0..requests)
        .map(|_| {
            loop {
                let one = drawn(draw.below(many), many).repo;
                if one.kind == RepoKind::Model && !one.private {
                    break connection.get(&format!("{prefix}{}", one.id));
                }
            }
        })
        .collect()
}
