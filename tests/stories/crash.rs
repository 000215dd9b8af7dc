//! The server is killed at any moment and comes back: what was acknowledged is whole, nothing is half there, what
//! was cut can be repeated, and no garbage stays.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::crash_kit::check::{Again, everything_acknowledged_is_whole, nothing_is_left_over};
use crate::crash_kit::ledger::Ledger;
use crate::crash_kit::moment::Moment;
use crate::crash_kit::traffic::{Person, collect_on, read_on};
use crate::crash_kit::{random, seed_and_rounds};
use crate::support::Server;
use crate::support::training::{self, Gate};
use rand::RngExt as _;
use serde_json::json;

/// Rounds of `make test`; `make soak` sets many more.
const ROUNDS: u64 = 12;
/// Old versions read again in each round.
const READ_AGAIN: usize = 5;
const PUBLISHERS: u64 = 3;

/// How long restarts took; said, never demanded.
struct Restarts(Vec<Duration>);

impl Restarts {
    fn start(&mut self, data: &Path) -> Server {
        let begun = Instant::now();
        let server = Server::start_on(data, &["--workers", "0"], &[]);
        self.0.push(begun.elapsed());
        server
    }

    fn tell(mut self) {
        self.0.sort();
        let last = self.0.len() - 1;
        println!("{} restarts: median {:.2?}, longest {:.2?}", self.0.len(), self.0[last / 2], self.0[last]);
    }
}

fn repos_of(publisher: u64) -> Vec<String> {
    vec![format!("models/library/own{publisher}"), format!("datasets/library/own{publisher}"), "models/library/shared".into()]
}

/// One server life: traffic from all sides until the moment has come.
async fn live_and_die(server: Server, ledger: &Arc<Ledger>, seed: u64, round: u64) {
    let person = |number: u64| Person {
        api: server.admin(),
        ledger: ledger.clone(),
        repos: repos_of(number),
        random: random(seed, round * 100 + number),
    };
    let mut people: Vec<_> = (0..PUBLISHERS).map(|number| tokio::spawn(person(number).publish_on())).collect();
    people.push(tokio::spawn(read_on(server.admin(), ledger.clone(), random(seed, round * 100 + 50))));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (data, choice) = (server.data().to_owned(), random(seed, round * 100 + 51));
    let collector = tokio::spawn(async move { collect_on(&data, choice, stopped).await });

    let moment = Moment::draw(&mut random(seed, round * 100 + 52));
    let (data, watched) = (server.data().to_owned(), ledger.clone());
    tokio::task::spawn_blocking(move || moment.wait(&data, &watched)).await.unwrap();
    if random(seed, round * 100 + 53).random_bool(0.5) {
        let _ = stop.send(());
        collector.await.unwrap();
        server.kill();
    } else {
        // The collector outlives the server for a while.
        server.kill();
        let _ = stop.send(());
        collector.await.unwrap();
    }
    for person in people {
        person.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_server_keeps_its_word() {
    let (seed, rounds) = seed_and_rounds(ROUNDS);
    let data = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    for number in 0..PUBLISHERS {
        for repo in repos_of(number) {
            let (kind, id) = repo.split_once("s/").unwrap();
            let made = server.admin().post("/api/v1/repos", &json!({ "kind": kind, "id": id })).await;
            assert!([201, 409].contains(&made.status.as_u16()), "{}", made.text());
        }
    }
    server.stop();

    let mut restarts = Restarts(Vec::new());
    let mut choice = random(seed, u64::MAX);
    for round in 0..rounds {
        live_and_die(restarts.start(data.path()), &ledger, seed, round).await;
        let server = restarts.start(data.path());
        everything_acknowledged_is_whole(&server, &ledger, Again::Some(READ_AGAIN), &mut choice).await;
        let cut = std::mem::take(&mut ledger.notes().cut);
        let mut person = Person { api: server.admin(), ledger: ledger.clone(), repos: Vec::new(), random: random(seed, round * 100 + 99) };
        for (repo, files) in cut {
            person.publish(&repo, &files).await.expect("nobody killed the server");
        }
        ledger.notes().sending.clear();
        // All of it was sent again, some of it under another id.
        ledger.notes().received.clear();
        if round % 10 == 9 {
            nothing_is_left_over(&server, &ledger, 0).await;
        }
        server.kill();
    }
    let server = restarts.start(data.path());
    everything_acknowledged_is_whole(&server, &ledger, Again::All, &mut choice).await;
    nothing_is_left_over(&server, &ledger, 0).await;
    everything_acknowledged_is_whole(&server, &ledger, Again::All, &mut choice).await;
    let notes = ledger.notes();
    println!("{} versions acknowledged, {} of them deleted", notes.versions.len(), notes.deleted.len());
    drop(notes);
    restarts.tell();
}

/// Worker, server or both are killed around the end of a fine-tune: it is published once, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_end_is_cut_gives_one_result() {
    let (seed, rounds) = seed_and_rounds(ROUNDS);
    let mut choice = random(seed, u64::MAX - 1);
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    training::Person::admin(&server).publish_both("library/tiny", "library/colours", 4).await;
    let recipe = json!({ "epochs": 1, "batch_size": 8, "seed": 1, "threads": 1 });
    let mut killed = 0;
    for round in 0..rounds.div_ceil(6) {
        let name = format!("library/cut{round}");
        let admin = training::Person::admin(&server);
        let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })).await;
        let gate = Gate::after_epoch(&server, 1);
        let mut worker = Some(training::Worker::start(&server));
        admin.held(&id, 1).await;
        gate.open();
        tokio::time::sleep(Duration::from_micros(choice.random_range(0..150_000))).await;
        let victims = choice.random_range(0..3);
        if victims != 1 {
            killed += 1;
            worker.take().unwrap().kill();
        }
        if victims != 0 {
            drop(admin);
            server.kill();
            server = Server::start_on(data.path(), &["--workers", "0"], &[]);
        }
        let worker = worker.unwrap_or_else(|| training::Worker::start(&server));
        let admin = training::Person::admin(&server);
        let job = admin.end(&id).await;
        drop(worker);
        assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job:#}\n{}", admin.log(&id).await);
        let repo = format!("models/{name}");
        let ledger = Ledger::default();
        ledger.notes().cut.push((repo.clone(), Vec::new()));
        everything_acknowledged_is_whole(&server, &ledger, Again::All, &mut choice).await;
        let (_, versions) = admin.get(&format!("/{repo}/versions")).await;
        assert_eq!(versions["items"].as_array().unwrap().len(), 1, "{versions}");
    }
    nothing_is_left_over(&server, &Ledger::default(), killed).await;
}
