//! A hub whose blobs lie in an S3 store, told against the real server, a real S3 server and a line between
//! them that can be cut.

use std::path::Path;

use crate::support::publishing::{announce, commit, create_repo, file, publish, send, sha256, upload};
use crate::support::s3::{BUCKET, Line, S3, SECRET_KEY, Switch, variables};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::json;

const FILES: &str = "/api/v1/models/ada/net/versions/main/files";

fn bytes_of(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// A hub on `data` whose store is reached through `line`.
fn start(data: &Path, line: &Switch, args: &[&str], further: &[(&str, &str)]) -> Server {
    let store = format!("s3://{BUCKET}/hubs/one");
    let mut all = vec!["--workers", "0", "--store", &store];
    all.extend(args);
    let variables = variables(line.port);
    let mut environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    environment.extend(further);
    Server::start_on(data, &all, &environment)
}

async fn fetch(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = headers.iter().fold(api.request(method, path), |request, (name, value)| request.header(*name, *value));
    Reply::of(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_pull_at_once_ask_the_store_little_more_than_one_does() {
    const MANY: usize = 16;
    let (s3, data) = (S3::start(), tempfile::tempdir().unwrap());
    let line = Switch::to(s3.port);
    let server = start(data.path(), &line, &[], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let big = bytes_of(20_000_003);
    publish(&ada, "models/ada/net", None, &[("big.dat", &big)]).await.created();
    let (stranger, path) = (server.anonymous(), format!("{FILES}/big.dat"));
    let before = line.heads().len();
    assert!(fetch(&stranger, Method::GET, &path, &[]).await.bytes == big);
    let alone = line.heads().len() - before;
    let pulls = futures_util::future::join_all((0..MANY).map(|_| fetch(&stranger, Method::GET, &path, &[]))).await;
    assert!(pulls.iter().all(|pull| pull.status == 200 && pull.bytes == big));
    let together = line.heads().len() - before - alone;
    assert!(alone >= 20 && together * 3 < alone * MANY, "one asks {alone} times, {MANY} at once {together} times");
    // Whoever comes later reads what is in the bucket then.
    let later = line.heads().len();
    assert!(fetch(&stranger, Method::GET, &path, &[]).await.bytes == big);
    assert!(line.heads().len() - later >= 20, "nothing is kept for those who come later");
}

#[tokio::test]
async fn a_hub_on_s3_serves_what_was_published_also_after_a_restart() {
    let (s3, data, home) = (S3::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let line = Switch::to(s3.port);
    let server = start(data.path(), &line, &[], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let big = bytes_of(20_000_003);
    let files: &[(&str, &[u8])] = &[("big.dat", &big), ("empty", b""), ("small", b"0123456789")];
    publish(&ada, "models/ada/net", None, files).await.created();
    for (path, bytes) in files {
        let object = s3.object("hubs/one", &sha256(bytes));
        assert!(std::fs::read(object).unwrap() == *bytes, "{path} is in the bucket");
    }
    assert!(!data.path().join("blobs").exists(), "and not here");
    assert_eq!(std::fs::read_dir(data.path().join("staging")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(data.path().join("multipart")).unwrap().count(), 0);
    let log = server.log();
    assert!(!log.contains(SECRET_KEY) && !log.contains("Signature"), "{log}");
    assert!(log.contains("conditional_writes"), "the probe says what the store does:\n{log}");
    assert_eq!(server.stop(), Some(0));

    // It is known by now where the blobs are.
    let variables = variables(line.port);
    let environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Server::start_on(data.path(), &["--workers", "0"], &environment);
    let stranger = server.anonymous();
    for (path, bytes) in files {
        let path = format!("{FILES}/{path}");
        let whole = stranger.get(&path).await;
        assert_eq!((whole.status.as_u16(), whole.header("etag")), (200, format!("\"{}\"", sha256(bytes)).as_str()));
        assert!(whole.bytes == *bytes, "{path}");
        let head = fetch(&stranger, Method::HEAD, &path, &[]).await;
        assert_eq!((head.status.as_u16(), head.header("content-length")), (200, bytes.len().to_string().as_str()));
        let known = fetch(&stranger, Method::GET, &path, &[("If-None-Match", &format!("\"{}\"", sha256(bytes)))]).await;
        assert_eq!(known.status, 304);
    }
    let size = big.len();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=1048575-1048576".to_owned(), 1_048_575, 1_048_577),
        ("bytes=-5000000".to_owned(), size - 5_000_000, size),
        (format!("bytes={}-", size - 1), size - 1, size),
        ("bytes=7000000-15999999".to_owned(), 7_000_000, 16_000_000),
    ] {
        let part = fetch(&stranger, Method::GET, &format!("{FILES}/big.dat"), &[("Range", &range)]).await;
        assert_eq!((part.status.as_u16(), part.header("content-range")), (206, format!("bytes {from}-{}/{size}", to - 1).as_str()));
        assert!(part.bytes == big[from..to], "{range}");
    }
    fetch(&stranger, Method::GET, &format!("{FILES}/big.dat"), &[("Range", "bytes=99999999-")]).await.problem(416, "bad_range");
    let pulled = server.hub(home.path()).args(["pull", "ada/net", "--quiet"]).assert().success();
    let folder = String::from_utf8(pulled.get_output().stdout.clone()).unwrap();
    assert!(std::fs::read(Path::new(folder.trim()).join("big.dat")).unwrap() == big);
}

#[tokio::test]
async fn a_store_that_is_away_is_said_so_and_is_used_again_when_it_is_back() {
    let (s3, data) = (S3::start(), tempfile::tempdir().unwrap());
    let line = Switch::to(s3.port);
    let server = start(data.path(), &line, &[], &[("AWS_TIMEOUT", "3s")]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let big = bytes_of(9_000_000);
    publish(&ada, "models/ada/net", None, &[("small", b"0123456789")]).await.created();
    let path = format!("{FILES}/small");
    for (n, trouble) in [Line::Busy, Line::Away, Line::Silent].into_iter().enumerate() {
        let bytes = [&big[..], &[n as u8]].concat();
        let announced = announce(&ada, &bytes).await;
        send(&ada, &announced, 0, &bytes[..5_000_000]).await.ok();
        line.set(trouble);
        let hash = json!({"sha256": [sha256(b"0123456789")]});
        let (read, sent, ready, asked, head) = tokio::join!(
            ada.get(&path),
            send(&ada, &announced, 5_000_000, &bytes[5_000_000..]),
            ada.get("/readyz"),
            ada.post("/api/v1/blobs/missing", &hash),
            fetch(&ada, Method::HEAD, &path, &[]),
        );
        for answer in [read, sent, ready, asked] {
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"), "{trouble:?}: {}", answer.text());
            let said = answer.problem(503, "store_unavailable").to_string();
            assert!(!said.contains(BUCKET) && !said.contains("127.0.0.1"), "strangers learn nothing of the store: {said}");
        }
        assert_eq!(head.status, 503);
        assert_eq!(server.anonymous().get("/healthz").await.status, 200, "the hub itself is well");
        assert_eq!(ada.get("/api/v1/models/ada/net").await.status, 200, "and so is its catalog");

        line.set(Line::Pass);
        assert_eq!(ada.get(&path).await.bytes, b"0123456789");
        assert_eq!(ada.get("/readyz").await.status, 200);
        let upload = format!("/api/v1/uploads/{}", announced["id"].as_str().unwrap());
        assert_eq!(ada.get(&upload).await.ok()["offset"], bytes.len(), "nothing needs to be sent again");
        assert_eq!(send(&ada, &announced, bytes.len(), b"").await.ok()["complete"], true);
        assert!(std::fs::read(s3.object("hubs/one", &sha256(&bytes))).unwrap() == bytes);
        assert_eq!(std::fs::read_dir(data.path().join("multipart")).unwrap().count(), 0, "no parts are left behind");
    }
}

#[tokio::test]
async fn a_bucket_that_is_gone_has_not_lost_single_files() {
    let (s3, data) = (S3::start(), tempfile::tempdir().unwrap());
    let line = Switch::to(s3.port);
    let server = start(data.path(), &line, &[], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("small", b"0123456789")]).await.created();
    line.set(Line::NoBucket);
    ada.get(&format!("{FILES}/small")).await.problem(503, "store_unavailable");
    line.set(Line::Pass);
    assert_eq!(ada.get(&format!("{FILES}/small")).await.bytes, b"0123456789");
    std::fs::remove_file(s3.object("hubs/one", &sha256(b"0123456789"))).unwrap();
    ada.get(&format!("{FILES}/small")).await.problem(502, "blob_corrupt");
    upload(&ada, b"0123456789").await;
    assert_eq!(ada.get(&format!("{FILES}/small")).await.bytes, b"0123456789", "and so it is repaired");
}

#[tokio::test]
async fn clients_are_sent_to_the_store_with_a_key_that_is_no_token() {
    let (s3, data, home) = (S3::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let line = Switch::to(s3.port);
    let server = start(data.path(), &line, &["--redirect-downloads"], &[]);
    let ada = server.user("ada").await;
    let body = json!({"kind": "model", "id": "ada/net", "private": true});
    ada.post("/api/v1/repos", &body).await.created();
    let big = bytes_of(5_000_000);
    upload(&ada, &big).await;
    upload(&ada, b"small").await;
    commit(&ada, "models/ada/net", None, vec![file("big \u{e9}.dat", &big), file("small", b"small")]).await.created();
    let files = "/api/v1/models/ada/net/versions/main/files";
    let path = format!("{files}/big%20%C3%A9.dat");
    server.anonymous().get(&path).await.problem(404, "repo_not_found");

    let sent_on = ada.get(&path).await;
    assert_eq!((sent_on.status.as_u16(), sent_on.bytes.len(), sent_on.header("cache-control")), (307, 0, "no-store"));
    let address = sent_on.header("location").to_owned();
    assert!(address.contains("X-Amz-Signature="), "{address}");
    let there = reqwest::Client::builder().no_proxy().build().unwrap();
    let whole = Reply::of(there.get(&address)).await;
    assert!((whole.status, &whole.bytes) == (reqwest::StatusCode::OK, &big), "no token is needed there: {}", whole.status);
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"big _.dat\"; filename*=UTF-8''big%20%C3%A9.dat");
    let part = Reply::of(there.get(&address).header("Range", "bytes=1000000-1000009")).await;
    assert_eq!((part.status.as_u16(), &part.bytes[..]), (206, &big[1_000_000..1_000_010]));
    let forged = address.replace(&sha256(&big)[2..], &sha256(b"small")[2..]);
    assert_ne!(Reply::of(there.get(&forged)).await.status, 200, "it opens nothing else");

    for (method, path, headers, status) in [
        (Method::HEAD, &path, vec![], 200),
        (Method::GET, &path, vec![("Range", "bytes=1-2")], 307),
        (Method::GET, &path, vec![("Range", "bytes=9999999-")], 416),
        (Method::GET, &path, vec![("If-None-Match", "*")], 304),
        (Method::GET, &format!("{files}/small"), vec![], 200),
    ] {
        let answer = fetch(&ada, method, path, &headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert!(status != 200 || ["5", "5000000"].contains(&answer.header("content-length")));
    }

    let before = line.heads().len();
    let pulled = server.hub(home.path()).env("HUB_TOKEN", &ada.token).args(["pull", "ada/net", "--quiet"]).assert().success();
    let folder = String::from_utf8(pulled.get_output().stdout.clone()).unwrap();
    assert!(std::fs::read(Path::new(folder.trim()).join("big \u{e9}.dat")).unwrap() == big);
    let direct: Vec<String> = line.heads().split_off(before).into_iter().filter(|head| head.contains("X-Amz-Signature=")).collect();
    assert!(!direct.is_empty(), "the command line went to the store itself");
    for head in line.heads() {
        assert!(!head.contains("hub_") && !head.to_lowercase().contains("bearer"), "a token of the hub reached the store: {head}");
    }
    let log = server.log();
    assert!(!log.contains("X-Amz-Signature") && !log.contains(SECRET_KEY), "{log}");

    // A store that answers with other bytes is found out by the client, whoever sent them.
    let object = s3.object("hubs/one", &sha256(&big));
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes_of(5_000_001).split_off(1)).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    server.hub(fresh.path()).env("HUB_TOKEN", &ada.token).args(["pull", "ada/net", "--quiet"]).assert().failure().code(5);
}

#[tokio::test]
async fn a_wrong_store_stops_the_start_with_words_that_help() {
    let (s3, data) = (S3::start(), tempfile::tempdir().unwrap());
    let good = variables(s3.port);
    let with = |name: &str, value: &str| {
        good.iter().filter(|(n, _)| n != name).cloned().chain([(name.to_owned(), value.to_owned())]).collect::<Vec<_>>()
    };
    let line = Switch::to(s3.port);
    line.set(Line::NoBucket);
    let cases = [
        ("s3://elsewhere/hub", variables(line.port), "refuses"),
        ("s3://hub/hub", with("AWS_SECRET_ACCESS_KEY", "wrong"), "refuses"),
        ("s3://hub/hub", with("AWS_ALLOW_HTTP", "false"), "AWS_ALLOW_HTTP=true"),
        ("http://hub/hub", good.clone(), "an S3 bucket such as s3://models/hub"),
    ];
    for (store, given, words) in cases {
        let fresh = tempfile::tempdir().unwrap();
        let mut hub = crate::support::hub(fresh.path());
        hub.args(["serve", "--listen", "127.0.0.1:0", "--workers", "0", "--store", store, "--data"]).arg(fresh.path().join("data"));
        let ended = hub.envs(given).assert().failure();
        let said = String::from_utf8(ended.get_output().stderr.clone()).unwrap();
        assert!(said.contains(words) && said.contains("hint:") && !said.contains(SECRET_KEY), "{store}: {said}");
    }
    let mut hub = crate::support::hub(data.path());
    hub.arg("config").env("HUB_STORE", "s3://hub/one").envs(good);
    let shown = String::from_utf8(hub.assert().success().get_output().stdout.clone()).unwrap();
    assert!(shown.contains("s3://hub/one") && !shown.contains(SECRET_KEY), "{shown}");
}
