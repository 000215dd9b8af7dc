//! Strategies as people ask for them: each ends in a model that answers and says what was done; `auto` never ends below its probe; what
//! cannot be is refused before it waits.

use crate::support::Server;
use crate::support::training::{COLOURS, Person, picture, pictures_zip};
use hub::nn::architectures;
use hub::nn::weights::Weights;
use serde_json::{Value, json};

fn ask(name: &str, recipe: Value) -> Value {
    json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": format!("ada/{name}"), "recipe": recipe })
}

async fn metrics(ada: &Person<'_>, name: &str) -> Value {
    let (status, metrics) = ada.get(&format!("/models/ada/{name}/versions/1/files/metrics.json")).await;
    assert_eq!(status, 200, "{metrics}");
    metrics
}

#[tokio::test]
async fn every_strategy_ends_in_a_model_that_says_what_was_done() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 14).await;
    for strategy in ["auto", "head", "full", "freeze", "lp-ft", "gradual", "scratch"] {
        let frozen = if strategy == "freeze" { 6 } else { 0 };
        let recipe = json!({ "strategy": strategy, "frozen_stages": frozen, "epochs": 2, "batch_size": 8, "seed": 3, "threads": 1 });
        let id = ada.finetune(ask(strategy, recipe)).await;
        assert_eq!(ada.end(&id).await["state"], "succeeded", "{strategy}: {}", ada.log(&id).await);
        let found = metrics(&ada, strategy).await;
        let starts_at_probe = ["auto", "head", "lp-ft", "gradual"].contains(&strategy);
        // What does not start from the probe is held against it; random weights have none.
        assert_eq!(found["probe"].is_object(), strategy != "scratch", "{strategy}: {found}");
        let against: Vec<&str> = found["verdict"].as_array().unwrap().iter().map(|verdict| verdict["against"].as_str().unwrap()).collect();
        let probe_alone = ["auto", "head", "scratch"].contains(&strategy);
        assert_eq!(against, if probe_alone { vec!["baseline"] } else { vec!["baseline", "probe"] }, "{strategy}: {found}");
        assert_eq!(found["choice"].is_object(), strategy == "auto", "{strategy}: {found}");
        if starts_at_probe {
            let (ours, probe) = (found["validation"]["top1"].as_f64().unwrap(), found["probe"]["top1"].as_f64().unwrap());
            assert!(ours >= probe, "{strategy} ends at {ours}, below its probe's {probe}");
        }
        if strategy == "auto" {
            // On little data it stops at the best head, and says why.
            let log = ada.log(&id).await;
            assert!(log.contains("auto chose `head`: with") && found["choice"]["strategy"] == "head", "{log}");
        }
        let (status, answer) = ada.send(&format!("/models/ada/{strategy}/predict"), picture(COLOURS[0].1, 999)).await;
        assert_eq!(status, 200, "{strategy}: {answer}");
    }
}

/// A transformer of random weights for images of 64 pixels, which are few patches.
fn transformer_files() -> Vec<(&'static str, Vec<u8>)> {
    let (name, folder) = ("vit_tiny_patch16_224", tempfile::tempdir().unwrap());
    let weights = architectures::get(name).unwrap().fitted(Weights::random(name, 10, 7).unwrap(), 64).unwrap();
    let path = folder.path().join("model.safetensors");
    weights.save(&path, &[]).unwrap();
    let cfg = json!({ "input_size": [3, 64, 64], "num_classes": 10, "crop_pct": 1.0 });
    let config =
        json!({ "architecture": name, "num_classes": 10, "num_features": 192, "model_args": { "img_size": 64 }, "pretrained_cfg": cfg });
    vec![("config.json", config.to_string().into_bytes()), ("model.safetensors", std::fs::read(path).unwrap())]
}

#[tokio::test]
async fn adapters_of_a_transformer_become_a_plain_model() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", pictures_zip(3, 8))]).await;
    ada.publish("model", "ada/tiny", false, transformer_files()).await;
    let recipe =
        json!({ "strategy": "lora", "frozen_stages": 9, "optimizer": "adamw", "lr": 1e-3, "epochs": 2, "batch_size": 8, "threads": 1 });
    let id = ada.finetune(ask("adapted", recipe)).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    let found = metrics(&ada, "adapted").await;
    let (ours, probe) = (found["validation"]["top1"].as_f64().unwrap(), found["probe"]["top1"].as_f64().unwrap());
    assert!(ours >= probe, "it ends at {ours}, below its probe's {probe}");
    let (_, tensors) = ada.get("/models/ada/adapted/versions/1/tensors").await;
    assert!(!tensors.to_string().contains("lora"), "{tensors}");
    let (status, answer) = ada.send("/models/ada/adapted/predict", picture(COLOURS[0].1, 999)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_by_name() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 3).await;
    let cases = [
        ("frozen_stages", json!({ "strategy": "freeze" })),
        ("frozen_stages", json!({ "strategy": "lp-ft", "frozen_stages": 40 })),
        ("frozen_stages", json!({ "strategy": "scratch", "frozen_stages": 2 })),
        ("batch_size", json!({ "strategy": "lp-ft", "batch_size": 1 })),
        ("batch_size", json!({ "strategy": "gradual", "batch_size": 1 })),
        ("batch_size", json!({ "strategy": "full", "batch_size": 1 })),
        ("strategy", json!({ "strategy": "lora" })),
        ("lora_rank", json!({ "strategy": "full", "lora_rank": 4 })),
        ("find_lr", json!({ "strategy": "head", "find_lr": true })),
        ("patience", json!({ "patience": 5_000 })),
        ("layer_decay", json!({ "layer_decay": 0.01 })),
        ("sampling", json!({ "class_weights": "sqrt", "sampling": "balanced" })),
        ("from_scratch", json!({ "strategy": "gradual", "from_scratch": true })),
    ];
    for (setting, recipe) in cases {
        let (status, problem) = ada.post("/finetunes", ask("out", recipe.clone())).await;
        assert_eq!(status, 422, "{recipe}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains(setting), "{recipe}: {problem}");
    }
    for recipe in [json!({ "strategy": "best" }), json!({ "head_solver": "newton" }), json!({ "norm": "none" })] {
        assert_eq!(ada.post("/finetunes", ask("out", recipe.clone())).await.0, 400, "{recipe}");
    }
}

#[tokio::test]
async fn a_rate_is_looked_for_and_told_and_class_means_answer() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 14).await;
    let recipe = json!({ "strategy": "full", "find_lr": true, "epochs": 3, "batch_size": 8, "seed": 3, "threads": 1 });
    let id = ada.finetune(ask("found", recipe)).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    let (status, report) = ada.get(&format!("/jobs/{id}/files/report.json")).await;
    assert_eq!(status, 200, "{report}");
    let rate = &report["rate"];
    assert!(rate["curve"].as_array().unwrap().len() > 5 && rate["lr"].is_number() && rate["head_lr"].is_number(), "{rate}");
    let sentence = rate["sentence"].as_str().unwrap();
    assert!(ada.log(&id).await.contains(sentence), "{sentence}");

    let means = json!({ "strategy": "head", "head_solver": "nearest_mean", "shots": 3, "seed": 3, "threads": 1 });
    let id = ada.finetune(ask("means", means)).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    assert!(ada.log(&id).await.contains("whose mean features are nearest"));
    let (status, answer) = ada.send("/models/ada/means/predict", picture(COLOURS[0].1, 999)).await;
    assert_eq!(status, 200, "{answer}");
}
