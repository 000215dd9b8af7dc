//! `hub pull` as a process among others: killed and begun again, several at once, for some of the files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::proxy::Proxy;
use crate::support::publishing::{create_repo, publish};
use crate::support::{HUB, Server, eventually, hub};
use hub::cache::Cache;
use hub::domain::digest::Digest;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// What one request asks for at most, and how many there are at once.
const PIECE: u64 = 8 << 20;
const CONNECTIONS: u64 = 4;
const SMALL_AT_ONCE: usize = 32;

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// A server with `library/net`, version 1: these files.
async fn serving(files: &BTreeMap<String, Vec<u8>>) -> Server {
    let server = Server::start();
    let admin = server.admin();
    create_repo(&admin, "dataset", "library/net").await;
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    publish(&admin, "datasets/library/net", None, &files).await.created();
    server
}

fn many_small(count: u64) -> BTreeMap<String, Vec<u8>> {
    (0..count).map(|n| (format!("texts/{}/{n:04}.txt", n % 7), random(n, 20_480))).collect()
}

/// `hub pull dataset:library/net` over the proxy, with more words.
fn pull(home: &Path, url: &str, words: &[&str]) -> assert_cmd::Command {
    let mut command = hub(home);
    command.env("HUB_SERVER", url).args(["pull", "dataset:library/net"]).args(words);
    command
}

#[track_caller]
fn json(mut command: assert_cmd::Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn fails(mut command: assert_cmd::Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
    said
}

fn holds(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in files {
        assert!(std::fs::read(folder.join(path)).unwrap() == *bytes, "{path} differs");
    }
}

/// Begins a pull, holds it once `bytes` more have come from the server, and kills it there when it is `far_enough`.
fn pull_and_kill(home: &Path, proxy: &Proxy, bytes: u64, far_enough: impl Fn() -> bool) {
    let held_at = proxy.hold_after(bytes);
    let mut child = Command::new(HUB)
        .env_clear()
        .envs([("HOME", home), ("HUB_CACHE", &home.join("cache"))])
        .args(["--server", &proxy.url, "pull", "dataset:library/net"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the pull comes so far", || {
        assert!(child.try_wait().unwrap().is_none(), "the pull ended before it could be killed");
        (proxy.passed() >= held_at && far_enough()).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The runs of bytes that a killed pull says have arrived.
fn arrived(cache: &Path, digest: &Digest) -> Vec<Range<u64>> {
    let text = std::fs::read_to_string(cache.join("partial").join(format!("{digest}.ranges"))).unwrap_or_default();
    let read = |line: &str| line.split_once(' ').map(|(start, end)| start.parse().unwrap()..end.parse().unwrap());
    text.lines().filter_map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pull_asks_only_for_what_had_not_arrived() {
    let size = 100_000_000;
    let files = BTreeMap::from([("weights.raw".to_owned(), random(1, size))]);
    let digest = Digest::of(&files["weights.raw"]);
    let server = serving(&files).await;
    let (proxy, home) = (Proxy::start(&server, Duration::from_millis(1)), tempfile::tempdir().unwrap());
    let cache = home.path().join("cache");
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut asked = 0;
    let mut known: Vec<Range<u64>> = Vec::new();
    let mut check = |known: &[Range<u64>]| {
        for request in proxy.take_files() {
            let range = request.range.expect("a large file is asked for in pieces");
            assert!(range.end - range.start <= PIECE, "{range:?}");
            let again = known.iter().find(|known| known.start < range.end && range.start < known.end);
            assert_eq!(again, None, "{range:?} was asked for again");
            asked += range.end - range.start;
        }
    };
    // All of them together leave some of the file to be asked for.
    const KILLS: u64 = 8;
    for kill in 1..=KILLS {
        let bytes = random.random_range(1..11_000_000);
        // Most of these moments are too early for the first notes of what has arrived; the last one is not.
        let bytes = if kill == KILLS { 10_000_000 } else { bytes };
        pull_and_kill(home.path(), &proxy, bytes, || kill < KILLS || !arrived(&cache, &digest).is_empty());
        check(&known);
        known = arrived(&cache, &digest);
    }
    proxy.let_go();
    let left: u64 = known.iter().map(|range| range.end - range.start).sum();
    assert!(left > 0, "nothing that had arrived was kept");

    let pulled = json(pull(home.path(), &proxy.url, &[]));
    check(&known);
    assert_eq!(pulled["fetched_bytes"].as_u64(), Some(size as u64 - left));
    assert!(asked <= size as u64 + KILLS * CONNECTIONS * PIECE, "{asked} bytes were asked for in {KILLS} kills");
    holds(Path::new(pulled["path"].as_str().unwrap()), &files);
    assert_eq!(std::fs::read_dir(cache.join("partial")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pull_of_many_files_begins_with_the_next() {
    let files = many_small(400);
    let server = serving(&files).await;
    let (proxy, home) = (Proxy::start(&server, Duration::from_millis(2)), tempfile::tempdir().unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(10);
    // All of them together leave some of the files to be asked for.
    const KILLS: usize = 4;
    for _ in 0..KILLS {
        pull_and_kill(home.path(), &proxy, random.random_range(100_000..1_200_000), || true);
    }
    proxy.let_go();
    let pulled = json(pull(home.path(), &proxy.url, &[]));
    let requests = proxy.take_files().len();
    assert!(requests <= files.len() + KILLS * SMALL_AT_ONCE, "{requests} requests for {} files", files.len());
    holds(Path::new(pulled["path"].as_str().unwrap()), &files);

    let again = json(pull(home.path(), &proxy.url, &[]));
    assert_eq!((again["fetched_files"].as_u64(), &again["path"]), (Some(0), &pulled["path"]));
    assert_eq!(proxy.take().len(), 1, "a second pull asks for the manifest only");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_side_by_side_share_the_work() {
    let mut files = many_small(300);
    files.insert("weights.raw".to_owned(), random(1, 30_000_000));
    let server = serving(&files).await;
    let (proxy, home) = (Proxy::start(&server, Duration::from_millis(1)), tempfile::tempdir().unwrap());
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4).map(|_| scope.spawn(|| json(pull(home.path(), &proxy.url, &[])))).collect();
        pulls.into_iter().map(|pull| pull.join().unwrap()).collect()
    });
    let sum = |key: &str| answers.iter().map(|answer| answer[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(Some(sum("fetched_bytes")), answers[0]["total_bytes"].as_u64(), "the same bytes travelled twice");
    assert_eq!(sum("fetched_files"), files.len() as u64);
    let mut asked: Vec<_> = proxy.take_files().into_iter().map(|asked| (asked.path, asked.range.map(|range| range.start))).collect();
    let requests = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), requests, "something was asked for twice");
    assert!(answers.iter().all(|answer| answer["path"] == answers[0]["path"]));
    holds(Path::new(answers[0]["path"].as_str().unwrap()), &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_files_are_a_folder_of_their_own() {
    let names = ["NOTES.txt", "config.json", "onnx/config.json", "onnx/model.raw"];
    let files: BTreeMap<String, Vec<u8>> = names.iter().zip(0..).map(|(name, n)| ((*name).to_owned(), random(n, 1_000))).collect();
    let server = serving(&files).await;
    let home = tempfile::tempdir().unwrap();
    let pull = |words: &[&str]| pull(home.path(), &server.url, words);
    let folder = |answer: &Value| PathBuf::from(answer["path"].as_str().unwrap());
    let listed = |folder: &Path| {
        let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.unwrap());
        let names = files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.path().strip_prefix(folder).unwrap().to_owned());
        names.map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let some = json(pull(&["--include", "*.json", "--exclude", "onnx/"]));
    assert_eq!((some["whole"].as_bool(), some["files"].as_u64(), some["fetched_files"].as_u64()), (Some(false), Some(1), Some(1)));
    assert_eq!(listed(&folder(&some)), ["config.json"]);
    fails(pull(&["--offline"]), 3);
    assert_eq!(json(pull(&["--offline", "--include", "config.json"]))["path"], some["path"]);
    let more = json(pull(&["--include", "onnx/", "--include", "NOTES*"]));
    assert_eq!(listed(&folder(&more)), ["NOTES.txt", "onnx/config.json", "onnx/model.raw"]);
    assert_eq!(listed(&folder(&some)), ["config.json"], "another selection changed this one");

    let whole = json(pull(&[]));
    assert_eq!((whole["whole"].as_bool(), whole["fetched_files"].as_u64()), (Some(true), Some(0)), "all its files were here already");
    assert!(folder(&whole).ends_with(whole["commit"].as_str().unwrap()) && !folder(&some).ends_with(whole["commit"].as_str().unwrap()));
    holds(&folder(&whole), &files);
    assert_eq!(json(pull(&["--include", "*"]))["path"], whole["path"]);
    for words in [&["--revision-by-digest"][..], &["--include", "["], &["--exclude", ""]] {
        assert_eq!(pull(words).output().unwrap().status.code(), Some(2), "{words:?}");
    }
    assert!(fails(pull(&["--include", "*.JSON"]), 3).contains("--include"));

    let out = home.path().join("out");
    json(pull(&["--include", "*.json", "--to", out.to_str().unwrap()]));
    assert_eq!(listed(&out), ["config.json", "onnx/config.json"]);
    std::fs::write(out.join("config.json"), "mine").unwrap();
    holds(&folder(&whole), &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_found_again_offline_by_every_name() {
    let files = many_small(3);
    let server = serving(&files).await;
    let home = tempfile::tempdir().unwrap();
    let pulled = json(pull(home.path(), &server.url, &[]));
    let (url, commit, manifest) = (server.url.clone(), pulled["commit"].as_str().unwrap(), pulled["manifest"].as_str().unwrap());
    assert_eq!(server.stop(), Some(0));
    for revision in ["", "@main", "@1", &format!("@{commit}"), &format!("@{}", &commit[..9]), &format!("@sha256:{manifest}")] {
        let mut command = hub(home.path());
        command.env("HUB_SERVER", &url).args(["pull", &format!("dataset:library/net{revision}"), "--offline"]);
        assert_eq!(json(command)["path"], pulled["path"], "{revision}");
    }
    // A blob that was lost is missed.
    let cache = Cache::open(home.path().join("cache")).unwrap();
    std::fs::remove_file(cache.blob_path(&Digest::of(&files["texts/1/0001.txt"]))).unwrap();
    assert!(fails(pull(home.path(), &url, &["--offline"]), 3).contains("texts/1/0001.txt"));
}

#[tokio::test]
async fn pickles_come_only_where_they_are_asked_for() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let admin = server.admin();
    create_repo(&admin, "model", "library/net").await;
    let namespace: &[u8] = b"\x80\x02cargparse\nNamespace\nq\x00)Rq\x01.";
    let files: &[(&str, &[u8])] = &[("README.md", b"# Net\n"), ("weights.dat", b"\x01\x02\x03"), ("arguments.bin", namespace)];
    publish(&admin, "models/library/net", None, files).await.created();
    let pull = |words: &[&str]| {
        let done = server.hub(home.path()).current_dir(home.path()).args(["pull", "library/net"]).args(words).output().unwrap();
        let folder = PathBuf::from(String::from_utf8_lossy(&done.stdout).trim());
        (done.status.success(), folder, String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (done, folder, said) = pull(&[]);
    assert!(done && said.contains("arguments.bin is a pickle and was left out; --allow-pickle takes it"), "{said}");
    assert!(said.contains("2 of 3 files") && folder.join("weights.dat").exists() && !folder.join("arguments.bin").exists(), "{said}");
    let (done, folder, said) = pull(&["--offline"]);
    assert!(done && said.contains("left out") && !folder.join("arguments.bin").exists(), "offline it is known as well: {said}");
    let (done, folder, said) = pull(&["--allow-pickle"]);
    assert!(done && !said.contains("left out"), "{said}");
    assert_eq!(std::fs::read(folder.join("arguments.bin")).unwrap(), namespace);
    assert_eq!(std::fs::read(folder.join("weights.dat")).unwrap(), files[1].1);
    let (done, _, said) = pull(&["--to", "here"]);
    assert!(done && home.path().join("here/weights.dat").exists() && !home.path().join("here/arguments.bin").exists(), "{said}");
}
