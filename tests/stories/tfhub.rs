//! Models loaded by their address alone: TensorFlow's by `tensorflow_hub`, PyTorch's by `torch.hub`, anything by curl.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::support::publishing::{commit, create_repo, file, publish, random, sha256, upload};
use crate::support::saved_model::{field, saved_model};
use crate::support::{Reply, Server};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_saved_model_is_recognised_and_streamed() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/tf").await;
    let (graph, weights) = (saved_model(3_000_000), random(1, 3_000_001));
    let files: [(&str, &[u8]); 6] = [
        ("README.md", b"---\nlicense: mit\n---\n# TF\n"),
        ("saved_model.pb", &graph),
        ("variables/variables.data-00000-of-00001", &weights),
        ("variables/variables.index", b"index"),
        ("assets/deep/vocab.txt", b"a\nb\n"),
        ("model.onnx", b"not part of it"),
    ];
    publish(&ada, "models/ada/tf", None, &files).await.created();
    let facts = &ada.get("/api/v1/models/ada/tf").await.ok()["facts"];
    assert_eq!(facts["library"], "tensorflow");
    let image = json!({ "name": "image", "dtype": "float32", "shape": "[?, 3]" });
    let logits = json!({ "name": "logits", "dtype": "float32", "shape": "?" });
    let signature = json!({ "name": "serving_default", "inputs": [image], "outputs": [logits] });
    let described = json!({ "folder": "", "tensorflow": "2.21.0", "graphs": [{ "tags": ["serve"], "signatures": [signature] }] });
    assert_eq!(facts["saved_model"], described);
    let page = ada.get("/ada/tf").await.text();
    assert!(page.contains("serving_default") && page.contains("hub.load(") && page.contains("[?, 3]"), "{page}");

    let stranger = server.anonymous();
    let reply = stranger.get("/ada/tf/1?tf-hub-format=compressed").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-encoding")), (200, ""));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(reply.bytes.as_slice()));
    let mut found = BTreeMap::new();
    let mut folders = vec![];
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if let Some((folder, _)) = path.trim_end_matches('/').rsplit_once('/') {
            assert!(folders.contains(&format!("{folder}/")), "{path} comes before its folder: {folders:?}");
        }
        if entry.header().entry_type().is_dir() {
            folders.push(path);
            continue;
        }
        assert!(entry.header().entry_type().is_file(), "{path}");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.insert(path, bytes);
    }
    let expected: BTreeMap<_, _> = files[1..5].iter().map(|(path, bytes)| (path.to_string(), bytes.to_vec())).collect();
    assert!(found == expected, "{:?}", found.keys());
    assert_eq!(folders, ["assets/", "assets/deep/", "variables/"]);
    let again = stranger.get("/ada/tf/1?tf-hub-format=compressed").await;
    assert_eq!((sha256(&reply.bytes), reply.header("etag")), (sha256(&again.bytes), again.header("etag")));
    let head = Reply::of(stranger.request(Method::HEAD, "/ada/tf/1?tf-hub-format=compressed")).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.header("etag")), (200, "", reply.header("etag")));
    // Without the question it is a page like any other.
    assert_eq!(stranger.get("/ada/tf/versions").await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_loaded_says_so_in_text() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/plain").await;
    publish(&ada, "models/ada/plain", None, &[("README.md", b"# Plain\n")]).await.created();
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/hidden", "private": true })).await.created();
    publish(&ada, "models/ada/hidden", None, &[("saved_model.pb", &saved_model(10))]).await.created();
    let stranger = server.anonymous();
    for (path, status) in [
        ("/ada/plain/1?tf-hub-format=compressed", 404),
        ("/ada/plain/9?tf-hub-format=compressed", 404),
        ("/ada/none/1?tf-hub-format=compressed", 404),
        ("/ada/hidden/1?tf-hub-format=compressed", 404),
        ("/ada/plain/main?tf-hub-format=compressed", 404),
        ("/ada/plain/1?tf-hub-format=uncompressed", 406),
        ("/ada/plain/1?x=1&tf-hub-format=uncompressed", 406),
    ] {
        let reply = stranger.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (status, "text/plain; charset=utf-8"), "{path}");
        assert!(reply.text().contains("; "), "{path}: {}", reply.text());
    }
    let hidden = stranger.get("/ada/hidden/1?tf-hub-format=compressed").await.text();
    assert_eq!(hidden.replace("hidden", "none"), stranger.get("/ada/none/1?tf-hub-format=compressed").await.text());
    assert_eq!(ada.get("/ada/hidden/1?tf-hub-format=compressed").await.status, 200);
}

#[tokio::test]
async fn what_is_no_saved_model_is_published_and_named() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/bad").await;
    let good = saved_model(100);
    let endless = field(2, &[0x0a, 0x00].repeat(20_000));
    let entry = field(5, &field(1, "x".repeat(100).as_bytes()));
    let many = field(2, &entry.repeat(9_000));
    for (bytes, fine) in [
        (good[..good.len() - 1].to_vec(), false),
        (b"hello".to_vec(), false),
        (vec![], false),
        (vec![0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], false),
        (vec![0x0b; 100], false),
        (field(2, &field(5, &[0x12, 0x7f])), false),
        (field(2, &field(1, &field(4, &[0xff]))), false),
        (endless, false),
        // More signatures than anybody reads are no crime.
        (many, true),
        (good, true),
    ] {
        upload(&ada, &bytes).await;
        let head = ada.get("/api/v1/models/ada/bad").await.ok()["version"]["number"].as_u64().map(|number| number as u32);
        let reply = commit(&ada, "models/ada/bad", head, vec![file("saved_model.pb", &bytes)]).await;
        let done = reply.created();
        let warned = done["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains("saved_model.pb"));
        assert_eq!(warned, !fine, "{done}");
    }
    let facts = &ada.get("/api/v1/models/ada/bad/versions/9").await.ok()["facts"];
    assert_eq!(facts["saved_model"]["graphs"][0]["signatures"].as_array().unwrap().len(), 32);
}

#[tokio::test]
async fn a_file_is_had_under_its_own_sha256() {
    let server = Server::start_with(&["--workers", "0", "--allow-pickle"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let (old, new) = (random(1, 100_000), random(2, 1_000));
    let named = format!("direct-{}.pth", &sha256(&new)[..8]);
    publish(&ada, "models/ada/net", None, &[("net.pth", &old)]).await.created();
    publish(&ada, "models/ada/net", Some(1), &[("sub/net.pth", &new), (&named, &new)]).await.created();
    let stranger = server.anonymous();
    let address = |folder: &str, bytes: &[u8]| format!("/files/ada/net/{folder}net-{}.pth", &sha256(bytes)[..8]);
    for (path, bytes) in [(address("", &old), &old), (address("sub/", &new), &new), (format!("/files/ada/net/{named}"), &new)] {
        assert_eq!(&stranger.get(&path).await.bytes, bytes, "{path}");
    }
    let part = Reply::of(stranger.request(Method::GET, &address("", &old)).header("range", "bytes=99990-")).await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &old[99_990..]));
    for (path, status) in
        [(address("", &new), 404), ("/files/ada/net/net.pth".into(), 400), ("/files/ada/none/net-01234567.pth".into(), 404)]
    {
        assert_eq!(stranger.get(&path).await.status, status, "{path}");
    }
    ada.patch("/api/v1/models/ada/net", &json!({ "private": true })).await.ok();
    assert_eq!(stranger.get(&address("", &old)).await.status, 404);
}
