//! Models of browsers: imported on the command line, published, asked over HTTP and here, measured, and fine-tuned.

use crate::made_graphs::graph;
use crate::support::Server;
use crate::support::publishing::zip;
use crate::support::training::Person;
use crate::support::visitor::Browser;
use serde_json::{Value, json};

/// A picture of 64 pixels, brighter on one side.
fn picture(n: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(4 * x) as u8, (3 * y + n) as u8, (x * y % 251) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Pictures with a chair each, in COCO's JSON.
fn chairs() -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (split, numbers) in [("train", 0..6u32), ("val", 6..9)] {
        let images: Vec<Value> =
            numbers.clone().map(|n| json!({ "id": n, "file_name": format!("{n}.png"), "width": 64, "height": 64 })).collect();
        let boxed = |n: u32| json!({ "id": n, "image_id": n, "category_id": 1, "bbox": [8, 8, 30, 40], "area": 1200, "iscrowd": 0 });
        let all = json!({ "images": images, "annotations": numbers.clone().map(boxed).collect::<Vec<_>>(), "categories": [{ "id": 1, "name": "chair" }] });
        files.push((format!("annotations/instances_{split}.json"), all.to_string().into_bytes()));
        files.extend(numbers.map(|n| (format!("{split}/{n}.png"), picture(n))));
    }
    zip(&files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_detector_of_tensorflow_js_answers_as_those_that_are_trained_here() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&std::ffi::OsStr]| {
        let output = server.hub(home.path()).env("HUB_TOKEN", &ada.token).current_dir(home.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    for (name, repo) in [("centernet", "ada/finder"), ("selfie", "ada/people")] {
        let folder = graph(name, |_, _| ());
        let words = ["--license", "mit", "--dataset", "coco", "--json"].map(std::ffi::OsStr::new);
        run(&[&["import".as_ref(), folder.path().as_os_str(), repo.as_ref()][..], &words[..]].concat());
    }
    for (repo, task) in [("ada/finder", "object-detection"), ("ada/people", "image-segmentation")] {
        let (_, about) = ada.get(&format!("/models/{repo}")).await;
        assert_eq!(about["facts"]["task"], task, "{about:#}");
    }

    let (status, answer) = ada.send("/models/ada/finder/predict", picture(1)).await;
    let found = answer["boxes"]["found"].as_array().unwrap();
    assert_eq!((status, &answer["boxes"]["width"], found.len()), (200, &json!(64), 100), "{answer}");
    assert!(found.iter().all(|one| one["score"].as_f64().unwrap() > 0.05 && one["bbox"].as_array().unwrap().len() == 4));
    let (status, answer) = ada.send("/models/ada/people/predict", picture(1)).await;
    let labels: Vec<&str> = answer["mask"]["classes"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect();
    assert_eq!((status, labels.as_slice(), &answer["mask"]["width"]), (200, &["background", "person"][..], &json!(64)), "{answer}");
    std::fs::write(home.path().join("1.png"), picture(1)).unwrap();
    let said = run(&["predict", "ada/finder", "1.png", "--local", "--draw", "found.png", "--json"].map(std::ffi::OsStr::new));
    assert!(said[0]["boxes"]["found"].as_array().is_some_and(|found| found.len() == 100), "{said}");
    assert!(std::fs::read(home.path().join("found.png")).unwrap().starts_with(b"\x89PNG"));
    let mut browser = Browser::logged_in(&server, &ada.token).await;
    assert!(browser.page("/ada/finder/try").await.contains("A picture, chosen or dropped here"));

    // Measured on somebody's boxes, by the names of classes; and a base for others, on the maps that its own head looks at.
    ada.publish("dataset", "ada/chairs", false, vec![("chairs.zip", chairs())]).await;
    let measured = run(&["evaluate", "ada/finder", "--dataset", "ada/chairs", "--split", "val", "--json"].map(std::ffi::OsStr::new));
    assert!(measured.to_string().contains("box_map"), "{measured:#}");
    let recipe = json!({ "seed": 1, "epochs": 1, "image_size": 64, "strategy": "freeze", "frozen_stages": 3, "publish_anyway": true });
    for (base, name) in [("ada/finder", "ada/chairs-1"), ("ada/people", "ada/chairs-2")] {
        let id = ada.finetune(json!({ "base": base, "dataset": "ada/chairs", "name": name, "recipe": recipe })).await;
        let job = ada.end(&id).await;
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
        let (_, config) = ada.get(&format!("/models/{name}/versions/main/files/config.json")).await;
        assert_eq!(config["decoder"], json!({ "name": "fcos", "outputs": 6 }), "{config:#}");
    }
}
