//! The real command line against the real server: what people type, what they read, what scripts rely on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Server, hub};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// A home, and a model folder to publish.
struct Desk {
    home: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A model of `values` numbers drawn from `seed`.
    fn model(&self, folder: &str, seed: u64, values: usize) -> PathBuf {
        self.write(&format!("{folder}/README.md"), "---\nlicense: apache-2.0\ndatasets: [imagenet-1k]\n---\n# A net\n");
        self.write(&format!("{folder}/model.safetensors"), safetensors(seed, values));
        self.write(&format!("{folder}/.git/config"), "not yours");
        self.path(folder)
    }
}

/// One tensor `weight` of random numbers.
fn safetensors(seed: u64, values: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4 * values];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    // Halves the exponents' top bit, so that no value is NaN or infinite.
    bytes.iter_mut().skip(3).step_by(4).for_each(|byte| *byte &= 0xbf);
    let header = format!(r#"{{"weight":{{"dtype":"F32","shape":[{values}],"data_offsets":[0,{}]}}}}"#, 4 * values);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it, and expects this exit code.
#[track_caller]
fn run(command: &mut assert_cmd::Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    if code > 1 {
        assert!(said.contains("error") && said.contains("hint"), "a failure without a hint: {said}");
    }
    output
}

#[track_caller]
fn json(command: &mut assert_cmd::Command) -> Value {
    let output = run(command.arg("--json"), 0);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {}", text(&output.stdout)))
}

#[test]
fn publish_show_find_and_pull() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    let model = desk.model("net", 1, 1_000);
    let first = run(hub().args(["publish", "net", "library/net", "--message", "First", "--tag", "v1.0"]).current_dir(desk.home.path()), 0);
    assert!(text(&first.stdout).contains("Published library/net version 1"), "{}", text(&first.stdout));
    assert!(text(&first.stdout).contains(&format!("{}/library/net", server.url)));
    assert!(text(&first.stderr).contains("left out: .git"));

    hub().arg("publish").args([&model]).arg("library/net").assert().success().stdout(contains("Already up to date: library/net version 1"));
    let quiet = run(hub().arg("publish").args([&model]).args(["library/net", "--quiet"]), 0);
    assert_eq!((text(&quiet.stdout), text(&quiet.stderr)), ("library/net@1\n".into(), String::new()));

    let shown = json(hub().args(["show", "library/net@v1.0"]));
    assert_eq!((shown["id"].as_str(), shown["facts"]["parameters"].as_u64()), (Some("library/net"), Some(1_000)));
    hub().args(["show", "library/net", "--files"]).assert().success().stdout(contains("model.safetensors"));
    hub().args(["show", "library/net", "--tensors"]).assert().success().stdout(contains("weight").and(contains("F32")));
    hub().args(["show", "library/net", "--versions"]).assert().success().stdout(contains("main, v1.0").or(contains("v1.0")));
    let found = json(hub().args(["search", "net", "--source-dataset", "imagenet-1k", "--max-parameters", "5k"]));
    assert_eq!(found["items"][0]["id"], "library/net");
    hub().args(["search", "nothing-like-it"]).assert().success().stdout("").stderr(contains("nothing was found"));

    let pulled = json(hub().args(["pull", "library/net"]));
    assert_eq!((pulled["fetched_files"].as_u64(), pulled["version"].as_u64()), (Some(2), Some(1)));
    let path = PathBuf::from(pulled["path"].as_str().unwrap());
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), safetensors(1, 1_000));
    // What is pasted from a browser's address bar is understood.
    let pasted = json(hub().args(["pull", &format!("{}/library/net?rev=1", server.url)]));
    assert_eq!(pasted["path"], pulled["path"]);
    for revision in ["", "@1", "@v1.0", "@main", &format!("@{}", &pulled["commit"].as_str().unwrap()[..8])] {
        let again = json(hub().args(["pull", &format!("library/net{revision}")]));
        assert_eq!((again["fetched_files"].as_u64(), &again["path"]), (Some(0), &pulled["path"]), "{revision}");
    }
    let human = run(hub().args(["pull", "library/net"]), 0);
    assert_eq!(text(&human.stdout).lines().last(), path.to_str(), "the last line is the path");
    assert!(text(&human.stderr).contains("already here"));
}

#[test]
fn versions_and_copies() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    let model = desk.model("net", 1, 1_000);
    run(hub().arg("publish").args([&model]).arg("library/net"), 0);
    desk.write("net/notes.txt", "more");
    let second = json(hub().arg("publish").args([&model]).arg("library/net"));
    assert_eq!((second["version"]["number"].as_u64(), second["sent_bytes"].as_u64()), (Some(2), Some(4)), "only the new file travels");

    let out = desk.path("out");
    let first = run(hub().args(["pull", "library/net@1", "--to"]).arg(&out), 0);
    assert_eq!(text(&first.stdout).trim_end(), out.to_str().unwrap());
    assert!(!out.join("notes.txt").exists());
    std::fs::write(out.join("README.md"), "mine").unwrap();
    let refused = run(hub().args(["pull", "library/net", "--to"]).arg(&out), 1);
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert!(!out.join("notes.txt").exists(), "a refused copy wrote something");
    run(hub().args(["pull", "library/net", "--force", "--to"]).arg(&out), 0);
    assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "more");

    let plan = json(hub().args(["publish", "--dry-run"]).args([&model]).arg("library/other"));
    assert_eq!((plan["files"].as_array().unwrap().len(), &plan["dry_run"]), (3, &Value::Bool(true)));
    run(hub().args(["show", "library/other"]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let (server, desk) = (Server::start(), Desk::new());
    let ann = server.user("ann").await;
    let reader = ann.post("/api/v1/tokens", &serde_json::json!({"name": "r", "scope": "read"})).await.created();
    let bob = server.user("bob").await;
    let model = desk.model("net", 1, 100);
    let with = |token: &str| {
        let mut command = hub(desk.home.path());
        command.env("HUB_SERVER", &server.url).env("HUB_TOKEN", token);
        command
    };
    run(with(&ann.token).arg("publish").args([&model]).args(["ann/secret", "--private"]), 0);
    run(with(&ann.token).args(["pull", "ann/secret"]), 0);
    for token in [bob.token.as_str(), ""] {
        let hidden = run(with(token).args(["pull", "ann/secret"]), 3);
        let unknown = run(with(token).args(["pull", "ann/nothing"]), 3);
        assert_eq!(
            text(&hidden.stderr).replace("secret", "X"),
            text(&unknown.stderr).replace("nothing", "X"),
            "a private repo shows that it exists"
        );
        assert_eq!(json(with(token).args(["search", "secret"]))["total"], 0);
    }
    let refused = run(with(reader["secret"].as_str().unwrap()).arg("publish").args([&model]).arg("ann/other"), 4);
    assert!(text(&refused.stderr).contains("it needs 'write'"), "{}", text(&refused.stderr));
    run(with(&bob.token).arg("publish").args([&model]).arg("ann/other"), 4);
    run(with("").arg("publish").args([&model]).arg("ann/other"), 4);
    run(with("hub_wrong").args(["whoami"]), 4);
    run(with(&ann.token).args(["show", "ann/other"]), 3);
    run(with(&ann.token).arg("publish").args([&model]).arg("ann/open"), 0);
    let leak = run(with(&ann.token).arg("publish").args([&model]).args(["ann/open", "--private"]), 1);
    assert!(text(&leak.stderr).contains("is public"));
}

#[test]
fn login_is_kept_and_forgotten() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || {
        let mut command = hub(desk.home.path());
        command.env("HUB_SERVER", &server.url);
        command
    };
    let stranger = run(hub().arg("whoami"), 4);
    assert!(text(&stranger.stderr).contains("hub login"));
    run(hub().arg("login").write_stdin("hub_nonsense\n"), 4);
    run(hub().arg("login").write_stdin("\n"), 2);
    let login = run(hub().arg("login").write_stdin(format!("{}\n", server.admin_token)), 0);
    assert!(!text(&login.stdout).contains(&server.admin_token) && text(&login.stdout).contains("as admin"));
    assert_eq!(json(hub().arg("whoami"))["name"], "admin");
    let own = run(hub().env("HUB_CONFIG", desk.path("own/hub.toml")).args(["login", "--token", &server.admin_token]), 0);
    assert!(text(&own.stdout).contains("own/credentials.toml") && desk.path("own/credentials.toml").is_file(), "{own:?}");
    let kept = desk.path(".config/backbone-hub/credentials.toml");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions()) & 0o777, 0o600);
    run(hub().arg("logout"), 0);
    run(hub().arg("whoami"), 4);
    run(hub().args(["login", "--token", &server.admin_token]), 0);
    let refused = run(hub().args(["whoami", "--server", "http://192.0.2.1:9", "--token", "hub_x"]), 4);
    assert!(text(&refused.stderr).contains("--insecure"), "{}", text(&refused.stderr));
}

#[test]
fn a_data_set_of_many_files_travels_as_one() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    for n in 0..120u8 {
        let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([n, x as u8 * 9, y as u8 * 9]));
        let class = if n % 2 == 0 { "cats" } else { "dogs" };
        let path = desk.write(&format!("pets/{class}/{n}.png"), "");
        image.save(path).unwrap();
    }
    desk.write("pets/README.md", "---\nlicense: mit\n---\n# Pets\n");
    let refused = run(hub().args(["publish", "pets", "library/pets"]).current_dir(desk.home.path()), 2);
    assert!(text(&refused.stderr).contains("holds images and no model") && text(&refused.stderr).contains("--dataset"), "{refused:?}");
    run(hub().args(["show", "library/pets"]), 3);
    let published = run(hub().args(["publish", "pets", "library/pets", "--dataset"]).current_dir(desk.home.path()), 0);
    assert!(text(&published.stderr).contains("packed into one data.zip"));
    let files = run(hub().args(["show", "dataset:library/pets", "--files", "--quiet"]), 0);
    assert_eq!(text(&files.stdout), "README.md\ndata.zip\n");
    let shown = json(hub().args(["show", "library/pets", "--dataset"]));
    assert_eq!((shown["facts"]["classes"].as_u64(), shown["facts"]["samples"].as_u64()), (Some(2), Some(120)));
    run(hub().args(["publish", "pets", "library/pets", "--dataset"]).current_dir(desk.home.path()), 0);
    assert_eq!(json(hub().args(["show", "library/pets", "--dataset"]))["version"]["number"], 1, "the same files made a new version");
    let wrong_kind = run(hub().args(["pull", "library/pets"]), 3);
    assert!(text(&wrong_kind.stderr).contains("--dataset"), "{}", text(&wrong_kind.stderr));
    run(hub().args(["pull", "dataset:library/pets"]), 0);
    let left: Vec<_> = std::fs::read_dir(desk.path("cache"))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("pack"))
        .collect();
    assert!(left.is_empty(), "the archive was left behind");
}

#[test]
fn many_texts_travel_as_one_and_many_files_as_a_list() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    for n in 0..2_050 {
        desk.write(&format!("texts/{n}.txt"), "text");
    }
    desk.write("texts/part.parquet", b"PAR1 no parquet PAR1");
    desk.write("texts/README.md", "---\nlicense: mit\n---\n# Texts\n");
    let published =
        run(hub().args(["publish", "texts", "library/texts", "--dataset", "--exclude", "*.parquet"]).current_dir(desk.home.path()), 0);
    assert!(
        text(&published.stderr).contains("2050 files are packed") && text(&published.stderr).contains("2050 texts in no folder"),
        "{published:?}"
    );
    let files = run(hub().args(["show", "dataset:library/texts", "--files", "--quiet"]), 0);
    assert_eq!(text(&files.stdout), "README.md\ndata.zip\n");
    let loose = run(
        hub()
            .args(["publish", "texts", "library/loose", "--dataset", "--loose", "--exclude", "*.parquet", "--json"])
            .current_dir(desk.home.path()),
        0,
    );
    let loose: Value = serde_json::from_slice(&loose.stdout).unwrap();
    assert_eq!(loose["version"]["files"], 2_051);
}

#[test]
fn what_was_pulled_for_others_is_published_as_it_is() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    let model = desk.model("net", 1, 100);
    desk.write("net/.gitignore", "*.log\n");
    desk.write("net/train.log", "secret");
    desk.write("net/.eval/a.yaml", "a: 1");
    let publish = |words: &[&str]| {
        let output = run(hub().arg("publish").arg(&model).args(words).arg("--json"), 0);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let files = |name: &str| text(&run(hub().args(["show", name, "--files", "--quiet"]), 0).stdout);
    publish(&["library/net", "--include", "*.json", "--include", "*.safetensors", "--include", ".eval/", "--include", "*.log"]);
    assert_eq!(files("library/net"), ".eval/a.yaml\nmodel.safetensors\n");
    publish(&["library/all", "--no-gitignore", "--exclude", "*.md"]);
    assert_eq!(files("library/all"), "model.safetensors\ntrain.log\n");
    let pulled = run(hub().env("HF_HOME", desk.path("hf")).args(["pull", "library/net", "--hf-cache", "--quiet"]), 0);
    let snapshot = text(&pulled.stdout);
    run(hub().args(["publish", snapshot.trim(), "library/again"]), 0);
    assert_eq!(files("library/again"), files("library/net"), "its links are taken, and its dot files");
}

#[test]
fn what_must_not_be_published_stays_here() {
    let (server, desk) = (Server::start(), Desk::new());
    let hub = || server.hub(desk.home.path());
    let model = desk.model("net", 1, 100);
    let publish = |code| run(hub().arg("publish").args([&model]).arg("library/net"), code);
    desk.write("net/old.pkl", b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R.");
    assert!(text(&publish(1).stderr).contains("old.pkl"));
    std::fs::remove_file(desk.path("net/old.pkl")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", desk.path("net/users.txt")).unwrap();
    assert!(text(&publish(1).stderr).contains("leads out of the folder"));
    std::fs::remove_file(desk.path("net/users.txt")).unwrap();
    desk.write("net/model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}");
    assert!(text(&publish(1).stderr).contains("model.safetensors"));
    run(hub().args(["pull", "library/net"]), 3);
    run(hub().args(["publish", "nowhere", "library/net"]), 2);
    run(hub().arg("publish").args([&model]).arg("../net"), 2);
    run(hub().arg("publish").args([&model]).args(["library/net", "--tag", "12"]), 2);
}

#[test]
fn four_pulls_at_once_fetch_once() {
    let (server, desk) = (Server::start(), Desk::new());
    let model = desk.model("net", 3, 2_000_000);
    run(server.hub(desk.home.path()).arg("publish").args([&model]).arg("library/net"), 0);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4).map(|_| scope.spawn(|| json(server.hub(desk.home.path()).args(["pull", "library/net"])))).collect();
        pulls.into_iter().map(|pull| pull.join().unwrap()).collect()
    });
    let fetched: u64 = answers.iter().map(|answer| answer["fetched_bytes"].as_u64().unwrap()).sum();
    assert_eq!(fetched, answers[0]["total_bytes"].as_u64().unwrap(), "the same bytes travelled twice");
    assert!(answers.iter().all(|answer| answer["path"] == answers[0]["path"]));
}

/// Between client and server: cuts each of the first connections after a number of bytes drawn at random.
struct Scissors {
    address: String,
    cuts: Arc<AtomicUsize>,
}

impl Scissors {
    fn start(server: &Server, seed: u64, cuts: usize) -> Scissors {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let left = Arc::new(AtomicUsize::new(cuts));
        let (target, count) = (server.authority().to_owned(), left.clone());
        let random = Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = TcpStream::connect(&target).unwrap();
                let budget = random.lock().unwrap().random_range(500_000..9_000_000usize);
                for (from, to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                    let count = count.clone();
                    std::thread::spawn(move || pass(from, to, budget, &count));
                }
            }
        });
        Scissors { address, cuts: left }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut budget: usize, cuts: &AtomicUsize) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if budget < count && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
            return;
        }
        budget = budget.saturating_sub(count);
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn a_cut_line_costs_time_and_nothing_else() {
    let (server, desk) = (Server::start(), Desk::new());
    let model = desk.model("net", 5, 8_000_000);
    let through = |scissors: &Scissors| {
        let mut command = server.hub(desk.home.path());
        command.env("HUB_SERVER", &scissors.address);
        command
    };
    let scissors = Scissors::start(&server, 7, 3);
    run(through(&scissors).arg("publish").args([&model]).arg("library/net"), 0);
    assert_eq!(scissors.cuts.load(Ordering::SeqCst), 0, "the upload was not cut");
    let scissors = Scissors::start(&server, 8, 3);
    let pulled = json(through(&scissors).args(["pull", "library/net"]));
    assert_eq!(scissors.cuts.load(Ordering::SeqCst), 0, "the download was not cut");
    let path = Path::new(pulled["path"].as_str().unwrap()).join("model.safetensors");
    assert_eq!(std::fs::read(path).unwrap(), safetensors(5, 8_000_000));
}

#[test]
fn a_server_that_is_gone() {
    let (server, desk) = (Server::start(), Desk::new());
    let model = desk.model("net", 1, 100);
    run(server.hub(desk.home.path()).arg("publish").args([&model]).arg("library/net"), 0);
    run(server.hub(desk.home.path()).args(["pull", "library/net"]), 0);
    let address = server.url.clone();
    assert_eq!(server.stop(), Some(0));
    let hub = || {
        let mut command = hub(desk.home.path());
        command.env("HUB_SERVER", &address);
        command
    };
    let gone = run(hub().args(["pull", "library/net"]), 1);
    assert!(text(&gone.stderr).contains("cannot reach") && text(&gone.stderr).contains("--offline"), "{}", text(&gone.stderr));
    let offline = run(hub().args(["pull", "library/net", "--offline", "--quiet"]), 0);
    assert!(Path::new(text(&offline.stdout).trim_end()).join("model.safetensors").is_file());
    run(hub().args(["pull", "library/other", "--offline"]), 3);
    let search = run(hub().args(["search", "net", "--json"]), 1);
    let error: Value = serde_json::from_str(text(&search.stderr).lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "unreachable");
}

#[test]
fn mistakes_on_the_command_line() {
    let desk = Desk::new();
    let hub = || hub(desk.home.path());
    for wrong in [
        &["pull"][..],
        &["pull", "a/b/c"],
        &["pull", "net@"],
        &["pull", "net", "--force"],
        &["show", "net", "--files", "--tensors"],
        &["search", "--max-parameters", "many"],
        &["finetune", "--base", "a", "--dataset", "b", "--name", "c", "--epochs", "1000000000"],
        &["finetune", "--base", "a", "--dataset", "b", "--name", "c", "--lr", "NaN"],
        &["finetune", "--base", "a", "--dataset", "./nowhere", "--name", "c"],
        &["jobs", "show", "../etc"],
        &["import", "x.pth"],
        &["nonsense"],
    ] {
        let output = hub().args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    for shell in ["bash", "zsh", "fish"] {
        hub().args(["completions", shell]).assert().success().stdout(contains("hub").and(contains("finetune")));
    }
}
