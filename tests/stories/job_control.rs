//! What people do with jobs of every kind: follow them, hold them, fetch what they leave.

use crate::support::Server;
use crate::support::training::{self, Gate, Person, Worker};
use crate::support::visitor::{Browser, csrf};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[tokio::test]
async fn the_features_of_a_data_set_are_a_job_that_leaves_files() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let (status, job) = admin.post("/embeddings", json!({ "model": "tiny", "dataset": "colours" })).await;
    assert_eq!(status, 201, "{job}");
    assert_eq!((&job["kind"], &job["asked"]["model_version"]), (&json!("embed"), &json!(1)), "{job}");
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.get(&format!("/jobs/{id}/files")).await.1["items"], json!([]), "nothing before it ends");
    let _worker = Worker::start(&server);
    let ended = admin.end(&id).await;
    assert_eq!(ended["state"], "succeeded", "{ended}\n{}", admin.log(&id).await);
    assert!(admin.log(&id).await.contains("left features.npy, items.csv"));

    let (_, files) = admin.get(&format!("/jobs/{id}/files")).await;
    let names: Vec<_> = files["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["features.npy", "items.csv", "pictures.bin", "pictures.csv"]);
    let npy = admin.stream(&format!("/jobs/{id}/files/features.npy")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(hex::encode(Sha256::digest(&npy)), files["items"][0]["sha256"].as_str().unwrap());
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00") && npy.len() == 128 + 12 * 1280 * 4, "{} bytes", npy.len());
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (12, 1280)"));
    let csv = admin.stream(&format!("/jobs/{id}/files/items.csv")).send().await.unwrap().text().await.unwrap();
    assert!(csv.starts_with("row,path,split,target\n0,") && csv.lines().count() == 13, "{csv}");

    let stranger = admin.invite("eve").await;
    for path in ["", "/files", "/files/items.csv"] {
        assert_eq!(stranger.get(&format!("/jobs/{id}{path}")).await.0, 404, "{path}");
    }
    assert_eq!(admin.get(&format!("/jobs/{id}/files/other.npy")).await.0, 404);
    assert_eq!(admin.get("/finetunes").await.1["items"], json!([]), "a fine-tune it is not");
    assert_eq!(admin.get("/jobs?kind=embed").await.1["items"][0]["id"], json!(id));
}

/// A fine-tune with something to lose: epochs leave checkpoints.
fn long(name: &str) -> Value {
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 6, "batch_size": 6, "seed": 5, "threads": 1 });
    json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })
}

async fn digest_of(person: &Person<'_>, name: &str) -> Value {
    let path = format!("/models/{name}/versions/1/files/metrics.json");
    let text = person.stream(&path).send().await.unwrap().text().await.unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["weights_digest"].clone()
}

#[tokio::test]
async fn a_job_stands_still_goes_on_is_tried_again_cloned_and_replayed() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let gate = Gate::after_epoch(&server, 2);
    let _worker = Worker::start(&server);
    let id = admin.finetune(long("library/held")).await;
    admin.held(&id, 1).await;
    let act = async |act: &str| admin.post(&format!("/jobs/{id}/{act}"), json!({})).await;
    assert_eq!(act("pause").await.0, 200);
    let job = admin.wait(&id, "given back", |job| job["state"] == "queued").await;
    assert_eq!((&job["paused"], &job["stage"]), (&json!(true), &json!("paused")), "{job}");
    gate.open();
    assert_eq!(act("retry").await.0, 409, "it has not ended");

    // The worker has time for others meanwhile.
    let other = admin.finetune(long("library/quiet")).await;
    assert_eq!(admin.end(&other).await["state"], "succeeded", "{}", admin.log(&other).await);
    assert_eq!(admin.job(&id).await["state"], "queued", "what is paused is not started");
    assert_eq!(act("resume").await.0, 200);
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}", admin.log(&id).await);
    assert!(admin.log(&id).await.contains("paused; it goes on from its last checkpoint"));
    let digest = digest_of(&admin, "library/held").await;
    assert_eq!(digest, digest_of(&admin, "library/quiet").await, "a pause changes nothing");
    assert_eq!(act("pause").await.0, 409, "it has ended");

    let (status, replay) = admin.post("/finetunes/replay", json!({ "model": "library/quiet@1", "name": "library/again" })).await;
    assert_eq!(status, 201, "{replay}");
    let replay = replay["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.end(&replay).await["state"], "succeeded", "{}", admin.log(&replay).await);
    assert!(admin.log(&replay).await.contains("replay of library/quiet@1: the digest matches"), "{}", admin.log(&replay).await);
    assert_eq!(admin.post("/finetunes/replay", json!({ "model": "library/tiny", "name": "library/no" })).await.0, 404);

    let (status, clone) = admin.post(&format!("/jobs/{id}/clone"), json!({ "name": "library/clone" })).await;
    assert_eq!((status, &clone["name"], &clone["base"]), (201, &json!("library/clone"), &json!("library/tiny@1")), "{clone}");
    let clone = clone["id"].as_str().unwrap().to_owned();
    admin.post(&format!("/jobs/{clone}/cancel"), json!({})).await;
    admin.end(&clone).await;
    let (status, again) = admin.post(&format!("/jobs/{clone}/retry"), json!({})).await;
    // It may have ended before it was cancelled.
    assert!(status == 200 && again["state"] == "queued" || admin.job(&clone).await["state"] == "succeeded", "{again}");
    assert_eq!(admin.end(&clone).await["state"], "succeeded", "{}", admin.log(&clone).await);
    assert_eq!(digest_of(&admin, "library/clone").await, digest);
}

#[tokio::test]
async fn people_order_their_own_jobs_and_administrators_all() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let ada = admin.invite("ada").await;
    let id = ada.finetune(long("ada/net")).await;
    let place = json!({ "priority": 7 });
    let (status, job) = ada.post(&format!("/jobs/{id}/priority"), place.clone()).await;
    assert_eq!((status, &job["priority"], &job["urgency"]), (200, &json!(0), &json!(7)), "{job}");
    let (status, job) = admin.post(&format!("/jobs/{id}/priority"), place.clone()).await;
    assert_eq!((status, &job["priority"]), (200, &json!(7)), "{job}");
    let (status, refused) = ada.post(&format!("/jobs/{id}/priority"), json!({ "priority": 101 })).await;
    assert!(status == 422 && refused["message"].as_str().unwrap().contains("-100 to 100"), "{refused}");
    let eve = admin.invite("eve").await;
    for act in ["pause", "resume", "retry", "clone", "cancel"] {
        assert_eq!(eve.post(&format!("/jobs/{id}/{act}"), json!({})).await.0, 404, "{act}");
    }
    assert_eq!(eve.post(&format!("/jobs/{id}/priority"), place).await.0, 404);
}

/// What a job's page offers to do.
async fn offered(browser: &mut Browser, job: &str) -> Vec<&'static str> {
    let page = browser.page(job).await;
    ["pause", "resume", "retry", "clone", "cancel"].into_iter().filter(|act| page.contains(&format!("action=\"{job}/{act}\""))).collect()
}

#[tokio::test]
async fn a_job_is_held_resumed_tried_again_and_cloned_from_its_page() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let id = admin.finetune(long("library/net")).await;
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let job = format!("/jobs/{id}");
    let form = csrf(&browser.page(&job).await);
    let act =
        async |browser: &mut Browser, act: &str, form: &str| browser.send(&format!("{job}/{act}"), &[("csrf", form)]).await.status.as_u16();
    assert_eq!(offered(&mut browser, &job).await, ["pause", "clone", "cancel"]);
    for word in ["pause", "resume", "retry", "clone", "cancel"] {
        assert_eq!(act(&mut browser, word, "guessed").await, 403, "{word}");
    }
    assert_eq!(act(&mut browser, "pause", &form).await, 303);
    assert!(browser.page(&job).await.contains(">Paused<"));
    assert_eq!(offered(&mut browser, &job).await, ["resume", "clone", "cancel"]);
    assert_eq!(act(&mut browser, "resume", &form).await, 303);
    assert_eq!(act(&mut browser, "retry", &form).await, 409, "it has not failed");
    assert_eq!(act(&mut browser, "cancel", &form).await, 303);
    assert_eq!(offered(&mut browser, &job).await, ["retry", "clone"]);
    assert_eq!(act(&mut browser, "retry", &form).await, 303);
    assert_eq!(admin.job(&id).await["state"], "queued");
    let clone = format!("{job}/clone");
    assert_eq!(browser.send(&clone, &[("csrf", &form), ("name", "a/b/c")]).await.status, 400);
    let cloned = browser.send(&clone, &[("csrf", &form), ("name", "library/twin")]).await;
    assert_eq!(cloned.status, 303, "{}", cloned.text());
    let twin = cloned.header("location").to_owned();
    assert_ne!(twin, job);
    assert!(browser.page(&twin).await.contains("<h1>twin</h1>"), "{}", browser.page(&twin).await);

    // A session that only reads is offered nothing and may do nothing; for a stranger there is no such job.
    let reads = admin.post("/tokens", json!({ "name": "reads", "scope": "read" })).await.1;
    let mut reader = Browser::logged_in(&server, reads["secret"].as_str().unwrap()).await;
    assert!(offered(&mut reader, &job).await.is_empty());
    let form = csrf(&reader.page("/settings/tokens").await);
    assert_eq!(act(&mut reader, "pause", &form).await, 403);
    let mut stranger = Browser::logged_in(&server, &admin.invite("eve").await.token).await;
    let form = csrf(&stranger.page("/settings/tokens").await);
    for word in ["pause", "resume", "retry", "clone", "cancel"] {
        assert_eq!(act(&mut stranger, word, &form).await, 404, "{word}");
    }
}

async fn metrics_of(person: &Person<'_>, name: &str) -> Value {
    let path = format!("/models/{name}/versions/1/files/metrics.json");
    serde_json::from_str(&person.stream(&path).send().await.unwrap().text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_job_goes_on_with_the_versions_it_was_asked_for() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 6).await;
    let recipe = json!({ "strategy": "head", "epochs": 1, "threads": 1 });
    let asked = |base: &str, name: &str| json!({ "base": base, "dataset": "library/colours", "name": name, "recipe": recipe });
    let id = admin.finetune(asked("tiny", "library/early")).await;
    // While it waits, its data set gets a version with other classes, and both repos get other names.
    let zip = training::pictures_zip(2, 5);
    let (size, sha256) = (zip.len(), admin.upload(zip).await);
    let files = json!([{ "path": "data.zip", "size_bytes": size, "sha256": sha256 }]);
    let (status, body) = admin.post("/datasets/library/colours/commits", json!({ "message": "fewer", "parent": 1, "files": files })).await;
    assert_eq!(status, 201, "{body}");
    let late = admin.finetune(asked("tiny", "library/late")).await;
    let moved = async |kind: &str, from: &str, to: &str| {
        server.admin().post("/api/repos/move", &json!({ "fromRepo": from, "toRepo": to, "type": kind })).await.ok();
    };
    moved("dataset", "library/colours", "library/hues").await;
    moved("model", "library/tiny", "library/small").await;
    let worker = Worker::start(&server);
    for (id, name, version, classes) in [(&id, "library/early", 1, 3), (&late, "library/late", 2, 2)] {
        let job = admin.end(id).await;
        assert_eq!(job["state"], "succeeded", "{job}\n{}", admin.log(id).await);
        let metrics = metrics_of(&admin, name).await;
        assert_eq!((&metrics["base"], &metrics["dataset"]), (&json!("library/small@1"), &json!(format!("library/hues@{version}"))));
        assert_eq!(metrics["classes"].as_array().unwrap().len(), classes, "{metrics}");
    }
    // A former name of the base is the base.
    let body = json!({ "base": "library/small", "dataset": "library/hues", "name": "library/tiny" });
    let (status, refused) = admin.post("/finetunes", body).await;
    assert_eq!((status, &refused["code"]), (422, &json!("result_is_base")), "{refused}");
    // And what it is called by the time the job ends counts as well.
    drop(worker);
    let body = json!({ "base": "library/small", "dataset": "library/hues", "name": "library/wanted", "recipe": recipe });
    let id = admin.finetune(body).await;
    moved("model", "library/small", "library/wanted").await;
    let _worker = Worker::start(&server);
    let job = admin.end(&id).await;
    assert!(job["state"] == "failed" && job["error"].as_str().unwrap().contains("is the base itself"), "{job}");
}
