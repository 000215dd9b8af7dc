//! Workers without a database and without a data directory: they claim, report and publish over HTTP with a token that is good for nothing
//! else.

use std::path::{Path, PathBuf};

use crate::jobs::{long, weights_of};
use crate::support::training::{Gate, Person, Worker, base_files, pictures_zip};
use crate::support::{Api, Server, until};
use serde_json::{Value, json};

/// A hub with a base and a data set, a worker's token in a file, and a place for workers.
struct House {
    server: Server,
    token: String,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let server = Server::start();
        Person::admin(&server).publish_both("library/tiny", "library/colours", 12).await;
        let made = server.admin().post("/api/v1/admin/worker-tokens", &json!({ "name": "gpu7" })).await.created();
        let (token, folder) = (made["secret"].as_str().unwrap().to_owned(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("token"), format!("{token}\n")).unwrap();
        House { server, token, folder }
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn worker(&self, place: &str, args: &[&str]) -> Worker {
        Worker::elsewhere(&self.server, &self.token_file(), &self.place(place), args)
    }

    /// The way in of whoever has the worker's token.
    fn as_worker(&self) -> Api {
        self.server.with_token(&self.token)
    }

    async fn claim(&self, name: &str) -> Value {
        self.as_worker().post("/api/v1/worker/claims", &json!({ "worker": name })).await.ok()
    }
}

/// A request about a job by whoever says that they hold it.
async fn about(api: &Api, job: &Value, lease: &str, path: &str, body: &Value) -> crate::support::Reply {
    let path = format!("/api/v1/worker/jobs/{}/{path}", job.as_str().unwrap());
    let request = api.request(reqwest::Method::POST, &path).header("Hub-Lease", lease).json(body);
    crate::support::Reply::of(request).await
}

async fn read(api: &Api, job: &Value, lease: &str, path: &str) -> crate::support::Reply {
    let path = format!("/api/v1/worker/jobs/{}/{path}", job.as_str().unwrap());
    crate::support::Reply::of(api.request(reqwest::Method::GET, &path).header("Hub-Lease", lease)).await
}

fn holds_no_data(folder: &Path) {
    let found = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).map(|entry| entry.into_path());
    let odd: Vec<_> = found.filter(|path| path.extension().is_some_and(|end| ["db", "db-wal"].iter().any(|db| end == *db))).collect();
    assert!(odd.is_empty(), "a worker elsewhere needs no database: {odd:?}");
}

#[tokio::test]
async fn elsewhere_a_job_gives_the_same_weights_and_reads_what_its_owner_may() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    let ada = admin.invite("ada").await;
    // Nobody but ada may read the data set; the worker reads it for her.
    ada.publish("dataset", "ada/secret", true, vec![("data.zip", pictures_zip(3, 12))]).await;
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 2, "batch_size": 6, "seed": 5, "threads": 1 });
    let ask = |name: &str| json!({ "base": "tiny", "dataset": "ada/secret", "name": name, "private": true, "recipe": recipe });
    let here = ada.finetune(ask("ada/here")).await;
    let beside = Worker::start(&house.server);
    assert_eq!(ada.end(&here).await["state"], "succeeded", "{}", ada.log(&here).await);
    drop(beside);

    let id = ada.finetune(ask("ada/elsewhere")).await;
    assert_eq!(house.worker("one", &["--once"]).wait(), Some(0), "{}", ada.log(&id).await);
    let job = ada.job(&id).await;
    assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job:#}");
    assert_eq!(weights_of(&ada, "ada/elsewhere").await, weights_of(&ada, "ada/here").await);
    let events = ada.events(&id).await;
    assert_eq!(events.iter().filter(|event| event["kind"] == "epoch").count(), 2, "{events:?}");
    let (_, files) = ada.get(&format!("/jobs/{id}/files")).await;
    let names: Vec<&str> = files["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"report.json") && names.contains(&"predictions.csv"), "{names:?}");
    assert_eq!(ada.server.anonymous().get("/api/v1/models/ada/elsewhere").await.status, 404, "it is private, as was asked");
    holds_no_data(&house.place("one"));
}

#[tokio::test]
async fn killed_elsewhere_a_job_is_finished_by_another_with_the_same_weights() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    let quiet = admin.finetune(long("library/quiet", 6)).await;
    assert_eq!(house.worker("quiet", &["--job", &quiet]).wait(), Some(0), "{}", admin.log(&quiet).await);

    let id = admin.finetune(long("library/shaken", 6)).await;
    let gate = Gate::in_folder(&house.place("shaken"), 2);
    let first = house.worker("shaken", &[]);
    admin.held(&id, 1).await;
    first.kill();
    gate.open();
    // It finds the dead one's lock in the same folder, and says so; nobody waits for the lease to run out.
    let second = house.worker("shaken", &[]);
    let job = admin.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", admin.log(&id).await);
    assert_eq!(job["attempt"], 2);
    assert_eq!(weights_of(&admin, "library/shaken").await, weights_of(&admin, "library/quiet").await);
    drop(second);
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_gives_the_job_back_with_its_checkpoint() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    let id = admin.finetune(long("library/stopped", 6)).await;
    let gate = Gate::in_folder(&house.place("one"), 3);
    let worker = house.worker("one", &["--job", &id]);
    admin.held(&id, 1).await;
    worker.signal(libc::SIGTERM);
    assert_eq!(worker.wait(), Some(75), "given back: whoever started it starts it again");
    let job = admin.job(&id).await;
    assert_eq!((&job["state"], &job["error"]), (&json!("queued"), &Value::Null), "{job:#}");
    gate.open();
    // On another machine: it has nothing of the first one's folder.
    assert_eq!(house.worker("two", &["--job", &id]).wait(), Some(0), "{}", admin.log(&id).await);
    let epochs: Vec<u64> = admin.events(&id).await.iter().filter_map(|event| event["body"]["epoch"].as_u64()).collect();
    assert!(epochs.iter().filter(|epoch| **epoch == 1).count() == 1, "it went on from the checkpoint: {epochs:?}");
    let quiet = admin.finetune(long("library/quiet", 6)).await;
    assert_eq!(house.worker("two", &["--job", &quiet]).wait(), Some(0));
    assert_eq!(weights_of(&admin, "library/stopped").await, weights_of(&admin, "library/quiet").await);
}

#[tokio::test]
async fn the_exit_status_says_how_it_went() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    assert_eq!(house.worker("one", &["--once"]).wait(), Some(0), "nothing to do is well");
    let none = "0".repeat(26);
    assert_eq!(house.worker("one", &["--job", &none]).wait(), Some(3), "there is no such job");
    let cancelled = admin.finetune(long("library/cancelled", 2)).await;
    let (status, _) = admin.post(&format!("/jobs/{cancelled}/cancel"), json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(house.worker("one", &["--job", &cancelled]).wait(), Some(1));
    let (first, second) = (admin.finetune(long("library/first", 1)).await, admin.finetune(long("library/second", 1)).await);
    assert_eq!(house.worker("one", &["--job", &second]).wait(), Some(0), "{}", admin.log(&second).await);
    assert_eq!(admin.job(&first).await["state"], "queued", "only the one that was asked for");
    assert_eq!(house.worker("one", &["--job", &second]).wait(), Some(0), "it has ended well; asked again it is told so");
    assert_eq!(house.worker("one", &["--once"]).wait(), Some(0));
    assert_eq!(admin.job(&first).await["state"], "succeeded");

    let doomed = admin.finetune(long("library/doomed", 1)).await;
    let revoked = house.server.admin().delete("/api/v1/admin/worker-tokens/gpu7").await;
    revoked.done();
    assert_eq!(house.worker("one", &["--once"]).wait(), Some(4), "a token that was revoked");
    assert_eq!(admin.job(&doomed).await["state"], "queued");
}

#[tokio::test]
async fn workers_are_listed_while_they_wait_and_while_they_work() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    let gate = Gate::in_folder(&house.place("one"), 1);
    let (beside, elsewhere) = (Worker::start(&house.server), house.worker("one", &[]));
    let list = async || house.server.admin().get("/api/v1/admin/workers").await.ok()["items"].as_array().unwrap().clone();
    until("both are listed", async || list().await.len() == 2).await;
    let found = list().await;
    let tokens: Vec<&Value> = found.iter().map(|one| &one["token"]).collect();
    assert!(tokens.contains(&&json!("gpu7")) && tokens.contains(&&Value::Null), "{found:?}");
    assert!(
        found.iter().all(|one| one["state"] == "idle" && one["cpus"].as_u64() > Some(0) && one["release"] == env!("CARGO_PKG_VERSION"))
    );

    beside.signal(libc::SIGTERM);
    assert_eq!(beside.wait(), Some(0));
    until("who has left is not listed any more", async || list().await.len() == 1).await;
    let id = admin.finetune(long("library/net", 6)).await;
    admin.held(&id, 1).await;
    until("it is seen at work", async || list().await[0]["state"] == "working").await;
    assert_eq!(list().await[0]["job"], json!(id));
    let home = tempfile::tempdir().unwrap();
    let mut told = house.server.hub(home.path());
    let told = told.envs(house.server.database()).args(["admin", "workers", "--data"]).arg(house.server.data()).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("gpu7") && text.contains(&id), "{text}{}", String::from_utf8_lossy(&told.stderr));
    let ada = house.server.user("ada").await;
    assert_eq!(ada.get("/api/v1/admin/workers").await.status, 403);
    gate.open();
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}", admin.log(&id).await);
    until("it waits again", async || list().await[0]["state"] == "idle").await;
    drop(elsewhere);
}

#[tokio::test]
async fn a_workers_token_is_good_for_nothing_else() {
    let house = House::new().await;
    let (worker, admin) = (house.as_worker(), house.server.admin());
    for path in ["/api/v1/whoami", "/api/v1/jobs", "/api/v1/models", "/api/v1/models/library/tiny", "/api/v1/admin/worker-tokens"] {
        worker.get(path).await.problem(403, "worker_token");
    }
    let whoami = worker.get("/api/whoami-v2").await;
    assert_eq!(whoami.status, 403, "{}", whoami.text());
    worker.post("/api/v1/finetunes", &long("library/x", 1)).await.problem(403, "worker_token");
    worker.post("/api/v1/blobs/missing", &json!({ "sha256": [] })).await.problem(403, "worker_token");

    // Nobody else is a worker.
    let claim = json!({ "worker": "w" });
    admin.post("/api/v1/worker/claims", &claim).await.problem(403, "not_a_worker_token");
    house.server.anonymous().post("/api/v1/worker/claims", &claim).await.problem(401, "login_required");
    let ada = house.server.user("ada").await;
    ada.post("/api/v1/admin/worker-tokens", &json!({ "name": "mine" })).await.problem(403, "site_admin_only");
    worker.post("/api/v1/worker/claims", &json!({ "worker": "../x" })).await.problem(422, "bad_worker_name");
    worker.post("/api/v1/worker/claims", &json!({ "worker": "" })).await.problem(422, "bad_worker_name");

    // What it does not hold it does not see.
    let id = Person::admin(&house.server).finetune(long("library/held", 1)).await;
    let job = json!(id);
    for lease in ["1 w.0", "0 w.0", "9223372036854775807 w"] {
        read(&worker, &job, lease, "materials").await.problem(409, "lease_lost");
        read(&worker, &job, lease, "inputs/base/files/model.safetensors").await.problem(409, "lease_lost");
        about(&worker, &job, lease, "uploads", &json!({ "sha256": "ab".repeat(32), "size_bytes": 1 })).await.problem(409, "lease_lost");
    }
    for lease in ["", "w", "-1 w", "x y", "18446744073709551615 w"] {
        read(&worker, &job, lease, "materials").await.problem(400, "bad_lease");
    }
    let held = house.claim("w.0").await;
    assert_eq!(held["job"], job);
    let lease = format!("{} w.0", held["lease"]);
    let other = house.server.admin().post("/api/v1/admin/worker-tokens", &json!({ "name": "other" })).await.created();
    let thief = house.server.with_token(other["secret"].as_str().unwrap());
    read(&thief, &job, &lease, "materials").await.problem(409, "lease_lost");
    let materials = read(&worker, &job, &lease, "materials").await.ok();
    assert_eq!(materials["inputs"][0]["role"], "base", "{materials}");
    let weights = read(&worker, &job, &lease, "inputs/base/files/model.safetensors").await;
    assert_eq!((weights.status.as_u16(), weights.bytes.len()), (200, base_files()[2].1.len()));
    for path in ["inputs/base/files/none.bin", "inputs/other/files/model.safetensors", "given/x", "checkpoint"] {
        assert_eq!(read(&worker, &job, &lease, path).await.status, 404, "{path}");
    }
    for path in ["inputs/base/files/..%2F..%2Fhub.db", "given/..%2Fx"] {
        assert_eq!(read(&worker, &job, &lease, path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_lease_that_was_lost_changes_nothing_and_what_is_said_twice_is_heard_once() {
    let house = House::new().await;
    let (worker, admin) = (house.as_worker(), Person::admin(&house.server));
    let id = admin.finetune(long("library/lost", 1)).await;
    let job = json!(id);
    let held = house.claim("w.0").await;
    assert_eq!((&house.claim("w.0").await, &held["attempt"]), (&held, &json!(1)), "the answer was lost, and the claim is made again");
    let lease = format!("{} w.0", held["lease"]);
    let news = |numbers: &[u64]| {
        let line =
            |number: &u64| json!({ "number": number, "kind": "log", "body": { "level": "info", "message": format!("line {number}") } });
        json!({ "news": numbers.iter().map(line).collect::<Vec<_>>() })
    };
    for numbers in [&[1, 2][..], &[1, 2, 3], &[3], &[2, 5]] {
        let heard = about(&worker, &job, &lease, "beat", &news(numbers)).await.ok();
        assert_eq!(heard["say"], "go_on");
    }
    let log = admin.log(&id).await;
    for number in [1, 2, 3, 5] {
        assert_eq!(log.matches(&format!("line {number}")).count(), 1, "{log}");
    }
    // What is no worker's to say is left out; what is no news is refused.
    let lies = json!({ "news": [
        { "number": 6, "kind": "state", "body": { "state": "succeeded" } },
        { "number": 7, "kind": "result", "body": { "name": "a/b", "version": 1, "metrics": {} } },
        { "number": 8, "kind": "log", "body": { "level": "info", "message": "x".repeat(9_000) } },
    ] });
    about(&worker, &job, &lease, "beat", &lies).await.ok();
    assert_eq!(admin.job(&id).await["state"], "running");
    let longest = admin.events(&id).await.iter().filter_map(|event| event["body"]["message"].as_str().map(str::len)).max();
    assert_eq!(longest, Some(4_000));
    about(&worker, &job, &lease, "beat", &news(&(0..1_001).collect::<Vec<_>>())).await.problem(413, "too_much_news");

    // A result of files that were never sent, and one that is none.
    let file = json!({ "path": "model.safetensors", "size_bytes": 3, "sha256": "cd".repeat(32) });
    let result = json!({ "published": [file], "headline": {} });
    about(&worker, &job, &lease, "result", &result).await.problem(422, "not_sent");
    about(&worker, &job, &lease, "result", &json!({ "headline": [] })).await.problem(422, "odd_result");
    about(
        &worker,
        &job,
        &lease,
        "result",
        &json!({ "kept": [{ "path": "a b", "size_bytes": 1, "sha256": "cd".repeat(32) }], "headline": {} }),
    )
    .await
    .problem(422, "odd_result");

    let cancelled = admin.finetune(long("library/unwanted", 1)).await;
    let other = house.claim("v.0").await;
    assert_eq!(other["job"], json!(cancelled));
    admin.post(&format!("/jobs/{cancelled}/cancel"), json!({})).await;
    let (theirs, v) = (json!(cancelled), format!("{} v.0", other["lease"]));
    assert_eq!(about(&worker, &theirs, &v, "beat", &news(&[])).await.ok()["say"], "cancel");
    about(&worker, &theirs, &v, "end", &json!({ "how": "cancelled" })).await.done();
    about(&worker, &theirs, &v, "end", &json!({ "how": "cancelled" })).await.done();
    assert_eq!(admin.job(&cancelled).await["state"], "cancelled");

    // Its worker is said to be dead; from now on it says nothing any more.
    worker.post("/api/v1/worker/deaths", &json!({ "worker": "w", "signal": 9 })).await.done();
    assert_eq!(admin.job(&id).await["state"], "queued");
    about(&worker, &job, &lease, "beat", &news(&[9])).await.problem(409, "lease_lost");
    about(&worker, &job, &lease, "result", &json!({ "headline": {} })).await.problem(409, "lease_lost");
    about(&worker, &job, &lease, "end", &json!({ "how": "failed", "why": "mine" })).await.problem(409, "lease_lost");
    let path = format!("/api/v1/worker/jobs/{id}/checkpoint?sha256={}", "ab".repeat(32));
    let kept = worker.request(reqwest::Method::PUT, &path).header("Hub-Lease", &lease).body("x");
    crate::support::Reply::of(kept).await.problem(409, "lease_lost");
    assert!(!admin.log(&id).await.contains("line 9"));
}

#[tokio::test]
async fn worker_tokens_are_an_administrators() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let made = crate::support::hub(home.path())
        .args(["admin", "worker-token", "create", "cluster", "--quiet", "--data"])
        .arg(server.data())
        .assert()
        .success();
    let secret = String::from_utf8(made.get_output().stdout.clone()).unwrap().trim().to_owned();
    server.with_token(&secret).get("/api/v1/whoami").await.problem(403, "worker_token");
    let admin = server.admin();
    admin.post("/api/v1/admin/worker-tokens", &json!({ "name": "cluster" })).await.problem(409, "name_taken");
    let listed = admin.get("/api/v1/admin/worker-tokens").await.ok();
    assert_eq!(listed["items"][0]["name"], "cluster");
    assert!(!listed.to_string().contains(&secret));
    let none = server.with_token(&secret).post("/api/v1/worker/claims", &json!({ "worker": "w" })).await;
    none.done();
    crate::support::hub(home.path()).args(["admin", "worker-token", "revoke", "cluster", "--data"]).arg(server.data()).assert().success();
    server.with_token(&secret).post("/api/v1/worker/claims", &json!({ "worker": "w" })).await.problem(401, "bad_token");
    admin.delete("/api/v1/admin/worker-tokens/cluster").await.problem(404, "token_not_found");
}
