//! Strategies as people ask for them: each ends in a model that answers and says what was done; `auto` never ends below its probe; what
//! cannot be is refused before it waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use support::Server;
use support::training::{COLOURS, Person, picture};

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
        assert_eq!(found["probe"].is_object(), starts_at_probe, "{strategy}: {found}");
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
