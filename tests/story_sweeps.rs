//! Sweeps: several settings tried in one job, of which the best is published.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use support::Server;
use support::training::{Person, Worker};

fn sweep(name: &str, sweep: Value) -> Value {
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "lr": 1e-8, "epochs": 4, "batch_size": 6, "seed": 5, "threads": 1 });
    json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe, "sweep": sweep })
}

async fn file(person: &Person<'_>, path: &str) -> String {
    person.stream(path).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_best_of_a_grid_is_published_whatever_happens_to_its_worker() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let grid = json!({ "settings": { "head_lr": [1e-8, 1e-2], "epochs": [8, 16] } });
    let (status, cost) = admin.post("/finetunes?dry_run=true", sweep("library/best", grid.clone())).await;
    assert_eq!((status, &cost["trials"]), (200, &json!(4)), "{cost}");
    assert!(cost["memory_bytes"].as_u64().unwrap() > 1 << 20 && cost["seconds_at_most"].as_f64().unwrap() > 0.0, "{cost}");
    assert_eq!(admin.get("/jobs").await.1["items"], json!([]), "asking costs nothing");

    let shaken = admin.finetune(sweep("library/shaken", grid.clone())).await;
    let worker = Worker::start(&server);
    admin.wait(&shaken, "in a trial", |job| job["stage"].as_str().unwrap().starts_with("trial")).await;
    worker.kill();
    let _worker = Worker::start(&server);
    let quiet = admin.finetune(sweep("library/best", grid)).await;
    let mut digests = Vec::new();
    for (id, name) in [(&shaken, "shaken"), (&quiet, "best")] {
        let job = admin.end(id).await;
        assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job}\n{}", admin.log(id).await);
        let table = file(&admin, &format!("/jobs/{id}/files/trials.csv")).await;
        let lines: Vec<_> = table.lines().collect();
        assert!(lines.len() == 5 && lines[0].starts_with("trial,settings,epochs,"), "{table}");
        let best: Vec<_> = lines.iter().filter(|line| line.contains(",best,")).collect();
        assert!(best.len() == 2 && best[1].contains("head_lr=0.01"), "the heads and one trial, which learned something: {table}");
        let metrics = file(&admin, &format!("/models/library/{name}/versions/1/files/metrics.json")).await;
        let metrics: Value = serde_json::from_str(&metrics).unwrap();
        assert_eq!(metrics["recipe"]["head_lr"], json!(0.01), "the published recipe is that of the best");
        digests.push((metrics["weights_digest"].clone(), table));
    }
    assert_eq!(digests[0], digests[1], "a worker that was killed changes nothing");
    assert!(admin.log(&quiet).await.contains("trial 4 of 4"));
}

#[tokio::test]
async fn draws_are_halved_and_what_cannot_be_tried_is_refused() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let recipe = json!({ "strategy": "head", "epochs": 4, "threads": 1 });
    let asked = |sweep: Value| json!({ "base": "tiny", "dataset": "colours", "name": "library/drawn", "recipe": recipe, "sweep": sweep });
    for (settings, word) in [
        (json!({ "settings": { "speed": [1] } }), "no setting 'speed'"),
        (json!({ "settings": { "head_lr": { "from": 1e-4, "to": 1e-1 } } }), "samples"),
        (json!({ "settings": { "epochs": [0, 1] } }), "not between"),
    ] {
        let (status, refused) = admin.post("/finetunes", asked(settings)).await;
        assert!(status == 422 && refused["message"].as_str().unwrap().contains(word), "{refused}");
    }
    let draws = json!({ "settings": { "head_lr": { "from": 1e-4, "to": 1e-1 } }, "samples": 4, "halving": true });
    let id = admin.finetune(asked(draws)).await;
    let _worker = Worker::start(&server);
    let job = admin.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}\n{}", admin.log(&id).await);
    let table = file(&admin, &format!("/jobs/{id}/files/trials.csv")).await;
    let epochs: Vec<_> = table.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().to_owned()).collect();
    // Four begin with two epochs, the two better ones have all four.
    assert_eq!((epochs.iter().filter(|n| *n == "2").count(), epochs.iter().filter(|n| *n == "4").count()), (2, 2), "{table}");
}
