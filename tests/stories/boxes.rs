//! Objects in boxes, from the upload of COCO's JSON to the picture with what was found: learned, measured, answered, drawn, handed on.

use crate::support::Server;
use crate::support::training::{Person, base_files};
use crate::support::visitor::Browser;
use serde_json::{Value, json};

/// A bright square on dark ground, and its box.
fn square(n: u64) -> (Vec<u8>, [u64; 4]) {
    let (left, top) = (2 + n * 5 % 24, 2 + n * 7 % 24);
    let inside = |x: u32, y: u32| (left..left + 18).contains(&u64::from(x)) && (top..top + 14).contains(&u64::from(y));
    let image = image::RgbImage::from_fn(48, 48, |x, y| image::Rgb(if inside(x, y) { [220, 60, 60] } else { [20, 30, 10 + n as u8] }));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    (bytes.into_inner(), [left, top, 18, 14])
}

/// Images with their boxes in COCO's JSON, one of them over the edge.
fn coco() -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (split, numbers) in [("train", 0..12u64), ("val", 12..16)] {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for n in numbers {
            let (bytes, bbox) = square(n);
            files.push((format!("{split}/{n}.png"), bytes));
            images.push(json!({ "id": n, "file_name": format!("{n}.png"), "width": 48, "height": 48 }));
            let bbox = if n == 0 { [bbox[0], bbox[1], 90, bbox[3]] } else { bbox };
            annotations.push(json!({ "id": n, "image_id": n, "category_id": 1, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0 }));
        }
        let all = json!({ "images": images, "annotations": annotations, "categories": [{ "id": 1, "name": "square" }] });
        files.push((format!("annotations/instances_{split}.json"), all.to_string().into_bytes()));
    }
    crate::support::publishing::zip(&files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

#[tokio::test]
async fn boxes_are_learned_measured_answered_and_drawn() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/squares", false, vec![("squares.zip", coco())]).await;
    let (_, repo) = ada.get("/datasets/ada/squares").await;
    assert_eq!((&repo["facts"]["task"], &repo["facts"]["samples"]), (&json!("object-detection"), &json!(16)), "{repo:#}");
    assert!(repo["facts"]["warnings"].to_string().contains("over the edge of their image were cut"), "{repo:#}");

    let recipe = json!({ "seed": 1, "epochs": 2, "image_size": 64, "norm": "batch", "publish_anyway": true });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/squares", "name": "ada/finder", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let events = ada.events(&id).await;
    let metrics = &events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"];
    assert_eq!((&metrics["task"], &metrics["images"]), (&json!("object-detection"), &json!(4)), "{metrics:#}");
    assert!(metrics["box_map"].is_number() && metrics["box_map_50"].is_number() && metrics["no_box_map"] == 0.0, "{metrics:#}");
    let (_, config) = ada.get("/models/ada/finder/versions/main/files/config.json").await;
    assert_eq!((&config["task"], &config["decoder"]), (&json!("object-detection"), &json!({ "name": "fcos", "outputs": 6 })), "{config:#}");
    let (_, repo) = ada.get("/models/ada/finder").await;
    assert_eq!(repo["facts"]["task"], "object-detection", "{repo:#}");

    let (status, answer) = ada.send("/models/ada/finder/predict", square(13).0).await;
    let boxes = &answer["boxes"];
    assert_eq!((status, &boxes["width"], &boxes["height"]), (200, &json!(48), &json!(48)), "{answer}");
    for found in boxes["found"].as_array().unwrap() {
        assert_eq!((&found["label"], found["bbox"].as_array().map(Vec::len)), (&json!("square"), Some(4)), "{answer}");
    }
    let (status, _) = ada.send("/models/ada/finder/embed", square(13).0).await;
    assert_eq!(status, 422, "no vector of a whole image");

    // The same, drawn; from the server and here.
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("13.png"), square(13).0).unwrap();
    for (how, file) in [(&["--draw", "found.svg"][..], "found.svg"), (&["--local", "--draw", "found.png"], "found.png")] {
        let mut command = server.hub(home.path());
        let output = command.current_dir(home.path()).args(["predict", "ada/finder", "13.png", "--json"]).args(how).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(said[0]["boxes"]["found"].is_array(), "{said}");
        let drawn = std::fs::read(home.path().join(file)).unwrap();
        assert!(drawn.starts_with(b"<svg") || drawn.starts_with(b"\x89PNG"), "{file}");
    }
    // All of a split, as COCO's tools read results.
    let mut command = server.hub(home.path());
    let asked = ["predict", "ada/finder", "--dataset", "ada/squares", "--split", "val", "--format", "coco", "-o", "results.json"];
    let output = command.current_dir(home.path()).args(asked).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Vec<Value> = serde_json::from_slice(&std::fs::read(home.path().join("results.json")).unwrap()).unwrap();
    assert!(results.iter().all(|one| (12..16).contains(&one["image_id"].as_u64().unwrap()) && one["category_id"] == 1), "{results:?}");

    let mut browser = Browser::logged_in(&server, &ada.token).await;
    let page = browser.page(&format!("/jobs/{id}")).await;
    assert!(page.contains("mAP 50") && page.contains("What was taken for what") && page.contains("Objects"), "{page}");
    assert!(browser.page("/ada/finder/try").await.contains("A picture, chosen or dropped here"));
}

#[tokio::test]
async fn what_does_not_go_with_boxes_is_said() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/squares", false, vec![("squares.zip", coco())]).await;
    for (recipe, word) in
        [(json!({ "decoder": "unet" }), "fcos"), (json!({ "augment": { "mixup": 0.2 } }), "mixed"), (json!({ "shots": 4 }), "shots")]
    {
        let body = json!({ "base": "ada/tiny", "dataset": "ada/squares", "name": "ada/x", "recipe": recipe });
        let (status, problem) = ada.post("/finetunes", body).await;
        assert_eq!((status, &problem["code"]), (422, &json!("bad_recipe")), "{problem}");
        assert!(problem["message"].as_str().unwrap().contains(word), "{problem}");
    }
}
