//! Somebody has pictures and no idea which backbone suits them: the hub tries those they may read, says why one is first, lets the best
//! race, and fine-tunes from it.

use crate::support::Server;
use crate::support::training::{ARCHITECTURE, Person, base_files, picture, pictures_zip};
use hub::nn::weights::Weights;
use serde_json::{Value, json};

/// The base of stories with other weights: `change` is given the name and the values of each tensor.
fn changed(license: &str, top1: Option<f64>, change: impl Fn(&str, &mut [f32])) -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = Weights::random(ARCHITECTURE, 0, 11).unwrap();
    for (name, var) in weights.iter() {
        let mut values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        change(name, &mut values);
        var.set(&candle_core::Tensor::from_vec(values, var.shape(), var.device()).unwrap()).unwrap();
    }
    weights.save(&path, &[]).unwrap();
    let mut files = base_files();
    let claim = top1.map_or(String::new(), |top1| {
        format!(
            "model-index:\n- name: a\n  results:\n  - task: {{type: image-classification}}\n    dataset: {{name: imagenet-1k, type: imagenet-1k}}\n    metrics:\n    - {{type: accuracy, value: {top1}}}\n"
        )
    });
    files[0].1 = format!("---\nlicense: {license}\ndatasets: [library/imagenet-1k]\n{claim}---\n# A base\n").into_bytes();
    files[2].1 = std::fs::read(path).unwrap();
    files
}

/// One that sees nothing: whatever it is shown, its features are the same.
fn blind(name: &str, values: &mut [f32]) {
    if name.starts_with("conv_stem") {
        values.fill(0.0);
    }
}

fn as_it_is(_: &str, _: &mut [f32]) {}

async fn recommend(who: &Person<'_>, body: Value) -> (Value, Value) {
    let (status, job) = who.post("/recommend", body).await;
    assert_eq!((status, &job["kind"]), (201, &json!("recommend")), "{job}");
    let id = job["id"].as_str().unwrap().to_owned();
    let ended = who.end(&id).await;
    assert_eq!(ended["state"], "succeeded", "{ended}\n{}", who.log(&id).await);
    let file = who.stream(&format!("/jobs/{id}/files/recommendation.json")).send().await.unwrap().text().await.unwrap();
    (serde_json::from_str(&file).unwrap(), ended)
}

fn named(answer: &Value, tried: bool) -> Vec<String> {
    let rows = answer["backbones"].as_array().unwrap().iter();
    rows.filter(|row| row["place"].is_null() != tried).map(|row| row["model"].as_str().unwrap().to_owned()).collect()
}

fn reason<'a>(answer: &'a Value, model: &str) -> &'a str {
    let rows = answer["backbones"].as_array().unwrap();
    rows.iter().find(|row| row["model"] == model).and_then(|row| row["reason"].as_str()).unwrap_or_else(|| panic!("{model}: {answer:#}"))
}

#[tokio::test]
async fn backbones_are_tried_by_those_who_may_read_them_and_what_is_wrong_with_one_is_its_row() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let (ada, eve) = (admin.invite("ada").await, admin.invite("eve").await);
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", pictures_zip(3, 8))]).await;
    ada.publish("model", "ada/blind", false, changed("mit", None, blind)).await;
    ada.publish("model", "ada/sees", false, changed("apache-2.0", None, as_it_is)).await;
    ada.publish("model", "ada/secret", true, base_files()).await;
    ada.publish("model", "ada/twin", false, changed("apache-2.0", None, as_it_is)).await;
    ada.publish("model", "ada/broken", false, changed("mit", None, |_, values| values[0] = f32::NAN)).await;
    let mut strange = base_files();
    strange[1].1 = br#"{"architecture": "convnext_tiny"}"#.to_vec();
    ada.publish("model", "ada/strange", false, strange).await;

    let (answer, job) = recommend(&ada, json!({ "dataset": "ada/colours" })).await;
    assert_eq!((&job["dataset"], &answer["dataset"]), (&json!("ada/colours@1"), &json!("ada/colours@1")));
    assert_eq!((&answer["items"], &answer["of_items"], &answer["task"]), (&json!(24), &json!(24), &json!("classification")));
    let tried = named(&answer, true);
    assert!(tried.contains(&"ada/sees@1".into()) != tried.contains(&"ada/twin@1".into()), "the same weights are tried once: {tried:?}");
    assert!(tried.contains(&"ada/secret@1".into()), "her own: {tried:?}");
    assert_eq!(tried.last().unwrap(), "ada/blind@1", "{answer:#}");
    let rows = answer["backbones"].as_array().unwrap();
    assert!(rows[0]["scores"]["ridge"].as_f64().unwrap() > 0.9 && rows[0]["scores"]["knn"].as_f64().unwrap() > 0.9, "{answer:#}");
    let last = &rows[tried.len() - 1];
    assert!(last["scores"]["ridge"].as_f64().unwrap() < 0.5 && last["standing"]["tied"] == json!(false), "{answer:#}");
    assert!(last["standing"]["mean_rank"].as_f64().unwrap() > rows[0]["standing"]["mean_rank"].as_f64().unwrap());
    assert_eq!((&last["license"], &last["source_datasets"]), (&json!("mit"), &json!(["library/imagenet-1k"])));
    assert!(last["gmacs"].as_f64().unwrap() > 0.0 && last["milliseconds_per_item"].as_f64().unwrap() > 0.0);
    assert!(reason(&answer, "ada/broken@1").contains("not a finite number"), "{answer:#}");
    let twin = if tried.contains(&"ada/sees@1".into()) { "ada/twin@1" } else { "ada/sees@1" };
    assert!(reason(&answer, twin).contains("its weights are those of ada/"), "{answer:#}");

    // A stranger's choice never shows what is not for them.
    let (answer, _) = recommend(&eve, json!({ "dataset": "ada/colours", "license": ["apache-2.0"] })).await;
    let all = [named(&answer, true), named(&answer, false)].concat();
    assert!(all.iter().all(|model| !model.contains("secret")), "{all:?}");
    assert!(!all.contains(&"ada/blind@1".into()), "it is under another licence: {all:?}");
    assert_eq!(eve.post("/recommend", json!({ "dataset": "ada/colours", "among": ["ada/secret"] })).await.0, 404);

    // Named models are tried, or refused in their rows.
    let (answer, _) = recommend(&ada, json!({ "dataset": "ada/colours", "among": ["ada/strange", "ada/sees@1"], "seconds": 60 })).await;
    assert_eq!(named(&answer, true), ["ada/sees@1"]);
    assert!(reason(&answer, "ada/strange@1").contains("convnext_tiny"), "{answer:#}");
    let again = ada.get("/jobs?kind=recommend").await.1;
    assert_eq!(again["items"].as_array().unwrap().len(), 2, "{again}");
}

#[tokio::test]
async fn what_cannot_be_chosen_from_or_by_is_refused_in_a_sentence() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 3).await;
    ada.publish("dataset", "ada/empty", false, vec![("README.md", b"# nothing yet\n".to_vec())]).await;
    let card = b"---\ngood: red\n---\n# Parts\n".to_vec();
    ada.publish("dataset", "ada/parts", false, vec![("README.md", card), ("data.zip", pictures_zip(3, 4))]).await;
    let auto = json!({ "base": "auto", "race": true, "dataset": "ada/parts", "name": "ada/parts-net" });
    let (status, refused) = ada.post("/finetunes", auto).await;
    assert_eq!((status, &refused["code"]), (422, &json!("no_race")), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("for anomalies"), "{refused}");
    let cases = [
        (422, "no_race", json!({ "dataset": "ada/parts", "race": true })),
        (404, "repo_not_found", json!({ "dataset": "ada/none" })),
        (404, "repo_not_found", json!({ "dataset": "ada/colours", "among": ["ada/none"] })),
        (422, "dataset_unusable", json!({ "dataset": "ada/empty" })),
        (422, "no_backbones", json!({ "dataset": "ada/colours", "max_parameters": 10 })),
        (422, "no_backbones", json!({ "dataset": "ada/colours", "license": ["gpl-3.0"] })),
        (422, "no_backbones", json!({ "dataset": "ada/colours", "among": ["ada/tiny"], "max_parameters": 10 })),
        (422, "bad_recipe", json!({ "dataset": "ada/colours", "task": "regression" })),
        (400, "bad_task", json!({ "dataset": "ada/colours", "task": "sing" })),
        (422, "bad_seconds", json!({ "dataset": "ada/colours", "seconds": 0 })),
        (400, "too_many_models", json!({ "dataset": "ada/colours", "among": vec!["ada/tiny"; 101] })),
    ];
    for (status, code, body) in cases {
        let (got, answer) = ada.post("/recommend", body.clone()).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{body}: {answer}");
        assert!(!answer["hint"].as_str().unwrap().is_empty());
    }
    let nobody = Person::new(&server, "");
    assert_eq!(nobody.post("/recommend", json!({ "dataset": "ada/colours" })).await.0, 401);
    let (status, answer) = ada.post("/finetunes", json!({ "base": "auto", "dataset": "ada/colours", "name": "other/net" })).await;
    assert!((400..500).contains(&status), "where she may not publish: {answer}");
}

#[tokio::test]
async fn a_fine_tune_from_auto_takes_the_winner_of_a_race_and_remembers_why() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", pictures_zip(3, 12))]).await;
    ada.publish("model", "ada/blind", false, changed("mit", Some(0.81), blind)).await;
    ada.publish("model", "ada/sees", false, changed("mit", Some(71.9), as_it_is)).await;

    let home = tempfile::tempdir().unwrap();
    let mut command = server.hub(home.path());
    command.env("HUB_TOKEN", &ada.token);
    let args = ["finetune", "--base", "auto", "--race", "--dataset", "ada/colours", "--name", "ada/net", "--epochs", "2", "--watch"];
    let output = tokio::task::spawn_blocking(move || command.args(args).output().unwrap()).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success() && out.contains("Published ada/net@1"), "{out}\n{err}");
    assert!(err.contains("won the race") && err.contains("ada/blind@1"), "{err}");
    assert!(err.contains("81.0 % (claimed)") && err.contains("71.9 % (claimed)"), "{err}");

    let (_, list) = ada.get("/finetunes").await;
    let job = &list["items"][0];
    assert_eq!((&job["base"], &job["state"]), (&json!("ada/sees@1"), &json!("succeeded")), "{job:#}");
    let chosen = &job["asked"]["chosen"];
    assert!(chosen["why"].as_str().unwrap().contains("ada/sees@1 won the race"), "{chosen}");
    assert_eq!(chosen["considered"].as_array().unwrap().len(), 2, "{chosen}");
    let metrics = ada.stream("/models/ada/net/versions/1/files/metrics.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&metrics).unwrap()["base_chosen"], *chosen);
    let card = ada.stream("/models/ada/net/versions/1/files/README.md").send().await.unwrap().text().await.unwrap();
    assert!(card.contains("The base was chosen by job") && card.contains("ada/blind@1: mean rank"), "{card}");
    assert_eq!(ada.get("/models/ada/net").await.1["facts"]["base_models"], json!(["ada/sees@1"]));

    // The result is made from another, and knows the answers: it is not tried unless it is named, and then not either.
    let (answer, _) = recommend(&ada, json!({ "dataset": "ada/colours", "fine_tunes": true })).await;
    assert!(reason(&answer, "ada/net@1").contains("trained on this very data set"), "{answer:#}");
}

/// Pictures of one colour that are in order and others that are not, by their folders.
fn parts(folders: &[(&str, [u8; 3], u64)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (folder, colour, count) in folders {
        for n in 0..*count {
            zip.start_file(format!("{folder}/{n}.png"), zip::write::SimpleFileOptions::default()).unwrap();
            // No picture twice: copies count once.
            let seed = 1_000 * u64::from(folder.bytes().fold(0u8, u8::wrapping_add)) + n;
            std::io::Write::write_all(&mut zip, &picture(*colour, seed)).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Of good items alone a backbone's distances are measured by what the validation split knows to be none; else nothing is, and that is said.
#[tokio::test]
async fn backbones_for_anomalies_are_ranked_by_distances_or_by_what_is_known_before() {
    const GOOD: [u8; 3] = [200, 30, 30];
    const BAD: [u8; 3] = [30, 30, 200];
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/blind", false, changed("mit", Some(0.81), blind)).await;
    ada.publish("model", "ada/sees", false, changed("mit", Some(0.70), as_it_is)).await;
    let with_some =
        parts(&[("train/good", GOOD, 20), ("val/good", GOOD, 6), ("val/rust", BAD, 6), ("test/good", GOOD, 3), ("test/rust", BAD, 3)]);
    ada.publish("dataset", "ada/bolts", false, vec![("data.zip", with_some)]).await;
    let (answer, job) = recommend(&ada, json!({ "dataset": "ada/bolts" })).await;
    assert_eq!((&answer["task"], &answer["items"], &answer["of_items"]), (&json!("anomaly"), &json!(32), &json!(32)), "{answer:#}");
    assert_eq!(named(&answer, true), ["ada/sees@1"], "{answer:#}");
    assert!(answer["backbones"][1]["reason"].as_str().unwrap().starts_with("its features of the good items are zeros"), "{answer:#}");
    let first = &answer["backbones"][0];
    assert!(first["auroc"].as_f64().unwrap() > 0.9 && first["scores"].is_null(), "{answer:#}");
    assert!(answer["notes"].to_string().contains("6 anomalies and 6 good items"), "{answer:#}");
    let events = ada.events(job["id"].as_str().unwrap()).await;
    let why = &events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"]["why"];
    assert!(why.as_str().unwrap().contains("AUROC of distances"), "{why}");

    // As MVTec AD lies: anomalies are for the test alone, and choose nothing.
    let without = parts(&[("train/good", GOOD, 40), ("test/good", GOOD, 3), ("test/rust", BAD, 3)]);
    ada.publish("dataset", "ada/nuts", false, vec![("data.zip", without)]).await;
    let home = tempfile::tempdir().unwrap();
    let mut command = server.hub(home.path());
    command.env("HUB_TOKEN", &ada.token);
    let output = tokio::task::spawn_blocking(move || command.args(["recommend", "--dataset", "ada/nuts"]).output().unwrap()).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success() && out.contains("AUROC") && !out.contains("LogME"), "{out}\n{err}");
    assert!(out.contains("nothing was measured") && out.contains("ada/sees@1 stands first of 1 backbones by what is known"), "{out}");
    let (answer, _) = recommend(&ada, json!({ "dataset": "ada/nuts" })).await;
    assert_eq!((&answer["items"], &answer["backbones"][0]["auroc"]), (&json!(32), &Value::Null), "{answer:#}");

    let id = ada
        .post(
            "/finetunes",
            json!({ "base": "auto", "dataset": "ada/bolts", "name": "ada/bolts-net", "recipe": { "publish_anyway": true } }),
        )
        .await
        .1["id"]
        .clone();
    assert_eq!(ada.end(id.as_str().unwrap()).await["state"], "succeeded", "{}", ada.log(id.as_str().unwrap()).await);
    let (_, list) = ada.get("/finetunes").await;
    let tuned = list["items"][0]["id"].as_str().unwrap().to_owned();
    let ended = ada.end(&tuned).await;
    assert_eq!((&ended["state"], &ended["base"]), (&json!("succeeded"), &json!("ada/sees@1")), "{ended:#}");
}

/// What was measured on the very data set counts in the order, and is said to.
#[tokio::test]
async fn what_was_reached_on_the_data_set_before_counts_beside_the_scores() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", pictures_zip(3, 12))]).await;
    ada.publish("model", "ada/blind", false, changed("mit", None, blind)).await;
    ada.publish("model", "ada/sees", false, changed("apache-2.0", None, as_it_is)).await;
    let recipe = json!({ "strategy": "head", "seed": 3, "threads": 1, "publish_anyway": true });
    for base in ["blind", "sees"] {
        let asked = json!({ "base": format!("ada/{base}"), "dataset": "ada/colours", "name": format!("ada/{base}-net"), "recipe": recipe });
        let id = ada.finetune(asked).await;
        assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    }
    let (answer, _) = recommend(&ada, json!({ "dataset": "ada/colours" })).await;
    assert_eq!(named(&answer, true), ["ada/sees@1", "ada/blind@1"]);
    let evidence = |at: usize| &answer["backbones"][at]["evidence"];
    assert_eq!(
        (&evidence(0)["model"], &evidence(0)["measured"], &evidence(0)["split"]),
        (&json!("ada/sees-net@1"), &json!(false), &json!("held out"))
    );
    assert!(evidence(0)["value"].as_f64() > evidence(1)["value"].as_f64(), "{answer:#}");
    assert!(answer["notes"][0].as_str().unwrap().contains("counts in the order"), "{answer:#}");

    // Measured by the hub, on a split that both have a number of.
    for model in ["blind-net", "sees-net"] {
        let (status, job) = ada.post("/evaluations", json!({ "model": format!("ada/{model}"), "dataset": "ada/colours" })).await;
        assert_eq!(status, 201, "{job}");
        assert_eq!(ada.end(job["id"].as_str().unwrap()).await["state"], "succeeded");
    }
    let (again, _) = recommend(&ada, json!({ "dataset": "ada/colours" })).await;
    let row = again["backbones"].as_array().unwrap().iter().find(|row| row["model"] == "ada/sees@1").unwrap();
    assert!(row["evidence"]["value"].as_f64().unwrap() > 0.9, "{again:#}");
    // A card alone is no evidence.
    let card = "---\nlicense: mit\nbase_model: ada/blind\ndatasets: [ada/colours]\nmodel-index:\n- name: a\n  results:\n  - task: {type: image-classification}\n    dataset: {name: ada/colours, type: ada/colours}\n    metrics:\n    - {type: accuracy, value: 1.0}\n---\n";
    let mut boast = base_files();
    boast[0].1 = card.as_bytes().to_vec();
    ada.publish("model", "ada/boast", false, boast).await;
    let (last, _) = recommend(&ada, json!({ "dataset": "ada/colours" })).await;
    assert!(last["backbones"].as_array().unwrap().iter().all(|row| row["evidence"]["model"] != "ada/boast@1"), "{last:#}");
}
