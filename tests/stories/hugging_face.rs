//! What clients of the Hugging Face Hub read: repo, tree and files, told on the wire with the keys and headers they
//! need.

use crate::support::publishing::{publish, safetensors};
use crate::support::{Reply, Server};
use hub::domain::digest::Digest;
use reqwest::Method;
use serde_json::json;

const CARD: &[u8] = b"---\nlicense: mit\ndatasets: [imagenet-1k]\ntags: [small]\npipeline_tag: image-classification\n---\n# Net\n";

#[tokio::test]
async fn a_snapshot_is_described_and_fetched() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/net" })).await.created();
    let weights = safetensors(&[("a", &[2, 3]), ("b", &[4])]);
    let files: [(&str, &[u8]); 4] = [("README.md", CARD), ("model.safetensors", &weights), ("sub/deep/x.txt", b"x"), ("sub/empty", b"")];
    publish(&ada, "models/ada/net", None, &files).await.created();

    let stranger = server.anonymous();
    let info = stranger.get("/api/models/ada/net?blobs=True").await.ok();
    let commit = info["sha"].as_str().unwrap().to_owned();
    assert_eq!((info["id"].as_str(), commit.len(), info["private"].as_bool()), (Some("ada/net"), 40, Some(false)));
    assert_eq!(info["safetensors"], json!({ "parameters": { "F32": 10 }, "total": 10 }));
    assert_eq!(info["pipeline_tag"], "image-classification");
    let tags = info["tags"].as_array().unwrap();
    assert!(["small", "license:mit", "dataset:imagenet-1k"].iter().all(|tag| tags.contains(&json!(tag))), "{tags:?}");
    assert_eq!(info["siblings"][1]["lfs"]["sha256"], Digest::of(&weights).to_hex());
    assert!(info["lastModified"].as_str().unwrap().ends_with('Z'));
    for revision in ["main", "1", &commit] {
        assert_eq!(stranger.get(&format!("/api/models/ada/net/revision/{revision}")).await.ok()["sha"], commit);
    }

    let tree = stranger.get(&format!("/api/models/ada/net/tree/{commit}?recursive=true&expand=false")).await.ok();
    let listed: Vec<_> = tree.as_array().unwrap().iter().map(|e| (e["type"].as_str().unwrap(), e["path"].as_str().unwrap())).collect();
    let folders = [("directory", "sub"), ("directory", "sub/deep"), ("file", "sub/deep/x.txt"), ("file", "sub/empty")];
    assert_eq!(listed, [[("file", "README.md"), ("file", "model.safetensors")].as_slice(), &folders].concat());
    let below = stranger.get("/api/models/ada/net/tree/main/sub%2Fdeep").await.ok();
    assert_eq!(below[0]["path"], "sub/deep/x.txt");

    for (path, bytes) in files {
        let address = format!("/ada/net/resolve/{commit}/{path}");
        let head = Reply::of(stranger.request(Method::HEAD, &address)).await;
        let etag = format!("\"{}\"", Digest::of(bytes).to_hex());
        assert_eq!((head.status.as_u16(), head.header("content-length")), (200, bytes.len().to_string().as_str()), "{path}");
        assert_eq!((head.header("etag"), head.header("x-linked-etag")), (etag.as_str(), etag.as_str()));
        assert_eq!((head.header("x-linked-size"), head.header("x-repo-commit")), (bytes.len().to_string().as_str(), commit.as_str()));
        assert_eq!(stranger.get(&address).await.bytes, bytes);
    }
    let part = Reply::of(stranger.request(Method::GET, "/ada/net/resolve/main/README.md").header("range", "bytes=4-10")).await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &CARD[4..11]));
}

#[tokio::test]
async fn refusals_carry_the_codes_clients_sort_them_by() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "dataset", "id": "ada/data", "private": true })).await.created();
    publish(&ada, "datasets/ada/data", None, &[("README.md", b"# Data\n")]).await.created();
    let refused = async |path: &str, code: &str| {
        for method in [Method::GET, Method::HEAD] {
            let reply = Reply::of(ada.request(method.clone(), path)).await;
            assert_eq!((reply.status.as_u16(), reply.header("x-error-code")), (404, code), "{method} {path}");
            assert!(!reply.header("x-error-message").is_empty());
            if method == Method::GET {
                assert!(reply.json()["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", reply.text());
            }
        }
    };
    refused("/api/models/ada/none", "RepoNotFound").await;
    refused("/api/datasets/ada/data/revision/nope", "RevisionNotFound").await;
    refused("/api/datasets/ada/data/tree/main/nope", "EntryNotFound").await;
    refused("/datasets/ada/data/resolve/main/nope", "EntryNotFound").await;
    refused("/datasets/ada/data/resolve/nope/README.md", "RevisionNotFound").await;
    assert_eq!(ada.get("/datasets/ada/data/resolve/main/README.md").await.bytes, b"# Data\n");
    for path in ["/api/datasets/ada/data", "/api/datasets/ada/data/tree/main", "/datasets/ada/data/resolve/main/README.md"] {
        let hidden = server.anonymous().get(path).await;
        assert_eq!((hidden.status.as_u16(), hidden.header("x-error-code")), (404, "RepoNotFound"), "{path}");
    }
}

#[tokio::test]
async fn long_trees_come_in_pages() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "dataset", "id": "ada/many" })).await.created();
    let names: Vec<String> = (0..1_100).map(|n| format!("f{n:04}.txt")).collect();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"same".as_slice())).collect();
    files.push(("README.md", b"# Many\n"));
    publish(&ada, "datasets/ada/many", None, &files).await.created();
    let first = ada.get("/api/datasets/ada/many/tree/main?recursive=true").await;
    let link = first.header("link").to_owned();
    let next = link.strip_prefix('<').and_then(|rest| rest.split_once(">; rel=\"next\"")).unwrap().0;
    assert!(next.starts_with(&server.url), "{link}: clients follow absolute links only");
    let second = ada.get(next.strip_prefix(&server.url).unwrap()).await;
    assert_eq!((first.ok().as_array().unwrap().len(), second.ok().as_array().unwrap().len()), (1_000, 101));
    assert_eq!(second.header("link"), "");
}
