//! Data sets whose places are labelled, from the upload to the page: what they are, what is drawn, and what cannot be done with them.

use crate::support::Server;
use crate::support::training::{Person, base_files, picture};
use serde_json::json;

/// A zip of files.
fn zipped(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    crate::support::publishing::zip(&files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

/// A bright square on dark ground, and its mask.
fn square(n: u64) -> [Vec<u8>; 2] {
    let (left, top) = (4 + (n * 5 % 12) as u32, 4 + (n * 7 % 12) as u32);
    let inside = |x: u32, y: u32| (left..left + 14).contains(&x) && (top..top + 14).contains(&y);
    let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb(if inside(x, y) { [220, 210, 200] } else { [20, 30, 10 + n as u8] }));
    let mask = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([if inside(x, y) { 255 } else { 0 }]));
    let png = |image: image::DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    [png(image.into()), png(mask.into())]
}

#[tokio::test]
async fn masks_are_learned_measured_and_answered() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let of = |n: u64| {
        let [image, mask] = square(n);
        let split = if n % 4 == 3 { "val" } else { "train" };
        [(format!("{split}/images/{n}.png"), image), (format!("{split}/masks/{n}.png"), mask)]
    };
    ada.publish("dataset", "ada/squares", false, vec![("squares.zip", zipped(&(0..24).flat_map(of).collect::<Vec<_>>()))]).await;
    let body =
        json!({ "base": "ada/tiny", "dataset": "ada/squares", "name": "ada/square-net", "recipe": { "seed": 1, "strategy": "head" } });
    let id = ada.finetune(body).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let events = ada.events(&id).await;
    let metrics = &events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"];
    assert_eq!((&metrics["task"], &metrics["images"]), (&json!("semantic-segmentation"), &json!(6)), "{metrics:#}");
    assert!(metrics["mean_iou"].as_f64().unwrap() > metrics["majority_mean_iou"].as_f64().unwrap(), "{metrics:#}");
    let (_, repo) = ada.get("/models/ada/square-net").await;
    assert_eq!(repo["facts"]["task"], "image-segmentation", "{repo:#}");
    let (status, answer) = ada.send("/models/ada/square-net/predict", square(3)[0].clone()).await;
    assert_eq!(status, 200, "{answer}");
    let mask = &answer["mask"];
    assert_eq!((&mask["width"], &mask["height"], mask["classes"].as_array().map(Vec::len)), (&json!(32), &json!(32), Some(2)), "{answer}");
    assert_eq!((&mask["classes"][0]["label"], &mask["classes"][1]["label"]), (&json!("background"), &json!("object")));
    let shares: f64 = [0, 1].iter().map(|at| mask["classes"][*at]["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-5 && !mask["png"].as_str().unwrap().is_empty(), "{answer}");
    for (path, body) in [
        ("/finetunes", json!({ "base": "ada/tiny", "dataset": "ada/squares", "name": "ada/x", "recipe": { "strategy": "lora" } })),
        ("/datasets/ada/squares/doctor", json!({})),
    ] {
        let (status, problem) = ada.post(path, body).await;
        assert_eq!(status, 422, "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_decoder_learns_masks_with_its_base_and_answers_them() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let of = |n: u64| {
        let [image, mask] = square(n);
        let split = if n % 4 == 3 { "val" } else { "train" };
        [(format!("{split}/images/{n}.png"), image), (format!("{split}/masks/{n}.png"), mask)]
    };
    ada.publish("dataset", "ada/squares", false, vec![("squares.zip", zipped(&(0..24).flat_map(of).collect::<Vec<_>>()))]).await;
    let recipe = json!({ "seed": 1, "strategy": "full", "decoder": "fpn", "epochs": 8, "compare": "scratch", "publish_anyway": true });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/squares", "name": "ada/decoded", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let (_, config) = ada.get("/models/ada/decoded/versions/main/files/config.json").await;
    assert_eq!(config["decoder"], json!({ "name": "fpn", "outputs": 2 }), "{config:#}");
    let (_, metrics) = ada.get("/models/ada/decoded/versions/main/files/metrics.json").await;
    // What nobody named is what is usual for decoders.
    assert_eq!((&metrics["recipe"]["optimizer"], &metrics["recipe"]["batch_size"]), (&json!("adamw"), &json!(8)), "{metrics:#}");
    let (status, answer) = ada.send("/models/ada/decoded/predict", square(3)[0].clone()).await;
    assert_eq!((status, &answer["mask"]["width"]), (200, &json!(32)), "{answer}");
}

/// Pictures with the boxes of Pascal VOC.
fn boxes() -> Vec<u8> {
    let xml = |class: &str| {
        format!(
            "<annotation><size><width>32</width><height>32</height></size><object><name>{class}</name>\
             <bndbox><xmin>5</xmin><ymin>6</ymin><xmax>40</xmax><ymax>20</ymax></bndbox></object></annotation>"
        )
    };
    let of = |n: u64| {
        let split = if n % 4 == 3 { "val" } else { "train" };
        let class = if n.is_multiple_of(2) { "cell" } else { "platelet" };
        [(format!("{split}/images/{n}.png"), picture([90, 20, 20], n)), (format!("{split}/annotations/{n}.xml"), xml(class).into_bytes())]
    };
    zipped(&(0..12).flat_map(of).collect::<Vec<_>>())
}

#[tokio::test]
async fn boxes_are_checked_and_drawn() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("dataset", "ada/blood", false, vec![("blood.zip", boxes())]).await;
    let (_, repo) = ada.get("/datasets/ada/blood").await;
    let facts = &repo["facts"];
    assert_eq!(
        (&facts["task"], &facts["samples"], &facts["labels"]),
        (&json!("object-detection"), &json!(12), &json!(["cell", "platelet"]))
    );
    let warnings = facts["warnings"].to_string();
    assert!(warnings.contains("boxes in Pascal VOC's XML") && warnings.contains("over the edge of their image were cut"), "{warnings}");
}

#[tokio::test]
async fn folders_of_images_and_masks_are_no_classes() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    let mask = |n: u64| {
        let image = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([if x + y < 16 + n as u32 { 255 } else { 0 }]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let of = |n: u64| [(format!("images/{n}.png"), picture([20, 90, 20], n)), (format!("masks/{n}.png"), mask(n))];
    ada.publish("dataset", "ada/leaves", false, vec![("leaves.zip", zipped(&(0..6).flat_map(of).collect::<Vec<_>>()))]).await;
    let (_, repo) = ada.get("/datasets/ada/leaves").await;
    let facts = &repo["facts"];
    assert_eq!((&facts["task"], &facts["samples"]), (&json!("image-segmentation"), &json!(6)));
    assert_eq!(facts["labels"], json!(["background", "object"]));
    // The same pictures in folders that nothing is known of are asked about.
    let heat = |n: u64| [(format!("images/{n}.png"), picture([20, 90, 20], n)), (format!("heat/{n}.png"), mask(n))];
    let sha256 = ada.upload(zipped(&(0..6).flat_map(heat).collect::<Vec<_>>())).await;
    let (status, _) = ada.post("/repos", json!({ "kind": "dataset", "id": "ada/heat" })).await;
    assert_eq!(status, 201);
    let size = zipped(&(0..6).flat_map(heat).collect::<Vec<_>>()).len();
    let commit = json!({ "message": "x", "files": [{ "path": "heat.zip", "size_bytes": size, "sha256": sha256 }] });
    let (status, problem) = ada.post("/datasets/ada/heat/commits", commit).await;
    assert_eq!((status, &problem["code"]), (422, &json!("layout_unclear")), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("hold files of the same names"), "{problem}");
}
