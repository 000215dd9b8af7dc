//! Videos from the upload to the answer, without ffmpeg and with it: what is published, learned over a base of images, and said.

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::training::{Person, base_files, picture};

/// Colours that a video of the class shows one after the other: the same ones in another order, so that no frame alone tells.
const TURNS: [(&str, [[u8; 3]; 4]); 2] = [
    ("to-blue", [[190, 10, 10], [190, 10, 10], [10, 10, 190], [10, 10, 190]]),
    ("to-red", [[10, 10, 190], [10, 10, 190], [190, 10, 10], [190, 10, 10]]),
];

fn frames(colours: [[u8; 3]; 4], seed: u64) -> Vec<image::RgbImage> {
    let of = |(at, colour): (usize, [u8; 3])| image::load_from_memory(&picture(colour, seed * 4 + at as u64)).unwrap().into_rgb8();
    colours.into_iter().enumerate().map(of).collect()
}

fn png(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Frames side by side.
fn strip(colours: [[u8; 3]; 4], seed: u64) -> Vec<u8> {
    let frames = frames(colours, seed);
    png(&image::RgbImage::from_fn(4 * 32, 32, |x, y| *frames[(x / 32) as usize].get_pixel(x % 32, y)))
}

fn zipped(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    crate::support::publishing::zip(&entries)
}

fn card(how: &str) -> Vec<u8> {
    format!("---\nlicense: mit\nvideo: {how}\n---\n# Turns\n").into_bytes()
}

fn recipe(video: Value) -> Value {
    json!({ "strategy": "head", "batch_size": 8, "seed": 3, "threads": 1, "video": video })
}

async fn trained(person: &Person<'_>, dataset: &str, name: &str, recipe: Value) -> Value {
    let id = person.finetune(json!({ "base": "ada/tiny", "dataset": dataset, "name": name, "recipe": recipe })).await;
    let job = person.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", person.log(&id).await);
    let events = person.events(&id).await;
    events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"].clone()
}

#[tokio::test]
async fn what_happens_in_strips_is_learned_over_a_base_of_images() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let mut files = Vec::new();
    for (class, colours) in TURNS {
        files.extend((0..20).map(|n| (format!("train/{class}/{n}.png"), strip(colours, n))));
        files.extend((50..60).map(|n| (format!("val/{class}/{n}.png"), strip(colours, n))));
    }
    ada.publish("dataset", "ada/turns", false, vec![("README.md", card("strips")), ("data.zip", zipped(&files))]).await;
    let (_, dataset) = ada.get("/datasets/ada/turns").await;
    let facts = &dataset["facts"];
    assert_eq!((facts["modality"].as_str(), facts["dataset_report"]["formats"]["strip"].as_u64()), (Some("video"), Some(60)), "{facts:#}");

    let metrics = trained(&ada, "ada/turns", "ada/turning", recipe(json!({ "frames": 4 }))).await;
    assert!(metrics["top1"].as_f64().unwrap() >= 0.9, "{metrics:#}");
    let (_, config) = ada.get("/models/ada/turning/versions/main/files/config.json").await;
    assert_eq!(config["temporal"], json!({ "frames": 4, "sampling": "uniform", "stride": 2, "clips": 1, "pool": "concat" }));
    let (_, model) = ada.get("/models/ada/turning").await;
    assert_eq!(model["facts"]["modality"], "video");
    for (class, colours) in TURNS {
        let (status, answer) = ada.send("/models/ada/turning/predict?top=1", strip(colours, 99)).await;
        assert_eq!((status, answer["classes"][0]["label"].as_str()), (200, Some(class)), "{answer}");
    }
    let (status, refused) = ada.send("/models/ada/turning/predict?top=1", b"hello".to_vec()).await;
    assert!(status == 422 && refused["message"].to_string().contains("videos are mp4"), "{refused}");

    // The mean over time knows no order: that is what the baseline of a video is for.
    let mut blind = recipe(json!({ "frames": 4, "pool": "mean" }));
    blind["publish_anyway"] = true.into();
    let mean = trained(&ada, "ada/turns", "ada/blind", blind).await;
    assert!(mean["top1"].as_f64().unwrap() < 0.85, "{mean:#}");
    let attention = trained(&ada, "ada/turns", "ada/heeding", recipe(json!({ "frames": 4, "pool": "attention", "clips": 2 }))).await;
    assert!(attention["top1"].as_f64().unwrap() >= 0.9, "{attention:#}");
    let (status, answer) = ada.send("/models/ada/heeding/predict?top=1", strip(TURNS[0].1, 98)).await;
    assert_eq!((status, answer["classes"][0]["label"].as_str()), (200, Some(TURNS[0].0)), "{answer}");
}

#[tokio::test]
async fn folders_of_frames_are_videos_and_settings_of_frames_are_for_them() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let mut files = Vec::new();
    for (class, colours) in TURNS {
        for n in 0..12 {
            let named =
                frames(colours, n).iter().enumerate().map(|(at, frame)| (format!("{class}/{n}/{at}.png"), png(frame))).collect::<Vec<_>>();
            files.extend(named);
        }
    }
    ada.publish("dataset", "ada/turns", false, vec![("README.md", card("frames")), ("data.zip", zipped(&files))]).await;
    let (_, dataset) = ada.get("/datasets/ada/turns").await;
    let facts = &dataset["facts"];
    assert_eq!((facts["modality"].as_str(), facts["dataset_report"]["formats"]["frames"].as_u64()), (Some("video"), Some(24)), "{facts:#}");
    let metrics = trained(&ada, "ada/turns", "ada/turning", recipe(json!({ "frames": 4, "sampling": "dense", "stride": 1 }))).await;
    assert!(metrics["top1"].as_f64().unwrap() >= 0.9, "{metrics:#}");

    ada.publish("dataset", "ada/pictures", false, vec![("data.zip", crate::support::training::pictures_zip(2, 6))]).await;
    let asked = json!({ "base": "ada/tiny", "dataset": "ada/pictures", "name": "ada/no", "recipe": recipe(json!({ "frames": 4 })) });
    let (status, refused) = ada.post("/finetunes", asked).await;
    assert!(status == 422 || status == 400, "{refused}");
    assert!(refused["message"].to_string().contains("video"), "{refused}");
}

/// A film that ffmpeg made and decodes: within a confined process on publish and in the job.
#[tokio::test]
async fn films_are_read_by_ffmpeg() {
    let Some(programs) = hub::data::video::programs() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (class, source) in [("bars", "smptebars"), ("counter", "testsrc")] {
        for n in 0..6 {
            let path = root.path().join(format!("{class}{n}.mp4"));
            let source = format!("{source}=size=48x48:rate=8:duration=1.{n}");
            let made = std::process::Command::new(&programs.ffmpeg)
                .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &source, "-c:v", "mpeg4"])
                .arg(&path)
                .status();
            assert!(made.unwrap().success());
            files.push((format!("{class}/{n}.mp4"), std::fs::read(path).unwrap()));
        }
    }
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/films", false, vec![("data.zip", zipped(&files))]).await;
    let (_, dataset) = ada.get("/datasets/ada/films").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((report["images"].as_u64(), report["formats"]["mp4"].as_u64()), (Some(12), Some(12)), "{report:#}");
    let metrics = trained(&ada, "ada/films", "ada/showing", recipe(json!({ "frames": 2 }))).await;
    assert!(metrics["top1"].as_f64().unwrap() >= 0.9, "{metrics:#}");
    let (status, answer) = ada.send("/models/ada/showing/predict?top=1", files[0].1.clone()).await;
    assert_eq!((status, answer["classes"][0]["label"].as_str()), (200, Some("bars")), "{answer}");
}
