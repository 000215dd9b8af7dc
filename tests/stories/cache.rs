//! `hub cache`: looking after what was pulled.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::support::proxy::Proxy;
use crate::support::publishing::{create_repo, publish};
use crate::support::{Server, eventually, hub};
use serde_json::{Value, json};

/// A server with two versions of `library/net` and one of `library/pets`, and a home.
struct Desk {
    server: Server,
    home: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Desk {
        let server = Server::start();
        let admin = server.admin();
        for name in ["net", "pets"] {
            create_repo(&admin, "dataset", &format!("library/{name}")).await;
        }
        let shared: (&str, &[u8]) = ("shared.raw", &[7; 5_000]);
        publish(&admin, "datasets/library/net", None, &[("a.txt", b"one"), shared]).await.created();
        publish(&admin, "datasets/library/net", Some(1), &[("a.txt", b"other"), shared]).await.created();
        publish(&admin, "datasets/library/pets", None, &[("b.txt", b"pets")]).await.created();
        Desk { server, home: tempfile::tempdir().unwrap() }
    }

    fn hub(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = hub(self.home.path());
        command.env("HUB_SERVER", &self.server.url).args(words);
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str], code: i32) -> Output {
        let output = self.hub(words).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(code < 3 || said.contains("error") && said.contains("hint"), "a failure without a hint: {said}");
        output
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().chain(&["--json"]).copied().collect();
        serde_json::from_slice(&self.run(&words, 0).stdout).unwrap()
    }

    /// Pulls it and answers the folder.
    fn pull(&self, name: &str) -> PathBuf {
        self.json(&["pull", name])["path"].as_str().unwrap().into()
    }

    fn labels(&self) -> Vec<String> {
        text(&self.run(&["cache", "list", "--quiet"], 0).stdout).lines().map(str::to_owned).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// As a failing disk would: other bytes, and nothing else to see.
fn rot(path: &Path) {
    let modified = path.metadata().unwrap().modified().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
    File::open(path).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_listed_and_found() {
    let desk = Desk::new().await;
    assert_eq!(text(&desk.run(&["cache", "list"], 0).stdout), "");
    desk.run(&["cache", "path", "dataset:library/net"], 3);
    let first = desk.pull("dataset:library/net@1");
    let newest = desk.pull("dataset:library/net");
    desk.run(&["pull", "dataset:library/pets", "--include", "*.txt"], 0);
    desk.run(&["pull", "dataset:library/net@1", "--include", "a.txt"], 0);
    assert_eq!(desk.labels(), ["dataset:library/net@1", "dataset:library/net@1", "dataset:library/net@2", "dataset:library/pets@1"]);
    let human = text(&desk.run(&["cache", "list"], 0).stdout);
    assert!(human.contains("1 of 2") && human.contains("5.00 kB"), "{human}");

    let listed = desk.json(&["cache", "list"]);
    let version = &listed["versions"][2];
    let facts = ["repo", "kind", "version", "refs", "files", "whole", "total_bytes"].map(|key| version[key].clone());
    assert_eq!(json!(facts), json!(["library/net", "dataset", 2, ["main"], 2, true, 5_005]));
    assert_eq!(listed["blobs"], json!({"count": 4, "bytes": 5_012}), "what two versions share lies here once");
    assert_eq!(version["path"].as_str(), newest.to_str());

    let path = |words: &[&str]| PathBuf::from(text(&desk.run(words, 0).stdout).trim_end());
    assert_eq!(path(&["cache", "path", "dataset:library/net"]), newest);
    assert_eq!(path(&["cache", "path", "library/net@1", "--dataset"]), first);
    assert_eq!(path(&["cache", "path"]), desk.home.path().join("cache"));
    desk.run(&["cache", "path", "library/net"], 3);
    desk.run(&["cache", "path", "--dataset"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_fetched_anew() {
    let desk = Desk::new().await;
    let folder = desk.pull("dataset:library/net");
    desk.pull("dataset:library/net@1");
    let said = text(&desk.run(&["cache", "verify"], 0).stdout);
    assert!(said.starts_with("3 files, 5.01 kB"), "{said}");

    rot(&folder.join("shared.raw"));
    assert_eq!(desk.json(&["pull", "dataset:library/net"])["fetched_files"], 0, "a pull trusts what it has proved before");
    let found = desk.run(&["cache", "verify", "--json"], 5);
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let named = json!(["dataset:library/net@2 shared.raw", "dataset:library/net@1 shared.raw"]);
    assert_eq!((&report["damaged"][0]["stood_for"], report["damaged"].as_array().unwrap().len()), (&named, 1));
    let error: Value = serde_json::from_str(text(&found.stderr).lines().last().unwrap()).unwrap();
    assert_eq!((error["error"]["code"].as_str(), error["error"]["exit_code"].as_i64()), (Some("damaged"), Some(5)));
    desk.run(&["cache", "verify"], 0);
    desk.run(&["pull", "dataset:library/net", "--offline"], 3);
    let again = desk.json(&["pull", "dataset:library/net"]);
    assert_eq!((again["fetched_files"].as_u64(), again["path"].as_str()), (Some(1), folder.to_str()));
    assert_eq!(std::fs::read(folder.join("shared.raw")).unwrap(), [7; 5_000]);

    // Somebody edits a file in the cache: seen at the next pull, without a verification.
    let file = folder.join("a.txt");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, "OTHER").unwrap();
    assert_eq!(desk.json(&["pull", "dataset:library/net"])["fetched_files"], 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "other");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, "OTHER").unwrap();
    let named = text(&desk.run(&["cache", "verify"], 5).stderr);
    assert!(named.contains("damaged: dataset:library/net@2 a.txt") && named.contains("hub pull dataset:library/net@2"), "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_needed_goes() {
    let desk = Desk::new().await;
    let first = desk.pull("dataset:library/net@1");
    let second = desk.pull("dataset:library/net");
    desk.pull("dataset:library/pets");
    assert_eq!(desk.json(&["cache", "prune"])["freed_bytes"], 0);
    let old = SystemTime::now() - Duration::from_secs(40 * 86_400);
    File::open(&first).unwrap().set_modified(old).unwrap();

    let plan = desk.json(&["cache", "prune", "--unused-for", "30d", "--dry-run"]);
    assert_eq!((plan["freed_bytes"].as_u64(), plan["versions"][0]["version"].as_u64()), (Some(3), Some(1)));
    assert!(first.is_dir());
    let done = text(&desk.run(&["cache", "prune", "--unused-for", "30d"], 0).stdout);
    assert_eq!(done, "dataset:library/net@1\n1 file, 3 B\nfreed 3 B\n");
    assert_eq!(desk.labels(), ["dataset:library/net@2", "dataset:library/pets@1"]);
    assert!(!first.exists() && second.join("shared.raw").is_file());
    desk.run(&["cache", "verify"], 0);

    desk.run(&["cache", "prune", "library/net"], 3);
    desk.run(&["cache", "prune", "dataset:library/net@1"], 3);
    for wrong in [&["--unused-for", "soon"][..], &["--all", "--older-than", "1d"], &["dataset:library/net", "--all"], &["a/b/c"]] {
        desk.run(&[&["cache", "prune"], wrong].concat(), 2);
    }
    assert_eq!(desk.json(&["cache", "prune", "dataset:library/net@main"])["freed_bytes"], 5_005);
    assert_eq!(desk.json(&["cache", "prune", "--older-than", "1h"])["freed_bytes"], 0);
    assert_eq!(desk.json(&["cache", "prune", "--all"])["freed_bytes"], 4);
    assert_eq!(desk.labels(), Vec::<String>::new());
    desk.run(&["pull", "dataset:library/pets", "--offline"], 3);
    desk.pull("dataset:library/net");
}

/// Of somebody who may read everything here and write nothing: whoever is root would not be stopped by modes.
fn stranger(desk: &Desk, words: &[&str]) -> Output {
    // The program may lie where only its builder goes.
    let hub = desk.home.path().join("program");
    // SAFETY: a plain system call.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = std::process::Command::new(if is_root { "setpriv".into() } else { hub.clone() });
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&hub);
    }
    command
        .args(words)
        .env_remove("HOME")
        .env("HUB_CACHE", desk.home.path().join("cache"))
        .env("HUB_SERVER", &desk.server.url)
        .current_dir("/");
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_may_only_be_read_is_as_good_for_what_lies_in_it() {
    let desk = Desk::new().await;
    desk.pull("dataset:library/net@2");
    std::fs::copy(crate::support::HUB, desk.home.path().join("program")).unwrap();
    let modes = |folders: u32| {
        let all = walkdir::WalkDir::new(desk.home.path()).contents_first(true).into_iter().map(Result::unwrap);
        for entry in all.filter(|entry| entry.file_type().is_dir()) {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(folders)).unwrap();
        }
    };
    modes(0o555);
    for words in [
        &["pull", "dataset:library/net@2"][..],
        &["pull", "dataset:library/net@2", "--offline"],
        &["cache", "verify"],
        &["cache", "list"],
        &["cache", "path", "dataset:library/net@2"],
    ] {
        let output = stranger(&desk, words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    }
    let absent = stranger(&desk, &["pull", "dataset:library/pets"]);
    assert!(!absent.status.success() && text(&absent.stderr).contains("HUB_CACHE"), "{}", text(&absent.stderr));
    modes(0o755);
}

#[test]
fn without_a_home_there_is_an_error_and_no_cache() {
    let here = tempfile::tempdir().unwrap();
    for (words, variable) in [(&["pull", "x"][..], "HUB_CACHE"), (&["login", "--token", "hub_x"], "HUB_CONFIG"), (&["serve"], "HUB_DATA")] {
        let mut command = hub(here.path());
        let output = command.env_remove("HOME").env_remove("HUB_CACHE").env("HUB_SERVER", "http://127.0.0.1:9");
        let output = output.current_dir(here.path()).args(words).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && (said.contains(variable) || words[0] == "login"), "{words:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_beside_pulls_takes_nothing_they_need() {
    let desk = Desk::new().await;
    let weights: Vec<u8> = (0..6_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let files: &[(&str, &[u8])] = &[("a.txt", b"other"), ("weights.raw", &weights)];
    publish(&desk.server.admin(), "datasets/library/net", Some(2), files).await.created();
    desk.pull("dataset:library/net@2");
    let proxy = Proxy::start(&desk.server, Duration::from_millis(2));
    proxy.hold_after(1_000_000);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut command = hub(desk.home.path());
            command.env("HUB_SERVER", &proxy.url).args(["pull", "dataset:library/net", "--json"]).output().unwrap()
        });
        // The version is held from before its first byte.
        eventually("the pull is in the middle", || (proxy.passed() >= 1_000_000).then_some(()));
        for _ in 0..3 {
            desk.run(&["cache", "prune", "--all"], 0);
        }
        assert!(!slow.is_finished());
        proxy.let_go();
        while !slow.is_finished() {
            desk.run(&["cache", "prune", "--all"], 0);
        }
        let output = slow.join().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let pulled: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(pulled["fetched_bytes"].as_u64(), Some(24_000_000), "a.txt was here, and stayed");
    });
    let left = desk.labels();
    assert!(left.iter().all(|label| label == "dataset:library/net@3"), "{left:?}");
}
