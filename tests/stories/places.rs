//! Data sets whose places are labelled, from the upload to the page: what they are, what is drawn, and what cannot be done with them.

use crate::support::Server;
use crate::support::training::{Person, base_files, picture};
use serde_json::json;

/// A zip of files.
fn zipped(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    crate::support::publishing::zip(&files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
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
async fn boxes_are_checked_and_drawn_and_no_network_learns_them_yet() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/blood", false, vec![("blood.zip", boxes())]).await;
    let (_, repo) = ada.get("/datasets/ada/blood").await;
    let facts = &repo["facts"];
    assert_eq!(
        (&facts["task"], &facts["samples"], &facts["labels"]),
        (&json!("object-detection"), &json!(12), &json!(["cell", "platelet"]))
    );
    let warnings = facts["warnings"].to_string();
    assert!(warnings.contains("boxes in Pascal VOC's XML") && warnings.contains("over the edge of their image were cut"), "{warnings}");
    let (status, problem) = ada.post("/finetunes", json!({ "base": "ada/tiny", "dataset": "ada/blood", "name": "ada/net" })).await;
    assert_eq!((status, &problem["code"]), (422, &json!("dataset_unusable")), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("is for object-detection"), "{problem}");
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
