//! Every task from the data set to the answer, on small drawn pictures and the real server: what is published, learned, measured
//! and said; and what cannot work ends in a sentence.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::io::Write;

use serde_json::{Value, json};
use support::Server;
use support::training::{Gate, Person, Worker, base_files, picture};

/// A picture whose red, green and blue are on or off, and the names of those that are on.
fn lights(which: u8) -> ([u8; 3], Vec<&'static str>) {
    let on = |bit: u8| which >> bit & 1 == 1;
    let colour = [0, 1, 2].map(|bit| if on(bit) { 190 } else { 10 });
    let names = ["red", "green", "blue"].into_iter().enumerate().filter(|(bit, _)| on(*bit as u8)).map(|(_, name)| name);
    (colour, names.collect())
}

/// A zip of files.
fn zipped(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(path.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Pictures with a table: a line for each, from its number, its colours' bits.
fn table(count: u64, header: &str, line: impl Fn(u64, u8) -> String) -> Vec<u8> {
    let mut text = format!("file_name,{header}\n");
    let mut files = Vec::new();
    for n in 0..count {
        let which = (n % 8) as u8;
        files.push((format!("{n}.png"), picture(lights(which).0, n * 31 + 7)));
        text += &format!("{n}.png,{}\n", line(n, which));
    }
    files.push(("metadata.csv".into(), text.into_bytes()));
    zipped(&files)
}

fn recipe(more: Value) -> Value {
    let mut recipe = json!({ "strategy": "head", "epochs": 30, "batch_size": 8, "head_lr": 0.03, "seed": 3, "threads": 1 });
    recipe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    recipe
}

/// Trains to the end and gives the numbers people ask for first.
async fn trained(person: &Person<'_>, dataset: &str, name: &str, recipe: Value) -> Value {
    let id = person.finetune(json!({ "base": "ada/tiny", "dataset": dataset, "name": name, "recipe": recipe })).await;
    let job = person.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", person.log(&id).await);
    let events = person.events(&id).await;
    events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"].clone()
}

async fn config(person: &Person<'_>, name: &str) -> Value {
    let (status, config) = person.get(&format!("/models/{name}/versions/main/files/config.json")).await;
    assert_eq!(status, 200, "{config}");
    config
}

async fn predicted(person: &Person<'_>, name: &str, which: u8) -> Value {
    let (status, answer) = person.send(&format!("/models/{name}/predict?top=1"), picture(lights(which).0, 999)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn at_least(metrics: &Value, key: &str, least: f64) {
    assert!(metrics[key].as_f64().is_some_and(|value| value >= least), "{key} of {metrics:#}");
}

#[tokio::test]
async fn labels_are_learned_measured_and_answered_each_with_its_probability() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let lights_table = table(80, "labels", |_, which| lights(which).1.join(";"));
    ada.publish("dataset", "ada/lights", false, vec![("data.zip", lights_table)]).await;
    let (_, dataset) = ada.get("/datasets/ada/lights").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((&report["task"], &report["classes"]), (&json!("multi-label"), &json!(["blue", "green", "red"])), "{report:#}");
    assert_eq!(report["splits"][0]["per_class"], json!([40, 40, 40]));

    let metrics = trained(&ada, "ada/lights", "ada/lights-net", recipe(json!({}))).await;
    at_least(&metrics, "map", 0.95);
    at_least(&metrics, "macro_f1", 0.9);
    at_least(&metrics, "subset_accuracy", 0.7);
    assert!(metrics["prevalence_map"].as_f64().unwrap() < 0.7, "{metrics}");
    let interval = &metrics["intervals_95"]["map"];
    assert!(interval[0].as_f64() <= metrics["map"].as_f64() && interval[1].as_f64() >= metrics["map"].as_f64(), "{metrics}");
    let config = config(&ada, "ada/lights-net").await;
    assert_eq!((&config["problem_type"], &config["num_classes"]), (&json!("multi_label_classification"), &json!(3)));
    assert_eq!(config["thresholds"].as_array().map(Vec::len), Some(3));
    for which in [0u8, 1, 6, 7] {
        let answer = predicted(&ada, "ada/lights-net", which).await;
        let classes = answer["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 3, "all labels, whatever number was asked for: {answer}");
        let mut present: Vec<&str> = classes.iter().filter(|c| c["present"] == true).map(|c| c["label"].as_str().unwrap()).collect();
        present.sort_by_key(|name| ["red", "green", "blue"].iter().position(|known| known == name));
        assert_eq!(present, lights(which).1, "{answer}");
    }
}

#[tokio::test]
async fn one_picture_in_several_folders_has_several_labels_where_the_card_says_so() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    let mut files = Vec::new();
    for n in 0..16u64 {
        let (colour, names) = lights((n % 7 + 1) as u8);
        files.extend(names.iter().map(|name| (format!("{name}/{n}.png"), picture(colour, n * 31 + 7))));
    }
    let card = |front: &str| format!("---\n{front}\n---\n# Lights\n").into_bytes();
    let zip = zipped(&files);
    ada.publish("dataset", "ada/folders", false, vec![("README.md", card("multi_label: true")), ("data.zip", zip.clone())]).await;
    let (_, dataset) = ada.get("/datasets/ada/folders").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((&report["task"], &report["images"]), (&json!("multi-label"), &json!(16)), "{report:#}");
    let held: u64 = report["splits"][0]["per_class"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(held as usize, files.len(), "every file is a label");
    // Without a word they are copies with contradicting labels, and that is told with what to say.
    ada.publish("dataset", "ada/silent", false, vec![("data.zip", zip)]).await;
    let (_, dataset) = ada.get("/datasets/ada/silent").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((report.get("task"), &report["images"]), (None, &json!(files.len())));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("multi_label: true"), "{warnings}");
}

#[tokio::test]
async fn several_numbers_are_learned_together_and_answered_under_their_names() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    // Brightness of red in thousands, of blue in tenths.
    let numbers = table(80, "target_red,target_blue", |n, which| {
        let on = |bit: u8| f64::from(which >> bit & 1);
        format!("{},{}", 1000.0 * on(0) + n as f64 / 100.0, 0.1 * on(2) + 0.3)
    });
    ada.publish("dataset", "ada/numbers", false, vec![("data.zip", numbers)]).await;
    let (_, dataset) = ada.get("/datasets/ada/numbers").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((&report["task"], &report["heads"][1]["name"]), (&json!("multi-regression"), &json!("target_blue")), "{report:#}");
    let metrics =
        trained(&ada, "ada/numbers", "ada/numbers-net", recipe(json!({ "task": "regression", "epochs": 60, "head_lr": 0.01 }))).await;
    at_least(&metrics, "mean_r2", 0.5);
    let part = |at: usize, key: &str| metrics["parts"][at][key].as_f64().unwrap();
    assert!((metrics["mean_r2"].as_f64().unwrap() - (part(0, "r2") + part(1, "r2")) / 2.0).abs() < 1e-9, "{metrics:#}");
    assert!(part(0, "mae") > 10.0 * part(1, "mae"), "each in its own units");
    let answer = predicted(&ada, "ada/numbers-net", 1).await;
    let (red, blue) = (answer["values"][0]["value"].as_f64().unwrap(), answer["values"][1]["value"].as_f64().unwrap());
    assert_eq!((&answer["values"][0]["name"], &answer["values"][1]["name"]), (&json!("target_red"), &json!("target_blue")));
    assert!(red > 500.0 && blue < 0.37, "{answer}");
}

#[tokio::test]
async fn ranks_are_declared_or_told_by_their_names_and_measured_by_their_distance() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let bands = |name: fn(u8) -> &'static str| {
        let mut files = Vec::new();
        for n in 0..60u64 {
            let band = (n % 4) as u8;
            files.push((format!("{}/{n}.png", name(band)), picture([10 + 55 * band; 3], n * 31 + 7)));
        }
        zipped(&files)
    };
    let words = |band: u8| ["dawn", "noon", "zenith", "blaze"][usize::from(band)];
    let card = b"---\nordered: [dawn, noon, zenith, blaze]\n---\n# Bands\n".to_vec();
    ada.publish("dataset", "ada/bands", false, vec![("README.md", card), ("data.zip", bands(words))]).await;
    let metrics = trained(&ada, "ada/bands", "ada/bands-net", recipe(json!({}))).await;
    assert!(metrics["rank_mae"].as_f64().unwrap() < 0.5 * metrics["median_rank_mae"].as_f64().unwrap(), "{metrics:#}");
    at_least(&metrics, "kappa", 0.7);
    let config = config(&ada, "ada/bands-net").await;
    assert_eq!((&config["task"], &config["label_names"]), (&json!("ordinal"), &json!(["dawn", "noon", "zenith", "blaze"])));
    let (_, answer) = ada.send("/models/ada/bands-net/predict", picture([175; 3], 5)).await;
    assert_eq!(answer["classes"][0]["label"], "blaze", "{answer}");

    // Numbers have an order by themselves, when it is asked for; names of none are asked about.
    let numbers = |band: u8| ["9", "10", "11", "12"][usize::from(band)];
    ada.publish("dataset", "ada/grades", false, vec![("data.zip", bands(numbers))]).await;
    trained(&ada, "ada/grades", "ada/grades-net", recipe(json!({ "task": "ordinal", "loss": "cross-entropy", "epochs": 3 }))).await;
    assert_eq!(self::config(&ada, "ada/grades-net").await["label_names"], json!(["9", "10", "11", "12"]));
    ada.publish("dataset", "ada/words", false, vec![("data.zip", bands(words))]).await;
    let asked = json!({ "base": "ada/tiny", "dataset": "ada/words", "name": "ada/x", "recipe": recipe(json!({ "task": "ordinal" })) });
    let (status, problem) = ada.post("/finetunes", asked).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("`ordered:"), "{problem}");
}

#[tokio::test]
async fn several_heads_share_a_backbone_and_survive_a_kill() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    // Every fourth has no size, every fifth no word for red.
    let gaps = table(90, "label_red,target_blue,labels_all", |n, which| {
        let red = if n % 5 == 4 { "" } else { ["off", "on"][usize::from(which & 1)] };
        let blue = if n % 4 == 3 { String::new() } else { format!("{}", f64::from(which >> 2 & 1) * 7.0 + 1.5) };
        format!("{red},{blue},{}", lights(which).1.join(";"))
    });
    ada.publish("dataset", "ada/gaps", false, vec![("data.zip", gaps)]).await;
    let (_, dataset) = ada.get("/datasets/ada/gaps").await;
    let report = &dataset["facts"]["dataset_report"];
    let known: Vec<_> = report["heads"].as_array().unwrap().iter().map(|head| head["known"].as_u64().unwrap()).collect();
    assert_eq!((report["task"].as_str(), known.as_slice()), (Some("multi-task"), &[72, 68, 78][..]), "{report:#}");

    let ask = |name: &str| {
        let recipe = recipe(json!({ "strategy": "full", "frozen_stages": 3, "epochs": 3 }));
        json!({ "base": "ada/tiny", "dataset": "ada/gaps", "name": name, "recipe": recipe })
    };
    let gate = Gate::after_epoch(&server, 2);
    let killed = ada.finetune(ask("ada/killed")).await;
    let worker = Worker::start(&server);
    ada.held(&killed, 1).await;
    worker.kill();
    gate.open();
    let worker = Worker::start(&server);
    assert_eq!(ada.end(&killed).await["state"], "succeeded", "{}", ada.log(&killed).await);
    let whole = ada.finetune(ask("ada/whole")).await;
    assert_eq!(ada.end(&whole).await["state"], "succeeded", "{}", ada.log(&whole).await);
    assert!(ada.log(&killed).await.contains("resumed after epoch 1"));
    let digest = |name: &'static str| {
        let ada = &ada;
        async move { ada.get(&format!("/models/{name}/versions/main/files/metrics.json")).await.1["weights_digest"].clone() }
    };
    assert_eq!(digest("ada/killed").await, digest("ada/whole").await);

    let metrics = trained(&ada, "ada/gaps", "ada/gaps-net", recipe(json!({ "epochs": 60, "head_lr": 0.01 }))).await;
    let part = |at: usize, key: &str| metrics["parts"][at][key].as_f64().unwrap_or(f64::NAN);
    assert!(part(0, "top1") > 0.9 && part(1, "r2") > 0.4 && part(2, "map") > 0.9, "{metrics:#}");
    let config = config(&ada, "ada/gaps-net").await;
    assert_eq!((&config["num_classes"], config["label_names"].as_array().map(Vec::len)), (&json!(6), Some(6)), "{config:#}");
    let answer = predicted(&ada, "ada/gaps-net", 5).await;
    let head = |at: usize| &answer["heads"][at];
    assert_eq!((&head(0)["name"], &head(0)["classes"][0]["label"]), (&json!("label_red"), &json!("on")), "{answer}");
    assert!(head(1)["values"][0]["value"].as_f64().unwrap() > 5.0, "{answer}");
    assert_eq!(head(2)["classes"].as_array().map(Vec::len), Some(3));
    drop(worker);
}

#[tokio::test]
async fn what_teaches_nothing_is_refused_in_a_sentence() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    type Row = fn(u64, u8) -> String;
    let cases: [(&str, Row, &str); 6] = [
        ("labels", |_, _| "[]".into(), "no image has a label"),
        ("labels", |_, _| "red;blue".into(), "every image has the same labels"),
        ("target_a,target_b", |n, _| format!("{n},NaN"), "`NaN` in the column `target_b` is not a finite number"),
        ("target_a,target_b", |n, _| format!("{n},4"), "all of `target_b` are 4"),
        ("label_a,label_b", |n, _| format!("{},x", n % 2), "the column `label_b` has one class, `x`"),
        ("label_a,label_b", |n, _| format!("{},", n % 2), "the column `label_b` is empty"),
    ];
    for (at, (header, line, why)) in cases.into_iter().enumerate() {
        let id = format!("ada/bad{at}");
        let (status, body) = ada.post("/repos", json!({ "kind": "dataset", "id": id })).await;
        assert_eq!(status, 201, "{body}");
        let bytes = table(16, header, line);
        let size = bytes.len();
        let files = json!([{ "path": "data.zip", "size_bytes": size, "sha256": ada.upload(bytes).await }]);
        let (status, problem) = ada.post(&format!("/datasets/{id}/commits"), json!({ "message": "", "files": files })).await;
        assert_eq!(status, 422, "{header}: {problem}");
        assert!(problem.to_string().contains(why), "{header}: {problem}");
    }
}

/// Pictures of three colours: a folder for each class and one without.
fn with_unlabelled(per_class: u64, unlabelled: u64) -> Vec<u8> {
    let mut files = Vec::new();
    for which in [1u8, 2, 4] {
        let (colour, names) = lights(which);
        files.extend((0..per_class).map(|n| (format!("{}/{n}.png", names[0]), picture(colour, n * 31 + 7))));
        files.extend((0..unlabelled).map(|n| (format!("unlabeled/{which}-{n}.png"), picture(colour, n * 31 + 5_000))));
    }
    zipped(&files)
}

#[tokio::test]
async fn a_few_of_each_class_are_drawn_and_several_draws_tell_their_spread() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", with_unlabelled(12, 0))]).await;
    let metrics = trained(&ada, "ada/colours", "ada/few", recipe(json!({ "shots": 3, "draws": 3, "epochs": 10 }))).await;
    assert_eq!(metrics["images"], 27, "what was not drawn is measured on: {metrics}");
    at_least(&metrics, "top1", 0.9);
    let (_, file) = ada.get("/models/ada/few/versions/main/files/metrics.json").await;
    let draws = &file["rounds"]["draws"];
    let values: Vec<f64> = draws["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(
        (&draws["shots"], &draws["measure"], values.len(), &file["train_images"]),
        (&json!(3), &json!("top1"), 3, &json!(9)),
        "{draws}"
    );
    assert_eq!(Some(values[0]), metrics["top1"].as_f64(), "the first draw is published");
    let mean = values.iter().sum::<f64>() / 3.0;
    assert!((draws["mean"].as_f64().unwrap() - mean).abs() < 1e-9 && draws["deviation"].as_f64().unwrap() >= 0.0);
    let ask = |recipe: Value| json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/x", "recipe": recipe });
    let (status, problem) = ada.post("/finetunes", ask(json!({ "draws": 3 }))).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("set shots too"), "{problem}");
}

#[tokio::test]
async fn images_without_a_class_are_learned_from_and_never_measured_on() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/half", false, vec![("data.zip", with_unlabelled(12, 8))]).await;
    let (_, dataset) = ada.get("/datasets/ada/half").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!(
        (&report["images"], &report["unlabelled"], report["classes"].as_array().map(Vec::len)),
        (&json!(36), &json!(24), Some(3)),
        "{report:#}"
    );
    assert!(report["warnings"].to_string().contains("24 images in `unlabeled`"), "{report:#}");

    let pseudo = recipe(json!({ "unlabelled": "pseudo", "confidence": 0.6, "epochs": 40 }));
    let metrics = trained(&ada, "ada/half", "ada/pseudo", pseudo).await;
    at_least(&metrics, "top1", 0.9);
    assert!(metrics["images"].as_u64().unwrap() < 12, "only those with a class are held out: {metrics}");
    let (_, file) = ada.get("/models/ada/pseudo/versions/main/files/metrics.json").await;
    let taught = &file["rounds"]["taught"];
    assert_eq!(taught["items"], 24, "{taught}");
    assert!(taught["learned"].as_u64().unwrap() >= 12, "{taught}");
    if taught["published"] == true {
        let all = file["train_images"].as_u64().unwrap() + metrics["images"].as_u64().unwrap();
        assert_eq!(all, 36 + taught["learned"].as_u64().unwrap());
    }

    let fixmatch = recipe(json!({ "strategy": "full", "frozen_stages": 5, "unlabelled": "fixmatch", "confidence": 0.5, "epochs": 4 }));
    let metrics = trained(&ada, "ada/half", "ada/fixmatch", fixmatch.clone()).await;
    at_least(&metrics, "top1", 0.34);
    let digest = |name: &str| format!("/models/{name}/versions/main/files/metrics.json");
    trained(&ada, "ada/half", "ada/fixmatch2", fixmatch.clone()).await;
    let mut plain = fixmatch;
    plain["unlabelled"] = json!("ignore");
    trained(&ada, "ada/half", "ada/plain", plain).await;
    let first = ada.get(&digest("ada/fixmatch")).await.1["weights_digest"].clone();
    assert_eq!(first, ada.get(&digest("ada/fixmatch2")).await.1["weights_digest"], "it repeats itself");
    assert_ne!(first, ada.get(&digest("ada/plain")).await.1["weights_digest"], "and learned from them");

    // A head has no views; a data set without such a folder has nothing to teach.
    let ask = |recipe: Value| json!({ "base": "ada/tiny", "dataset": "ada/half", "name": "ada/x", "recipe": recipe });
    let (status, problem) = ada.post("/finetunes", ask(json!({ "strategy": "head", "unlabelled": "fixmatch" }))).await;
    assert_eq!(status, 422, "{problem}");
}
