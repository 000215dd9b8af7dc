//! What the dialects share with our own API: the way to a repo that was moved, an allowance per caller, a hub without Xet;
//! and odd input, which is refused with an object of JSON and never with a failure of ours.

use crate::support::publishing::{create_repo, publish, random, sha256};
use crate::support::xet::{CHUNK, packed, shard, some_bytes, xorb};
use crate::support::{Api, Reply, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

const README: &[u8] = b"---\nlicense: mit\n---\n# Net\n";

async fn rename(api: &Api, from: &str, to: &str) -> Reply {
    api.post("/api/repos/move", &json!({ "fromRepo": from, "toRepo": to, "type": "model" })).await
}

/// What an answer says, but for what is of this one request.
fn said(reply: &Reply) -> (u16, Vec<String>, Value) {
    let mut headers: Vec<String> = reply.headers.keys().map(|key| key.as_str().to_owned()).filter(|key| key != "connection").collect();
    headers.sort();
    let mut body = serde_json::from_slice(&reply.bytes).unwrap_or_else(|_| json!(reply.text()));
    if let Some(object) = body.as_object_mut() {
        object.remove("request_id");
    }
    (reply.status.as_u16(), headers, body)
}

/// The answer at an old name leads to `to`, and says nothing else.
async fn leads(api: &Api, method: Method, path: &str, to: &str) -> Reply {
    let reply = Reply::of(api.request(method.clone(), path)).await;
    assert_eq!((reply.status.as_u16(), reply.header("location"), reply.text().as_str()), (307, to, ""), "{method} {path}");
    assert_eq!((reply.header("x-error-code"), reply.header("cache-control")), ("", "no-store"), "{method} {path}");
    Reply::of(api.request(method, to)).await
}

#[tokio::test]
async fn a_moved_repo_is_found_at_its_old_name() {
    let server = Server::start();
    let (ada, stranger) = (server.user("ada").await, server.anonymous());
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", README), ("a b/c.txt", b"c")]).await.created();
    rename(&ada, "ada/net", "ada/web").await.ok();
    for path in [
        "/api/models/ada/NAME?blobs=true&expand=sha",
        "/api/models/ada/NAME/revision/main",
        "/api/models/ada/NAME/tree/main?recursive=true",
        "/api/models/ada/NAME/refs",
        "/ada/NAME/resolve/main/a%20b/c.txt",
        "/api/v1/models/ada/NAME",
        "/api/v1/models/ada/NAME/versions/1/files/README.md",
        "/api/v1/models/ada/NAME/versions/main/manifest",
        "/ada/NAME",
        "/ada/NAME/files?rev=1",
        "/ada/NAME/download/main/README.md",
    ] {
        for method in [Method::GET, Method::HEAD] {
            let found = leads(&stranger, method, &path.replace("NAME", "net"), &path.replace("NAME", "web")).await;
            assert_eq!(found.status, 200, "{path}: {}", found.text());
        }
    }
    // Questions that come as POST are led, too.
    let asked = json!({ "paths": ["README.md"] });
    let told = stranger.post("/api/models/ada/net/paths-info/main", &asked).await;
    assert_eq!((told.status.as_u16(), told.header("location")), (307, "/api/models/ada/web/paths-info/main"));
    let told = stranger.post("/ada/net.git/info/lfs/objects/batch", &json!({ "operation": "download", "objects": [] })).await;
    assert_eq!((told.status.as_u16(), told.header("location")), (307, "/ada/web.git/info/lfs/objects/batch"));
    // Whoever writes is told.
    let line = json!({ "key": "header", "value": { "summary": "s" } }).to_string();
    let commit = Reply::of(ada.request(Method::POST, "/api/models/ada/net/commit/main").body(line)).await;
    assert_eq!((commit.status.as_u16(), commit.header("x-error-code")), (404, "RepoNotFound"));
    assert!(commit.json()["error"].as_str().unwrap().contains("'ada/web'"), "{}", commit.text());
    let told = ada.patch("/api/v1/models/ada/net", &json!({ "summary": "x" })).await.problem(404, "repo_moved");
    assert!(told["hint"].as_str().unwrap().contains("ada/web"), "{told}");
    // Our own client follows.
    let home = tempfile::tempdir().unwrap();
    let pulled = server.hub(home.path()).args(["pull", "ada/net", "--quiet"]).output().unwrap();
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let folder = String::from_utf8(pulled.stdout).unwrap();
    assert_eq!(std::fs::read(std::path::Path::new(folder.trim()).join("README.md")).unwrap(), README);

    // Moved on, every name leads to the last; moved back, there it is again.
    rename(&ada, "ada/web", "ada/last").await.ok();
    for old in ["net", "web"] {
        leads(&stranger, Method::GET, &format!("/api/models/ada/{old}"), "/api/models/ada/last").await.ok();
    }
    rename(&ada, "ada/last", "ada/net").await.ok();
    assert_eq!(stranger.get("/api/models/ada/net").await.ok()["id"], "ada/net");
    leads(&stranger, Method::GET, "/api/models/ada/web", "/api/models/ada/net").await.ok();
}

#[tokio::test]
async fn a_new_repo_at_an_old_name_wins_and_numbers_on() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", README)]).await.created();
    rename(&ada, "ada/net", "ada/web").await.ok();
    publish(&ada, "models/ada/web", Some(1), &[("README.md", b"# Web\n")]).await.created();
    create_repo(&ada, "model", "ada/other").await;
    let refused = rename(&ada, "ada/other", "ada/net").await;
    assert_eq!(refused.status, 400, "its versions would have numbers that name others: {}", refused.text());

    ada.post("/api/repos/create", &json!({ "name": "net" })).await.ok();
    assert_eq!(ada.get("/api/models/ada/net").await.ok()["id"], "ada/net");
    let versions = ada.get("/api/v1/models/ada/net/versions").await.ok();
    assert_eq!(versions["items"][0]["number"], 3, "whoever wrote down ada/net@1 or @2 never gets other bytes: {versions}");
    ada.get("/api/v1/models/ada/net/versions/1").await.problem(404, "revision_not_found");
    assert_eq!(ada.get("/ada/web/resolve/1/README.md").await.bytes, README);
    ada.delete("/api/v1/models/ada/net").await.done();
    ada.get("/api/v1/models/ada/net").await.problem(404, "repo_not_found");
}

#[tokio::test]
async fn only_who_may_read_a_moved_repo_is_led_there() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/first", "private": true })).await.created();
    publish(&ada, "models/ada/first", None, &[("README.md", README)]).await.created();
    rename(&ada, "ada/first", "ada/later").await.ok();
    let paths = ["/api/models/ada/NAME", "/ada/NAME/resolve/main/README.md", "/api/v1/models/ada/NAME", "/ada/NAME", "/ada/NAME/files"];
    let alike = async |why: &str| {
        for stranger in [&eve, &server.anonymous()] {
            for path in paths {
                for method in [Method::GET, Method::HEAD, Method::DELETE] {
                    let ask = async |name: &str| Reply::of(stranger.request(method.clone(), &path.replace("NAME", name))).await;
                    let (moved, unheard) = (ask("first").await, ask("unheard").await);
                    let unheard = Reply { bytes: unheard.text().replace("unheard", "first").into_bytes(), ..unheard };
                    assert_eq!(said(&moved), said(&unheard), "{why}: {method} {path}");
                    assert!([404, 405].contains(&moved.status.as_u16()), "{why}: {method} {path}");
                }
            }
        }
    };
    alike("moved while private").await;
    leads(&ada, Method::GET, "/api/v1/models/ada/first", "/api/v1/models/ada/later").await.ok();
    ada.patch("/api/v1/models/ada/later", &json!({ "private": false })).await.ok();
    leads(&eve, Method::GET, "/api/models/ada/first", "/api/models/ada/later").await.ok();
    ada.patch("/api/v1/models/ada/later", &json!({ "private": true })).await.ok();
    alike("private again").await;
    ada.delete("/api/v1/models/ada/later").await.done();
    alike("gone").await;
    ada.get("/api/v1/models/ada/first").await.problem(404, "repo_not_found");
}

#[tokio::test]
async fn without_xet_files_come_inside_the_commit_or_by_lfs() {
    let server = Server::start_with(&["--workers", "0"], &[("HUB_XET", "false")]);
    let ada = server.user("ada").await;
    ada.post("/api/repos/create", &json!({ "name": "net" })).await.ok();
    let files = json!({ "files": [{ "path": "w", "size": 64 << 20, "sample": "AAAA" }, { "path": "v", "size": (64 << 20) + 1 }] });
    let told = ada.post("/api/models/ada/net/preupload/main", &files).await;
    assert!(told.header("x-hf-warning").starts_with("xet; ") && told.header("x-hf-warning").contains("HF_HUB_DISABLE_XET=1"));
    let told = told.ok();
    assert_eq!((&told["files"][0]["uploadMode"], &told["files"][1]["uploadMode"]), (&json!("regular"), &json!("lfs")));
    let refused = ada.get("/api/models/ada/net/xet-write-token/main").await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].as_str().unwrap().contains("HF_HUB_DISABLE_XET=1"), "{}", refused.text());
    // `datasets` has deleted its shards when it commits: what it sends must go at once, however that is done.
    let shards = json!({ "files": [{ "path": "data/train-00000-of-00001.parquet", "size": 3_000, "sample": "UEFSMQ==" }] });
    let agent = "datasets/5.2.0; hf_hub/2.4.0; python/3.12.3";
    let asked = ada.request(Method::POST, "/api/models/ada/net/preupload/main").header("user-agent", agent).json(&shards);
    assert_eq!(Reply::of(asked).await.ok()["files"][0]["uploadMode"], "lfs");
    Reply::of(ada.request(Method::GET, "/api/models/ada/net/xet-write-token/main").header("user-agent", agent)).await.ok();
    let bytes = random(1, 3_000_000);
    let batch = json!({ "operation": "upload", "transfers": ["xet"], "objects": [{ "oid": sha256(&bytes), "size": bytes.len() }] });
    let request = ada.request(Method::POST, "/ada/net.git/info/lfs/objects/batch").header("user-agent", "hf-hub/1.0.0");
    assert_eq!(Reply::of(request.json(&batch)).await.ok()["transfer"], "basic");
    let header = json!({ "key": "header", "value": { "summary": "large" } });
    let file = json!({ "key": "file", "value": { "path": "w", "content": STANDARD.encode(&bytes), "encoding": "base64" } });
    let commit = ada.request(Method::POST, "/api/models/ada/net/commit/main").body(format!("{header}\n{file}\n"));
    Reply::of(commit).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/w").await.bytes, bytes);
}

/// The first answer of 429. One more request comes back every two seconds, perhaps just now.
async fn too_many(ask: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..40 {
        let reply = ask().await;
        if reply.status == 429 {
            return reply;
        }
    }
    panic!("there is no end");
}

#[tokio::test]
async fn a_caller_has_an_allowance() {
    let server = Server::start_with(&["--workers", "0"], &[("HUB_MAX_REQUESTS_PER_MINUTE", "30")]);
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", README)]).await.created();
    let second = ada.post("/api/v1/tokens", &json!({ "name": "second", "scope": "read" })).await.created();
    let second = server.with_token(second["secret"].as_str().unwrap());
    for _ in 0..20 {
        ada.get("/api/whoami-v2").await.ok();
    }
    // One token or another: the account is the caller.
    for api in [&ada, &second] {
        let refused = too_many(async || api.get("/api/models/ada/net").await).await;
        assert_eq!(refused.header("x-error-code"), "TooManyRequests");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&seconds), "{seconds}");
        assert_eq!(refused.header("ratelimit"), format!("\"api\";r=0;t={seconds}"));
        assert!(refused.json()["error"].as_str().unwrap().contains("30 times"), "{}", refused.text());
        too_many(async || api.get("/api/v1/models/ada/net").await).await.problem(429, "too_many_requests");
    }
    let header = json!({ "key": "header", "value": { "summary": "s" } }).to_string();
    let commit = too_many(async || Reply::of(ada.request(Method::POST, "/api/models/ada/net/commit/main").body(header.clone())).await);
    assert!(commit.await.json().is_object());
    assert_eq!(ada.get("/ada/net/resolve/main/README.md").await.bytes, README, "bytes do not count");
    eve.get("/api/models/ada/net").await.ok();
    for _ in 0..40 {
        server.anonymous().get("/api/v1/models/ada/net").await.ok();
    }
    // Our own client waits and goes on.
    let home = tempfile::tempdir().unwrap();
    let shown = server.hub(home.path()).env("HUB_TOKEN", &ada.token).args(["show", "ada/net", "--quiet"]).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let metrics = server.admin().get("/metrics").await.text();
    assert!(metrics.contains("too_many_requests"), "{metrics}");
}

/// A refusal in the dialect's words: JSON's object, and nobody's failure but the sender's.
#[track_caller]
fn refused(what: &str, reply: &Reply, statuses: &[u16]) {
    assert!(statuses.contains(&reply.status.as_u16()), "{what}: {} {}", reply.status, reply.text());
    assert!(reply.json().is_object(), "{what}: {}", reply.text());
}

#[tokio::test]
async fn odd_questions_are_refused() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/repos/create", &json!({ "name": "net" })).await.ok();
    let post = async |path: &str, body: &str| {
        Reply::of(ada.request(Method::POST, path).header("content-type", "application/json").body(body.to_owned())).await
    };
    let deep = "[".repeat(200_000);
    let wide = format!("{{\"files\": [{}0]}}", "0,".repeat(1_000_000));
    for path in ["/api/models/ada/net/preupload/main", "/api/repos/create", "/api/repos/move", "/ada/net.git/info/lfs/objects/batch"] {
        for body in ["", "{", "[7]", "7", "null", "\"x\"", "{\"files\": 7, \"name\": 7, \"objects\": 7}", &deep, &wide] {
            refused(&format!("{path} {}", &body[..body.len().min(40)]), &post(path, body).await, &[400, 413]);
        }
    }
    for size in ["-1", "1e400", "18446744073709551616", "\"1\"", "1.5", "NaN"] {
        let body = format!("{{\"files\": [{{\"path\": \"a\", \"size\": {size}}}]}}");
        refused(size, &post("/api/models/ada/net/preupload/main", &body).await, &[400]);
        let body = format!("{{\"operation\": \"upload\", \"objects\": [{{\"oid\": \"{}\", \"size\": {size}}}]}}", sha256(b"a"));
        refused(size, &post("/ada/net.git/info/lfs/objects/batch", &body).await, &[400]);
        let line = json!({ "key": "header", "value": { "summary": "s" } });
        let file = format!("{{\"key\":\"lfsFile\",\"value\":{{\"path\":\"a\",\"oid\":\"{}\",\"size\":{size}}}}}", sha256(b"a"));
        refused(size, &post("/api/models/ada/net/commit/main", &format!("{line}\n{file}\n")).await, &[400]);
    }
    let objects: Vec<Value> = (0..1_001).map(|n: u32| json!({ "oid": sha256(&n.to_le_bytes()), "size": 1 })).collect();
    refused(
        "many objects",
        &post("/ada/net.git/info/lfs/objects/batch", &json!({ "operation": "upload", "objects": objects }).to_string()).await,
        &[400],
    );
    for (operation, algo) in [("delete", "sha256"), ("upload", "md5")] {
        let body = json!({ "operation": operation, "hash_algo": algo, "objects": [] }).to_string();
        refused(operation, &post("/ada/net.git/info/lfs/objects/batch", &body).await, &[400]);
    }
    let outside = [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a//b",
        "a/./b",
        "C:\\x",
        "a\\..\\b",
        "a\u{0}b",
        "a\nb",
        "a/.git/hooks/x",
        "\u{202e}txt",
        &"x/".repeat(70),
    ];
    for path in outside {
        for line in [
            json!({ "key": "file", "value": { "path": path, "content": "YQ==" } }),
            json!({ "key": "lfsFile", "value": { "path": path, "oid": sha256(b"a"), "size": 1 } }),
            json!({ "key": "deletedFile", "value": { "path": path } }),
            json!({ "key": "deletedFolder", "value": { "path": path } }),
        ] {
            let header = json!({ "key": "header", "value": { "summary": "s" } });
            refused(&line.to_string(), &post("/api/models/ada/net/commit/main", &format!("{header}\n{line}\n")).await, &[400]);
        }
        let asked = json!({ "files": [{ "path": path, "size": 1 }] }).to_string();
        refused(path, &post("/api/models/ada/net/preupload/main", &asked).await, &[400]);
        let nothing = post("/api/models/ada/net/paths-info/main", &json!({ "paths": [path] }).to_string()).await;
        assert_eq!(nothing.ok(), json!([]), "{path:?}");
    }
    assert_eq!(ada.get("/api/v1/models/ada/net/versions").await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn odd_bytes_and_borrowed_passes_are_refused() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    for api in [&ada, &eve] {
        api.post("/api/repos/create", &json!({ "name": "net", "private": true })).await.ok();
    }
    let access = ada.get("/api/models/ada/net/xet-write-token/main").await.ok();
    let cas = access["casUrl"].as_str().unwrap().strip_prefix(&server.url).unwrap().to_owned();
    let xet = server.with_token(access["accessToken"].as_str().unwrap());
    let send = async |api: &Api, path: &str, body: Vec<u8>| Reply::of(api.request(Method::POST, path).body(body)).await;
    let bytes = some_bytes(2 * CHUNK, 1);
    let good = xorb(&bytes);
    let whole = shard(&[(&bytes, &[(good.hash.as_str(), good.raw_bytes, 0, 2)])]);
    // The counts of a shard may say anything.
    let with = |at: usize, number: u32| {
        let mut shard = whole.clone();
        shard[at..at + 4].copy_from_slice(&number.to_le_bytes());
        shard
    };
    let endless = [&whole[..48], &[0x11; 48].repeat(100_000)[..]].concat();
    for (what, body) in [
        ("a count of segments", with(48 + 36, u32::MAX)),
        ("no sha256", with(48 + 32, 0)),
        ("an end before the beginning", with(96 + 40, 9)),
        ("a version", with(32, 3)),
        ("no end", endless),
        ("an unknown xorb", whole.clone()),
    ] {
        for path in ["/v1/shards", "/v2/shards"] {
            refused(what, &send(&xet, &format!("{cas}{path}"), body.clone()).await, &[400]);
        }
    }
    refused("a large shard", &send(&xet, &format!("{cas}/v2/shards"), vec![0; (64 << 20) + 1]).await, &[413]);
    let at = format!("{cas}/v1/xorbs/default/{}", good.hash);
    for (what, body, statuses) in [
        ("a chunk that says more than it may", packed(0, &[1; (128 << 10) + 1], (128 << 10) + 1), [400, 400]),
        ("a chunk that says nothing", packed(0, b"", 0), [400, 400]),
        ("an unknown scheme", packed(9, b"abc", 3), [400, 400]),
        ("a chunk of another length than it says", packed(1, &crate::support::xet::frame(b"abcd"), 3), [400, 400]),
        ("chunks without end", packed(0, b"a", 1).repeat(20_000), [400, 413]),
    ] {
        refused(what, &send(&xet, &at, body).await, &statuses);
    }
    assert_eq!(send(&xet, &at, good.body.clone()).await.status, 200, "the right one is taken all the same");

    // A pass opens what it was given out for, and nothing beside.
    let object = json!({ "operation": "upload", "objects": [{ "oid": sha256(b"abc"), "size": 3 }] });
    let href = ada.post("/ada/net.git/info/lfs/objects/batch", &object).await.ok()["objects"][0]["actions"]["upload"]["href"].clone();
    let path = href.as_str().unwrap().strip_prefix(&server.url).unwrap().to_owned();
    let pass = path.split("pass=").nth(1).unwrap().to_owned();
    let put = async |path: &str| Reply::of(server.anonymous().request(Method::PUT, path).body("abc")).await;
    refused("a Xet token as a link's pass", &put(&path.replace(&pass, &xet.token)).await, &[401]);
    refused("another repo", &put(&path.replace("/ada/", "/eve/")).await, &[401]);
    refused("a link's pass as a Xet token", &send(&server.with_token(&pass), &format!("{cas}/v2/shards"), whole.clone()).await, &[401]);
    refused("a token of the hub as a Xet token", &send(&ada, &format!("{cas}/v2/shards"), whole.clone()).await, &[401]);
    for token in [&pass, &xet.token] {
        refused("a pass as a token", &server.with_token(token).get("/api/models/ada/net").await, &[401]);
    }
    refused("a Xet token of another's repo", &eve.get("/api/models/ada/net/xet-write-token/main").await, &[404]);
    let verify =
        Reply::of(server.anonymous().request(Method::POST, &path).body(json!({ "oid": sha256(b"x"), "size": 3 }).to_string())).await;
    refused("another object", &verify, &[400]);
    assert_eq!(put(&path).await.status, 200);
    assert!(!server.log().contains("\"level\":\"ERROR\"") && !server.log().contains(" ERROR "), "{}", server.log());
}
