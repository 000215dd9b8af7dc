//! Requests that cost much, and lists that are long: work is bounded, done in its callers' turns, and what lies in memory of a list
//! is a page of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::publishing::{commit, create_repo, file, publish, sha256, upload};
use crate::support::{Api, Server};
use serde_json::{Value, json};

/// Turns that the server has given out.
async fn turns(server: &Server) -> u64 {
    let text = server.admin().get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("hub_work_done_total ")).unwrap();
    line.trim().parse().unwrap()
}

fn preupload(rules: &str, paths: impl Iterator<Item = String>) -> Value {
    let files: Vec<Value> = paths.map(|path| json!({"path": path, "sample": "", "size": 1})).collect();
    json!({"files": files, "gitIgnore": rules})
}

fn deep(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/{n}.bin"))
}

const ASK: &str = "/api/models/eve/net/preupload/main";

async fn net(server: &Server) -> Api {
    let eve = server.user("eve").await;
    create_repo(&eve, "model", "eve/net").await;
    publish(&eve, "models/eve/net", None, &[("README.md", b"# Net\n")]).await.created();
    eve
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_paths_are_a_bounded_product() {
    let server = Server::start();
    let eve = net(&server).await;
    let plain: String = (0..999).map(|n| format!("x{n}\n")).collect();
    let asked = preupload(&(plain.clone() + "7.bin\n"), deep(10_000));
    let answer = eve.post(ASK, &asked).await.ok();
    let ignored: Vec<&str> = answer["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["shouldIgnore"] == true)
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(ignored, ["a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/7.bin"], "the usual is answered, however much it is");

    let hostile: String = (0..500).map(|n| "*a".repeat(60) + &n.to_string() + "\n").collect();
    let names = (0..10_000).map(|n| "a".repeat(240) + &n.to_string());
    let refused = eve.post(ASK, &preupload(&hostile, names)).await;
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("ask about fewer files at once"), "{}", refused.text());
    let refused = eve.post(ASK, &preupload(&(plain + "y\nz\n"), deep(1))).await;
    assert!(refused.status == 413 && refused.text().contains("1,000 rules"), "no rule is left out in silence: {}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_callers_request_is_answered_while_much_is_queued() {
    let server = Server::start();
    let (eve, bob) = (net(&server).await, server.user("bob").await);
    create_repo(&bob, "model", "bob/net").await;
    let (done, before) = (Arc::new(AtomicUsize::new(0)), turns(&server).await);
    let rules: String = (0..1_000).map(|n| format!("x{n}\n")).collect();
    let asked = Arc::new(preupload(&rules, deep(8_000)));
    let heavy: Vec<_> = (0..40)
        .map(|_| {
            let (eve, asked, done) = (eve.clone(), asked.clone(), done.clone());
            tokio::spawn(async move {
                let answer = eve.post(ASK, &asked).await;
                done.fetch_add(1, Ordering::SeqCst);
                answer.status.as_u16()
            })
        })
        .collect();
    crate::support::until("the first of them is done", async || done.load(Ordering::SeqCst) > 0).await;
    // Light and heavy, of somebody else and of a stranger.
    bob.get("/api/v1/models/bob/net").await.ok();
    bob.post("/api/models/bob/net/preupload/main", &preupload("*.txt", deep(3))).await.ok();
    server.anonymous().get("/api/v1/search?q=net").await.ok();
    assert!(done.load(Ordering::SeqCst) < heavy.len(), "they did not wait for all of them");
    for one in heavy {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert!(turns(&server).await >= before + 40 * 2, "each was done in the room for work");
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_routes_take_turns_and_light_ones_do_not() {
    let server = Server::start();
    let eve = net(&server).await;
    create_repo(&eve, "dataset", "eve/set").await;
    let took = async |path: &str| {
        let before = turns(&server).await;
        let status = eve.get(path).await.status;
        assert_eq!(status, 200, "{path}");
        turns(&server).await - before
    };
    for heavy in [
        "/api/v1/search?q=net",
        "/api/v1/models",
        "/api/models?full=true",
        "/api/models/eve/net",
        "/api/models/eve/net/tree/main",
        "/api/models/eve/net/discussions",
        "/api/v1/models/eve/net/versions/main/files",
        "/api/v1/models/eve/net/versions/main/manifest",
        "/api/v1/models/eve/net/versions/main/SHA256SUMS",
        "/api/v1/models/eve/net/versions/main/tensors",
        "/",
        "/models",
        "/eve/net",
        "/eve/net/files",
    ] {
        assert!(took(heavy).await > 0, "{heavy}");
    }
    for light in ["/healthz", "/api/v1/whoami", "/api/v1/models/eve/net", "/eve/net/resolve/main/README.md"] {
        assert_eq!(took(light).await, 0, "{light}");
    }
}

/// A version of many small files, in folders; sorted paths.
async fn many(api: &Api, count: usize) -> Vec<String> {
    upload(api, b"x").await;
    create_repo(api, "model", "eve/many").await;
    let mut paths: Vec<String> = (0..count).map(|n| format!("d{}/f{n:06}", n % 7)).collect();
    paths.extend(["README.md", "d1-x", "d1.txt", "caf\u{e9}/x"].map(String::from));
    paths.sort();
    commit(api, "models/eve/many", None, paths.iter().map(|path| file(path, b"x")).collect()).await.created();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_written_page_by_page_and_are_whole() {
    let server = Server::start();
    let eve = server.user("eve").await;
    let paths = many(&eve, 5_300).await;
    let of =
        |list: &Value, key: &str| list.as_array().unwrap().iter().map(|file| file[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let base = "/api/v1/models/eve/many/versions/main";
    let listed = eve.get(&format!("{base}/files")).await;
    assert_eq!(of(&listed.json()["items"], "path"), paths);
    assert_eq!(listed.header("content-length"), "", "it is sent while it is read");
    let manifest = eve.get(&format!("{base}/manifest")).await.ok();
    assert_eq!((of(&manifest["files"], "path"), manifest["repo"].as_str()), (paths.clone(), Some("eve/many")));
    let lines: String = paths.iter().map(|path| format!("{} 1 {path}\n", sha256(b"x"))).collect();
    assert_eq!(manifest["version"]["manifest"], sha256(lines.as_bytes()), "and is what the version's digest says");
    let sums = eve.get(&format!("{base}/SHA256SUMS")).await.text();
    assert_eq!(sums.lines().count(), paths.len());
    for path in ["/api/models/eve/many", "/api/models/eve/many?blobs=true"] {
        assert_eq!(of(&eve.get(path).await.ok()["siblings"], "rfilename"), paths, "{path}");
    }
    let all = eve.get("/api/models?full=true").await.ok();
    assert_eq!(of(&all[0]["siblings"], "rfilename"), paths);
    let empty = eve.get("/api/models?full=true&search=nothing-has-this-name").await.ok();
    assert_eq!(empty, json!([]));
    assert_eq!(eve.get(&format!("{base}/files")).await.bytes.len(), listed.bytes.len());

    let page = eve.get("/eve/many/files").await.text();
    assert!(page.contains("5304 files") && page.contains("?from=") && !page.contains("d6/f005298"), "pages show some and lead on");
    assert!(eve.get("/eve/many/files?from=d6%2Ff005298").await.text().contains("d6/f005298"));
}

/// All pages of a tree, in order.
async fn tree(api: &Api, path: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = api.get(&next).await;
        found.extend(page.ok().as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()));
        let link = page.header("link").to_owned();
        match link.strip_prefix('<').and_then(|link| link.split_once('>')) {
            Some((address, _)) => next = address.strip_prefix(&api.url).unwrap().to_owned(),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_are_read_from_where_a_page_begins() {
    let server = Server::start();
    let eve = server.user("eve").await;
    let paths = many(&eve, 2_500).await;
    let top = tree(&eve, "/api/models/eve/many/tree/main").await;
    assert_eq!(
        top,
        ["README.md", "caf\u{e9}", "d0", "d1-x", "d1.txt", "d1", "d2", "d3", "d4", "d5", "d6"],
        "a folder stands where its files do"
    );
    let all = tree(&eve, "/api/models/eve/many/tree/main?recursive=true").await;
    let files: Vec<&String> = all.iter().filter(|path| paths.contains(path)).collect();
    assert!(files.iter().copied().eq(&paths), "every file once, in order");
    assert_eq!(all.len(), paths.len() + 8, "and every folder once");
    let inside = tree(&eve, "/api/models/eve/many/tree/main/d3").await;
    assert_eq!(inside, paths.iter().filter(|path| path.starts_with("d3/")).cloned().collect::<Vec<_>>());
    assert_eq!(tree(&eve, "/api/models/eve/many/tree/main/cafe%CC%81").await, ["caf\u{e9}/x"], "either form of a name");
    assert_eq!(eve.get("/api/models/eve/many/tree/main/d").await.status, 404);
    let asked = json!({"paths": ["d1", "d1.txt", "d1-", "cafe\u{301}/x", "cafe\u{301}", "README.md/", "d2/f000002"]});
    let found = eve.post("/api/models/eve/many/paths-info/main", &asked).await.ok();
    let found: Vec<(&str, &str)> =
        found.as_array().unwrap().iter().map(|entry| (entry["type"].as_str().unwrap(), entry["path"].as_str().unwrap())).collect();
    assert_eq!(
        found,
        [
            ("directory", "d1"),
            ("file", "d1.txt"),
            ("file", "caf\u{e9}/x"),
            ("directory", "caf\u{e9}"),
            ("file", "README.md"),
            ("file", "d2/f000002")
        ]
    );
}
