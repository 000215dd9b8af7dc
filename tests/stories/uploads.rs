//! Uploads in parts, told against the real server: any order, several at once, cut, killed, lied to.

use std::io::Write as _;
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use crate::support::publishing::{announce, commit, create_repo, file, random, send, sha256, upload};
use crate::support::{Api, Reply, Server, until};
use reqwest::Method;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

fn path(upload: &Value) -> String {
    format!("/api/v1/uploads/{}", upload["id"].as_str().unwrap())
}

/// Sends one part of `bytes`.
async fn put(api: &Api, upload: &Value, bytes: &[u8], run: Range<usize>) -> Reply {
    let range = format!("bytes {}-{}/{}", run.start, run.end - 1, bytes.len());
    Reply::of(api.request(Method::PUT, &path(upload)).header("Content-Range", range).body(bytes[run].to_vec())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_in_any_order_and_more_than_once() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = random(1, 3 * MIB);
    let upload = announce(&ada, &bytes).await;
    assert_eq!((&upload["received"], &upload["offset"]), (&json!([]), &json!(0)));
    let third = put(&ada, &upload, &bytes, 2 * MIB..3 * MIB).await.ok();
    assert_eq!((&third["received"], &third["offset"]), (&json!([[2 * MIB, 3 * MIB]]), &json!(0)));
    for _ in 0..2 {
        let first = put(&ada, &upload, &bytes, 0..MIB).await.ok();
        assert_eq!((&first["received"], &first["offset"]), (&json!([[0, MIB], [2 * MIB, 3 * MIB]]), &json!(MIB)));
    }
    assert_eq!(ada.get(&path(&upload)).await.ok()["received"], json!([[0, MIB], [2 * MIB, 3 * MIB]]));
    assert_eq!(announce(&ada, &bytes).await["received"], json!([[0, MIB], [2 * MIB, 3 * MIB]]), "announcing again continues");
    // A client that sends in order goes on behind the first run; what it sends of the third part is not written again.
    assert_eq!(send(&ada, &upload, MIB, &bytes[MIB..MIB + 1000]).await.ok()["offset"], MIB + 1000);
    let done = put(&ada, &upload, &bytes, MIB..2 * MIB + 500).await.ok();
    assert_eq!((&done["complete"], &done["received"]), (&json!(true), &json!([[0, 3 * MIB]])));
    let again = put(&ada, &upload, &bytes, 0..MIB).await.ok();
    assert_eq!((&again["complete"], &again["offset"]), (&json!(true), &json!(3 * MIB)), "an answer that was lost is given again");
    create_repo(&ada, "model", "ada/net").await;
    commit(&ada, "models/ada/net", None, vec![file("a.dat", &bytes)]).await.created();
    assert_eq!(ada.get("/api/v1/models/ada/net/versions/1/files/a.dat").await.bytes, bytes);
    assert_eq!(std::fs::read_dir(server.data().join("staging")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_last_parts_one_finishes_and_all_see_it_complete() {
    let server = Server::start();
    let ada = server.user("ada").await;
    for round in 0..5 {
        let bytes = random(round, 2 * MIB + 17);
        let upload = announce(&ada, &bytes).await;
        let parts = (0..32).map(|n| (n % 8) * 256 * 1024).map(|from| (from, (from + 256 * 1024 + 17).min(bytes.len())));
        let sent = futures_util::future::join_all(parts.map(|(from, to)| put(&ada, &upload, &bytes, from..to))).await;
        let complete = sent.iter().filter(|reply| reply.ok()["complete"] == true).count();
        assert!(complete >= 1, "nobody finished");
        assert_eq!(ada.get(&path(&upload)).await.ok()["complete"], true);
        // The same last part from many at once.
        let bytes = random(100 + round, MIB);
        let upload = announce(&ada, &bytes).await;
        put(&ada, &upload, &bytes, 0..MIB / 2).await.ok();
        let last = futures_util::future::join_all((0..12).map(|_| put(&ada, &upload, &bytes, MIB / 2..MIB))).await;
        last.iter().for_each(|reply| assert_eq!(reply.ok()["complete"], true));
    }
}

#[tokio::test]
async fn lies_about_ranges_are_refused() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let upload = announce(&ada, &random(1, 1000)).await;
    let part = |range: &str, bytes: usize| {
        let request = ada.request(Method::PUT, &path(&upload)).body(vec![0; bytes]);
        Reply::of(if range.is_empty() { request } else { request.header("Content-Range", range) })
    };
    for (range, bytes) in [
        ("", 10),
        ("bytes 0-9", 10),
        ("bytes */1000", 10),
        ("bytes=0-9/1000", 10),
        ("bytes 9-0/1000", 10),
        ("bytes 0-10/1000", 10),
        ("bytes 0-8/1000", 10),
        ("bytes 995-1004/1000", 10),
        ("bytes 1000-1009/1000", 10),
        ("bytes 0-18446744073709551615/1000", 10),
        ("bytes 18446744073709551606-18446744073709551615/18446744073709551616", 10),
        ("bytes -1-8/1000", 10),
    ] {
        part(range, bytes).await.problem(400, "bad_content_range");
    }
    part("bytes 0-9/1001", 10).await.problem(422, "size_mismatch");
    part("bytes 9223372036854775807-9223372036854775816/18446744073709551615", 10).await.problem(422, "size_mismatch");
    // A body without a length that is shorter or longer than its range.
    for (bytes, status, code) in [(5, 422, "body_broke_off"), (50, 422, "too_many_bytes")] {
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(vec![0u8; bytes])]));
        let request = ada.request(Method::PUT, &path(&upload)).header("Content-Range", "bytes 100-109/1000").body(body);
        Reply::of(request).await.problem(status, code);
    }
    let received = ada.get(&path(&upload)).await.ok()["received"].clone();
    assert!(received == json!([[100, 105]]) || received == json!([[100, 110]]), "never beyond its range: {received}");

    let large = json!({"sha256": sha256(b"large"), "size_bytes": 200 * MIB});
    let large = ada.post("/api/v1/uploads", &large).await.created();
    let body = vec![0; 64 * MIB + 1];
    let range = format!("bytes 0-{}/{}", 64 * MIB, 200 * MIB);
    let request = ada.request(Method::PUT, &path(&large)).header("Content-Range", range).body(body.clone());
    Reply::of(request).await.problem(413, "part_too_large");
    Reply::of(ada.request(Method::PUT, &format!("/api/v1/blobs/{}", sha256(&body))).body(body)).await.problem(413, "part_too_large");
}

#[tokio::test]
async fn who_may_not_send_learns_nothing_else() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let bytes = random(1, 1000);
    let upload = announce(&ada, &bytes).await;
    let reads = ada.post("/api/v1/tokens", &json!({"name": "r", "scope": "read"})).await.created();
    let reads = server.with_token(reads["secret"].as_str().unwrap());
    let blob = format!("/api/v1/blobs/{}", sha256(&bytes));
    for (method, path) in [(Method::PUT, path(&upload)), (Method::PATCH, path(&upload)), (Method::PUT, blob.clone())] {
        let nonsense = |api: &Api| Reply::of(api.request(method.clone(), &path).header("Content-Range", "nonsense").body("x"));
        nonsense(&server.anonymous()).await.problem(401, "login_required");
        nonsense(&reads).await.problem(403, "token_scope");
    }
    put(&eve, &upload, &bytes, 0..1000).await.problem(404, "upload_not_found");
    create_repo(&ada, "model", "ada/net").await;
    for wrong in [vec![], vec![file("../x", b"x")], vec![json!({"path": "a", "size_bytes": 1, "sha256": "x"})]] {
        commit(&eve, "models/ada/net", None, wrong.clone()).await.problem(403, "no_right");
        commit(&eve, "models/ada/other", None, wrong).await.problem(404, "repo_not_found");
    }
    // A token that is revoked under way ends the upload at the next part.
    let brief = ada.post("/api/v1/tokens", &json!({"name": "w", "scope": "write"})).await.created();
    let with = server.with_token(brief["secret"].as_str().unwrap());
    put(&with, &upload, &bytes, 0..500).await.ok();
    ada.delete(&format!("/api/v1/tokens/{}", brief["id"].as_str().unwrap())).await.done();
    assert_eq!(put(&with, &upload, &bytes, 500..1000).await.status, 401);
    assert_eq!(put(&ada, &upload, &bytes, 500..1000).await.ok()["complete"], true);
}

#[tokio::test]
async fn a_small_file_takes_one_request() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = random(1, 20_000);
    let blob = |bytes: &[u8], digest: String| Reply::of(ada.request(Method::PUT, &format!("/api/v1/blobs/{digest}")).body(bytes.to_vec()));
    let wrong = blob(&bytes, sha256(b"other")).await.problem(422, "digest_mismatch");
    assert!(wrong["message"].as_str().unwrap().contains(&sha256(&bytes)), "{wrong}");
    for _ in 0..2 {
        let done = blob(&bytes, sha256(&bytes)).await.ok();
        assert_eq!((&done["complete"], &done["size_bytes"]), (&json!(true), &json!(20_000)));
    }
    assert_eq!(blob(b"", sha256(b"")).await.ok()["complete"], true);
    blob(&bytes[1..], sha256(&bytes)).await.problem(422, "size_mismatch");
    blob(&bytes, "A".repeat(64)).await.problem(400, "bad_path");
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes.clone())]));
    let unsized_body = ada.request(Method::PUT, &format!("/api/v1/blobs/{}", sha256(&bytes))).body(body);
    Reply::of(unsized_body).await.problem(411, "length_required");
    let missing = ada.post("/api/v1/blobs/missing", &json!({"sha256": [sha256(&bytes), sha256(b"other")]})).await.ok();
    assert_eq!(missing["missing"], json!([sha256(b"other")]));
    assert_eq!(std::fs::read_dir(server.data().join("staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn of_a_part_that_breaks_off_what_arrived_is_kept() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = random(1, 4 * MIB);
    let upload = announce(&ada, &bytes).await;
    let mut line = TcpStream::connect(server.authority()).unwrap();
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-range: bytes {MIB}-{}/{}\r\ncontent-length: {}\r\n\r\n",
        path(&upload),
        server.authority(),
        ada.token,
        4 * MIB - 1,
        4 * MIB,
        3 * MIB
    );
    line.write_all(head.as_bytes()).unwrap();
    line.write_all(&bytes[MIB..3 * MIB + 12_345]).unwrap();
    drop(line);
    until("some of what was sent has arrived", async || ada.get(&path(&upload)).await.ok()["received"] != json!([])).await;
    let received = ada.get(&path(&upload)).await.ok()["received"].clone();
    assert_eq!(received[0][0], MIB);
    let end = received[0][1].as_u64().unwrap() as usize;
    assert!(end > MIB && end <= 3 * MIB + 12_345, "{received}");
    put(&ada, &upload, &bytes, 0..MIB).await.ok();
    assert_eq!(put(&ada, &upload, &bytes, end..4 * MIB).await.ok()["complete"], true);
}

#[tokio::test]
async fn parts_survive_a_killed_server_and_lost_ones_are_noticed() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = random(1, 3 * MIB);
    let announced = announce(&ada, &bytes).await;
    put(&ada, &announced, &bytes, 2 * MIB..3 * MIB).await.ok();
    put(&ada, &announced, &bytes, 10..MIB).await.ok();
    let data = server.kill().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let ada = server.with_token(&ada.token);
    let again = announce(&ada, &bytes).await;
    assert_eq!((&again["id"], &again["received"]), (&announced["id"], &json!([[10, MIB], [2 * MIB, 3 * MIB]])));
    put(&ada, &again, &bytes, 0..10).await.ok();
    assert_eq!(put(&ada, &again, &bytes, MIB..2 * MIB).await.ok()["complete"], true);

    // Bytes that vanish from under the catalog are sent again; wrong ones too.
    for lose in ["file", "bytes"] {
        let bytes = random(2, 2 * MIB);
        let first = announce(&ada, &bytes).await;
        if lose == "file" {
            put(&ada, &first, &bytes, 0..MIB).await.ok();
            std::fs::remove_file(data.path().join("staging").join(first["id"].as_str().unwrap())).unwrap();
            put(&ada, &first, &bytes, MIB..2 * MIB).await.problem(404, "upload_not_found");
        } else {
            put(&ada, &first, &vec![0; 2 * MIB], 0..MIB).await.ok();
            put(&ada, &first, &bytes, MIB..2 * MIB).await.problem(422, "digest_mismatch");
        }
        let second = announce(&ada, &bytes).await;
        assert_eq!(second["received"], json!([]), "it starts again from nothing");
        assert_ne!(first["id"], second["id"]);
        ada.delete(&path(&second)).await.done();
        ada.get(&path(&second)).await.problem(404, "upload_not_found");
    }
    let half = announce(&ada, &random(3, MIB)).await;
    put(&ada, &half, &random(3, MIB), 0..MIB / 2).await.ok();
    std::fs::remove_file(data.path().join("staging").join(half["id"].as_str().unwrap())).unwrap();
    assert_eq!(announce(&ada, &random(3, MIB)).await["received"], json!([]), "an announcement looks for itself");
    upload(&ada, &random(3, MIB)).await;
}

#[tokio::test]
async fn what_a_crash_left_in_staging_goes_after_an_hour() {
    let data = tempfile::tempdir().unwrap();
    let staging = data.path().join("staging");
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    let open = announce(&ada, &random(1, 1000)).await;
    put(&ada, &open, &random(1, 1000), 0..10).await.ok();
    assert_eq!(server.stop(), Some(0));
    let aged = |name: &str, minutes: u64| {
        let file = std::fs::File::options().write(true).create(true).truncate(false).open(staging.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(minutes * 60)).unwrap();
    };
    let (stray, fresh, announced) = ("0".repeat(26), "1".repeat(26), open["id"].as_str().unwrap());
    let files = [(stray.as_str(), 61), (&fresh, 50), (announced, 600), ("left.tmp", 61)];
    files.iter().for_each(|(name, minutes)| aged(name, *minutes));
    let _server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    until("what is left over goes", async || !staging.join(&stray).exists() && !staging.join("left.tmp").exists()).await;
    for stays in [fresh.as_str(), announced] {
        assert!(staging.join(stays).exists(), "{stays}");
    }
}
