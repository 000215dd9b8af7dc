//! What the folders of a data set mean, from the command line and the card to the version and its facts.

use std::path::Path;
use std::process::Output;

use crate::support::publishing::{create_repo, png, publish, zip as pack};
use crate::support::{Server, hub};
use serde_json::{Value, json};

/// A picture or a word for each path.
fn zip(paths: &[&str]) -> Vec<u8> {
    let bytes = |path: &str, seed: u8| if path.ends_with(".png") { png(seed * 20) } else { b"x".to_vec() };
    let files: Vec<(&str, Vec<u8>)> = paths.iter().zip(1..).map(|(path, seed)| (*path, bytes(path, seed))).collect();
    pack(&files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect::<Vec<_>>())
}

fn card(front: &str) -> Vec<u8> {
    format!("---\nlicense: mit\n{front}\n---\n# Shots\n").into_bytes()
}

const FLAT: [&str; 4] = ["train/cat.0.png", "train/dog.1.png", "test/cat.2.png", "labels.csv"];

#[tokio::test]
async fn a_card_says_what_the_folders_are() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "dataset", "ada/shots").await;
    let (repo, flat) = ("datasets/ada/shots", zip(&FLAT));
    let asked = publish(&ada, repo, None, &[("shots.zip", &flat)]).await.problem(422, "layout_unclear");
    let message = asked["message"].as_str().unwrap();
    for part in ["lie in no class folders", "train/ (2 images)", "test/ (1 image)", "labels.csv"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let facts = async || ada.get("/api/v1/datasets/ada/shots").await.ok()["facts"].clone();
    let kept = publish(&ada, repo, None, &[("README.md", &card("layout: none")), ("shots.zip", &flat)]).await.created();
    assert!(kept["warnings"].to_string().contains("kept as they are"), "{kept}");
    assert_eq!(facts().await["samples"], 0);
    // The same files are other classes under another card, and the same under one that only has other words.
    for number in [1, 2] {
        let words = card(&format!("layout: names\ntags: [v{number}]"));
        publish(&ada, repo, Some(number), &[("README.md", &words), ("shots.zip", &flat)]).await.created();
        let facts = facts().await;
        assert_eq!((&facts["labels"], &facts["samples"]), (&json!(["cat", "dog"]), &json!(3)));
        assert!(facts["warnings"].to_string().contains("labels.csv"), "{facts}");
    }
    publish(&ada, repo, Some(3), &[("README.md", &card("layout: folders")), ("shots.zip", &flat)]).await.created();
    assert_eq!(facts().await["labels"], json!(["test", "train"]));
}

#[tokio::test]
async fn other_files_with_a_few_pictures_are_kept_as_other_files() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "dataset", "ada/texts").await;
    let picture = png(1);
    let mut files: Vec<(String, Vec<u8>)> = (0..8).map(|n| (format!("data/{n}.jsonl"), format!("{{\"n\": {n}}}\n").into_bytes())).collect();
    files.push(("assets/figure.png".into(), picture));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let done = publish(&ada, "datasets/ada/texts", None, &files).await.created();
    assert!(done["warnings"].to_string().contains("were not checked"), "{done}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn run(command: &mut assert_cmd::Command, code: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn facts(server: &Server, home: &Path, repo: &str) -> Value {
    let shown = run(server.hub(home).args(["show", repo, "--dataset", "--json"]), 0);
    serde_json::from_slice::<Value>(&shown.stdout).unwrap()["facts"].clone()
}

#[test]
fn the_command_line_says_it_in_the_card() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let at = |name: &str| home.path().join(name);
    let publish = |archive: &str, flags: &[&str], code: i32| {
        run(server.hub(home.path()).arg("publish").arg(at(archive)).args(["library/shots", "--dataset"]).args(flags), code)
    };
    std::fs::write(at("flat.zip"), zip(&FLAT)).unwrap();
    std::fs::write(at("folds.zip"), zip(&["fold1/cat/1.png", "fold1/dog/2.png", "fold2/cat/3.png", "fold2/dog/4.png"])).unwrap();
    let refused = text(&publish("flat.zip", &[], 1).stderr);
    assert!(refused.contains("no class folders") && refused.contains("--split-names") && refused.lines().count() < 10, "{refused}");
    assert!(text(&publish("flat.zip", &["--as-is"], 0).stderr).contains("layout: none"));
    assert_eq!(facts(&server, home.path(), "library/shots")["samples"], 0);
    publish("flat.zip", &["--layout", "flat"], 0);
    assert_eq!(facts(&server, home.path(), "library/shots")["labels"], json!(["cat", "dog"]));
    std::fs::write(at("README.md"), card("tags: [mine] # a remark")).unwrap();
    publish("folds.zip", &["--split-names", "train=fold1,validation=fold2"], 0);
    let found = facts(&server, home.path(), "library/shots");
    assert_eq!((&found["license"], &found["labels"]), (&json!("mit"), &json!(["cat", "dog"])));
    let splits: Vec<_> =
        found["dataset_report"]["splits"].as_array().unwrap().iter().map(|split| (&split["name"], &split["images"])).collect();
    assert_eq!(splits, [(&json!("train"), &json!(2)), (&json!("val"), &json!(2))]);
    assert!(std::fs::read_to_string(at("README.md")).unwrap().ends_with("a remark\n---\n# Shots\n"), "the person's own card was changed");
    publish("folds.zip", &["--layout", "sideways"], 2);
    publish("folds.zip", &["--split-names", "train"], 2);
    run(hub(home.path()).arg("publish").arg(at("folds.zip")).args(["library/net", "--layout", "folders"]), 2);
}
