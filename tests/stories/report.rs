//! What is told about a fine-tune once it is done: whether it was worth it, what training from nothing gives, what it says about every
//! item, and what it does not know. A run that is no better than always the same answer is not published unless that is asked for.

use std::io::{Cursor, Write};

use crate::support::Server;
use crate::support::training::{Person, base_files, picture, pictures_zip};
use crate::support::visitor::Browser;
use serde_json::{Value, json};

/// Pictures that say nothing of their class.
fn gray_zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (number, class) in ["heads", "tails"].iter().enumerate() {
        for n in 0..40u64 {
            zip.start_file(format!("{class}/{n}.png"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&picture([90, 90, 90], n * 2 + number as u64 + 1)).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

async fn file(person: &Person<'_>, job: &str, name: &str) -> (u16, Vec<u8>) {
    let answer = person.stream(&format!("/jobs/{job}/files/{name}")).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

async fn report(person: &Person<'_>, job: &str) -> Value {
    let (status, bytes) = file(person, job, "report.json").await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_good_run_is_told_in_full() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let (ada, bob) = (admin.invite("ada").await, admin.invite("bob").await);
    ada.publish_both("ada/tiny", "ada/colours", 40).await;
    let recipe =
        json!({ "strategy": "head", "head_solver": "sgd", "epochs": 5, "batch_size": 8, "seed": 3, "threads": 1, "publish_anyway": false });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/net", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);

    let report = report(&ada, &id).await;
    let verdict = &report["verdict"][0];
    assert_eq!((&verdict["against"], &verdict["word"]), (&json!("baseline"), &json!("better")), "{verdict}");
    assert!(verdict["gain_95"][0].as_f64().unwrap() > 0.0, "{verdict}");
    let changed: Vec<_> = report["changed_settings"].as_array().unwrap().iter().map(|change| change["setting"].as_str().unwrap()).collect();
    assert!(changed.contains(&"epochs") && changed.contains(&"seed") && !changed.contains(&"lr"), "{changed:?}");
    assert!(report["calibration"]["expected_error"].as_f64().is_some_and(|error| (0.0..=1.0).contains(&error)), "{report}");
    assert!(report["throughput"]["predicted_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!((&report["lineage"]["base"], &report["objection"]), (&json!("ada/tiny@1"), &Value::Null));

    // A line for each item held out, with the very outputs.
    let (_, table) = file(&ada, &id, "predictions.csv").await;
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.lines().count() as u64, 1 + report["validation"]["images"].as_u64().unwrap(), "{table}");
    assert!(table.starts_with("path,split,truth,answer,confidence,score,loss,output_0,output_1,output_2\n"), "{table}");
    // They show what is in the data set, and stay with those who may see the job.
    assert_eq!(file(&bob, &id, "report.json").await.0, 404);
    let (_, files) = ada.get("/models/ada/net/versions/main/files").await;
    let names = files.to_string();
    assert!(names.contains("reject.safetensors") && !names.contains("predictions.csv") && !names.contains("report.json"), "{names}");

    curves(&ada, &id).await;
}

async fn curves(ada: &Person<'_>, id: &str) {
    let (status, curves) = ada.get(&format!("/jobs/{id}/curves")).await;
    assert_eq!((status, curves["items"].as_array().unwrap().len()), (200, 5), "{curves}");
    let table = ada.stream(&format!("/jobs/{id}/curves?format=csv")).send().await.unwrap().text().await.unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.starts_with("time,epoch,epochs,train_loss,train_top1,val_loss,val_top1,"), "{table}");
    let answer = ada.stream(&format!("/jobs/{id}/curves?format=tensorboard")).send().await.unwrap();
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("events.out.tfevents."));
    let bytes = answer.bytes().await.unwrap();
    assert!(bytes.windows(13).any(|window| window == b"brain.Event:2") && bytes.windows(8).any(|window| window == b"val/top1"));
    let (status, problem) = ada.get(&format!("/jobs/{id}/curves?format=xlsx")).await;
    assert_eq!(status, 400, "{problem}");
}

#[tokio::test]
async fn what_is_no_better_than_always_the_same_answer_is_not_published() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/coins", false, vec![("data.zip", gray_zip())]).await;
    let ask = |anyway: bool| {
        let recipe = json!({ "epochs": 2, "batch_size": 8, "seed": 1, "threads": 1, "publish_anyway": anyway });
        json!({ "base": "ada/tiny", "dataset": "ada/coins", "name": "ada/coin-net", "recipe": recipe })
    };
    let id = ada.finetune(ask(false)).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "failed", "{job:#}\n{}", ada.log(&id).await);
    let error = job["error"].as_str().unwrap();
    assert!(
        error.contains("not published") && error.contains("than always the largest class") && error.contains("publish_anyway"),
        "{error}"
    );
    assert_eq!(ada.get("/models/ada/coin-net").await.0, 404);
    let report = report(&ada, &id).await;
    assert_ne!(report["verdict"][0]["word"], "better");
    assert!(!report["mistakes"].as_array().unwrap().is_empty() && report["mistakes"].as_array().unwrap().len() <= 24);
    let picture = report["mistakes"][0]["thumbnail"].as_str().unwrap();
    assert!(picture.starts_with("data:image/"), "{picture}");

    let id = ada.finetune(ask(true)).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let (_, model) = ada.get("/models/ada/coin-net").await;
    assert_eq!(model["version"]["number"], 1, "{model}");
}

#[tokio::test]
async fn beside_it_the_same_from_random_weights() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 12).await;
    let recipe = json!({ "strategy": "full", "epochs": 2, "batch_size": 8, "seed": 3, "threads": 1, "compare": "scratch" });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/net", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let epochs = ada.events(&id).await.into_iter().filter(|event| event["kind"] == "epoch").count();
    assert_eq!(epochs, 2, "its epochs are not the job's");
    let report = report(&ada, &id).await;
    let comparison = &report["comparison"];
    assert_eq!(comparison["epochs"].as_array().unwrap().len(), 2, "{comparison}");
    assert!(comparison["sentence"].as_str().unwrap().contains("from random weights"), "{comparison}");
    assert!(comparison["scratch_seconds"].as_f64().unwrap() > 0.0);
}

/// Two fine-tunes on the items held out of both: with a number for how far chance goes, and refused where the items differ.
#[tokio::test]
async fn two_runs_are_compared_on_the_same_items() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let (ada, bob) = (admin.invite("ada").await, admin.invite("bob").await);
    ada.publish_both("ada/tiny", "ada/colours", 40).await;
    let run = async |name: &str, dataset: &str, recipe: Value| {
        let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": dataset, "name": name, "recipe": recipe })).await;
        assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
        id
    };
    let good = run("ada/net", "ada/colours", json!({ "strategy": "head", "epochs": 5, "seed": 3, "threads": 1 })).await;
    // A head that hardly moves: it knows little.
    let weak = json!({ "strategy": "head", "head_solver": "sgd", "head_lr": 1e-8, "epochs": 1, "seed": 3, "threads": 1 });
    let weak = run("ada/net", "ada/colours", weak).await;

    let (status, found) = ada.get("/compare?a=ada/net@2&b=ada/net@1").await;
    assert_eq!((status, &found["better"]), (200, &json!("b")), "{found}");
    assert!(found["items"].as_u64().unwrap() >= 15, "{found}");
    assert_eq!((&found["a"]["model"], &found["a"]["job"], &found["measure"]), (&json!("ada/net@2"), &json!(weak), &json!("share right")));
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&found["interval_95"][0]) > 0.0 && number(&found["difference"]) > 0.3 && number(&found["mcnemar_p"]) < 0.05, "{found}");
    let apart = number(&found["b"]["value"]) - number(&found["a"]["value"]);
    assert!((number(&found["difference"]) - apart).abs() < 1e-9, "{found}");
    assert!(found["verdict"].as_str().unwrap().starts_with("ada/net@1 is better than ada/net@2"), "{found}");
    let (_, other_way) = ada.get(&format!("/compare?a={good}&b={weak}&dataset=ada/colours@1")).await;
    assert_eq!((&other_way["better"], &other_way["a"]["alone_right"]), (&json!("a"), &found["b"]["alone_right"]), "{other_way}");
    let (_, same) = ada.get(&format!("/compare?a={good}&b=ada/net@1")).await;
    assert_eq!((&same["better"], &same["mcnemar_p"]), (&json!("neither"), &json!(1.0)), "{same}");

    // An evaluation leaves the same table; what was measured elsewhere is not compared.
    ada.publish("dataset", "ada/others", false, vec![("data.zip", pictures_zip(3, 6))]).await;
    let asked = json!({ "model": "ada/net@1", "dataset": "ada/others" });
    let (_, measured) = ada.post("/evaluations", asked).await;
    let measured = measured["id"].as_str().unwrap().to_owned();
    assert_eq!(ada.end(&measured).await["state"], "succeeded", "{}", ada.log(&measured).await);
    let (status, refused) = ada.get(&format!("/compare?a={measured}&b={weak}")).await;
    assert_eq!((status, &refused["code"]), (422, &json!("different_items")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("ada/others@1"), "{refused}");
    assert_eq!(ada.get("/compare?a=ada/net@2&b=ada/net@1&dataset=ada/others").await.1["code"], "not_measured");
    assert_eq!(ada.get(&format!("/compare?a={measured}&b=ada/net@1&dataset=ada/others")).await.1["items"], 18);
    assert_eq!(ada.get("/compare?a=ada/net@1").await.0, 400);

    // What each answered belongs to whoever may see the jobs.
    assert_eq!(bob.get(&format!("/compare?a={good}&b={weak}")).await.0, 404);
    assert_eq!(bob.get("/compare?a=ada/net@1&b=ada/net@2").await.1["code"], "not_measured");

    let home = tempfile::tempdir().unwrap();
    let mut command = server.hub(home.path());
    command.env("HUB_TOKEN", &ada.token).args(["compare", "ada/net@2", "ada/net@1", "--dataset", "ada/colours"]);
    let done = tokio::task::spawn_blocking(move || command.assert().success()).await.unwrap();
    let said = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(said.contains("ada/net@1 is better") && said.contains("McNemar"), "{said}");
    let mut browser = Browser::logged_in(&server, &ada.token).await;
    assert!(browser.page(&format!("/jobs/{good}")).await.contains("Which is better?"));
    let page = browser.page(&format!("/compare?a={good}&b={weak}")).await;
    assert!(page.contains("ada/net@1 is better than ada/net@2") && page.contains("Right alone"), "{page}");
    assert!(browser.page(&format!("/compare?a={measured}&b={weak}")).await.contains("different items"));
}
