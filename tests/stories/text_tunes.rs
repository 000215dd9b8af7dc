//! Stories of fine-tunes on texts: classes, pairs, a few examples; what is published answers, and is a base again.

use std::io::Write as _;

use serde_json::json;

use crate::support::training::Person;
use crate::support::{Api, Server, http};
use crate::texts::{NAME, send, sentence_encoder};

/// A zip of texts in folders, a class each; which animal is meant is told by a word.
fn texts_zip(splits: &[(&str, usize)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (split, count) in splits {
        for class in ["cat", "dog"] {
            for n in 0..*count {
                zip.start_file(format!("{split}/{class}/{n}.txt"), zip::write::SimpleFileOptions::default()).unwrap();
                let more = ["sat on the ", "a ", "the ", ". "][n % 4].repeat(1 + n % 3);
                zip.write_all(format!("the {class} {more}{class} {n}").as_bytes()).unwrap();
            }
        }
    }
    zip.finish().unwrap().into_inner()
}

/// A data set of texts and a text encoder become a classifier that brings along what texts are cut by, answers, and is a base again.
#[tokio::test]
async fn texts_become_a_classifier_that_answers_and_is_a_base_again() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    ada.publish("dataset", "ada/animals", false, vec![("data.zip", texts_zip(&[("train", 24), ("val", 8)]))]).await;
    let rates = json!({"lr": 2e-3, "head_lr": 2e-2, "batch_size": 8, "threads": 1, "seed": 3});
    for (base, name, more) in [
        ("ada/sentences", "ada/told", json!({})),
        ("ada/sentences", "ada/tuned", json!({"strategy": "freeze", "frozen_stages": 1})),
        ("ada/tuned", "ada/again", json!({"strategy": "head"})),
    ] {
        let mut recipe = rates.clone();
        recipe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = ada.finetune(json!({"base": base, "dataset": "ada/animals", "name": name, "recipe": recipe})).await;
        let job = ada.end(&id).await;
        assert_eq!(job["state"], "succeeded", "{name}: {job:#}\n{}", ada.log(&id).await);
        assert_eq!(
            (&job["recipe"]["optimizer"], &job["recipe"]["epochs"], &job["recipe"]["modality"]),
            (&json!("adamw"), &json!(3), &json!("text"))
        );
        let (_, config) = ada.get(&format!("/models/{name}/versions/main/files/config.json")).await;
        assert_eq!((&config["label_names"], &config["architecture"]), (&json!(["cat", "dog"]), &json!(NAME)), "{config}");
        assert_eq!(config["sentence_transformers"]["max_seq_length"], 8, "{config}");
        let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
        for path in ["tokenizer.json", "modules.json", "1_Pooling/config.json"] {
            api.get(&format!("/api/v1/models/{name}/versions/main/files/{path}")).await.ok();
        }
        let told = send(&api, &format!("/api/v1/models/{name}/predict?top=1"), b"the dog sat on the dog").await.ok();
        assert_eq!(told["classes"][0]["label"], "dog", "{told}");
    }
    let (_, card) = ada.get("/models/ada/tuned/versions/main/files/README.md").await;
    let card = card.as_str().unwrap();
    assert!(card.contains("text-classification") && card.contains("text/plain") && !card.contains("timm"), "{card}");
}

/// What cannot come to anything is said when it is asked for.
#[tokio::test]
async fn a_fine_tune_of_texts_that_cannot_be_is_refused_at_once() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    let bare: Vec<_> = sentence_encoder().into_iter().filter(|(name, _)| *name != "tokenizer.json").collect();
    ada.publish("model", "ada/bare", false, bare).await;
    ada.publish_both("ada/pictures", "ada/colours", 4).await;
    ada.publish("dataset", "ada/animals", false, vec![("data.zip", texts_zip(&[("train", 8)]))]).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    for (base, dataset, recipe, code, word) in [
        ("ada/pictures", "ada/animals", json!({}), "modality_differs", "holds texts"),
        ("ada/sentences", "ada/colours", json!({}), "modality_differs", "holds images"),
        ("ada/bare", "ada/animals", json!({}), "model_unusable", "tokenizer.json"),
        ("ada/sentences", "ada/animals", json!({"augment": {"mixup": 0.2}}), "bad_recipe", "mixup"),
        ("ada/sentences", "ada/animals", json!({"image_size": 64}), "bad_recipe", "image_size"),
    ] {
        let asked = json!({"base": base, "dataset": dataset, "name": "ada/x", "recipe": recipe});
        let refused = api.post("/api/v1/finetunes", &asked).await;
        refused.problem(422, code);
        assert!(refused.text().contains(word), "{base} {dataset}: {}", refused.text());
    }
}

/// Pairs with a score become a sentence encoder whose cosines follow the scores; few examples of classes a classifier.
#[tokio::test]
async fn pairs_are_compared_and_few_examples_are_enough_to_ask() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    let table = |count: usize| {
        let row = |n: usize| {
            let (first, second) = (["cat", "dog"][n % 2], ["cat", "dog"][n / 2 % 2]);
            let score = if first == second { "4.5" } else { "0.5" };
            let more = ["sat", "on", "the"][n % 3];
            format!("the {first} {more} {n},a {second} {more} {n},{score}\n")
        };
        format!("sentence1,sentence2,score\n{}", (0..count).map(row).collect::<String>()).into_bytes()
    };
    ada.publish("dataset", "ada/alike", false, vec![("train.csv", table(48)), ("val.csv", table(16))]).await;
    let recipe = json!({"lr": 2e-3, "batch_size": 8, "epochs": 4, "threads": 1});
    let id = ada.finetune(json!({"base": "ada/sentences", "dataset": "ada/alike", "name": "ada/compares", "recipe": recipe})).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    assert_eq!(job["recipe"]["task"], "similarity");
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let path = "/api/v1/models/ada/compares/predict";
    let said = api.post(path, &json!({"pairs": [["the cat", "a cat"], ["the cat", "a dog"]], "texts": ["a cat"]})).await.ok();
    let value = |at: usize| {
        said["items"].as_array().unwrap().iter().find(|item| item["name"] == format!("pair {at}").as_str()).unwrap()["values"][0]["value"]
            .as_f64()
            .unwrap()
    };
    assert!(value(1) > value(2) && value(1) <= 1.001, "{said}");
    assert_eq!(said["failed"], 1, "a single text is compared with nothing: {said}");
    api.post(path, &json!({"pairs": [["the cat"]]})).await.problem(400, "bad_pair");
    send(&api, "/api/v1/models/ada/compares/embed", b"a cat").await.ok();

    ada.publish("dataset", "ada/animals", false, vec![("data.zip", texts_zip(&[("train", 16), ("val", 8)]))]).await;
    let recipe = json!({"strategy": "contrast", "shots": 6, "lr": 2e-3, "batch_size": 12, "threads": 1});
    let id = ada.finetune(json!({"base": "ada/sentences", "dataset": "ada/animals", "name": "ada/few", "recipe": recipe})).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let (_, metrics) = ada.get("/models/ada/few/versions/main/files/metrics.json").await;
    assert!(metrics["rounds"]["contrast"]["epochs"].as_u64().is_some_and(|epochs| epochs >= 60), "{}", metrics["rounds"]);
    let told = send(&api, "/api/v1/models/ada/few/predict?top=1", b"the dog sat on the dog").await.ok();
    assert_eq!(told["classes"][0]["label"], "dog", "{told}");
}

/// Sentences whose words have tags become a model that says where in a text its entities stand, over the API and in a table.
#[tokio::test]
async fn tagged_words_become_a_model_that_finds_entities() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    let sentence = |n: usize| {
        let (first, tag) = [("cat", "B-PET"), ("dog", "B-PET"), ("a", "O")][n % 3];
        let more = if n.is_multiple_of(2) { "on O\nthe O\n" } else { "" };
        format!("{first} {tag}\nsat O\n{more}{}\n", if n.is_multiple_of(4) { "dog B-PET\n" } else { "" })
    };
    let table = |count: usize| (0..count).map(sentence).collect::<String>() + "bad\n\n";
    let files = vec![("train.conll", table(60).into_bytes()), ("dev.conll", table(18).into_bytes())];
    ada.publish("dataset", "ada/pets", false, files).await;
    let (_, dataset) = ada.get("/datasets/ada/pets").await;
    assert!(dataset.to_string().contains("have a line with no tag behind its word"), "{dataset:#}");
    let recipe = json!({"strategy": "full", "lr": 2e-3, "head_lr": 2e-2, "batch_size": 8, "epochs": 10, "threads": 1, "seed": 3});
    let id = ada.finetune(json!({"base": "ada/sentences", "dataset": "ada/pets", "name": "ada/finds", "recipe": recipe})).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    assert_eq!(job["recipe"]["task"], "token-classification");
    let (_, metrics) = ada.get("/models/ada/finds/versions/main/files/metrics.json").await;
    assert!(metrics["validation"]["entity_f1"].as_f64().is_some_and(|f1| f1 > 0.7), "{}", metrics["validation"]);
    assert_eq!(metrics["validation"]["per_class"][0]["class"], "PET");
    let (_, config) = ada.get("/models/ada/finds/versions/main/files/config.json").await;
    assert_eq!((&config["architectures"], &config["id2label"]), (&json!(["BertForTokenClassification"]), &json!({"0": "O", "1": "B-PET"})));
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let path = "/api/v1/models/ada/finds/predict";
    let told = send(&api, path, "Ü sat, the dog sat.".as_bytes()).await.ok();
    let found = told["entities"].as_array().unwrap_or_else(|| panic!("{told}"));
    assert!(found.iter().all(|entity| entity["label"] == "PET" && entity["score"].as_f64().is_some_and(|score| score > 0.3)), "{told}");
    let dog = found.iter().find(|entity| entity["text"] == "dog").unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&dog["start"], &dog["end"]), (&json!(11), &json!(14)), "in characters: {told}");
    let several = api.post(path, &json!({"texts": ["the dog sat", ""]})).await.ok();
    assert!(several["failed"] == 1 && several["items"][0]["entities"].is_array(), "{several}");
    send(&api, "/api/v1/models/ada/finds/embed", b"the dog").await.problem(422, "unsupported");
    let (_, model) = ada.get("/models/ada/finds").await;
    assert!(model.to_string().contains("token-classification"), "{model:#}");
}

/// What words and tags do not tell is said when the data set is published, or when the job is asked for.
#[tokio::test]
async fn words_without_sense_in_their_tags_are_refused_by_name() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/pictures", "ada/colours", 4).await;
    let rows = "{\"tokens\": [\"the\", \"cat\"], \"ner_tags\": [\"O\", \"B-PET\"]}\n".repeat(4);
    ada.publish("dataset", "ada/pets", false, vec![("train.jsonl", rows.into_bytes())]).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let asked = json!({"base": "ada/pictures", "dataset": "ada/pets", "name": "ada/x", "recipe": {}});
    api.post("/api/v1/finetunes", &asked).await.problem(422, "modality_differs");
    let asked = json!({"base": "ada/pictures", "dataset": "ada/pets", "name": "ada/x", "recipe": {"task": "classification"}});
    assert!(!api.post("/api/v1/finetunes", &asked).await.status.is_success());
}
