//! The library: what is known before it is here is found and compared, fetched once however many ask, carried to where no network
//! is, and held against its digests. No public hub is reachable where this runs: the upstream is a hub of our own, or a server that
//! answers as one does and makes every mistake there is.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::support::publishing::{create_repo, publish, safetensors, sha256};
use crate::support::training::{self, Person, base_files};
use crate::support::upstream::{self, Fault};
use crate::support::{Api, Server};
use serde_json::{Value, json};

const ENTRY: &str = "library/resnet50.a1_in1k";

/// A server with the library that came with the program, or another.
fn with_library(upstream: &str, further: &[(&str, &str)]) -> Server {
    let environment = [&[("HUB_LIBRARY", "on"), ("HUB_LIBRARY_UPSTREAM", upstream)], further].concat();
    Server::start_with(&["--workers", "0"], &environment)
}

/// A hub that has what the library's upstream has under this name.
async fn upstream_hub() -> (Server, Vec<u8>) {
    let behind = Server::start();
    let timm = behind.user("timm").await;
    let weights = safetensors(&[("conv1.weight", &[64, 3, 7, 7]), ("fc.weight", &[1_000, 64])]);
    let config = br#"{"architecture":"resnet50","num_classes":1000}"#;
    create_repo(&timm, "model", "timm/resnet50.a1_in1k").await;
    let card = b"---\nlicense: apache-2.0\ntags: [timm]\n---\n# A card of theirs\n";
    let files: &[(&str, &[u8])] = &[("README.md", card), ("config.json", config), ("model.safetensors", &weights)];
    publish(&timm, "models/timm/resnet50.a1_in1k", None, files).await.created();
    (behind, weights)
}

fn run(server: &Server, home: &Path, args: &[&str]) -> (i32, Value, String) {
    let output = server.hub(home).args(args).arg("--json").output().unwrap();
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), value, String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn fetch(api: &Api, name: &str) -> Value {
    let path = format!("/api/v1/library/models/library/{name}/fetch");
    let mut asked = json!({});
    loop {
        let answer = api.post(&path, &asked).await.ok();
        if answer["state"] != "running" {
            return answer;
        }
        asked = json!({ "attempt": answer["attempt"] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_searched_before_any_byte_is_here_and_pulled_in_one_command() {
    let (behind, weights) = upstream_hub().await;
    let server = with_library(&behind.url, &[]);
    let home = tempfile::tempdir().unwrap();
    let (code, found, _) = run(&server, home.path(), &["search", "--source-dataset", "imagenet-1k", "--sort", "top1", "--limit", "300"]);
    let items = found["items"].as_array().unwrap();
    let top1 = |item: &Value| {
        item["facts"]["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "top1").map(|m| m["value"].as_f64().unwrap())
    };
    let sorted: Vec<f64> = items.iter().filter_map(top1).collect();
    assert!(code == 0 && items.len() >= 100 && sorted.is_sorted_by(|a, b| a >= b), "{} {sorted:?}", items.len());
    assert!(items.iter().all(|item| item["facts"]["listing"] == "not-fetched"), "no byte is here");
    let small = server.anonymous().get("/api/v1/search?source_dataset=imagenet-21k&max_parameters=10000000").await.ok();
    assert!(small["total"].as_u64().unwrap() > 0, "what it saw first is found, too");
    assert_eq!(server.anonymous().get("/api/models?limit=100").await.ok(), json!([]), "lists of the other dialect hold what is here");
    let here = server.anonymous().get("/api/v1/search?here=true&source_dataset=imagenet-1k").await.ok();
    assert_eq!(here["total"], 0, "{here}");
    for wrong in ["here=", "here=abc", "here=1", "min_parameters=", "limit="] {
        let refused = server.anonymous().get(&format!("/api/v1/search?{wrong}")).await.problem(400, "bad_query");
        assert_eq!(refused["hint"].as_str().unwrap().contains("here=true"), wrong.starts_with("here"), "{refused}");
    }
    let page = server.anonymous().get(&format!("/{ENTRY}")).await.text();
    assert!(page.contains("not fetched yet") && page.contains("Fetch it") && page.contains("results-imagenet.csv"), "{page}");
    let data = server.anonymous().get("/datasets/library/imagenet-1k").await.text();
    assert!(data.contains("1,281,167") && data.contains("Known problems") && data.contains("resnet50.a1_in1k"), "{data}");

    let (code, pulled, said) = run(&server, home.path(), &["pull", "resnet50"]);
    assert_eq!((code, &pulled["repo"], &pulled["version"]), (0, &json!(ENTRY), &json!(1)), "{said}");
    let folder = Path::new(pulled["path"].as_str().unwrap());
    assert!(std::fs::read(folder.join("model.safetensors")).unwrap() == weights);
    let (code, again, _) = run(&server, home.path(), &["pull", "resnet50"]);
    assert_eq!((code, &again["fetched_files"], &again["commit"]), (0, &json!(0), &pulled["commit"]), "the second time nothing travels");
    let facts = server.anonymous().get(&format!("/api/v1/models/{ENTRY}")).await.ok();
    assert_eq!(
        (&facts["facts"]["license"], &facts["facts"]["source_datasets"]),
        (&json!("apache-2.0"), &json!(["imagenet-1k"])),
        "{facts}"
    );
    assert!(facts["facts"]["listing"].is_null() && top1(&facts).is_some(), "its card says what theirs left unsaid: {facts}");
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(card.contains("# A card of theirs") && card.contains("imagenet-1k"), "{card}");
    assert_eq!(server.anonymous().get("/api/models?limit=100").await.ok().as_array().unwrap().len(), 1);
    assert!(!server.data().join("library").read_dir().unwrap().any(|_| true), "nothing of the fetch stays");
    // Without the upstream it is as good.
    behind.stop();
    let other = tempfile::tempdir().unwrap();
    assert_eq!(run(&server, other.path(), &["pull", "resnet50"]).0, 0);
    let (_, shown, _) = run(&server, home.path(), &["library", "show", "resnet50"]);
    assert_eq!((&shown["state"], &shown["facts"]["trained_on"]), (&json!("here"), &json!([["imagenet-1k"]])), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_at_once_are_one_fetch() {
    let weights = safetensors(&[("weight", &[500_000])]);
    let fake = upstream::serve("timm/resnet50.a1_in1k", &[("model.safetensors", weights)], Fault::None);
    let server = with_library(&fake.url, &[]);
    let (stranger, path) = (server.anonymous(), format!("/api/v1/library/models/{ENTRY}/fetch"));
    let asked = (0..25).map(|_| fetch(&stranger, "resnet50"));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!((&answer["state"], &answer["version"], &answer["id"]), (&json!("here"), &json!(1), &json!(ENTRY)), "{answer}");
    }
    assert_eq!(fake.sent.0.load(Ordering::SeqCst), 1, "its one file was sent once");
    let versions = stranger.get(&format!("/api/v1/models/{ENTRY}/versions")).await.ok();
    assert_eq!(versions["items"].as_array().unwrap().len(), 1, "{versions}");
    stranger.post(&path, &json!({ "anew": true })).await.problem(401, "login_required");
    let same = server.admin().post(&path, &json!({ "anew": true })).await.ok();
    assert_eq!(same["problem"], Value::Null, "{same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_fetch_one_entry_publish_it_once_each_and_alike() {
    let weights = safetensors(&[("weight", &[500_000])]);
    let fake = upstream::serve("timm/resnet50.a1_in1k", &[("model.safetensors", weights)], Fault::None);
    let (one, other) = (with_library(&fake.url, &[]), with_library(&fake.url, &[]));
    let askers = [&one, &other, &one, &other].map(Server::anonymous);
    let answers = futures_util::future::join_all(askers.iter().map(|stranger| fetch(stranger, "resnet50"))).await;
    assert!(answers.iter().all(|answer| answer["state"] == "here" && answer["version"] == 1), "{answers:?}");
    assert_eq!(fake.sent.0.load(Ordering::SeqCst), 2, "once for each server");
    let mut commits = Vec::new();
    for server in [&one, &other] {
        let versions = server.anonymous().get(&format!("/api/v1/models/{ENTRY}/versions")).await.ok();
        assert_eq!(versions["items"].as_array().unwrap().len(), 1, "{versions}");
        let manifest = server.anonymous().get(&format!("/api/v1/models/{ENTRY}/versions/1/manifest")).await.ok();
        let weights = |file: &&Value| file["path"] == "model.safetensors";
        commits.push(manifest["files"].as_array().unwrap().iter().find(weights).unwrap()["sha256"].clone());
    }
    assert_eq!(commits[0], commits[1]);
    // One database and one store are one server's: another is refused them, and neither fetches nor publishes there.
    let home = tempfile::tempdir().unwrap();
    let mut second = crate::support::hub(home.path());
    second.args(["serve", "--listen", "127.0.0.1:0", "--workers", "0", "--data"]).arg(one.data());
    let output = second.env("HUB_LIBRARY", "on").env("HUB_LIBRARY_UPSTREAM", &fake.url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("another hub"), "{said}");
    assert_eq!(fetch(&one.anonymous(), "resnet50").await["state"], "here", "the first goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_asked_and_taken_as_a_base_by_its_alias() {
    let home = tempfile::tempdir().unwrap();
    let files = base_files();
    let fake = upstream::serve("a/net", &files, Fault::None);
    let more = "aliases = ['tiny']\narchitecture = 'mobilenetv2_100'\n[[model]]\nname = 'far.b'\narchitecture = 'of_another_house'\nupstream = 'a/far'";
    let file = index(home.path(), "net.a", more);
    let on = [("HUB_LIBRARY", "on"), ("HUB_LIBRARY_UPSTREAM", fake.url.as_str()), ("HUB_LIBRARY_FILE", file.as_str())];
    let server = Server::start_with(&["--workers", "1"], &on);
    let page = async |name: &str| server.anonymous().get(&format!("/library/{name}")).await.text();
    let (known, unknown) = (page("net.a").await, page("far.b").await);
    assert!(unknown.contains("cannot be run") && unknown.contains("of_another_house") && unknown.contains("Fetch it"), "{unknown}");
    assert!(known.contains("Fetch it") && !known.contains("cannot be run"), "{known}");

    assert_eq!(fetch(&server.anonymous(), "tiny").await["id"], "library/net.a");
    let picture = home.path().join("red.png");
    std::fs::write(&picture, training::picture([190, 10, 10], 1)).unwrap();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish_both("ada/unused", "ada/colours", 12).await;
    let command = |args: Vec<String>| {
        let mut command = server.hub(home.path());
        command.env("HUB_TOKEN", &ada.token).args(args).arg("--json");
        async move {
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let value: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            (output.status.code().unwrap(), value, String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for ask in ["predict --model tiny", "embed --model library/tiny"] {
        let (code, answer, said) = command([words(ask), vec![picture.display().to_string()]].concat()).await;
        assert!(code == 0 && answer.to_string().contains("library/net.a@1"), "{ask}: {answer} {said}");
    }
    let asked = "finetune --base tiny --dataset ada/colours --name ada/net --strategy head --set publish_anyway=true --watch";
    let (code, _, said) = command(words(asked)).await;
    assert_eq!(code, 0, "{said}");
    let (_, model) = ada.get("/models/ada/net").await;
    assert_eq!(model["facts"]["base_models"], json!(["library/net.a@1"]), "{model}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_carries_entries_to_where_no_network_is() {
    let (behind, _) = upstream_hub().await;
    let (near, far) = (with_library(&behind.url, &[]), with_library("off", &[]));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("models.tar");
    let name = file.to_str().unwrap();
    let (code, failed, said) = run(&far, home.path(), &["library", "add", "resnet50"]);
    assert_eq!((code, failed), (1, Value::Null));
    assert!(said.contains("library_off") && said.contains("bundle") && said.contains("hub import"), "{said}");
    let (code, made, said) = run(&near, home.path(), &["library", "bundle", name, "resnet50"]);
    assert_eq!((code, &made["entries"][0]["name"]), (0, &json!(ENTRY)), "{said}");

    // Damaged on the way, cut, or with more than it says: nothing of it is published.
    let bytes = std::fs::read(&file).unwrap();
    let damaged = home.path().join("damaged.tar");
    let mut flipped = bytes.clone();
    let at = bytes.len() - 100_000;
    flipped[at] ^= 1;
    for bad in [flipped, bytes[..bytes.len() / 2].to_vec(), b"no tar".to_vec(), [&bytes[..512], &bytes[..]].concat()] {
        std::fs::write(&damaged, bad).unwrap();
        let (code, _, said) = run(&far, home.path(), &["library", "add", "--bundle", damaged.to_str().unwrap()]);
        assert!(code == 5 && said.contains("damaged.tar"), "{code} {said}");
    }
    far.anonymous().get(&format!("/api/v1/models/{ENTRY}/versions/main")).await.problem(404, "not_fetched");

    let (code, added, said) = run(&far, home.path(), &["library", "add", "--bundle", name]);
    assert_eq!((code, &added["entries"][0]["version"]), (0, &json!(1)), "{said}");
    let manifest = async |server: &Server| server.anonymous().get(&format!("/api/v1/models/{ENTRY}/versions/1/manifest")).await.ok();
    assert_eq!(manifest(&near).await["files"], manifest(&far).await["files"]);
    assert_eq!(run(&far, home.path(), &["pull", "resnet50"]).0, 0);
    let (code, again, _) = run(&far, home.path(), &["library", "add", "--bundle", name]);
    assert_eq!((code, &again["entries"][0]["created"]), (0, &json!(false)));
    let bystander = far.user("eve").await;
    let body = json!({ "origin": "eve", "files": [] });
    bystander.post(&format!("/api/v1/library/models/{ENTRY}/files"), &body).await.problem(403, "no_right");
}

/// An index of one entry.
fn index(home: &Path, name: &str, more: &str) -> String {
    let file = home.join("index.toml");
    std::fs::write(&file, format!("format = 1\n[[model]]\nname = '{name}'\nupstream = 'a/net'\n{more}\n")).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_which_it_was_and_publishes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let files = [("model.safetensors", safetensors(&[("w", &[100_000])]))];
    let good = sha256(&files[0].1);
    let pinned = |sha: &str| format!("weights = [{{ path = 'model.safetensors', sha256 = '{sha}' }}]");
    for (fault, pin, code, word) in [
        (Fault::Html, good.clone(), "library_network", "listing"),
        (Fault::Gated, good.clone(), "library_gate", "licence"),
        (Fault::LeadsInside, good.clone(), "library_network", "follow"),
        (Fault::Lies, good.clone(), "library_digest", "sha256"),
        (Fault::None, "a".repeat(64), "library_digest", "model.safetensors"),
        (Fault::Cut { after: 0, times: 1_000_000 }, good.clone(), "library_network", "does not answer"),
    ] {
        let fake = upstream::serve("a/net", &files, fault.clone());
        let file = index(home.path(), "net", &pinned(&pin));
        let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
        let answer = fetch(&server.anonymous(), "net").await;
        assert_eq!((&answer["state"], &answer["problem"]["code"]), (&json!("failed"), &json!(code)), "{fault:?}: {answer}");
        let said = format!("{} {}", answer["problem"]["message"], answer["problem"]["hint"]);
        assert!(said.contains(word) && said.contains("bundle") && said.contains("hub import"), "{fault:?}: {said}");
        server.anonymous().get("/api/v1/models/library/net/versions/main").await.problem(404, "not_fetched");
        let page = server.anonymous().get("/library/net").await.text();
        assert!(page.contains("role=\"alert\"") && page.contains("Fetch it"), "{page}");
        let (exit, _, said) = run(&server, home.path(), &["pull", "net"]);
        assert!(exit == if code == "library_digest" { 5 } else { 1 } && said.contains(code), "{exit} {said}");
    }
}

/// A captive portal's page in the place of a file, a gate before the listing: nothing is published, and once it is mended the same
/// question is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_the_place_of_a_file_is_no_file_and_what_is_mended_is_fetched() {
    let home = tempfile::tempdir().unwrap();
    let files = [("model.safetensors", safetensors(&[("w", &[100_000])]))];
    for (fault, codes) in [
        (Fault::HtmlFiles, &["library_digest", "library_network"][..]),
        (Fault::GatedListing, &["library_gate"]),
        (Fault::Html, &["library_network"]),
    ] {
        let fake = upstream::serve("a/net", &files, fault.clone());
        let file = index(home.path(), "net", "");
        let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
        let answer = fetch(&server.anonymous(), "net").await;
        assert!(answer["state"] == "failed" && codes.contains(&answer["problem"]["code"].as_str().unwrap()), "{fault:?}: {answer}");
        server.anonymous().get("/api/v1/models/library/net/versions/main").await.problem(404, "not_fetched");
        *fake.fault.lock().unwrap() = Fault::None;
        let path = "/api/v1/library/models/library/net/fetch";
        crate::support::until("the failure is forgotten", async || {
            let answer = server.anonymous().post(path, &json!({})).await.ok();
            answer["state"] == "here"
        })
        .await;
        let manifest = server.anonymous().get("/api/v1/models/library/net/versions/1/manifest").await.ok();
        let kept = manifest["files"].as_array().unwrap().iter().find(|file| file["path"] == "model.safetensors").unwrap();
        assert_eq!(kept["sha256"], json!(sha256(&files[0].1)), "{fault:?}: nothing of the page is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_gone_on_with_and_a_full_disk_is_told() {
    let home = tempfile::tempdir().unwrap();
    let weights = safetensors(&[("w", &[2_000_000])]);
    let fake = upstream::serve("a/net", &[("model.safetensors", weights.clone())], Fault::Cut { after: 3_000_000, times: 2 });
    let file = index(home.path(), "net", "");
    let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
    crate::support::bound(server.pid(), libc::RLIMIT_FSIZE, 4 << 20);
    let full = fetch(&server.anonymous(), "net").await;
    assert_eq!(full["problem"]["code"], "disk_full", "{full}");
    server.anonymous().get("/api/v1/models/library/net/versions/main").await.problem(404, "not_fetched");
    crate::support::bound(server.pid(), libc::RLIMIT_FSIZE, 0);
    let path = "/api/v1/library/models/library/net/fetch";
    crate::support::until("the failure is forgotten", async || {
        let answer = server.anonymous().post(path, &json!({})).await.ok();
        answer["state"] == "here"
    })
    .await;
    let sent = fake.sent.1.load(Ordering::SeqCst);
    assert!((weights.len()..weights.len() + 3_000_000).contains(&sent), "{sent} bytes for {}", weights.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_published_stands_before_the_library() {
    let home = tempfile::tempdir().unwrap();
    let fake = upstream::serve("a/net", &[("model.safetensors", safetensors(&[("w", &[10])]))], Fault::None);
    let data = tempfile::tempdir().unwrap();
    let off = Server::start_on(data.path(), &["--workers", "0"], &[]);
    create_repo(&off.admin(), "model", "library/net").await;
    publish(&off.admin(), "models/library/net", None, &[("a.txt", b"mine")]).await.created();
    create_repo(&off.admin(), "model", "library/short").await;
    publish(&off.admin(), "models/library/short", None, &[("a.txt", b"mine, too")]).await.created();
    off.stop();
    let file = index(home.path(), "net", "[[model]]\nname = 'other.b'\naliases = ['short', 'free']\nupstream = 'a/net'\n");
    let on = [("HUB_LIBRARY", "on"), ("HUB_LIBRARY_UPSTREAM", fake.url.as_str()), ("HUB_LIBRARY_FILE", file.as_str())];
    let server = Server::start_on(data.path(), &["--workers", "0"], &on);
    let stranger = server.anonymous();
    assert_eq!(stranger.get("/library/net/resolve/main/a.txt").await.text(), "mine");
    assert_eq!(stranger.get("/library/short/resolve/main/a.txt").await.text(), "mine, too", "a repo is no alias");
    stranger.post("/api/v1/library/models/library/net/fetch", &json!({})).await.problem(404, "not_in_library");
    assert_eq!(stranger.get("/api/v1/models/library/free").await.status, 307, "an alias leads to its entry");
    assert_eq!(fetch(&stranger, "free").await["id"], "library/other.b");
    // Whoever may publish there may have an entry's name.
    let admin = server.admin();
    create_repo(&admin, "model", "library/gone").await;
    server.stop();
    // Turned off, what was fetched stays, and what was only listed is gone.
    let server = Server::start_on(data.path(), &["--workers", "0"], &[("HUB_LIBRARY", "off")]);
    let names = server.anonymous().get("/api/v1/models").await.ok();
    let names: Vec<&str> = names["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert!(names.contains(&"library/other.b") && names.contains(&"library/net"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_trusted_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    for (text, why) in [("format = 1\ncolour = 'red'\n", "colour"), ("format = 9\n", "format 9"), ("no toml", "index.toml")] {
        let file = home.path().join("index.toml");
        std::fs::write(&file, text).unwrap();
        let mut hub = crate::support::hub(home.path());
        hub.args(["serve", "--listen", "127.0.0.1:0", "--workers", "0", "--data"]).arg(home.path().join("data"));
        let output = hub.env("HUB_LIBRARY", "on").env("HUB_LIBRARY_FILE", &file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why) && said.contains("LIBRARY.md"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_button_of_the_page_fetches_and_takes_forms_of_its_own_site_only() {
    let fake = upstream::serve("timm/resnet50.a1_in1k", &[("model.safetensors", safetensors(&[("w", &[10])]))], Fault::None);
    let server = with_library(&fake.url, &[]);
    let form = |origin: String| {
        let request = server.anonymous().request(reqwest::Method::POST, &format!("/{ENTRY}/fetch"));
        crate::support::Reply::of(request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded").body(""))
    };
    assert_eq!(form("https://evil.example".into()).await.status, 403);
    let answer = form(server.url.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, format!("/{ENTRY}").as_str()));
    crate::support::until("it is here", async || server.anonymous().get(&format!("/{ENTRY}")).await.text().contains("version 1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_pytorch_go_through_the_reader_that_runs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file = index(home.path(), "net", "");
    let tensors = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/tiny_zip.pth")).unwrap();
    let fake = upstream::serve("a/net", &[("pytorch_model.bin", tensors)], Fault::None);
    let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
    let kept = fetch(&server.anonymous(), "net").await;
    assert_eq!(kept["state"], "here", "{kept}");
    assert!(kept["warnings"].to_string().contains("PyTorch's form"), "nothing here is built of them, and that is said: {kept}");

    let page = server.anonymous().get("/library/net").await.text();
    assert!(!page.contains(server.data().to_str().unwrap()), "where it lay here is nobody's business: {page}");

    let evil = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    let fake = upstream::serve("a/net", &[("pytorch_model.bin", evil)], Fault::None);
    let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
    let refused = fetch(&server.anonymous(), "net").await;
    let code = refused["problem"]["code"].as_str().unwrap();
    assert!(["library_unsafe", "pickle_refused"].contains(&code), "{refused}");
    server.anonymous().get("/api/v1/models/library/net/versions/main").await.problem(404, "not_fetched");
}

/// Read in the confined process, whose folder is all that it can write into.
#[tokio::test(flavor = "multi_thread")]
async fn word_vectors_of_the_library_are_read_and_asked() {
    let home = tempfile::tempdir().unwrap();
    let rows = [("frog", [1.0_f32, 0.1, 0.0]), ("toad", [0.9, 0.2, 0.0]), ("piano", [0.0, 0.0, 1.0])];
    let row = |(word, values): &(&str, [f32; 3])| {
        let numbers: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [word.as_bytes(), b" ", &numbers, b"\n"].concat()
    };
    let bytes = [b"3 3\n".to_vec(), rows.iter().map(row).collect::<Vec<_>>().concat()].concat();
    let fake = upstream::serve("a/net", &[("vectors.bin", bytes)], Fault::None);
    let file = index(home.path(), "words", "aliases = ['w2v']\narchitecture = 'word2vec'\nlicense = 'apache-2.0'");
    let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
    let page = server.anonymous().get("/library/words").await.text();
    assert!(page.contains("Fetch it") && !page.contains("cannot be run"), "{page}");
    let here = fetch(&server.anonymous(), "words").await;
    assert_eq!(here["state"], "here", "{here}");
    assert!(here["warnings"].to_string().contains("word2vec"), "which form they had is said: {here}");
    let manifest = server.anonymous().get("/api/v1/models/library/words/versions/1/manifest").await.ok();
    let names: Vec<&str> = manifest["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors", "vocabulary.safetensors"]);
    let (code, near, said) = run(&server, home.path(), &["neighbors", "frog", "--model", "w2v"]);
    assert!(code == 0 && near.to_string().contains("toad"), "{near} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_encoders_are_listed_by_the_name_that_they_have_when_they_are_here() {
    let config = br#"{"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 31, "max_position_embeddings": 40, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12}"#;
    let files = [("config.json", config.to_vec()), ("model.safetensors", safetensors(&[("embeddings.LayerNorm.weight", &[16])]))];
    let fake = upstream::serve("a/net", &files, Fault::None);
    let home = tempfile::tempdir().unwrap();
    let architecture = "bert_l2_d16_h2_f24_v31_p40_t2_e12";
    let file = index(home.path(), "small", &format!("architecture = '{architecture}'\nmodality = 'text'"));
    let server = with_library(&fake.url, &[("HUB_LIBRARY_FILE", &file)]);
    let found = async || {
        let asked = server.anonymous().get(&format!("/api/v1/search?architecture={architecture}")).await.ok();
        asked["items"][0]["id"].clone()
    };
    assert_eq!(found().await, "library/small");
    assert!(!server.anonymous().get("/library/small").await.text().contains("cannot be run"));
    assert_eq!(fetch(&server.anonymous(), "small").await["state"], "here");
    assert_eq!(found().await, "library/small", "its config.json comes to the same name");
    let shipped = with_library("off", &[]);
    for name in ["all-MiniLM-L6-v2", "bert-base-uncased", "all-mpnet-base-v2", "glove.6B.300d", "swin_base_patch4_window7_224.ms_in22k"] {
        let page = shipped.anonymous().get(&format!("/library/{name}")).await;
        assert!(page.status == 200 && !page.text().contains("cannot be run"), "{name}");
    }
    let asked = shipped.anonymous().get("/api/v1/search?q=minilm").await.ok();
    assert!(asked["total"].as_u64().unwrap() >= 5, "{asked}");
}
