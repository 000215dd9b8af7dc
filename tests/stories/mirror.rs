//! A hub behind a hub: what is asked for and absent is fetched from there, proved and kept; `hub import hf://` does
//! the same by hand. Both ends are the real server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::publishing::{create_repo, publish, random, safetensors, sha256};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

fn card() -> &'static [u8] {
    b"---\nlicense: mit\ntags: [small]\n---\n# A net\n"
}

/// Publishes a model of some files; what they are.
async fn fill(api: &Api, id: &str, seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let weights = safetensors(&[("weight", &[50_000 + seed as usize])]);
    let files = vec![
        ("README.md", card().to_vec()),
        ("empty", Vec::new()),
        ("inner folder/a+b 100%.txt", random(seed, 3_000)),
        ("model.safetensors", weights),
    ];
    create_repo(api, "model", id).await;
    let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    publish(api, &format!("models/{id}"), None, &borrowed).await.created();
    files
}

/// A hub with another one behind it.
fn before(upstream: &str, namespaces: &str, further: &[(&str, &str)]) -> Server {
    let environment = [&[("HUB_UPSTREAM", upstream), ("HUB_UPSTREAM_NAMESPACES", namespaces)], further].concat();
    Server::start_with(&["--workers", "0"], &environment)
}

async fn holds(api: &Api, id: &str, files: &[(&str, Vec<u8>)]) {
    for (path, bytes) in files {
        let path = path.replace('%', "%25").replace(' ', "%20").replace('+', "%2B");
        let answer = api.get(&format!("/{id}/resolve/main/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.bytes == *bytes, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_is_fetched_once_and_kept() {
    let behind = Server::start();
    let ada = behind.user("ada").await;
    let files = fill(&ada, "ada/net", 1).await;
    fill(&ada, "ada/other", 2).await;
    create_repo(&ada, "dataset", "ada/set").await;
    publish(&ada, "datasets/ada/set", None, &[("data.csv", b"a,b\n1,2\n")]).await.created();
    let server = before(&behind.url, "ada, nobody", &[]);
    let stranger = server.anonymous();
    let listed = async || stranger.get("/api/v1/models").await.ok()["items"].as_array().unwrap().len();
    assert_eq!(listed().await, 0, "lists show what is here");

    // Many ask at once, in every dialect: one fetch, one version.
    let paths =
        ["/api/models/ada/net", "/ada/net", "/api/v1/models/ada/net", "/ada/net/resolve/main/README.md", "/api/models/ada/net/tree/main"];
    let asked = paths.iter().cycle().take(25).map(|path| stranger.get(path));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    holds(&stranger, "ada/net", &files).await;
    let versions = stranger.get("/api/v1/models/ada/net/versions").await.ok();
    assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    assert!(versions["items"][0]["message"].as_str().unwrap().contains(&behind.url), "{versions}");
    assert_eq!(listed().await, 1);
    let facts = stranger.get("/api/v1/models/ada/net").await.ok();
    assert!(facts.to_string().contains("\"mit\""), "its card was read: {facts}");
    let data = stranger.get("/datasets/ada/set/resolve/main/data.csv").await;
    assert_eq!((data.status.as_u16(), data.bytes.as_ref()), (200, &b"a,b\n1,2\n"[..]));
    assert!(!server.data().join("mirror").read_dir().unwrap().any(|_| true), "nothing of the fetch stays");

    // By the hub's own client, which asks both ways.
    let home = tempfile::tempdir().unwrap();
    server.hub(home.path()).args(["pull", "ada/other"]).assert().success();

    // With the other hub gone, what was fetched is here.
    behind.stop();
    holds(&stranger, "ada/net", &files).await;
    assert_eq!(stranger.get("/api/models/ada/net").await.status, 200);
    stranger.get("/api/v1/models/ada/new").await.problem(503, "upstream_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_lfs_and_torch_hub_fetch_what_is_absent_too() {
    let behind = Server::start();
    let ada = behind.user("ada").await;
    let files = fill(&ada, "ada/net", 1).await;
    let (name, weights) = &files[3];
    let digest = sha256(weights);

    let server = before(&behind.url, "ada", &[]);
    let named = name.replace(".safetensors", &format!("-{}.safetensors", &digest[..8]));
    let answer = server.anonymous().get(&format!("/files/ada/net/{named}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.bytes == *weights);

    let server = before(&behind.url, "ada", &[]);
    let asked = json!({ "operation": "download", "objects": [{ "oid": digest, "size": weights.len() }] });
    let answer = server.anonymous().post("/ada/net.git/info/lfs/objects/batch", &asked).await.ok();
    assert!(answer["objects"][0]["actions"]["download"]["href"].is_string(), "{answer}");
    let absent = server.anonymous().post("/ada/none.git/info/lfs/objects/batch", &asked).await;
    // git-lfs asks for a name and a token only where a stranger is told that one is needed.
    assert_eq!(absent.status, 401, "{}", absent.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fetches_only_what_it_may_and_never_where_somebody_lives() {
    let behind = Server::start();
    let (ada, eve) = (behind.user("ada").await, behind.user("eve").await);
    fill(&ada, "ada/net", 1).await;
    fill(&ada, "ada/gone", 2).await;
    fill(&eve, "eve/net", 3).await;
    let server = before(&behind.url, "*", &[("HUB_OPEN_SIGNUP", "true")]);
    let stranger = server.anonymous();
    let here = server.user("eve").await;
    stranger.get("/api/v1/models/eve/net").await.problem(404, "repo_not_found");
    stranger.get("/api/v1/models/ada/absent").await.problem(404, "repo_not_found");
    create_repo(&here, "model", "eve/mine").await;
    here.get("/api/v1/models/eve/mine").await.ok();
    assert_eq!(stranger.get("/api/v1/models/ada/gone").await.status, 200);
    server.admin().delete("/api/v1/models/ada/gone").await.done();
    stranger.get("/api/v1/models/ada/gone").await.problem(404, "repo_not_found");
    // Nobody takes over what was fetched by taking its owner's name.
    assert_eq!(stranger.get("/api/v1/models/ada/net").await.status, 200);
    stranger.post("/api/v1/users", &json!({"name": "ada"})).await.problem(403, "signup_closed");
    // Writing asks nobody else.
    let put = Reply::of(stranger.request(Method::POST, "/api/v1/models/ada/net/commits").json(&json!({"message": "x", "files": []}))).await;
    assert_eq!(put.status, 401, "{}", put.text());

    let closed = before(&behind.url, "nobody", &[]);
    closed.anonymous().get("/api/v1/models/ada/net").await.problem(404, "repo_not_found");
    let open = Server::start();
    open.anonymous().get("/api/v1/models/ada/net").await.problem(404, "repo_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_token_sees_stays_private_and_the_token_unseen() {
    let behind = Server::start();
    let ada = behind.user("ada").await;
    let files = fill(&ada, "ada/secret", 4).await;
    Reply::of(ada.request(Method::PATCH, "/api/v1/models/ada/secret").json(&json!({"private": true}))).await.ok();
    let without = before(&behind.url, "ada", &[]);
    without.admin().get("/api/v1/models/ada/secret").await.problem(404, "repo_not_found");
    let server = before(&behind.url, "ada", &[("HUB_UPSTREAM_TOKEN", &behind.admin_token)]);
    server.anonymous().get("/api/v1/models/ada/secret").await.problem(404, "repo_not_found");
    holds(&server.admin(), "ada/secret", &files).await;
    server.anonymous().get("/api/v1/models/ada/secret").await.problem(404, "repo_not_found");
    let mut config = server.hub(server.data());
    config.arg("config").env("HUB_UPSTREAM_TOKEN", &behind.admin_token);
    let shown = String::from_utf8(config.assert().success().get_output().stdout.clone()).unwrap();
    assert!(!shown.contains(&behind.admin_token) && !server.log().contains(&behind.admin_token));
}

/// A line to a server that changes a byte of what looks like weights; its address.
fn lying_line(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = server.authority().to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut server = TcpStream::connect(&target).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let mut block = vec![0; 65_536];
                while let Ok(read @ 1..) = server.read(&mut block) {
                    if block[..read].ends_with(&[0; 64]) {
                        block[read - 1] = 1;
                    }
                    if client.write_all(&block[..read]).is_err() {
                        break;
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_not_published() {
    let behind = Server::start();
    let ada = behind.user("ada").await;
    fill(&ada, "ada/net", 5).await;
    let lying = lying_line(&behind);
    let server = before(&lying, "ada", &[]);
    assert_eq!(server.anonymous().get("/ada/net/resolve/main/README.md").await.status, 503);
    server.anonymous().get("/api/v1/models/ada/net").await.problem(503, "upstream_unavailable");
    assert_eq!(server.anonymous().get("/api/v1/models").await.ok()["items"], json!([]));
    assert!(server.log().contains("model.safetensors"), "the log names the file");
    let home = tempfile::tempdir().unwrap();
    let mut import = server.hub(home.path());
    import.args(["import", "hf://ada/net", "--endpoint", &lying, "--to"]).arg(home.path().join("out"));
    let failed = import.assert().code(5);
    assert!(String::from_utf8_lossy(&failed.get_output().stderr).contains("model.safetensors"));
}

/// A line to a server whose connections break after so many bytes; its address, and the bytes that came over it.
fn breaking_line(server: &Server, limit: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (target, passed) = (server.authority().to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = passed.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut server = TcpStream::connect(&target).unwrap();
            let (mut from, mut to, counted) = (client.try_clone().unwrap(), server.try_clone().unwrap(), counted.clone());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let (mut block, mut left) = (vec![0; 65_536], limit);
                while let Ok(read @ 1..) = server.read(&mut block) {
                    let read = read.min(left);
                    left -= read;
                    counted.fetch_add(read, Ordering::Relaxed);
                    if client.write_all(&block[..read]).is_err() || left == 0 {
                        break;
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    (url, passed)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_a_repo_is_taken_over_and_a_cut_goes_on() {
    let (behind, server) = (Server::start(), Server::start());
    let ada = behind.user("ada").await;
    let big = random(9, 12_000_000);
    create_repo(&ada, "model", "ada/big").await;
    publish(&ada, "models/ada/big", None, &[("README.md", card()), ("weights.raw", &big)]).await.created();
    let home = tempfile::tempdir().unwrap();
    let import = |endpoint: &str, args: &[&str]| {
        let mut command = server.hub(home.path());
        command.args(["import", "hf://ada/big@main", "--endpoint", endpoint, "--json"]).args(args).env("HUB_TOKEN", &server.admin_token);
        command.output().unwrap()
    };
    // The line breaks after some megabytes, again and again; each time it goes on from there.
    let (url, passed) = breaking_line(&behind, 5_000_000);
    let done = import(&url, &["library/big"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let passed = passed.load(Ordering::Relaxed);
    assert!((12_000_000..13_000_000).contains(&passed), "{passed} bytes for 12,000,000");
    let published: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(published["version"]["number"], 1, "{published}");
    holds(&server.anonymous(), "library/big", &[("weights.raw", big.clone())]).await;

    let out = home.path().join("folder");
    let kept = import(&behind.url, &["--to", out.to_str().unwrap()]);
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    assert!(std::fs::read(out.join("weights.raw")).unwrap() == big);
    let again = import(&behind.url, &["--to", out.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "a folder with something in it is left alone");
    for (args, code) in [(vec!["library/x", "--license", "mit"], 2), (vec!["a/b/c"], 2)] {
        assert_eq!(import(&behind.url, &args).status.code(), Some(code), "{args:?}");
    }
    let unknown = server.hub(home.path()).args(["import", "hf://ada/unknown", "--endpoint", &behind.url, "--to", "x"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(3));
}
