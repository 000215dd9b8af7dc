//! What people do with jobs of every kind: follow them, hold them, fetch what they leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use support::Server;
use support::training::{Person, Worker};

#[tokio::test]
async fn the_features_of_a_data_set_are_a_job_that_leaves_files() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let (status, job) = admin.post("/embeddings", json!({ "model": "tiny", "dataset": "colours" })).await;
    assert_eq!(status, 201, "{job}");
    assert_eq!((&job["kind"], &job["asked"]["model_version"]), (&json!("embed"), &json!(1)), "{job}");
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.get(&format!("/jobs/{id}/files")).await.1["items"], json!([]), "nothing before it ends");
    let _worker = Worker::start(&server);
    let ended = admin.end(&id).await;
    assert_eq!(ended["state"], "succeeded", "{ended}\n{}", admin.log(&id).await);
    assert!(admin.log(&id).await.contains("left features.npy, items.csv"));

    let (_, files) = admin.get(&format!("/jobs/{id}/files")).await;
    let names: Vec<_> = files["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["features.npy", "items.csv"]);
    let npy = admin.stream(&format!("/jobs/{id}/files/features.npy")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(hex::encode(Sha256::digest(&npy)), files["items"][0]["sha256"].as_str().unwrap());
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00") && npy.len() == 128 + 12 * 1280 * 4, "{} bytes", npy.len());
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (12, 1280)"));
    let csv = admin.stream(&format!("/jobs/{id}/files/items.csv")).send().await.unwrap().text().await.unwrap();
    assert!(csv.starts_with("row,path,split,target\n0,") && csv.lines().count() == 13, "{csv}");

    let stranger = admin.invite("eve").await;
    for path in ["", "/files", "/files/items.csv"] {
        assert_eq!(stranger.get(&format!("/jobs/{id}{path}")).await.0, 404, "{path}");
    }
    assert_eq!(admin.get(&format!("/jobs/{id}/files/other.npy")).await.0, 404);
    assert_eq!(admin.get("/finetunes").await.1["items"], json!([]), "a fine-tune it is not");
    assert_eq!(admin.get("/jobs?kind=embed").await.1["items"][0]["id"], json!(id));
}
