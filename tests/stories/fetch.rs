//! Fetching and managing versions, told against the real server.

use std::process::Command;

use crate::support::publishing::{create_repo, publish, sha256};
use crate::support::{Api, Reply, Server};
use base64::Engine as _;
use reqwest::Method;
use serde_json::json;

const BYTES: &[u8] = b"0123456789";
const FILE: &str = "/api/v1/models/ada/net/versions/main/files/data/some%20words.txt";

async fn ada(server: &Server) -> Api {
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let files: &[(&str, &[u8])] = &[("data/some words.txt", BYTES), ("empty", b""), ("page.html", b"<script>alert(1)</script>")];
    publish(&ada, "models/ada/net", None, files).await.created();
    ada
}

async fn fetch(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = headers.iter().fold(api.request(method, path), |request, (name, value)| request.header(*name, *value));
    Reply::of(request).await
}

#[tokio::test]
async fn bytes_come_with_their_proof_and_never_as_a_page() {
    let server = Server::start();
    ada(&server).await;
    let stranger = server.anonymous();
    let whole = stranger.get(FILE).await;
    assert_eq!((whole.status.as_u16(), whole.bytes.as_slice()), (200, BYTES));
    let digest = base64::engine::general_purpose::STANDARD.encode(hub::domain::digest::Digest::of(BYTES).as_bytes());
    for (name, value) in [
        ("etag", format!("\"{}\"", sha256(BYTES))),
        ("repr-digest", format!("sha-256=:{digest}:")),
        ("content-length", "10".into()),
        ("accept-ranges", "bytes".into()),
        ("content-type", "application/octet-stream".into()),
        ("x-content-type-options", "nosniff".into()),
        ("content-security-policy", "sandbox; default-src 'none'".into()),
        ("content-disposition", "attachment; filename=\"some words.txt\"; filename*=UTF-8''some%20words.txt".into()),
    ] {
        assert_eq!(whole.header(name), value, "{name}");
    }
    let page = stranger.get("/api/v1/models/ada/net/versions/1/files/page.html").await;
    assert_eq!(page.header("content-type"), "application/octet-stream");
    let head = fetch(&stranger, Method::HEAD, FILE, &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.bytes.len()), (200, "10", 0));
    stranger.get("/api/v1/models/ada/net/versions/1/files/nothing").await.problem(404, "file_not_found");
}

#[tokio::test]
async fn ranges_are_answered_as_the_standard_says() {
    let server = Server::start();
    ada(&server).await;
    let stranger = server.anonymous();
    let etag = format!("\"{}\"", sha256(BYTES));
    for (range, status, bytes, content_range) in [
        ("bytes=0-0", 206, &BYTES[..1], "bytes 0-0/10"),
        ("bytes=3-5", 206, &BYTES[3..6], "bytes 3-5/10"),
        ("bytes=7-", 206, &BYTES[7..], "bytes 7-9/10"),
        ("bytes=-4", 206, &BYTES[6..], "bytes 6-9/10"),
        ("bytes=0-99999999999999999999", 206, BYTES, "bytes 0-9/10"),
        ("bytes=0-1,4-5", 200, BYTES, ""),
        ("bytes=5-3", 200, BYTES, ""),
        ("lines=1-2", 200, BYTES, ""),
    ] {
        let part = fetch(&stranger, Method::GET, FILE, &[("Range", range)]).await;
        assert_eq!((part.status.as_u16(), part.bytes.as_slice(), part.header("content-range")), (status, bytes, content_range), "{range}");
    }
    for range in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
        let beyond = fetch(&stranger, Method::GET, FILE, &[("Range", range)]).await;
        assert_eq!(beyond.header("content-range"), "bytes */10");
        beyond.problem(416, "bad_range");
    }
    let same = fetch(&stranger, Method::GET, FILE, &[("Range", "bytes=3-"), ("If-Range", &etag)]).await;
    assert_eq!(same.status, 206);
    let other = fetch(&stranger, Method::GET, FILE, &[("Range", "bytes=3-"), ("If-Range", "\"old\"")]).await;
    assert_eq!((other.status.as_u16(), other.bytes.as_slice()), (200, BYTES));
    for method in [Method::GET, Method::HEAD] {
        let known = fetch(&stranger, method, FILE, &[("If-None-Match", &etag)]).await;
        assert_eq!((known.status.as_u16(), known.bytes.len(), known.header("etag")), (304, 0, etag.as_str()));
    }
    let empty = fetch(&stranger, Method::GET, "/api/v1/models/ada/net/versions/1/files/empty", &[("Range", "bytes=0-0")]).await;
    assert_eq!((empty.status.as_u16(), empty.bytes.len(), empty.header("content-range")), (200, 0, "bytes */0"));
}

#[tokio::test]
async fn sha256sum_proves_a_fetched_version() {
    let server = Server::start();
    ada(&server).await;
    let stranger = server.anonymous();
    let dir = tempfile::tempdir().unwrap();
    let manifest = stranger.get("/api/v1/models/ada/net/versions/main/manifest").await.ok();
    for file in manifest["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap();
        let target = dir.path().join(path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, stranger.get(&format!("/api/v1/models/ada/net/versions/1/files/{path}")).await.bytes).unwrap();
    }
    std::fs::write(dir.path().join("SHA256SUMS"), stranger.get("/api/v1/models/ada/net/versions/1/SHA256SUMS").await.bytes).unwrap();
    let check = || Command::new("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(dir.path()).output().unwrap();
    let good = check();
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(String::from_utf8_lossy(&good.stdout).lines().count(), 3);
    std::fs::write(dir.path().join("page.html"), "changed").unwrap();
    assert!(!check().status.success());
    let canonical: String = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{} {} {}\n", f["sha256"].as_str().unwrap(), f["size_bytes"], f["path"].as_str().unwrap()))
        .collect();
    assert_eq!(manifest["version"]["manifest"], sha256(canonical.as_bytes()));
}

#[tokio::test]
async fn hostile_addresses_open_no_file() {
    let server = Server::start();
    ada(&server).await;
    let base = "/api/v1/models/ada/net/versions/1/files/";
    for path in
        ["..%2F..%2Fhub.db", "%2e%2e/hub.db", "..%5c..%5chub.db", "%2Fetc%2Fpasswd", "a%00b", "a%0d%0ab", "%252e%252e%252fhub.db", "%ff"]
    {
        let answer = server.anonymous().get(&format!("{base}{path}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.text());
    }
    for path in ["models/..%2f/net", "models/ada/..%2f..", "models/ada/net/versions/..%2f..", "models/ada/net/versions/sha256:..%2f"] {
        let answer = server.anonymous().get(&format!("/api/v1/{path}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn revisions_are_read_as_people_type_them() {
    let server = Server::start();
    let ada = ada(&server).await;
    publish(&ada, "models/ada/net", Some(1), &[("a", b"2")]).await.created();
    let second = ada.get("/api/v1/models/ada/net/versions/2").await.ok()["version"].clone();
    let (commit, manifest) = (second["commit"].as_str().unwrap(), second["manifest"].as_str().unwrap());
    ada.put("/api/v1/models/ada/net/refs/rel/1.0", &json!({"revision": "2"})).await.ok();
    for revision in ["main", "2", "v2", "rel%2F1.0", commit, &commit[..7], &format!("sha256:{manifest}")] {
        let found = ada.get(&format!("/api/v1/models/ada/net/versions/{revision}")).await.ok();
        assert_eq!(found["version"]["number"], 2, "{revision}");
    }
    for revision in ["3", "v3", "nothing", "0000000", &format!("sha256:{}", "0".repeat(64))] {
        ada.get(&format!("/api/v1/models/ada/net/versions/{revision}")).await.problem(404, "revision_not_found");
    }
    ada.get("/api/v1/models/ada/net/versions/sha256:xyz").await.problem(400, "bad_path");
}

#[tokio::test]
async fn refs_move_only_from_where_they_were_seen() {
    let server = Server::start();
    let ada = ada(&server).await;
    publish(&ada, "models/ada/net", Some(1), &[("a", b"2")]).await.created();
    let tag = "/api/v1/models/ada/net/refs/best";
    assert_eq!(ada.put(tag, &json!({"revision": "1"})).await.ok()["number"], 1);
    ada.put(tag, &json!({"revision": "2"})).await.problem(409, "ref_moved");
    ada.put(tag, &json!({"revision": "2", "expected": 7})).await.problem(409, "ref_moved");
    assert_eq!(ada.put(tag, &json!({"revision": "main", "expected": 1})).await.ok()["number"], 2);
    ada.put("/api/v1/models/ada/net/refs/deadbeef", &json!({"revision": "1"})).await.problem(400, "bad_path");
    let main = "/api/v1/models/ada/net/refs/main";
    assert_eq!(ada.put(main, &json!({"revision": "1", "expected": 2})).await.ok()["number"], 1, "back to the first");
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 1);
    ada.delete(main).await.problem(422, "main_stays");
    let names: Vec<_> =
        ada.get("/api/v1/models/ada/net/refs").await.ok()["items"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["main", "best"]);
    ada.delete(tag).await.done();
    ada.delete(tag).await.problem(404, "ref_not_found");
    server.anonymous().put(tag, &json!({"revision": "1"})).await.problem(401, "login_required");
    server.user("eve").await.put(tag, &json!({"revision": "1"})).await.problem(403, "no_right");
}

#[tokio::test]
async fn a_yanked_version_stays_for_those_who_pinned_it() {
    let server = Server::start();
    let ada = ada(&server).await;
    publish(&ada, "models/ada/net", Some(1), &[("a", b"2")]).await.created();
    let second = "/api/v1/models/ada/net/versions/2";
    assert_eq!(ada.patch(second, &json!({"state": "yanked"})).await.ok()["state"], "yanked");
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 1, "main went back");
    assert_eq!(ada.get(&format!("{second}/files/a")).await.bytes, b"2");
    ada.put("/api/v1/models/ada/net/refs/main", &json!({"revision": "2", "expected": 1})).await.problem(422, "version_not_live");
    ada.patch("/api/v1/models/ada/net/versions/1", &json!({"state": "yanked"})).await.ok();
    ada.get("/api/v1/models/ada/net/versions/main").await.problem(404, "nothing_published");
    ada.patch(second, &json!({"state": "live"})).await.ok();
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 2);
    ada.patch(second, &json!({"state": "deleted"})).await.problem(400, "bad_json");
}

#[tokio::test]
async fn a_deleted_version_leaves_a_tombstone_and_its_number() {
    let server = Server::start();
    let ada = ada(&server).await;
    publish(&ada, "models/ada/net", Some(1), &[("a", b"2")]).await.created();
    ada.put("/api/v1/models/ada/net/refs/best", &json!({"revision": "2"})).await.ok();
    ada.delete("/api/v1/models/ada/net/versions/2").await.done();
    ada.get("/api/v1/models/ada/net/versions/2").await.problem(404, "version_deleted");
    ada.get("/api/v1/models/ada/net/versions/2/files/a").await.problem(404, "version_deleted");
    ada.get("/api/v1/models/ada/net/versions/best").await.problem(404, "revision_not_found");
    ada.patch("/api/v1/models/ada/net/versions/2", &json!({"state": "live"})).await.problem(404, "version_deleted");
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 1);
    let next = publish(&ada, "models/ada/net", Some(1), &[("a", b"2")]).await.created();
    assert_eq!(next["version"]["number"], 3, "a number is given once");
    let states: Vec<_> =
        ada.get("/api/v1/models/ada/net/versions").await.ok()["items"].as_array().unwrap().iter().map(|v| v["state"].clone()).collect();
    assert_eq!(states, ["live", "deleted", "live"]);
    let page = ada.get("/api/v1/models/ada/net/versions?limit=2").await.ok();
    let rest = ada.get(&format!("/api/v1/models/ada/net/versions?limit=2&cursor={}", page["next"].as_str().unwrap())).await.ok();
    assert_eq!((&rest["items"][0]["number"], &rest["next"]), (&json!(1), &serde_json::Value::Null));
    ada.get("/api/v1/models/ada/net/versions?cursor=x").await.problem(422, "bad_cursor");
}

#[tokio::test]
async fn downloads_are_counted_from_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(dir.path(), &["--workers", "0"], &[]);
    let ada = ada(&server).await;
    let stranger = server.anonymous();
    stranger.get(FILE).await;
    for range in ["bytes=5-", "bytes=1-2"] {
        fetch(&stranger, Method::GET, FILE, &[("Range", range)]).await;
    }
    fetch(&stranger, Method::HEAD, FILE, &[]).await;
    // A further file from the same address belongs to the same pull.
    stranger.get(FILE).await;
    // Counts are written together, about a second later, and at the latest when the server stops.
    assert_eq!(server.stop(), Some(0));
    let server = Server::start_on(dir.path(), &["--workers", "0"], &[]);
    assert_eq!(server.with_token(&ada.token).get("/api/v1/models/ada/net").await.ok()["downloads"], 1);
}

#[tokio::test]
async fn damaged_bytes_are_never_sent_as_good_ones() {
    let server = Server::start();
    let ada = ada(&server).await;
    let hex = sha256(BYTES);
    let blob = server.data().join("blobs").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    std::fs::remove_file(&blob).unwrap();
    server.anonymous().get(FILE).await.problem(502, "blob_corrupt");
    std::fs::write(&blob, "short").unwrap();
    server.anonymous().get(FILE).await.problem(502, "blob_corrupt");
    let missing = ada.post("/api/v1/blobs/missing", &json!({"sha256": [hex]})).await.ok();
    assert_eq!(missing["missing"], json!([hex]), "it is asked for again");
    crate::support::publishing::upload(&ada, BYTES).await;
    assert_eq!(server.anonymous().get(FILE).await.bytes, BYTES, "and so repaired");
}
