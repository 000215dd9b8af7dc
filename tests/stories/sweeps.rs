//! Sweeps: several settings tried as jobs of their own, the best of which is published.

use crate::support::training::{Gate, Person, Worker, base_files};
use crate::support::visitor::Browser;
use crate::support::{Server, until};
use serde_json::{Value, json};

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
    admin.wait(&shaken, "among its trials", |job| job["stage"].as_str().unwrap().starts_with("trials: ")).await;
    worker.kill();
    let quiet = admin.finetune(sweep("library/best", grid)).await;
    // Side by side, in whatever order.
    let _workers = [Worker::start(&server), Worker::start(&server)];
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
        only_the_best_keeps_its_model(&admin, &job).await;
    }
    assert_eq!(digests[0], digests[1], "a worker that was killed changes nothing");
    assert!(admin.log(&quiet).await.contains("trial 4 of 4"));
    people_see_the_trials(&server, &admin, &quiet).await;
}

async fn only_the_best_keeps_its_model(person: &Person<'_>, sweep: &Value) {
    let children = sweep["children"].as_array().unwrap();
    assert_eq!(children.iter().filter(|child| child["best"] == true).count(), 1, "{children:?}");
    for child in children {
        let job = person.job(child["job"].as_str().unwrap()).await;
        assert_eq!((&job["state"], &job["parent"], &job["result_version"]), (&json!("succeeded"), &sweep["id"], &Value::Null), "{job}");
        let (_, files) = person.get(&format!("/jobs/{}/files", child["job"].as_str().unwrap())).await;
        let has = |name: &str| files["items"].as_array().unwrap().iter().any(|file| file["name"] == name);
        assert!(has("report.json") && has("model.safetensors") == (child["best"] == true), "{child}: {files}");
    }
}

/// On the page, in the API and on the command line.
async fn people_see_the_trials(server: &Server, admin: &Person<'_>, sweep: &str) {
    assert_eq!(admin.get("/jobs").await.1["items"].as_array().unwrap().len(), 2, "trials stand under their sweep");
    assert_eq!(admin.get("/jobs?all=true").await.1["items"].as_array().unwrap().len(), 10);
    let (_, trials) = admin.get(&format!("/jobs?parent={sweep}")).await;
    let trials = trials["items"].as_array().unwrap().clone();
    assert!(trials.len() == 4 && trials.iter().all(|job| job["parent"] == json!(sweep) && job["name"].is_null()), "{trials:?}");
    let trial = trials[0]["id"].as_str().unwrap();
    let mut browser = Browser::logged_in(server, &server.admin_token).await;
    let page = browser.page(&format!("/jobs/{sweep}")).await;
    assert!(page.contains("<h2>Trials</h2>") && page.contains(&format!("/jobs/{trial}")), "{page}");
    let page = browser.page(&format!("/jobs/{trial}")).await;
    assert!(page.contains("A trial of") && page.contains(&format!("/jobs/{sweep}\"")), "{page}");
    let home = tempfile::tempdir().unwrap();
    let said = server.hub(home.path()).env("HUB_TOKEN", &server.admin_token).args(["jobs", "show", sweep]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("epochs=16, head_lr=0.01") && said.contains("best") && said.contains(trial), "{said}");
    // The end of an id is enough where no other job is called so, and so is the address of its page.
    for name in [sweep[sweep.len() - 10..].to_owned(), format!("{}/jobs/{sweep}", server.url)] {
        let said = server.hub(home.path()).env("HUB_TOKEN", &server.admin_token).args(["jobs", "show", &name]).output().unwrap();
        assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains(trial), "{name}: {said:?}");
    }
    let said = server.hub(home.path()).env("HUB_TOKEN", &server.admin_token).args(["--json", "jobs", "list", "--all"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&said.stdout).unwrap().as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_sweep_outlives_its_server_stands_still_and_is_cancelled_with_its_trials() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 6).await;
    let grid = json!({ "settings": { "head_lr": [1e-3, 1e-2], "epochs": [3, 4] } });
    let id = admin.finetune(sweep("library/long", grid.clone())).await;
    let doomed = admin.finetune(sweep("library/doomed", grid)).await;
    let (status, paused) = admin.post(&format!("/jobs/{doomed}/pause"), json!({})).await;
    assert_eq!((status, &paused["paused"]), (200, &json!(true)));
    let gate = Gate::after_epoch(&server, 1);
    let worker = Worker::start(&server);
    let first = admin.job(&id).await["children"][0]["job"].as_str().unwrap().to_owned();
    admin.held(&first, 1).await;
    assert_eq!(admin.job(&id).await["state"], "running");
    let log = server.log();
    server.kill();
    worker.kill();
    gate.open();

    let server = Server::start_on(data.path(), &["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let job = admin.end(&id).await;
    assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job}\n{log}\n{}", admin.log(&id).await);
    assert!(admin.job(&first).await["attempt"].as_u64() >= Some(2), "it was in hand when all was killed");

    let states = async || -> Vec<String> {
        let job = admin.job(&doomed).await;
        job["children"].as_array().unwrap().iter().map(|child| child["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states().await, ["queued"; 4], "nothing of a sweep that stands still is started");
    let gate = Gate::after_epoch(&server, 1);
    assert_eq!(admin.post(&format!("/jobs/{doomed}/resume"), json!({})).await.0, 200);
    let first = admin.job(&doomed).await["children"][0]["job"].as_str().unwrap().to_owned();
    admin.held(&first, 1).await;
    let (status, job) = admin.post(&format!("/jobs/{doomed}/cancel"), json!({})).await;
    assert_eq!((status, &job["state"]), (200, &json!("cancelled")));
    until("the trial in hand is cancelled, too", async || states().await == ["cancelled"; 4]).await;
    gate.open();
    assert_eq!(admin.get("/models/library/doomed").await.0, 404);
    assert_eq!(admin.post(&format!("/jobs/{first}/retry"), json!({})).await.0, 409, "its sweep is over");
    assert_eq!(admin.post(&format!("/jobs/{doomed}/retry"), json!({})).await.0, 200);
    assert_eq!(admin.end(&doomed).await["state"], "succeeded", "{}", admin.log(&doomed).await);
}

#[tokio::test]
async fn a_trial_that_comes_to_nothing_is_a_line_and_only_all_of_them_are_the_end() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 6).await;
    // The weights of its first layer are no numbers; that shows only once somebody computes with them.
    let mut poisoned = base_files();
    let end = poisoned[2].1.len();
    poisoned[2].1[end - 64..].chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    admin.publish("model", "library/poisoned", false, poisoned).await;
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 2, "batch_size": 6, "threads": 1 });
    let asked = |base: &str, name: &str| json!({ "base": base, "dataset": "colours", "name": name, "recipe": recipe, "sweep": { "settings": { "head_lr": [1e-3, 1e-2] } } });
    let id = admin.finetune(asked("tiny", "library/half")).await;
    let hopeless = admin.finetune(asked("poisoned", "library/none")).await;
    let cancelled = admin.job(&id).await["children"][0]["job"].as_str().unwrap().to_owned();
    assert_eq!(admin.post(&format!("/jobs/{cancelled}/cancel"), json!({})).await.1["state"], "cancelled");
    let _worker = Worker::start(&server);
    let job = admin.end(&id).await;
    assert_eq!((&job["state"], &job["children"][1]["best"]), (&json!("succeeded"), &json!(true)), "{job}\n{}", admin.log(&id).await);
    let table = file(&admin, &format!("/jobs/{id}/files/trials.csv")).await;
    assert!(table.lines().nth(1).unwrap().starts_with("1,head_lr=0.001,2,,,"), "{table}");
    let job = admin.end(&hopeless).await;
    let error = job["error"].as_str().unwrap();
    assert_eq!(job["state"], "failed");
    assert!(error.contains("not one trial of the sweep came to its end") && error.contains("finite"), "{error}");
    assert_eq!(admin.get("/models/library/none").await.0, 404);
}

#[tokio::test]
async fn the_best_trials_are_averaged_where_that_is_better() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let _workers = [Worker::start(&server), Worker::start(&server)];
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "lr": 1e-3, "epochs": 3, "batch_size": 6, "seed": 5, "threads": 1 });
    let settings = json!({ "settings": { "head_lr": [1e-4, 1e-3, 1e-2] }, "soup": true });
    let asked = json!({ "base": "tiny", "dataset": "colours", "name": "library/soup", "recipe": recipe, "sweep": settings });
    let mut alone = asked.clone();
    alone["sweep"]["soup"] = json!(false);
    let cost = |body: Value| admin.post("/finetunes?dry_run=true", body);
    let (with, without) = (cost(asked.clone()).await.1, cost(alone).await.1);
    let seconds = |cost: &Value| cost["seconds_at_most"].as_f64().unwrap();
    assert!(with["sentence"].as_str().unwrap().contains("the average of the best among them"), "{with}");
    assert!(seconds(&with) > seconds(&without) && with["runs"] == without["runs"], "{with} {without}");
    let id = admin.finetune(asked).await;
    let job = admin.end(&id).await;
    let log = admin.log(&id).await;
    assert_eq!((&job["state"], &job["result_version"]), (&json!("succeeded"), &json!(1)), "{job}\n{log}");
    let events = admin.events(&id).await;
    let result = events.iter().rfind(|event| event["kind"] == "result").unwrap();
    let soup = &result["body"]["metrics"]["soup"];
    assert_eq!(soup["tried"].as_array().unwrap().len(), 3, "{soup}");
    let (reached, alone) = (soup["reached"].as_f64().unwrap(), soup["alone"].as_f64().unwrap());
    assert!(reached >= alone && soup["published"] == json!(reached > alone), "{soup}\n{log}");
    let metrics: Value = serde_json::from_str(&file(&admin, "/models/library/soup/versions/1/files/metrics.json").await).unwrap();
    let card = file(&admin, "/models/library/soup/versions/1/files/README.md").await;
    match soup["published"] == true {
        true => {
            assert_eq!(metrics["rounds"]["soup"]["members"], soup["members"]);
            assert!((metrics["validation"]["top1"].as_f64().unwrap() - reached).abs() < 1e-9, "{metrics}");
            assert!(card.contains("The weights are the average of"), "{card}");
        }
        false => assert!(log.contains("no average of the 3 best trials is better") && !card.contains("average of"), "{log}"),
    }
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
    let (_, cost) = admin.post("/finetunes?dry_run=true", asked(draws.clone())).await;
    assert_eq!((&cost["trials"], &cost["runs"]), (&json!(4), &json!(6)), "{cost}");
    assert!(cost["sentence"].as_str().unwrap().starts_with("It has 4 trials in 6 jobs: "), "{cost}");
    let id = admin.finetune(asked(draws)).await;
    let _worker = Worker::start(&server);
    let job = admin.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}\n{}", admin.log(&id).await);
    let table = file(&admin, &format!("/jobs/{id}/files/trials.csv")).await;
    let epochs: Vec<_> = table.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().to_owned()).collect();
    // Four begin with two epochs, the two better ones have all four.
    assert_eq!((epochs.iter().filter(|n| *n == "2").count(), epochs.iter().filter(|n| *n == "4").count()), (2, 2), "{table}");
}
