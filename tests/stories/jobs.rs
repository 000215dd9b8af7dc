//! What happens to jobs when workers die, are stopped or are two: every job ends in exactly one way.

use std::time::Duration;

use crate::support::training::{self, Gate, Person, Random, Worker};
use crate::support::{Server, until};
use serde_json::{Value, json};

/// A server without workers of its own, and a person with a base and a data set.
async fn hub() -> Server {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    server
}

/// A fine-tune with something to lose: much of the backbone learns, and epochs leave checkpoints.
pub fn long(name: &str, epochs: u32) -> Value {
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": epochs, "batch_size": 6, "seed": 5, "threads": 1 });
    json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })
}

/// The sha256 of the published weights, if exactly one version was published.
pub async fn weights_of(person: &Person<'_>, name: &str) -> String {
    let (_, versions) = person.get(&format!("/models/{name}/versions")).await;
    assert_eq!(versions["items"].as_array().unwrap().len(), 1, "{versions}");
    let (_, manifest) = person.get(&format!("/models/{name}/versions/1/manifest")).await;
    let files = manifest["files"].as_array().unwrap();
    files.iter().find(|f| f["path"] == "model.safetensors").unwrap()["sha256"].as_str().unwrap().to_owned()
}

async fn epochs_seen(person: &Person<'_>, id: &str) -> usize {
    person.events(id).await.iter().filter(|event| event["kind"] == "epoch").count()
}

async fn pause(random: &mut Random, ms: u64) {
    tokio::time::sleep(Duration::from_millis(random.below(ms))).await;
}

#[tokio::test]
async fn killed_at_any_moment_a_job_gives_one_result_and_the_same_weights() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let quiet = admin.finetune(long("library/quiet", 8)).await;
    let worker = Worker::start(&server);
    assert_eq!(admin.end(&quiet).await["state"], "succeeded", "{}", admin.log(&quiet).await);
    drop(worker);
    assert_eq!(epochs_seen(&admin, &quiet).await, 8);

    let mut random = Random(11);
    let gate = Gate::after_epoch(&server, 0);
    let id = admin.finetune(long("library/shaken", 8)).await;
    for epochs in [0, 2, 5] {
        gate.move_after(epochs);
        let before = admin.holds(&id).await;
        let worker = Worker::start(&server);
        admin.held(&id, before + 1).await;
        // From here it runs on to any moment before its last epoch.
        gate.move_after(7);
        pause(&mut random, 250).await;
        worker.kill();
    }
    gate.open();
    let worker = Worker::start(&server);
    let job = admin.end(&id).await;
    drop(worker);
    let log = admin.log(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{log}");
    assert_eq!(job["attempt"], 4, "{job:#}\n{log}");
    assert!(log.contains("the worker stopped answering") && log.contains("resumed after epoch"), "{log}");
    assert_eq!(job["result_version"], 1);
    assert_eq!(weights_of(&admin, "library/shaken").await, weights_of(&admin, "library/quiet").await, "{log}");
}

/// What is taught by pairs is three runs in one job, and none of them may be lost or made twice in another way.
#[tokio::test]
async fn killed_at_any_moment_a_job_of_pairs_gives_the_same_weights() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let ask = |name: &str| {
        let recipe = json!({ "strategy": "contrast", "shots": 6, "epochs": 2, "batch_size": 6, "seed": 5, "threads": 1 });
        json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })
    };
    let begun = std::time::Instant::now();
    let quiet = admin.finetune(ask("library/quiet-pairs")).await;
    let worker = Worker::start(&server);
    assert_eq!(admin.end(&quiet).await["state"], "succeeded", "{}", admin.log(&quiet).await);
    drop(worker);
    let took = begun.elapsed().as_millis() as u64;

    let mut random = Random(29);
    let id = admin.finetune(ask("library/shaken-pairs")).await;
    for round in 0..2 {
        let worker = Worker::start(&server);
        admin.wait(&id, "taken up", |job| job["attempt"].as_u64() > Some(round) || !job["finished"].is_null()).await;
        // Anywhere in the first half of what is left.
        pause(&mut random, took / (2 + round)).await;
        worker.kill();
    }
    let worker = Worker::start(&server);
    let job = admin.end(&id).await;
    drop(worker);
    assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job:#}\n{}", admin.log(&id).await);
    assert_eq!(
        weights_of(&admin, "library/shaken-pairs").await,
        weights_of(&admin, "library/quiet-pairs").await,
        "{}",
        admin.log(&id).await
    );
}

#[tokio::test]
async fn killed_while_publishing_a_job_still_gives_one_result() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let mut random = Random(23);
    for round in 0..3 {
        let name = format!("library/hasty{round}");
        let recipe = json!({ "strategy": "head", "head_solver": "sgd", "epochs": 2, "batch_size": 8, "seed": 1, "threads": 1 });
        let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })).await;
        let gate = Gate::after_epoch(&server, 2);
        let worker = Worker::start(&server);
        admin.held(&id, 1).await;
        gate.open();
        pause(&mut random, 60).await;
        worker.kill();
        let worker = Worker::start(&server);
        let job = admin.end(&id).await;
        drop(worker);
        assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job:#}");
        weights_of(&admin, &name).await;
    }
}

#[tokio::test]
async fn a_running_job_is_cancelled_between_two_steps_and_publishes_nothing() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let _gate = Gate::after_epoch(&server, 1);
    let _worker = Worker::start(&server);
    let id = admin.finetune(long("library/unwanted", 1_000)).await;
    admin.held(&id, 1).await;
    let (status, job) = admin.post(&format!("/finetunes/{id}/cancel"), json!({})).await;
    assert_eq!((status, &job["cancel_requested"]), (200, &json!(true)));
    let job = admin.end(&id).await;
    assert_eq!((&job["state"], &job["error"]), (&json!("cancelled"), &Value::Null), "{job:#}");
    assert_eq!(admin.get("/models/library/unwanted").await.0, 404);
    let last = admin.events(&id).await.pop().unwrap();
    assert_eq!((&last["kind"], &last["body"]["state"]), (&json!("state"), &json!("cancelled")));
}

#[tokio::test]
async fn two_workers_share_the_queue_and_never_a_job() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let mut jobs = Vec::new();
    for n in 0..4 {
        jobs.push(admin.finetune(long(&format!("library/shared{n}"), 2)).await);
    }
    let gate = Gate::after_epoch(&server, 1);
    let _workers = [Worker::start(&server), Worker::start(&server)];
    let held = async || {
        let mut held = Vec::new();
        for id in &jobs {
            held.push(admin.holds(id).await);
        }
        held.sort();
        held
    };
    until("each worker has a job at the gate", async || held().await == [0, 0, 1, 1]).await;
    gate.open();
    for (n, id) in jobs.iter().enumerate() {
        let job = admin.end(id).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job:#}");
        weights_of(&admin, &format!("library/shared{n}")).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_gives_its_job_back() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let gate = Gate::after_epoch(&server, 2);
    let id = admin.finetune(long("library/handed", 6)).await;
    let worker = Worker::start(&server);
    admin.held(&id, 1).await;
    assert!(admin.job(&id).await["step"].as_u64() > Some(0));
    worker.signal(libc::SIGTERM);
    assert_eq!(worker.wait(), Some(0));
    let job = admin.job(&id).await;
    assert_eq!((&job["state"], &job["attempt"]), (&json!("queued"), &json!(1)), "{job:#}");
    gate.open();
    let worker = Worker::start(&server);
    let job = admin.end(&id).await;
    drop(worker);
    assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(2)), "{job:#}");
}

#[tokio::test]
async fn what_goes_wrong_while_training_is_said_and_nothing_is_published() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let worker = Worker::start(&server);
    // The weights of the first layer are no numbers; that shows only once somebody computes with them.
    let mut poisoned = training::base_files();
    let weights = &mut poisoned[2].1;
    let end = weights.len();
    weights[end - 64..].chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    admin.publish("model", "library/poisoned", false, poisoned).await;
    let recipe = json!({ "strategy": "full", "epochs": 3, "batch_size": 6 });
    let id = admin.finetune(json!({ "base": "poisoned", "dataset": "colours", "name": "library/burst", "recipe": recipe })).await;
    let job = admin.end(&id).await;
    assert_eq!(job["state"], "failed", "{job:#}");
    let error = job["error"].as_str().unwrap();
    assert!(error.contains("finite"), "{error}");
    assert_eq!(admin.get("/models/library/burst").await.0, 404);

    // What is gone by the time the job's turn comes is named.
    let ada = admin.invite("ada").await;
    ada.publish("dataset", "ada/short-lived", false, vec![("data.zip", training::pictures_zip(2, 4))]).await;
    drop(worker);
    let id = ada.finetune(json!({ "base": "tiny", "dataset": "ada/short-lived", "name": "ada/late" })).await;
    assert!(ada.delete("/datasets/ada/short-lived").await < 300);
    let _other = Worker::start(&server);
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "failed");
    assert!(job["error"].as_str().unwrap().contains("ada/short-lived"), "{job:#}");
}

#[tokio::test]
async fn a_job_whose_disk_is_full_says_so_and_publishes_nothing() {
    let server = hub().await;
    let admin = Person::admin(&server);
    let worker = Worker::start(&server);
    // The database and small files have room, the weights of a result have none.
    crate::support::bound(worker.id(), libc::RLIMIT_FSIZE, 6 << 20);
    let recipe = json!({ "epochs": 1, "batch_size": 6, "threads": 1 });
    let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/wide", "recipe": recipe })).await;
    let job = admin.end(&id).await;
    let (error, log) = (job["error"].as_str().unwrap_or_default(), admin.log(&id).await);
    assert_eq!(job["state"], "failed", "{job:#}\n{log}");
    assert!(error.contains("the disk is full") && !error.contains("memory") && !error.contains("batch_size"), "{error}\n{log}");
    assert_eq!(admin.get("/models/library/wide/versions/1").await.0, 404);
    // With room, the same is done.
    crate::support::bound(worker.id(), libc::RLIMIT_FSIZE, 0);
    let id = admin
        .finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/wide", "recipe": { "epochs": 1, "threads": 1 } }))
        .await;
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}", admin.log(&id).await);
}

#[tokio::test]
async fn the_servers_own_worker_is_replaced_when_it_dies_and_goes_with_the_server() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let gate = Gate::after_epoch(&server, 2);
    let id = admin.finetune(long("library/supervised", 6)).await;
    admin.held(&id, 1).await;
    let worker = training::children_of(server.pid())[0];
    // SAFETY: a signal to the worker that this story's own server started.
    assert_eq!(unsafe { libc::kill(worker as libc::pid_t, libc::SIGKILL) }, 0);
    gate.open();
    let job = admin.end(&id).await;
    assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job:#}");
    assert!(job["attempt"].as_u64() > Some(1), "{job:#}");
    let worker = training::children_of(server.pid())[0];
    let _data = server.kill();
    let gone = async || !std::path::Path::new(&format!("/proc/{worker}/stat")).exists() || training::is_zombie(worker);
    until("the worker goes with its server", gone).await;
}
