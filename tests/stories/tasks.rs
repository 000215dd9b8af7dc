//! Every task from the data set to the answer, on small drawn pictures and the real server: what is published, learned, measured
//! and said; and what cannot work ends in a sentence.

use std::io::Write;

use crate::support::Server;
use crate::support::training::{Gate, Person, Worker, base_files, picture};
use serde_json::{Value, json};

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
        ("labels", |_, _| "[]".into(), "no item has a label"),
        ("labels", |_, _| "red;blue".into(), "every item has the same labels"),
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

/// A grey picture; with a patch of a colour where it is spoilt.
fn part(patch: Option<[u8; 3]>, seed: u64) -> Vec<u8> {
    let mut image = image::load_from_memory(&picture([90, 90, 90], seed)).unwrap().to_rgb8();
    if let Some(colour) = patch {
        for at in 0..12 * 12 {
            image.put_pixel(8 + at % 12, 10 + at / 12, image::Rgb(colour));
        }
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// As MVTec AD lies: only good pictures to train on, kinds of anomalies beside them to test, and masks that are no items.
fn parts(good: u64, tested: u64) -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = (0..good).map(|n| (format!("bolt/train/good/{n:03}.png"), part(None, n * 31 + 7))).collect();
    for n in 0..tested {
        files.push((format!("bolt/test/good/{n:03}.png"), part(None, n * 37 + 5_000)));
        files.push((format!("bolt/test/rust/{n:03}.png"), part(Some([230, 60, 0]), n * 41 + 9_000)));
        files.push((format!("bolt/test/paint/{n:03}.png"), part(Some([0, 30, 240]), n * 43 + 9_500)));
        files.push((format!("bolt/ground_truth/rust/{n:03}_mask.png"), part(None, n)));
    }
    zipped(&files)
}

#[tokio::test]
async fn anomalies_are_told_from_good_items_which_are_all_that_is_trained_on() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/bolts", false, vec![("data.zip", parts(60, 10))]).await;
    let (_, dataset) = ada.get("/datasets/ada/bolts").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((&report["task"], &report["classes"]), (&json!("anomaly"), &json!(["good", "paint", "rust"])), "{report:#}");
    assert_eq!(report["splits"][1]["per_class"], json!([10, 10, 10]), "masks are no items: {report:#}");

    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/bolts", "name": "ada/bolt-net", "recipe": { "seed": 3 } })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let events = ada.events(&id).await;
    let metrics = &events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"];
    at_least(metrics, "auroc", 0.95);
    at_least(metrics, "average_precision", 0.95);
    assert_eq!((&metrics["split"], &metrics["chance_auroc"]), (&json!("test"), &json!(0.5)), "{metrics:#}");
    let epoch = &events.iter().find(|event| event["kind"] == "epoch").unwrap()["body"];
    assert!(epoch["val_auroc"].is_null(), "the items held out are all good: {epoch}");

    let config = config(&ada, "ada/bolt-net").await;
    assert_eq!((&config["task"], &config["num_classes"]), (&json!("anomaly"), &json!(0)), "{config:#}");
    assert_eq!(config["anomaly"]["false_alarms"], 0.05);
    let (_, all) = ada.get("/models/ada/bolt-net/versions/main/files/metrics.json").await;
    let bins = all["anomalies"]["bins"].as_array().unwrap();
    let counted = |key: &str| bins.iter().map(|bin| bin[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((counted("good"), counted("anomalies")), (10, 20), "{:#}", all["anomalies"]);
    assert_eq!(all["test"]["parts"].as_array().unwrap().len(), 2, "each kind by itself");

    let asked = async |item: Vec<u8>| ada.send("/models/ada/bolt-net/predict", item).await.1["anomaly"].clone();
    let (good, rusty) = (asked(part(None, 77_777)).await, asked(part(Some([230, 60, 0]), 77_778)).await);
    assert_eq!((&good["is_anomaly"], &rusty["is_anomaly"]), (&json!(false), &json!(true)), "{good} {rusty}");
    assert!(good["threshold"] == rusty["threshold"] && rusty["score"].as_f64() > rusty["threshold"].as_f64());

    let asked = json!({ "model": "ada/bolt-net", "dataset": "ada/bolts", "split": "test" });
    let (status, queued) = ada.post("/evaluations", asked).await;
    assert_eq!(status, 201, "{queued}");
    let job = ada.end(queued["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let page = crate::support::visitor::Browser::logged_in(&server, &ada.token).await.page(&format!("/jobs/{id}")).await;
    assert!(page.contains("from the first marked line on they are called anomalies"), "{page}");
}

#[tokio::test]
async fn good_items_alone_set_a_threshold_and_what_cannot_be_measured_is_said() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/good", false, vec![("data.zip", parts(30, 0))]).await;
    let (_, dataset) = ada.get("/datasets/ada/good").await;
    let warnings = dataset["facts"]["dataset_report"]["warnings"].to_string();
    assert!(warnings.contains("there are no anomalies to measure on"), "{warnings}");
    let metrics = trained(&ada, "ada/good", "ada/good-net", json!({ "false_alarms": 0.2 })).await;
    assert!(metrics["auroc"].is_null(), "{metrics:#}");
    let (_, card) = ada.get("/models/ada/good-net/versions/main/files/README.md").await;
    assert!(card.as_str().unwrap().contains("| not measured |"), "{card}");
    let (_, answer) = ada.send("/models/ada/good-net/predict", part(Some([0, 255, 0]), 5)).await;
    assert!(answer["anomaly"]["score"].is_number(), "{answer}");

    // Folders of classes, of which the card says that one is good; the others in train are measured on.
    let files: Vec<_> = (0..20)
        .flat_map(|n| {
            [("fine", None), ("cracked", Some([0, 0, 0]))].map(|(class, patch)| (format!("{class}/{n}.png"), part(patch, n * 31 + 7)))
        })
        .collect();
    let card = b"---\ngood: fine\n---\n# Parts\n".to_vec();
    ada.publish("dataset", "ada/parts", false, vec![("README.md", card), ("data.zip", zipped(&files))]).await;
    let metrics = trained(&ada, "ada/parts", "ada/parts-net", json!({})).await;
    at_least(&metrics, "auroc", 0.9);
    assert_eq!(
        (&metrics["split"], &metrics["images"]),
        (&json!("validation"), &json!(24)),
        "four good ones held out, all others: {metrics:#}"
    );
    let body = json!({ "base": "ada/tiny", "dataset": "ada/parts", "name": "ada/x", "recipe": { "strategy": "full" } });
    let (status, refused) = ada.post("/finetunes", body).await;
    assert_eq!((status, &refused["code"]), (422, &json!("bad_recipe")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("no stage learns"), "{refused}");
}
