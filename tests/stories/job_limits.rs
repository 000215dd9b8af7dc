//! What a job may cost, what it may not, and what stays of it: limits of the machine, its log, the version it was asked for, and classes that
//! a split has none of.

use std::io::{Cursor, Write as _};

use crate::support::publishing::publish;
use crate::support::training::{COLOURS, Person, Worker, picture, pictures_zip};
use crate::support::{Api, Server, http};
use serde_json::{Value, json};

/// A zip of pictures by their folders, each with its colour and how many.
fn folders(all: &[(&str, usize, u64)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (folder, colour, count)) in all.iter().enumerate() {
        for n in 0..*count {
            zip.start_file(format!("{folder}/{n}.png"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&picture(COLOURS[*colour].1, 1_000 * at as u64 + n)).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// An epoch of a thousand pictures of 640 pixels in one batch would need hundreds of gigabytes.
#[tokio::test]
async fn a_job_that_is_larger_than_the_machine_is_refused_with_both_numbers_and_what_to_change() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 340).await;
    let ask = |recipe: Value| json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/out", "recipe": recipe });
    let huge = json!({ "strategy": "full", "batch_size": 1_024, "image_size": 640, "epochs": 1 });
    let mut sweep = ask(huge.clone());
    sweep["sweep"] = json!({ "settings": { "lr": [1e-3, 1e-4] } });
    for (path, body) in [("/finetunes", ask(huge.clone())), ("/finetunes?dry_run=true", ask(huge)), ("/finetunes", sweep)] {
        let (status, refused) = ada.post(path, body).await;
        assert_eq!((status, &refused["code"]), (422, &json!("job_too_large")), "{path}: {refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("MiB of memory") && message.contains("are allowed"), "both numbers: {message}");
        assert!(message.contains("batch_size") && message.contains("image_size"), "what to change: {message}");
    }
    assert_eq!(ada.get("/finetunes").await.1["items"], json!([]), "nothing of this was queued");
    let (status, expected) =
        ada.post("/finetunes?dry_run=true", ask(json!({ "strategy": "full", "batch_size": 8, "image_size": 64, "epochs": 1 }))).await;
    assert_eq!(status, 200, "what it names helps: {expected}");
}

#[tokio::test]
async fn a_jobs_log_is_kept_after_its_end_and_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 6).await;
    let worker = Worker::start(&server);
    let recipe = json!({ "strategy": "head", "epochs": 2, "seed": 5, "threads": 1 });
    let body = |dataset: &str| json!({ "base": "tiny", "dataset": dataset, "name": "library/net", "recipe": recipe });
    let id = admin.finetune(body("colours")).await;
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}", admin.log(&id).await);
    drop(worker);
    // Nor is that of one that failed lost, nor of one that never began.
    admin.publish("dataset", "library/gone", false, vec![("data.zip", pictures_zip(2, 4))]).await;
    let failed = admin.finetune(body("gone")).await;
    assert!(admin.delete("/datasets/library/gone").await < 300);
    let worker = Worker::start(&server);
    assert_eq!(admin.end(&failed).await["state"], "failed");
    drop(worker);
    let idle = admin.finetune(body("colours")).await;
    assert_eq!(admin.post(&format!("/jobs/{idle}/cancel"), json!({})).await.0, 200);
    let jobs = [&id, &failed, &idle];
    let mut before = Vec::new();
    for job in jobs {
        before.push((admin.log(job).await, admin.events(job).await));
    }
    assert!(before[0].0.lines().count() > 3 && before[0].0.contains("succeeded"), "{}", before[0].0);
    assert!(before[1].0.contains("library/gone"), "why it failed: {}", before[1].0);
    assert_eq!(server.stop(), Some(0));

    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    for (job, (log, events)) in jobs.into_iter().zip(before) {
        assert_eq!(admin.log(job).await, log);
        assert_eq!(admin.events(job).await, events);
    }
    let home = tempfile::tempdir().unwrap();
    let said = server.hub(home.path()).env("HUB_TOKEN", &server.admin_token).args(["jobs", "logs", &id]).output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("succeeded"), "{said:?}");
    let stranger = admin.invite("eve").await;
    assert_eq!(stranger.get(&format!("/jobs/{id}/logs")).await.0, 404);
}

/// A job is about the version that stood there when it was asked for.
#[tokio::test]
async fn a_data_set_that_changes_while_its_job_waits_changes_nothing_for_the_job() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 6).await;
    let recipe = json!({ "strategy": "head", "epochs": 2, "seed": 5, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/net", "recipe": recipe })).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let others = folders(&[("day", 0, 6), ("night", 2, 6)]);
    publish(&api, "datasets/ada/colours", Some(1), &[("data.zip", &others)]).await.created();
    let _worker = Worker::start(&server);
    let job = ada.end(&id).await;
    assert_eq!((&job["state"], &job["dataset"]), (&json!("succeeded"), &json!("ada/colours@1")), "{job:#}\n{}", ada.log(&id).await);
    let config = ada.stream("/models/ada/net/versions/1/files/config.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&config).unwrap()["label_names"], json!(["blue", "green", "red"]));
}

/// One class is never trained on, and of two the validation split has nothing: that is said, and the rest is learned.
#[tokio::test]
async fn classes_that_a_split_has_none_of_are_named_and_the_others_are_learned() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 3).await;
    let split =
        [("train/red", 0, 10), ("train/green", 1, 10), ("val/red", 0, 4), ("test/red", 0, 3), ("test/green", 1, 3), ("test/blue", 2, 3)];
    ada.publish("dataset", "ada/uneven", false, vec![("data.zip", folders(&split))]).await;
    let (_, dataset) = ada.get("/datasets/ada/uneven").await;
    let warnings = dataset["facts"]["dataset_report"]["warnings"].to_string();
    assert!(warnings.contains("class `blue` has no training images: it cannot be learned"), "{warnings}");
    assert!(warnings.contains("val has no images of `blue`, `green`"), "{warnings}");
    for strategy in ["head", "full"] {
        let recipe = json!({ "strategy": strategy, "epochs": 2, "batch_size": 8, "seed": 5, "threads": 1 });
        let name = format!("ada/{strategy}");
        let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/uneven", "name": name, "recipe": recipe })).await;
        assert_eq!(ada.end(&id).await["state"], "succeeded", "{strategy}: {}", ada.log(&id).await);
        let (_, metrics) = ada.get(&format!("/models/{name}/versions/1/files/metrics.json")).await;
        let numbers = [&metrics["validation"]["top1"], &metrics["test"]["top1"]];
        assert!(numbers.iter().all(|number| number.as_f64().is_some_and(f64::is_finite)), "{strategy}: {metrics:#}");
        let blue = metrics["test"]["per_class"].as_array().unwrap().iter().find(|class| class["class"] == "blue").unwrap();
        assert_eq!(blue["support"], 3, "{metrics:#}");
        assert!(strategy == "full" || blue["recall"] == json!(0.0), "what was never seen is not answered: {metrics:#}");
    }
    // Where only one class is left to train on there is nothing to learn.
    let lone = folders(&[("train/red", 0, 10), ("val/red", 0, 4), ("val/green", 1, 4)]);
    ada.publish("dataset", "ada/lone", false, vec![("data.zip", lone)]).await;
    let (status, job) = ada.post("/finetunes", json!({ "base": "ada/tiny", "dataset": "ada/lone", "name": "ada/lone-net" })).await;
    let said = match status {
        201 => {
            let id = job["id"].as_str().unwrap();
            let ended = ada.end(id).await;
            assert_eq!(ended["state"], "failed", "{}", ada.log(id).await);
            ended["error"].to_string()
        }
        _ => job["message"].to_string(),
    };
    assert!(said.contains("class") && !said.contains("internal"), "{said}");
}
