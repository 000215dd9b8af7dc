//! Publishing with clients of the Hugging Face Hub, as they are seen on the wire: repos, commits as lines of JSON, large
//! files by LFS and by Xet; and what of it is refused.

use crate::support::publishing::{create_repo, publish, sha256};
use crate::support::xet::{CHUNK, Xorb, frame, packed, shard, some_bytes, xorb};
use crate::support::{Api, Reply, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

const README: &[u8] = b"---\nlicense: mit\n---\n# Net\n";

fn header(summary: &str) -> Value {
    json!({ "key": "header", "value": { "summary": summary, "description": "" } })
}

fn small(path: &str, bytes: &[u8]) -> Value {
    json!({ "key": "file", "value": { "content": STANDARD.encode(bytes), "path": path, "encoding": "base64" } })
}

fn large(path: &str, bytes: &[u8]) -> Value {
    json!({ "key": "lfsFile", "value": { "path": path, "algo": "sha256", "oid": sha256(bytes), "size": bytes.len() } })
}

fn gone(path: &str) -> Value {
    json!({ "key": if path.ends_with('/') { "deletedFolder" } else { "deletedFile" }, "value": { "path": path } })
}

async fn commit(api: &Api, repo: &str, lines: &[Value]) -> Reply {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    commit_text(api, &format!("/api/{repo}/commit/main"), body.into_bytes()).await
}

async fn commit_text(api: &Api, path: &str, body: Vec<u8>) -> Reply {
    Reply::of(api.request(Method::POST, path).header("content-type", "application/x-ndjson").body(body)).await
}

async fn paths(api: &Api, repo: &str) -> Vec<String> {
    let tree = api.get(&format!("/api/{repo}/tree/main?recursive=true")).await.ok();
    let files = tree.as_array().unwrap().iter().filter(|entry| entry["type"] == "file");
    files.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

/// A refusal with an object in its body, which is all these clients can read.
#[track_caller]
fn refused(reply: &Reply, status: u16, says: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body = reply.json();
    assert!(body.is_object() && reply.text().contains(says), "'{says}' is not in {body}");
}

async fn new_repo(api: &Api, name: &str) {
    api.post("/api/repos/create", &json!({ "name": name, "organization": null, "type": "model" })).await.ok();
}

#[tokio::test]
async fn repos_are_made_hidden_moved_and_deleted() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let wanted = json!({ "name": "net", "organization": null, "type": "model", "visibility": "private" });
    let made = ada.post("/api/repos/create", &wanted).await.ok();
    assert_eq!(made["url"], format!("{}/ada/net", server.url));
    assert_eq!(paths(&ada, "models/ada/net").await, [".gitattributes"], "clients want a commit to stand on");
    let again = ada.post("/api/repos/create", &wanted).await;
    refused(&again, 409, "exists already");
    assert_eq!(again.json()["url"], made["url"], "clients that do not mind go on from here");
    refused(&eve.get("/api/models/ada/net").await, 404, "net");
    ada.put("/api/models/ada/net/settings", &json!({ "private": false })).await.ok();
    eve.get("/api/models/ada/net").await.ok();
    refused(&ada.put("/api/models/ada/net/settings", &json!({ "gated": "auto" })).await, 400, "gated");
    refused(&eve.put("/api/models/ada/net/settings", &json!({ "private": true })).await, 403, "right");
    refused(&server.anonymous().post("/api/repos/create", &wanted).await, 401, "token");
    refused(&eve.post("/api/repos/create", &json!({ "name": "x", "organization": "ada" })).await, 403, "right");
    for bad in [json!({ "name": "../x" }), json!({ "name": "x", "type": "space" }), json!({ "name": "x", "visibility": "secret" })] {
        refused(&ada.post("/api/repos/create", &bad).await, 400, "");
    }

    let data = json!({ "name": "cats", "organization": "ada", "type": "dataset", "private": true });
    assert_eq!(ada.post("/api/repos/create", &data).await.ok()["url"], format!("{}/datasets/ada/cats", server.url));
    let moved = json!({ "fromRepo": "ada/net", "toRepo": "ada/web", "type": "model" });
    refused(&eve.post("/api/repos/move", &moved).await, 403, "right");
    ada.post("/api/repos/move", &moved).await.ok();
    assert_eq!(ada.get("/api/models/ada/web").await.ok()["id"], "ada/web");
    assert_eq!(ada.get("/api/v1/search?q=web").await.ok()["total"], 1, "searches know the new name");
    assert_eq!(ada.get("/api/v1/search?q=net").await.ok()["total"], 0);
    let gone = json!({ "name": "web", "organization": "ada", "type": "model" });
    let delete = async |api: &Api| Reply::of(api.request(Method::DELETE, "/api/repos/delete").json(&gone)).await;
    refused(&delete(&eve).await, 403, "right");
    delete(&ada).await.ok();
    assert_eq!(delete(&ada).await.header("x-error-code"), "RepoNotFound");
    for name in ["web", "net"] {
        refused(&ada.post("/api/repos/create", &json!({ "name": name })).await, 400, "not given again");
    }
}

#[tokio::test]
async fn tags_are_set_and_main_stays() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let tag = "/api/models/ada/net/tag";
    ada.post(&format!("{tag}/main"), &json!({ "tag": "rel/1.0", "message": "first" })).await.ok();
    assert_eq!(ada.post(&format!("{tag}/main"), &json!({ "tag": "rel/1.0" })).await.status, 409);
    refused(&ada.post(&format!("{tag}/main"), &json!({ "tag": "12" })).await, 400, "tag");
    assert_eq!(ada.post(&format!("{tag}/nope"), &json!({ "tag": "v2" })).await.header("x-error-code"), "RevisionNotFound");
    ada.get("/api/models/ada/net/revision/rel%2F1.0").await.ok();
    ada.delete(&format!("{tag}/rel%2F1.0")).await.ok();
    assert_eq!(ada.delete(&format!("{tag}/rel%2F1.0")).await.header("x-error-code"), "RevisionNotFound");
    let branch = async |method: Method, name: &str| {
        Reply::of(ada.request(method, &format!("/api/models/ada/net/branch/{name}")).json(&json!({}))).await
    };
    assert_eq!(branch(Method::POST, "main").await.status, 409);
    refused(&branch(Method::DELETE, "main").await, 400, "cannot be deleted");
    assert_eq!(branch(Method::DELETE, "dev").await.header("x-error-code"), "RevisionNotFound");
}

#[tokio::test]
async fn commits_change_some_files_and_keep_the_rest() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let lines = [header("first"), small("README.md", README), small("a/b.txt", b"b"), small("a/c.txt", b"c"), small("empty", b"")];
    let first = commit(&ada, "models/ada/net", &lines).await.ok();
    let oid = first["commitOid"].as_str().unwrap();
    assert_eq!(first["commitUrl"], format!("{}/ada/net/commit/{oid}", server.url));
    assert_eq!(paths(&ada, "models/ada/net").await, [".gitattributes", "README.md", "a/b.txt", "a/c.txt", "empty"]);
    assert_eq!(ada.get(&format!("/ada/net/resolve/{oid}/a/b.txt")).await.text(), "b");
    assert!(ada.get("/api/v1/models/ada/net").await.ok().to_string().contains("mit"), "the card was read");

    assert_eq!(commit(&ada, "models/ada/net", &lines).await.ok()["commitOid"], oid, "told again, nothing new is made");
    let second = [header("second"), gone("a/"), small("a/new.txt", b"n"), gone("empty")];
    let made = commit(&ada, "models/ada/net", &second).await.ok();
    assert_eq!(paths(&ada, "models/ada/net").await, [".gitattributes", "README.md", "a/new.txt"]);
    assert_eq!(commit(&ada, "models/ada/net", &second).await.ok(), made, "the answer was lost, and is given again");
    refused(&commit(&ada, "models/ada/net", &[header("second"), gone("empty")]).await, 404, "doesn't exist");
    let versions = ada.get("/api/v1/models/ada/net/versions").await.ok();
    assert_eq!(versions["items"].as_array().unwrap().len(), 3, "{versions}");

    let copy = json!({ "key": "lfsFile", "value": { "path": "copy.txt", "algo": "sha256", "oid": sha256(b"n") } });
    commit(&ada, "models/ada/net", &[header("a copy has no size"), copy]).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/copy.txt").await.text(), "n");
    let upon = |parent: &str| json!({ "key": "header", "value": { "summary": "s", "parentCommit": parent } });
    refused(&commit(&ada, "models/ada/net", &[upon(oid), small("x", b"x")]).await, 412, "builds upon");
    let head = ada.get("/api/models/ada/net").await.ok()["sha"].as_str().unwrap().to_owned();
    let done = commit(&ada, "models/ada/net", &[upon(&head[..7]), small("x", b"x")]).await.ok();
    assert_eq!(commit(&ada, "models/ada/net", &[upon(&head[..7]), small("x", b"x")]).await.ok(), done);
}

#[tokio::test]
async fn an_empty_repo_of_ours_takes_its_first_commit() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "dataset", "id": "ada/notes" })).await.created();
    let asked = json!({ "files": [{ "path": "a.txt", "size": 1, "sample": "YQ==" }] });
    let told = ada.post("/api/datasets/ada/notes/preupload/main", &asked).await.ok();
    assert_eq!(told["files"], json!([{ "path": "a.txt", "uploadMode": "regular", "shouldIgnore": false }]));
    commit(&ada, "datasets/ada/notes", &[header("first"), small("a.txt", b"a")]).await.ok();
    assert_eq!(ada.get("/datasets/ada/notes/resolve/main/a.txt").await.text(), "a");
}

#[tokio::test]
async fn a_preupload_tells_which_way_files_come() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let weights = some_bytes(100_000, 1);
    publish(&ada, "models/ada/net", Some(1), &[("README.md", README), ("w.bin2", &weights), (".gitignore", b"*.log\n")]).await.created();
    let ask = async |files: Value, rules: Value| {
        ada.post("/api/models/ada/net/preupload/main", &json!({ "files": files, "gitIgnore": rules })).await
    };
    let files = json!([
        { "path": "README.md", "size": 30, "sample": STANDARD.encode(README) },
        { "path": "w.bin2", "size": 100_000, "sample": STANDARD.encode(&weights[..512]) },
        { "path": "run.log", "size": 3, "sample": "YQ==" },
        { "path": "large.txt", "size": 2_000_000, "sample": "YQ==" },
    ]);
    let told = ask(files.clone(), Value::Null).await.ok();
    assert_eq!(told["files"][0]["oid"], Value::Null, "of another size it is another file");
    let modes: Vec<_> =
        told["files"].as_array().unwrap().iter().map(|f| (f["uploadMode"].as_str().unwrap(), f["shouldIgnore"] == true)).collect();
    assert_eq!(modes, [("regular", false), ("lfs", false), ("regular", true), ("lfs", false)]);
    assert_eq!(told["files"][1]["oid"], sha256(&weights));
    assert_eq!(told["commitOid"].as_str().unwrap().len(), 40);
    assert_eq!(ask(files, json!("*.txt")).await.ok()["files"][3]["shouldIgnore"], true, "the rules about to be sent count");

    // As `git hash-object` names them: clients leave out what has the name they computed.
    let same = ask(json!([{ "path": "README.md", "size": README.len(), "sample": "" }, { "path": ".gitignore", "size": 6 }]), Value::Null);
    let same = same.await.ok();
    assert_eq!(same["files"][0]["oid"], "ce9d937e5511d9310220572b6caecd575e5a23ed");
    assert_eq!(same["files"][1]["oid"], "397b4a7624e35fa60563a9c03b1213d93f7b6546");

    refused(&ask(json!([{ "path": "../x", "size": 1, "sample": "" }]), Value::Null).await, 400, "..");
    refused(&ask(json!([{ "path": "x", "size": 1, "sample": "%%" }]), Value::Null).await, 400, "base64");
    refused(&ask(json!([{ "path": "x", "size": 1u64 << 60, "sample": "" }]), Value::Null).await, 413, "bytes one file may have");
    let many: Vec<Value> = (0..10_001).map(|n| json!({ "path": n.to_string(), "size": 1 })).collect();
    refused(&ask(json!(many), Value::Null).await, 413, "at most");
    let huge = ada.post("/api/models/ada/net/preupload/main", &json!({ "files": [], "gitIgnore": "x".repeat(9 << 20) })).await;
    refused(&huge, 413, "larger");
    let other = ada.post("/api/models/ada/net/preupload/dev", &json!({ "files": [] })).await;
    assert_eq!((other.status.as_u16(), other.header("x-error-code")), (404, "RevisionNotFound"));
    let upon_another = "/api/models/ada/net/preupload/refs%2Fpr%2F1?create_pr=1";
    refused(&ada.post(upon_another, &json!({ "files": [] })).await, 400, "upon a branch");
}

#[tokio::test]
async fn malformed_commits_change_nothing() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    new_repo(&ada, "net").await;
    let secret = some_bytes(10_000, 7);
    eve.post("/api/v1/repos", &json!({ "kind": "model", "id": "eve/hidden", "private": true })).await.created();
    publish(&eve, "models/eve/hidden", None, &[("w", &secret)]).await.created();
    let path = "/api/models/ada/net/commit/main";
    let head = header("m").to_string();
    for (what, body, status, says) in [
        ("no lines", String::new(), 400, "no header"),
        ("no JSON", "{".to_owned(), 400, "could not be read"),
        ("no header", small("a", b"a").to_string(), 400, "header"),
        ("two headers", format!("{head}\n{head}\n"), 400, "header"),
        ("an unknown key", format!("{head}\n{}\n", json!({ "key": "rm", "value": {} })), 400, "could not be read"),
        ("a number", format!("{head}\n7\n"), 400, "could not be read"),
        ("deep JSON", format!("{head}\n{}", "[".repeat(100_000)), 400, "could not be read"),
        ("bad base64", format!("{head}\n{}", small("a", b"abc").to_string().replace("YWJj", "Y!Jj")), 400, "content of 'a'"),
        ("another encoding", format!("{head}\n{}", small("a", b"a").to_string().replace("\"base64\"", "\"utf-8\"")), 400, "base64"),
        ("a path outside", format!("{head}\n{}", small("../../etc/passwd", b"a")), 400, "path"),
        ("a path of git's", format!("{head}\n{}", small(".git/config", b"a")), 400, "path"),
        ("a digest", format!("{head}\n{}", large("a", b"a").to_string().replace(&sha256(b"a"), "xyz")), 400, "digest"),
        ("bytes never sent", format!("{head}\n{}", large("a", b"never sent")), 400, "were not sent"),
        ("another's bytes", format!("{head}\n{}", large("a", &secret)), 400, "were not sent"),
        (
            "another's bytes as a copy",
            format!("{head}\n{}", json!({ "key": "lfsFile", "value": { "path": "a", "oid": sha256(&secret) } })),
            400,
            "were not sent",
        ),
        ("a file that is not there", format!("{head}\n{}", gone("nope")), 404, "A file with this name doesn't exist"),
        ("a folder that is not there", format!("{head}\n{}", gone("nope/")), 404, "doesn't exist"),
        ("all of it", format!("{head}\n{}", gone(".gitattributes")), 400, "at least one file"),
        ("a pickle", format!("{head}\n{}", small("a", b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R.")), 400, "pickle"),
        ("a file that is a folder", format!("{head}\n{}\n{}", small("a", b"a"), small("a/b", b"a")), 400, "folder"),
        ("a parent", head.replace("\"summary\"", "\"parentCommit\":\"main\",\"summary\""), 400, "parentCommit"),
    ] {
        let reply = commit_text(&ada, path, body.into_bytes()).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        refused(&reply, status, says);
    }
    let wrong_size = json!({ "key": "lfsFile", "value": { "path": "a", "algo": "sha256", "oid": sha256(b"a"), "size": 5 } });
    refused(&commit(&ada, "models/ada/net", &[header("m"), small("b", b"a"), wrong_size]).await, 400, "bytes");
    let long = format!("{}\n{{\"key\":\"file\",\"value\":{{\"content\":\"{}\"", header("m"), "A".repeat(100 << 20));
    refused(&commit_text(&ada, path, long.into_bytes()).await, 413, "longer");
    refused(&commit_text(&ada, "/api/models/ada/net/commit/dev", Vec::new()).await, 404, "branch");
    refused(&commit_text(&ada, "/api/models/ada/net/commit/main?create_pr=1", Vec::new()).await, 400, "no header");
    let nothing = format!("{head}\n{}", small(".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"));
    refused(&commit_text(&ada, "/api/models/ada/net/commit/main?create_pr=1", nothing.into_bytes()).await, 400, "changes nothing");
    assert_eq!(ada.get("/api/models/ada/net/discussions").await.ok()["count"], 0, "none of these opened a pull request");
    refused(&commit_text(&eve, path, Vec::new()).await, 403, "right");
    refused(&commit_text(&server.anonymous(), path, Vec::new()).await, 401, "token");
    assert_eq!(paths(&ada, "models/ada/net").await, [".gitattributes"]);
    assert_eq!(ada.get("/api/v1/models/ada/net/versions").await.ok()["items"].as_array().unwrap().len(), 1);
}

async fn batch(api: &Api, repo: &str, operation: &str, objects: Value) -> Reply {
    let body = json!({ "operation": operation, "transfers": ["basic", "multipart"], "objects": objects, "hash_algo": "sha256" });
    let request = api.request(Method::POST, &format!("/{repo}.git/info/lfs/objects/batch"));
    Reply::of(request.header("content-type", "application/vnd.git-lfs+json").body(body.to_string())).await
}

/// Follows an address that was given out, as strangers would: without a token.
async fn follow(server: &Server, method: Method, href: &Value, body: &[u8]) -> Reply {
    let path = href.as_str().unwrap().strip_prefix(&server.url).unwrap();
    Reply::of(server.anonymous().request(method, path).body(body.to_vec())).await
}

#[tokio::test]
async fn large_files_come_and_go_by_lfs() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    ada.post("/api/repos/create", &json!({ "name": "net", "private": true })).await.ok();
    let bytes = some_bytes(300_000, 3);
    let object = json!([{ "oid": sha256(&bytes), "size": bytes.len() }]);
    let told = batch(&ada, "ada/net", "upload", object.clone()).await;
    assert!(told.header("content-type").starts_with("application/vnd.git-lfs+json"));
    let told = told.ok();
    assert_eq!((&told["transfer"], &told["objects"][0]["authenticated"]), (&json!("basic"), &json!(true)));
    let actions = told["objects"][0]["actions"].clone();
    let (upload, verify) = (&actions["upload"]["href"], &actions["verify"]["href"]);
    let said = json!({ "oid": sha256(&bytes), "size": bytes.len() }).to_string();
    refused(&follow(&server, Method::POST, verify, said.as_bytes()).await, 404, "not all arrived");
    refused(&follow(&server, Method::PUT, upload, &some_bytes(300_000, 4)).await, 400, "sha256");
    refused(&follow(&server, Method::PUT, upload, &bytes[1..]).await, 400, "announced");
    let forged = json!(upload.as_str().unwrap().replace("pass=", "pass=0"));
    refused(&follow(&server, Method::PUT, &forged, &bytes).await, 401, "expired");
    let other = json!(upload.as_str().unwrap().replace("/ada/net.git", "/eve/net.git"));
    new_repo(&eve, "net").await;
    refused(&follow(&server, Method::PUT, &other, &bytes).await, 401, "not for this");
    assert_eq!(follow(&server, Method::PUT, upload, &bytes).await.status, 200);
    assert_eq!(follow(&server, Method::POST, verify, said.as_bytes()).await.status, 200);
    let again = batch(&ada, "ada/net", "upload", object.clone()).await.ok();
    assert_eq!(again["objects"][0]["actions"], Value::Null, "there is nothing to send");
    assert!(
        !batch(&eve, "eve/net", "upload", object.clone()).await.ok()["objects"][0]["actions"].is_null(),
        "nobody learns what others have sent"
    );
    commit(&ada, "models/ada/net", &[header("weights"), large("w", &bytes)]).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/w").await.bytes, bytes);

    let fetched = batch(&ada, "ada/net", "download", object.clone()).await.ok();
    let download = &fetched["objects"][0]["actions"]["download"]["href"];
    assert_eq!(follow(&server, Method::GET, download, b"").await.bytes, bytes);
    refused(&follow(&server, Method::PUT, download, &bytes).await, 401, "not for this");
    let without = json!(download.as_str().unwrap().split("&pass").next().unwrap());
    refused(&follow(&server, Method::GET, &without, b"").await, 404, "");
    for (api, status) in [(&eve, 404), (&server.anonymous(), 401)] {
        assert_eq!(batch(api, "ada/net", "download", object.clone()).await.status, status);
        assert_eq!(batch(api, "ada/none", "download", object.clone()).await.status, status, "as if it were not there");
    }
    let unknown = batch(&ada, "ada/net", "download", json!([{ "oid": sha256(b"?"), "size": 1 }])).await.ok();
    assert_eq!(unknown["objects"][0]["error"]["code"], 404);
    let wrong =
        batch(&ada, "ada/net", "upload", json!([{ "oid": "../../x", "size": 1 }, { "oid": sha256(b"x"), "size": 1u64 << 60 }])).await.ok();
    assert_eq!((&wrong["objects"][0]["error"]["code"], &wrong["objects"][1]["error"]["code"]), (&json!(422), &json!(413)));
}

#[tokio::test]
async fn very_large_files_come_in_parts() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let part = 64usize << 20;
    let announced = batch(&ada, "ada/net", "upload", json!([{ "oid": sha256(b"?"), "size": 5 * part + 1 }])).await.ok();
    let parts = &announced["objects"][0]["actions"]["upload"]["header"];
    assert_eq!((&announced["transfer"], parts["chunk_size"].as_str()), (&json!("multipart"), Some("67108864")));
    assert_eq!(parts.as_object().unwrap().len(), 7);
    assert_eq!(follow(&server, Method::PUT, &parts["6"], b"too long").await.status, 400);

    // Parts are taken of anything; this one is a whole part and a little.
    let bytes = some_bytes(part + 1_000, 5);
    let told = batch(&ada, "ada/net", "upload", json!([{ "oid": sha256(&bytes), "size": bytes.len() }])).await.ok();
    let whole = told["objects"][0]["actions"]["upload"]["href"].as_str().unwrap();
    let part_at = |number: u32| json!(whole.replace("?size", &format!("/parts/{number}?size")));
    let second = follow(&server, Method::PUT, &part_at(2), &bytes[part..]).await;
    assert_eq!((second.status.as_u16(), second.header("etag")), (200, "\"2\""));
    assert_eq!(follow(&server, Method::PUT, &part_at(3), b"").await.status, 400);
    assert_eq!(follow(&server, Method::PUT, &part_at(0), b"").await.status, 400);
    let end = json!({ "oid": sha256(&bytes), "parts": [{ "partNumber": 1, "etag": "\"1\"" }] }).to_string();
    refused(&follow(&server, Method::POST, &json!(whole), end.as_bytes()).await, 404, "not all arrived");
    assert_eq!(follow(&server, Method::PUT, &part_at(1), &bytes[..part]).await.status, 200);
    assert_eq!(follow(&server, Method::POST, &json!(whole), end.as_bytes()).await.status, 200);
    commit(&ada, "models/ada/net", &[header("w"), large("w", &bytes)]).await.ok();
}

/// A caller's way to send by Xet.
struct Cas {
    api: Api,
    path: String,
}

impl Cas {
    async fn of(server: &Server, api: &Api, repo: &str) -> Cas {
        let told = api.get(&format!("/api/models/{repo}/xet-write-token/main")).await;
        let body = told.ok();
        assert_eq!(told.header("x-xet-cas-url"), body["casUrl"].as_str().unwrap());
        assert_eq!(told.header("x-xet-access-token"), body["accessToken"].as_str().unwrap());
        let path = body["casUrl"].as_str().unwrap().strip_prefix(&server.url).unwrap().to_owned();
        Cas { api: server.with_token(body["accessToken"].as_str().unwrap()), path }
    }

    async fn post(&self, path: &str, body: &[u8]) -> Reply {
        Reply::of(self.api.request(Method::POST, &format!("{}{path}", self.path)).body(body.to_vec())).await
    }

    async fn xorb(&self, xorb: &Xorb) -> Reply {
        self.post(&format!("/v1/xorbs/default/{}", xorb.hash), &xorb.body).await
    }

    /// The last line of a shard's answer.
    async fn shard(&self, body: &[u8]) -> Value {
        let reply = self.post("/v2/shards", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_str(reply.text().trim().lines().last().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn large_files_come_by_xet() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let cas = Cas::of(&server, &ada, "ada/net").await;
    let (one, two) = (some_bytes(10 * CHUNK + 5, 1), some_bytes(3 * CHUNK, 2));
    let (first, second) = (xorb(&one), xorb(&two));
    assert_eq!(
        cas.api.get(&format!("{}/v1/chunks/default/{}", cas.path, first.hash)).await.status,
        404,
        "nobody is told of others' chunks"
    );
    assert_eq!(cas.post(&format!("/v1/xorb-grants/default/{}", first.hash), b"{}").await.status, 404);
    assert_eq!(cas.xorb(&first).await.ok()["was_inserted"], true);
    assert_eq!(cas.xorb(&first).await.ok()["was_inserted"], false);
    cas.xorb(&second).await.ok();
    // A file of some chunks of both, in another order.
    let file = [&two[CHUNK..], &one[..2 * CHUNK], &two[..CHUNK]].concat();
    let chunk = CHUNK as u32;
    let segments = [(second.hash.as_str(), 2 * chunk, 1, 3), (first.hash.as_str(), 2 * chunk, 0, 2), (second.hash.as_str(), chunk, 0, 1)];
    let whole = [(first.hash.as_str(), first.raw_bytes, 0, first.chunks)];
    let body = shard(&[(&file, &segments), (&one, &whole)]);
    assert_eq!(cas.shard(&body).await, json!({ "type": "result" }));
    assert_eq!(cas.shard(&body).await, json!({ "type": "result" }), "told again");
    assert_eq!(cas.post("/v1/shards", &body).await.ok(), json!({ "result": 1 }), "older clients");
    commit(&ada, "models/ada/net", &[header("weights"), large("file", &file), large("one", &one)]).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/file").await.bytes, file);
    assert_eq!(ada.get("/ada/net/resolve/main/one").await.bytes, one);
    assert_eq!(Reply::of(server.anonymous().request(Method::POST, "/v1/telemetry").body("{}")).await.status, 200);

    // Chunks sent before are named again by whoever sent them, in any repo.
    new_repo(&ada, "other").await;
    let other = Cas::of(&server, &ada, "ada/other").await;
    assert_eq!(other.path, cas.path, "the client's memory stays good");
    assert_eq!(other.shard(&shard(&[(&two, &[(second.hash.as_str(), 3 * chunk, 0, 3)])])).await["type"], "result");
    commit(&ada, "models/ada/other", &[header("w"), large("two", &two)]).await.ok();
}

#[tokio::test]
async fn wrong_xorbs_and_shards_are_refused() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    new_repo(&ada, "net").await;
    new_repo(&eve, "net").await;
    let cas = Cas::of(&server, &ada, "ada/net").await;
    let bytes = some_bytes(3 * CHUNK, 1);
    let good = xorb(&bytes);
    let zeros = frame(&vec![0; 128 << 10]);
    let of = |body: Vec<u8>| Xorb { body, ..good.clone() };
    for (what, wrong, status) in [
        ("nothing", of(Vec::new()), 400),
        ("half of it", of(good.body[..good.body.len() / 2].to_vec()), 400),
        ("another's bytes", of(xorb(&some_bytes(3 * CHUNK, 2)).body), 400),
        ("a page", of(b"<html></html>".to_vec()), 400),
        ("a bomb in a chunk", of(packed(1, &zeros, 1_000)), 400),
        ("a bomb of chunks", of(packed(1, &zeros, 128 << 10).repeat(600)), 413),
        ("a frame that is none", of(packed(2, b"abcdefgh", 8)), 400),
        ("no hash", Xorb { hash: "..".into(), ..good.clone() }, 404),
        ("no hash of its length", Xorb { hash: "ab".into(), ..good.clone() }, 400),
    ] {
        let reply = cas.xorb(&wrong).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
    }
    let named = |segments: &[crate::support::xet::Segment<'_>]| shard(&[(&bytes, segments)]);
    let whole = named(&[(good.hash.as_str(), good.raw_bytes, 0, 3)]);
    for path in ["/v1/shards", "/v2/shards"] {
        refused(&cas.post(path, &whole).await, 400, "not here");
    }
    cas.xorb(&good).await.ok();
    for (what, body, says) in [
        ("chunks it has not", named(&[(good.hash.as_str(), good.raw_bytes, 1, 4)]), "not here"),
        ("no chunks", named(&[(good.hash.as_str(), 0, 2, 2)]), "no run of chunks"),
        ("another size", named(&[(good.hash.as_str(), good.raw_bytes + 1, 0, 3)]), "bytes, not"),
        ("its beginning", whole[..60].to_vec(), "ends within"),
        ("a page", b"<html></html>".repeat(10), "begin like a shard"),
        ("nothing", Vec::new(), "ends within"),
    ] {
        let reply = cas.post("/v2/shards", &body).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        refused(&reply, 400, says);
    }
    let wrong = cas.shard(&shard(&[(b"another file", &[(good.hash.as_str(), good.raw_bytes, 0, 3)])])).await;
    assert_eq!((&wrong["type"], &wrong["retryable"]), (&json!("error"), &json!(false)), "{wrong}");
    refused(&cas.post("/v1/shards", &shard(&[(b"another file", &[(good.hash.as_str(), good.raw_bytes, 0, 3)])])).await, 400, "sha256");
    refused(&commit(&ada, "models/ada/net", &[header("m"), large("w", b"another file")]).await, 400, "were not sent");

    // What one has sent, another cannot name: not even one who knows every hash.
    let hers = Cas::of(&server, &eve, "eve/net").await;
    refused(&hers.post("/v2/shards", &whole).await, 400, "not here");
    let at_hers = Reply::of(hers.api.request(Method::POST, &format!("{}/v2/shards", cas.path)).body(whole.clone())).await;
    refused(&at_hers, 400, "not here");

    // Tokens are for this, for those who may write, and for as long as they may.
    assert_eq!(eve.get("/api/models/ada/net/xet-write-token/main").await.status, 403);
    assert_eq!(server.anonymous().get("/api/models/ada/net/xet-write-token/main").await.status, 401);
    for api in [&ada, &server.anonymous(), &server.with_token("nonsense")] {
        let reply = Reply::of(api.request(Method::POST, &format!("{}/v2/shards", cas.path)).body(whole.clone())).await;
        assert_eq!(reply.status, 401, "{}", reply.text());
    }
    assert_eq!(cas.api.get("/api/v1/whoami").await.status, 401, "it opens nothing else");
    Reply::of(ada.request(Method::DELETE, "/api/repos/delete").json(&json!({ "name": "net" }))).await.ok();
    assert!([401, 404].contains(&cas.post("/v2/shards", &whole).await.status.as_u16()), "the repo is gone, and the right with it");
}

#[tokio::test]
async fn what_the_collector_takes_is_sent_again() {
    let server = Server::start();
    let ada = server.user("ada").await;
    new_repo(&ada, "net").await;
    let before = Cas::of(&server, &ada, "ada/net").await;
    let (kept, lost) = (some_bytes(4 * CHUNK, 1), some_bytes(4 * CHUNK, 2));
    let (used, unused) = (xorb(&kept), xorb(&lost));
    before.xorb(&used).await.ok();
    before.xorb(&unused).await.ok();
    let all = |xorb: &Xorb, bytes: &[u8]| shard(&[(bytes, &[(xorb.hash.as_str(), xorb.raw_bytes, 0, xorb.chunks)])]);
    assert_eq!(before.shard(&all(&used, &kept)).await["type"], "result");
    commit(&ada, "models/ada/net", &[header("w"), large("w", &kept)]).await.ok();

    // Two hours later, for a collector without a grace period: grants are an hour's promise.
    let database = rusqlite::Connection::open(server.data().join("hub.db")).unwrap();
    database.busy_timeout(crate::support::STUCK_AFTER).unwrap();
    database.execute("update blob_grants set created = created - 7200000", []).unwrap();
    database.execute("update uploads set expires = expires - 7200000 - 82800000", []).unwrap();
    drop(database);
    let collected = server.hub(server.data()).args(["admin", "gc", "--data"]).arg(server.data()).args(["--grace", "0"]).output().unwrap();
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));

    let after = Cas::of(&server, &ada, "ada/net").await;
    assert_ne!(after.path, before.path, "clients forget what they have sent");
    refused(&after.post("/v2/shards", &all(&unused, &lost)).await, 400, "not here");
    let half = shard(&[(&kept[CHUNK..], &[(used.hash.as_str(), 3 * CHUNK as u32, 1, 4)])]);
    assert_eq!(after.shard(&half).await["type"], "result", "the chunks still lie in the file that was made of them");
    after.xorb(&unused).await.ok();
    assert_eq!(after.shard(&all(&unused, &lost)).await["type"], "result");
    commit(&ada, "models/ada/net", &[header("w"), large("half", &kept[CHUNK..]), large("lost", &lost)]).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/half").await.bytes, &kept[CHUNK..]);
}

#[tokio::test]
async fn a_repo_is_made_with_its_first_files() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let file = |path: &str, text: &str| json!({ "path": path, "content": STANDARD.encode(text), "encoding": "base64" });
    let wanted =
        |name: &str, files: Value| json!({ "name": name, "organization": "ada", "type": "model", "license": "mit", "files": files });
    ada.post("/api/repos/create", &wanted("net", json!([file("a/b.txt", "hello")]))).await.ok();
    assert_eq!(ada.get("/ada/net/resolve/main/a/b.txt").await.bytes, b"hello");
    assert_eq!(ada.get("/api/models/ada/net").await.ok()["cardData"]["license"], "mit");
    ada.post("/api/repos/create", &wanted("own", json!([file("README.md", "# Mine")]))).await.ok();
    assert_eq!(ada.get("/ada/own/resolve/main/README.md").await.bytes, b"# Mine", "a card of one's own stays");
    for bad in
        [json!([file("../x", "")]), json!([{ "path": "x", "content": "!" }]), json!([{ "path": "x", "content": "", "encoding": "utf-8" }])]
    {
        assert_eq!(ada.post("/api/repos/create", &wanted("never", bad)).await.status, 400);
    }
    let odd = json!({ "name": "never", "organization": "ada", "license": "mit\nx: 1" });
    assert_eq!(ada.post("/api/repos/create", &odd).await.status, 400);
    assert_eq!(ada.get("/api/models/ada/never").await.status, 404, "what is wrong makes no repo");
}

#[tokio::test]
async fn an_object_is_named_by_its_sha256_however_a_client_spells_that() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let asked = async |algo: &str| {
        let object = json!({ "oid": "0".repeat(64), "size": 1 });
        let batch = json!({ "operation": "upload", "transfers": ["basic", "multipart", "xet"], "hash_algo": algo, "objects": [object] });
        ada.post("/ada/net.git/info/lfs/objects/batch", &batch).await
    };
    for algo in ["sha256", "sha_256"] {
        assert_eq!(asked(algo).await.ok()["transfer"], "basic", "{algo}");
    }
    assert_eq!(asked("sha1").await.status, 400);
}
