//! Several nodes: two hubs behind nginx on one PostgreSQL and one bucket, three workers that know only nginx's address and their token. Hubs and
//! workers are killed at random while people publish, pull and train: what was acknowledged is there, and each job has one result.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::jobs::long;
use crate::support::nginx::{Nginx, free_port};
use crate::support::postgres::{Cluster, name_of};
use crate::support::publishing::{announce, create_repo, file, publish, random, sha256};
use crate::support::s3::{BUCKET, S3, variables};
use crate::support::training::{Person, Random, Worker};
use crate::support::{Api, Reply, STUCK_AFTER, Server, until};
use reqwest::Method;
use serde_json::{Value, json};

/// Kills of `make test`; `make soak` sets many more.
const KILLS: u64 = 6;
const WORKERS: usize = 3;
/// Jobs that are to end at least.
const JOBS: usize = 3;
/// The longest that the story of kills may take, without them and for each.
const LONGEST: Duration = Duration::from_secs(600);
const LONGEST_A_KILL: Duration = Duration::from_secs(20);
/// Repos that are published in a hurry; beyond them people take their time, so that a long soak fills no disk.
const QUICK_REPOS: usize = 300;
const STORE: &str = "nodes";

/// A directory and an address that a hub has whenever it lives.
struct Node {
    data: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

struct Nodes {
    s3: Option<S3>,
    database: String,
    nodes: Vec<Node>,
}

impl Nodes {
    fn start(count: usize) -> Nodes {
        Nodes::start_on(Some(S3::start()), count)
    }

    /// Each with blobs of its own, for stories of the database alone.
    fn without_bucket(count: usize) -> Nodes {
        Nodes::start_on(None, count)
    }

    fn start_on(s3: Option<S3>, count: usize) -> Nodes {
        let database = Cluster::shared().database();
        let node = |_| Node { data: tempfile::tempdir().unwrap(), port: free_port(), server: None };
        let mut nodes = Nodes { s3, database, nodes: (0..count).map(node).collect() };
        (0..count).for_each(|at| nodes.begin(at));
        nodes
    }

    fn begin(&mut self, at: usize) {
        let server = self.start_with(&format!("127.0.0.1:{}", self.nodes[at].port), self.nodes[at].data.path(), &[]);
        self.nodes[at].server = Some(server);
    }

    fn start_with(&self, listen: &str, data: &Path, further: &[(&str, &str)]) -> Server {
        let (store, variables) = (format!("s3://{BUCKET}/{STORE}"), self.variables());
        let mut environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.push(("HUB_DB", &self.database));
        environment.extend(further);
        let mut args = vec!["--workers", "0"];
        if self.s3.is_some() {
            args.extend(["--store", &store]);
        }
        Server::start_at(listen, data, &args, &environment)
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.s3.as_ref().map(|s3| variables(s3.port)).unwrap_or_default()
    }

    fn kill(&mut self, at: usize) {
        drop(self.nodes[at].server.take().unwrap().kill());
        self.begin(at);
    }

    fn server(&self, at: usize) -> &Server {
        self.nodes[at].server.as_ref().unwrap()
    }

    fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    /// What uploads under way have in the bucket.
    fn pieces(&self) -> usize {
        let folder = self.s3.as_ref().unwrap().bucket().join(STORE).join("staging");
        walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file()).count()
    }
}

/// A part of an upload, in any order.
async fn part(api: &Api, upload: &str, whole: &[u8], run: std::ops::Range<usize>) -> Reply {
    let range = format!("bytes {}-{}/{}", run.start, run.end - 1, whole.len());
    let request = api.request(Method::PUT, &format!("/api/v1/uploads/{upload}")).header("Content-Range", range);
    Reply::of(request.body(whole[run].to_vec())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_begun_at_one_node_is_finished_at_another() {
    let mut nodes = Nodes::start(2);
    let ada = nodes.server(0).user("ada").await;
    let there = nodes.server(1).with_token(&ada.token);
    create_repo(&ada, "model", "ada/net").await;
    let bytes = random(7, 20_000_003);
    let announced = announce(&ada, &bytes).await;
    let id = announced["id"].as_str().unwrap();
    part(&ada, id, &bytes, 12_000_000..20_000_003).await.ok();
    assert!(nodes.pieces() > 0, "what came lies in the bucket");
    let seen = there.get(&format!("/api/v1/uploads/{id}")).await.ok();
    assert_eq!((&seen["offset"], &seen["received"]), (&json!(0), &json!([[12_000_000, 20_000_003]])), "the other node knows it");
    let second = part(&there, id, &bytes, 0..5_000_000).await.ok();
    assert_eq!((&second["offset"], &second["complete"]), (&json!(5_000_000), &json!(false)));
    // The node that has taken the first part is gone for good: its directory, too.
    drop(nodes.nodes[0].server.take().unwrap().kill());
    assert_eq!(announce(&there, &bytes).await["id"], id, "announced again it is the same");
    let done = part(&there, id, &bytes, 5_000_000..12_000_000).await.ok();
    assert_eq!(done["complete"], true, "{done}");
    assert_eq!(nodes.pieces(), 0, "and nothing of it is left there");
    publish(&there, "models/ada/net", None, &[("weights", &bytes)]).await.created();
    assert!(there.get("/api/v1/models/ada/net/versions/main/files/weights").await.bytes == bytes);

    // Whoever sends the wrong bytes begins again, also where another node has taken some of them.
    nodes.nodes[0].data = tempfile::tempdir().unwrap();
    nodes.begin(0);
    let here = nodes.server(0).with_token(&ada.token);
    let (right, mut wrong) = (random(8, 3_000_000), random(8, 3_000_000));
    wrong[17] ^= 1;
    let announced = announce(&here, &right).await;
    let id = announced["id"].as_str().unwrap();
    part(&here, id, &wrong, 0..1_000_000).await.ok();
    part(&there, id, &right, 1_000_000..3_000_000).await.problem(422, "digest_mismatch");
    assert_eq!(nodes.pieces(), 0);
    assert_ne!(announce(&here, &right).await["id"], id);
    publish(&here, "models/ada/net", Some(1), &[("weights", &right)]).await.created();

    // Both sign with one key.
    let (one, two) = (here.get("/api/v1/signing-keys").await.ok(), there.get("/api/v1/signing-keys").await.ok());
    assert_eq!(one, two);
    assert_eq!(one["keys"].as_array().unwrap().len(), 1, "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_job_is_heard_at_every_node() {
    let nodes = Nodes::without_bucket(2);
    let admin = Person::admin(nodes.server(0));
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let there = nodes.server(1).with_token(&nodes.server(0).admin_token);
    let mut quickest = STUCK_AFTER;
    for name in ["library/a", "library/b", "library/c"] {
        let id = admin.finetune(long(name, 1)).await;
        let mut stream = there.request(Method::GET, &format!("/api/v1/finetunes/{id}/events")).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let mut told = String::new();
        while !told.contains("queued") {
            told += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("it goes on as long as the job"));
        }
        // Past the first looks, before anybody listens.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        assert_eq!(admin.post(&format!("/jobs/{id}/cancel"), json!({})).await.0, 200);
        while !told.contains("cancelled") {
            told += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("its end is told"));
        }
        quickest = quickest.min(begun.elapsed());
        while stream.chunk().await.unwrap().is_some() {}
    }
    assert!(quickest < Duration::from_secs(3), "it was looked for, not heard: {quickest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_releases_work_beside_each_other_until_a_migration_forbids_it() {
    let nodes = Nodes::without_bucket(1);
    let cluster = Cluster::shared();
    let newer = |name: &str| {
        let sql = format!("insert into schema_migrations (name, position) select '{name}', count(*) from schema_migrations");
        cluster.ask(name_of(&nodes.database), &sql);
    };
    // What a newer release's migration would have left: a name this one does not know, tables and columns it does not miss.
    newer("9000_more");
    cluster.ask(
        name_of(&nodes.database),
        "create table more (id text primary key); alter table jobs add column more bigint not null default 0",
    );
    let data = tempfile::tempdir().unwrap();
    let beside = nodes.start_with("127.0.0.1:0", data.path(), &[]);
    assert!(beside.log().contains("9000_more"), "{}", beside.log());
    let ada = nodes.server(0).user("ada").await;
    create_repo(&beside.with_token(&ada.token), "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("a", b"bytes")]).await.created();
    assert_eq!(beside.anonymous().get("/readyz").await.status, 200);

    newer("9001_split-breaks");
    let not_ready = beside.anonymous().get("/readyz").await;
    not_ready.problem(503, "database_newer");
    assert_eq!(beside.stop(), Some(0));
    let refused = std::process::Command::new(crate::support::HUB)
        .args(["serve", "--listen", "127.0.0.1:0", "--workers", "0", "--data"])
        .arg(data.path())
        .env("HUB_DB", &nodes.database)
        .env("HUB_LIBRARY", "off")
        .envs(nodes.variables())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("9001_split-breaks") && said.contains("start that one"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_clocks_are_hours_apart_agree_on_leases_and_times() {
    let Some(library) = faketime() else {
        println!("faketime is not installed; this story was not told");
        return;
    };
    let nodes = Nodes::without_bucket(1);
    let (data, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ahead =
        [("LD_PRELOAD", library.as_str()), ("FAKETIME", "+2h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")];
    let ahead = nodes.start_with("127.0.0.1:0", data.path(), &ahead);
    assert!(ahead.log().contains("the database's clock"), "it knows that its clock is off:\n{}", ahead.log());
    let admin = Person::admin(nodes.server(0));
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let made = nodes.server(0).admin().post("/api/v1/admin/worker-tokens", &json!({ "name": "gpu7" })).await.created();
    let token = made["secret"].as_str().unwrap();
    let id = admin.finetune(long("library/net", 1)).await;
    let claim = |url: &str, name: &str| {
        let api = Api { url: url.to_owned(), ..nodes.server(0).with_token(token) };
        let body = json!({ "worker": name });
        async move { api.post("/api/v1/worker/claims", &body).await }
    };
    // A lease that the one node gives holds at the other, whose clock is beyond it.
    let taken = claim(&nodes.server(0).url, "a.0").await.ok();
    assert_eq!(taken["job"], json!(id));
    assert_eq!(claim(&ahead.url, "b.0").await.status, 204, "it is not taken for lapsed");
    let beat = |url: &str| {
        let api = Api { url: url.to_owned(), ..nodes.server(0).with_token(token) };
        let request = api.request(Method::POST, &format!("/api/v1/worker/jobs/{id}/beat")).header("Hub-Lease", "1 a.0");
        let news = json!({ "news": [{ "number": 1, "kind": "log", "body": { "level": "info", "message": "told at the other node" } }] });
        Reply::of(request.json(&news))
    };
    assert_eq!(beat(&ahead.url).await.ok()["say"], "go_on");
    assert_eq!(claim(&nodes.server(0).url, "b.0").await.status, 204, "nor is it made hours longer or shorter by the other's clock");
    let workers = nodes.server(0).admin().get("/api/v1/admin/workers").await.ok();
    let found = workers["items"].as_array().unwrap().iter().find(|one| one["job"] == json!(id)).unwrap_or_else(|| panic!("{workers}"));
    assert_eq!((&found["state"], &found["token"]), (&json!("working"), &json!("gpu7")), "{workers}");
    // Given back through the node that is ahead, it is finished at the other.
    let api = Api { url: ahead.url.clone(), ..nodes.server(0).with_token(token) };
    let end = api.request(Method::POST, &format!("/api/v1/worker/jobs/{id}/end")).header("Hub-Lease", "1 a.0");
    Reply::of(end.json(&json!({ "how": "released", "why": "" }))).await.done();
    let file = scratch.path().join("token");
    std::fs::write(&file, token).unwrap();
    let worker = Worker::at(&nodes.server(0).url, &file, &scratch.path().join("w"), &["--job", &id]);
    assert_eq!(worker.wait(), Some(0), "{}", admin.log(&id).await);
    let job = admin.job(&id).await;
    let (created, finished) = (job["created"].as_str().unwrap(), job["finished"].as_str().unwrap());
    assert!(finished > created && finished[..10] >= created[..10], "{job:#}");
    let events = admin.events(&id).await;
    let times: Vec<&str> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "one clock for all: {times:?}");
}

/// What shifts a program's clock, where it is installed.
fn faketime() -> Option<String> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime", "/usr/lib64/faketime"];
    folders
        .iter()
        .map(|folder| PathBuf::from(folder).join("libfaketimeMT.so.1"))
        .find(|path| path.is_file())
        .map(|path| path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow_is_said_to_be_busy_and_nothing_waits_for_ever() {
    let nodes = Nodes::without_bucket(1);
    let ada = nodes.server(0).user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("a", b"bytes")]).await.created();
    // Somebody holds the rows that a change needs, as a long transaction of another program would.
    let (cluster, database) = (Cluster::shared(), nodes.database.clone());
    let holding = std::thread::spawn(move || {
        cluster.ask(name_of(&database), "begin; lock table repos in access exclusive mode; select pg_sleep(22); commit")
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let refused = ada.post("/api/v1/repos", &json!({"kind": "model", "id": "ada/other"})).await;
    refused.problem(503, "busy");
    assert!(!refused.header("retry-after").is_empty());
    assert!(begun.elapsed() < Duration::from_secs(26), "it was not waited for to its end");
    assert_eq!(nodes.server(0).anonymous().get("/healthz").await.status, 200);
    holding.join().unwrap();
    until("it goes on by itself", async || ada.get("/api/v1/models/ada/net").await.status == 200).await;
    create_repo(&ada, "model", "ada/other").await;
}

/// Something a publisher was told is there.
struct Acknowledged {
    repo: String,
    sha256: String,
    seed: u64,
    length: usize,
}

/// People who ask through nginx, and ask again while nodes die.
#[derive(Clone)]
struct Through {
    api: Api,
    stop: Arc<AtomicBool>,
    kept: Arc<Mutex<Vec<Acknowledged>>>,
    /// Files that were pulled and proved.
    pulled: Arc<AtomicU64>,
    /// Requests that a node did not live to answer, and were made again.
    again: Arc<AtomicU64>,
    begun: Instant,
}

impl Through {
    /// Fails where it goes on for longer than it may.
    fn in_time(&self, what: &str) {
        let most = LONGEST + LONGEST_A_KILL * kills() as u32;
        assert!(self.begun.elapsed() < most, "{what}: the story takes longer than {} s", most.as_secs());
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The first answer of a node that lives and has its database.
    async fn ask(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Reply {
        let begun = Instant::now();
        loop {
            if let Ok(response) = request().send().await {
                let (status, headers) = (response.status(), response.headers().clone());
                if let (false, Ok(bytes)) = (matches!(status.as_u16(), 502..=504 | 499), response.bytes().await) {
                    return Reply { status, headers, bytes: bytes.to_vec() };
                }
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            assert!(begun.elapsed() < STUCK_AFTER, "nobody answers");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask(|| self.api.request(Method::POST, path).json(body)).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(|| self.api.request(Method::GET, path)).await
    }

    /// Sends a file in parts, each to whichever node nginx chooses.
    async fn send(&self, bytes: &[u8], part_bytes: usize) {
        let announced = json!({"sha256": sha256(bytes), "size_bytes": bytes.len()});
        'again: loop {
            self.in_time("an upload is begun again and again");
            let upload = self.post("/api/v1/uploads", &announced).await.created();
            if upload["complete"] == true {
                return;
            }
            let path = format!("/api/v1/uploads/{}", upload["id"].as_str().unwrap());
            for start in (0..bytes.len()).step_by(part_bytes) {
                let end = bytes.len().min(start + part_bytes);
                let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
                let sent = self
                    .ask(|| self.api.request(Method::PUT, &path).header("Content-Range", &range).body(bytes[start..end].to_vec()))
                    .await;
                match sent.status.as_u16() {
                    200 if sent.json()["complete"] == true => return,
                    200 => {}
                    // The node that had its last bytes died before it was done; what was acknowledged is asked for anew.
                    404 | 409 => continue 'again,
                    _ => panic!("{}: {}", sent.status, sent.text()),
                }
            }
        }
    }

    async fn publish_on(self, publisher: u64) {
        for round in 0.. {
            if self.is_over() {
                return;
            }
            let (seed, repo) = (publisher * 10_000 + round, format!("library/p{publisher}-{round}"));
            let length = 300_000 + (seed as usize * 7_919) % 2_000_000;
            let bytes = random(seed, length);
            let made = self.post("/api/v1/repos", &json!({"kind": "model", "id": repo})).await;
            // The answer to the same request may have been lost with its node.
            assert!(matches!(made.status.as_u16(), 201 | 409), "{}", made.text());
            self.send(&bytes, 700_000).await;
            let commit = json!({"message": "a story", "parent": null, "files": [file("weights.bin", &bytes)]});
            let committed = self.post(&format!("/api/v1/models/{repo}/commits"), &commit).await;
            assert!(matches!(committed.status.as_u16(), 201 | 409), "{}", committed.text());
            let many = {
                let mut kept = self.kept.lock().unwrap();
                kept.push(Acknowledged { repo, sha256: sha256(&bytes), seed, length });
                kept.len()
            };
            tokio::time::sleep(Duration::from_millis(if many < QUICK_REPOS { 20 } else { 1_000 })).await;
        }
    }

    async fn pull_on(self) {
        let mut choice = Random(5);
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let wanted = {
                let kept = self.kept.lock().unwrap();
                if kept.is_empty() {
                    None
                } else {
                    kept.get(choice.below(kept.len() as u64) as usize).map(|it| (it.repo.clone(), it.sha256.clone()))
                }
            };
            let Some((repo, wanted)) = wanted else { continue };
            let got = self.get(&format!("/api/v1/models/{repo}/versions/1/files/weights.bin")).await;
            assert_eq!((got.status.as_u16(), sha256(&got.bytes)), (200, wanted), "{repo}");
            self.pulled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn kills() -> u64 {
    std::env::var("HUB_NODE_KILLS").ok().map_or(KILLS, |text| text.parse().expect("HUB_NODE_KILLS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_workers_are_killed_at_random_and_nothing_is_lost() {
    let seed = std::env::var("HUB_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(18);
    println!("HUB_CRASH_SEED={seed} HUB_NODE_KILLS={}", kills());
    let mut nodes = Nodes::start(2);
    let token = nodes.server(0).admin_token.clone();
    Person::admin(nodes.server(0)).publish_both("library/tiny", "library/colours", 12).await;
    let made = nodes.server(0).admin().post("/api/v1/admin/worker-tokens", &json!({ "name": "cluster" })).await.created();
    let scratch = tempfile::tempdir().unwrap();
    let token_file = scratch.path().join("token");
    std::fs::write(&token_file, made["secret"].as_str().unwrap()).unwrap();
    let front = free_port();
    let _nginx = Nginx::balance(front, &nodes.ports());
    let url = format!("http://127.0.0.1:{front}");
    let worker = |at: usize| Worker::at(&url, &token_file, &scratch.path().join(format!("worker{at}")), &[]);
    let mut workers: Vec<Worker> = (0..WORKERS).map(worker).collect();
    let api = Api { url: url.clone(), ..nodes.server(0).with_token(&token) };
    let (stop, kept, pulled, again) = Default::default();
    let people = Through { api, stop, kept, pulled, again, begun: Instant::now() };
    let mut tasks: Vec<_> = (0..2).map(|publisher| tokio::spawn(people.clone().publish_on(publisher))).collect();
    tasks.push(tokio::spawn(people.clone().pull_on()));

    let (mut jobs, mut choice) = (Vec::new(), Random(seed));
    let mut killed = [0u32; 2 + WORKERS];
    for kill in 0..kills() {
        people.in_time(&format!("kill {kill}"));
        // As many wait or run as there are workers.
        if jobs.len() < JOBS || kill % 4 == 0 {
            let next = queue(&people, jobs.len()).await;
            jobs.push(next);
        }
        tokio::time::sleep(Duration::from_millis(500 + choice.below(2_500))).await;
        let victim = choice.below(2 + WORKERS as u64) as usize;
        killed[victim] += 1;
        match victim {
            node @ (0 | 1) => nodes.kill(node),
            other => {
                let at = other - 2;
                let fresh = worker(at);
                std::mem::replace(&mut workers[at], fresh).kill();
            }
        }
    }
    let killing = people.begun.elapsed();
    while jobs.len() < JOBS {
        let next = queue(&people, jobs.len()).await;
        jobs.push(next);
    }
    let ended = all_ended(&people, &jobs).await;
    people.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    drop(workers);
    each_job_has_one_result(&people, &ended).await;
    let kept = std::mem::take(&mut *people.kept.lock().unwrap());
    what_was_acknowledged_is_there(&nodes, &kept).await;
    println!("{}", summary(&people, (&killed, killing), &kept, &ended));
}

/// What was killed, and what was done meanwhile.
fn summary(people: &Through, (killed, killing): (&[u32], Duration), kept: &[Acknowledged], ended: &[(String, Value)]) -> String {
    let (nodes, workers) = killed.split_at(2);
    let bytes: usize = kept.iter().map(|it| it.length).sum();
    let count = |state: &str| ended.iter().filter(|(_, job)| job["state"] == state).count();
    let attempts: u64 = ended.iter().filter_map(|(_, job)| job["attempt"].as_u64()).sum();
    let (pulled, again) = (people.pulled.load(Ordering::Relaxed), people.again.load(Ordering::Relaxed));
    format!(
        "soak of nodes: killed nodes {nodes:?} and workers {workers:?} times, {} in all, in {:.0} s; meanwhile {} publishes ({} MB), {pulled} pulls, {} jobs: \
         {} succeeded with the same weights, {} given up, in {attempts} attempts; {again} requests were made again; nothing acknowledged was lost; {:.0} s in all",
        killed.iter().sum::<u32>(),
        killing.as_secs_f64(),
        kept.len(),
        bytes / 1_000_000,
        ended.len(),
        count("succeeded"),
        count("failed"),
        people.begun.elapsed().as_secs_f64(),
    )
}

/// Asks for one fine-tune, once: where the answer was lost with its node, it is looked for before it is asked for again.
async fn queue(people: &Through, number: usize) -> (String, String) {
    let name = format!("library/job-{number}");
    let mut body = long(&name, 2);
    body["recipe"]["publish_anyway"] = json!(true);
    let begun = Instant::now();
    loop {
        if let Ok(response) = people.api.request(Method::POST, "/api/v1/finetunes").json(&body).send().await
            && response.status() == 201
            && let Ok(job) = response.json::<Value>().await
        {
            return (name, job["id"].as_str().unwrap().to_owned());
        }
        // What the dead node had begun to commit is there by then, or never.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let list = people.get("/api/v1/finetunes?limit=100").await.ok();
        let known = list["items"].as_array().unwrap().iter().find(|job| job.to_string().contains(&format!("\"{name}\"")));
        if let Some(job) = known {
            return (name, job["id"].as_str().unwrap().to_owned());
        }
        assert!(begun.elapsed() < STUCK_AFTER, "no job can be queued");
    }
}

async fn all_ended(people: &Through, jobs: &[(String, String)]) -> Vec<(String, Value)> {
    let mut ended = Vec::new();
    for (name, id) in jobs {
        let (mut last, mut since) = (Value::Null, Instant::now());
        let job = loop {
            let job = people.get(&format!("/api/v1/finetunes/{id}")).await.ok();
            if !job["finished"].is_null() {
                break job;
            }
            if job != last {
                (last, since) = (job, Instant::now());
            }
            assert!(since.elapsed() < STUCK_AFTER, "the job stands still: {last:#}");
            people.in_time("a job goes on and on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        ended.push((name.clone(), job));
    }
    ended
}

/// One that was killed again and again may have been given up; then it has no result, and says so.
async fn each_job_has_one_result(people: &Through, ended: &[(String, Value)]) {
    let mut failed = 0;
    let mut weights = std::collections::BTreeSet::new();
    for (name, job) in ended {
        let versions = people.get(&format!("/api/v1/models/{name}/versions")).await;
        let count = if versions.status == 200 { versions.json()["items"].as_array().unwrap().len() } else { 0 };
        match job["state"].as_str().unwrap() {
            "succeeded" => {
                assert_eq!((count, &job["result_version"]), (1, &json!(1)), "{job:#}");
                let manifest = people.get(&format!("/api/v1/models/{name}/versions/1/manifest")).await.ok();
                let found = manifest["files"].as_array().unwrap().iter().find(|file| file["path"] == "model.safetensors").unwrap().clone();
                weights.insert(found["sha256"].as_str().unwrap().to_owned());
            }
            _ => {
                failed += 1;
                assert_eq!(count, 0, "{job:#}");
                assert!(job["attempt"].as_u64() >= Some(3), "it was not given up lightly: {job:#}");
            }
        }
    }
    assert!(failed * 4 <= ended.len(), "{failed} of {} jobs were given up", ended.len());
    assert_eq!(weights.len(), 1, "whatever was killed when, the same recipe gives the same weights: {weights:?}");
}

async fn what_was_acknowledged_is_there(nodes: &Nodes, kept: &[Acknowledged]) {
    assert!(!kept.is_empty(), "nobody has published anything");
    for at in 0..nodes.nodes.len() {
        let api = nodes.server(at).anonymous();
        for it in kept {
            let path = format!("/api/v1/models/{}/versions", it.repo);
            let (versions, got) = tokio::join!(api.get(&path), async { api.get(&format!("{path}/1/files/weights.bin")).await });
            assert_eq!(versions.ok()["items"].as_array().unwrap().len(), 1, "{}: one commit", it.repo);
            assert!(got.bytes == random(it.seed, it.length), "{} at node {at}", it.repo);
        }
    }
    let mut fsck = nodes.server(0).hub(nodes.nodes[0].data.path());
    fsck.env("HUB_DB", &nodes.database).envs(nodes.variables());
    let checked = fsck.args(["admin", "fsck", "--data"]).arg(nodes.nodes[0].data.path()).output().unwrap();
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
}
