//! What reads other people's files is a process of its own that can do nothing else: it has no secret, no database and no network,
//! and the hub says how far the kernel holds it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::publishing::{create_repo, publish};
use crate::support::training::{Gate, Person, children_of, training_of};
use crate::support::{HUB, Server, hub, until};
use hub::confine::probe::{Answer, Attempts};
use hub::confine::{Choice, Grant, Kernel};
use serde_json::{Value, json};

/// Lets a confined process try to get at these files.
fn try_to_reach(server: &Server, closed: &[&str], choice: Choice) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    std::fs::write(&own, "granted").unwrap();
    let grant = Grant {
        read: vec![own.clone()],
        write: vec![folder.path().to_owned()],
        never: server.data().to_owned(),
        memory_bytes: 4 << 30,
        parent: std::process::id(),
        choice,
        ..Grant::default()
    };
    let closed = closed.iter().map(|name| server.data().join(name)).collect();
    let port = server.authority().rsplit_once(':').unwrap().1.parse().unwrap();
    let attempts = Attempts { grant, own, secrets: Vec::new(), closed, port };
    let mut command = Command::new(HUB);
    command.args(["confined", "probe"]).env_clear().env("TMPDIR", folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{}\n", json!(attempts)).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_confined_process_reads_no_secret_writes_no_database_and_reaches_nobody() {
    let server = Server::start();
    let files = ["admin-token", "hub.db", "hub.db-wal"];
    let kernel = Kernel::ask();
    let answer = try_to_reach(&server, &files, Choice::Auto);
    assert_eq!(answer.enforced, kernel, "all that this kernel has");
    assert_eq!(answer.broken, Vec::<String>::new());
    // Whoever runs the tests as a kernel has it sees what holds here; what one of the two does alone is told apart.
    let by_paths =
        |tried: &&String| tried.contains("hub.db") || tried.contains("admin-token") || tried.contains("list") || tried.contains("passwd");
    let (paths, calls): (Vec<&String>, Vec<&String>) = answer.succeeded.iter().partition(by_paths);
    assert_eq!(paths.is_empty(), kernel.landlock.is_some(), "{paths:?}");
    assert_eq!(calls.is_empty(), kernel.seccomp, "{calls:?}");
    if kernel.is_whole() {
        for tried in ["admin-token", "hub.db", "TCP", "UDP", "start a program", "trace", "signal", "memory", "namespaces"] {
            assert!(answer.refused.iter().any(|refused| refused.contains(tried)), "{tried}: {:?}", answer.refused);
        }
    }
    let open = try_to_reach(&server, &files, Choice::Off);
    assert_eq!(open.enforced, Kernel::default());
    for tried in ["read", "write"] {
        let found = open.succeeded.iter().any(|done| done.starts_with(tried) && done.ends_with("hub.db"));
        assert!(found, "the attempts can succeed: {:?}", open.succeeded);
    }
    assert!(open.succeeded.iter().any(|done| done.contains("TCP")), "{:?}", open.succeeded);
}

/// The confined process for a part of the work that a process has started, by its command.
fn confined_of(parent: u32, part: &str) -> Option<u32> {
    let command = format!("confined\0{part}\0");
    let is_it = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&command));
    children_of(parent).into_iter().find(is_it)
}

/// Kills such a process as soon as it is there.
async fn kill_when_there(server: &Server, part: &str) {
    loop {
        if let Some(pid) = confined_of(server.pid(), part) {
            crate::support::signal(pid, libc::SIGKILL);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Pictures of many pixels and few bytes: a check has to do.
fn large_pictures(count: usize) -> Vec<(String, Vec<u8>)> {
    let picture = |n: usize| {
        let colour = image::Rgb([n as u8 * 5, if n.is_multiple_of(2) { 20 } else { 200 }, 90]);
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(3_000, 2_000, colour).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        (format!("{}/{n}.png", if n.is_multiple_of(2) { "even" } else { "odd" }), bytes.into_inner())
    };
    (0..count).map(picture).collect()
}

#[tokio::test]
async fn a_check_that_is_killed_is_said_and_the_files_are_kept() {
    let server = Server::start();
    let admin = server.admin();
    create_repo(&admin, "dataset", "library/large").await;
    let pictures = large_pictures(24);
    let files: Vec<(&str, &[u8])> = pictures.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (published, ()) = tokio::join!(publish(&admin, "datasets/library/large", None, &files), kill_when_there(&server, "check"));
    let published = published.created();
    let warnings = published["warnings"].to_string();
    assert!(
        warnings.contains("did not come to its end: it was ended by signal 9") && warnings.contains("cannot be trained on"),
        "{published:#}"
    );
    // The same files pass when nobody kills their check.
    let again = publish(&admin, "datasets/library/large", Some(1), &[&files[..], &[("README.md", b"# Large\n")]].concat()).await.created();
    assert!(!again["warnings"].to_string().contains("did not come to its end"), "{again:#}");
    let repo = admin.get("/api/v1/datasets/library/large").await.ok();
    assert_eq!(repo["facts"]["labels"], json!(["even", "odd"]), "{repo:#}");
}

#[tokio::test]
async fn what_nobody_could_look_into_is_refused() {
    let server = Server::start();
    let admin = server.admin();
    create_repo(&admin, "model", "library/odd").await;
    // A long pickle of nothing: a scan has to do.
    let long = b"N0".repeat(6_000_000);
    let files: [(&str, &[u8]); 1] = [("weights.bin", &long)];
    let (refused, ()) = tokio::join!(publish(&admin, "models/library/odd", None, &files), kill_when_there(&server, "scan"));
    let (status, problem) = (refused.status.as_u16(), refused.json());
    assert_eq!((status, &problem["code"]), (422, &json!("scan_ended")), "{problem:#}");
    let words = problem.to_string();
    assert!(words.contains("'weights.bin'") && words.contains("ended by signal 9"), "{words}");
}

fn status(pid: u32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines().find_map(|line| line.strip_prefix(&format!("{key}:"))).unwrap().trim().to_owned()
}

fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect()
}

#[tokio::test]
async fn a_training_has_its_files_and_no_secret_and_its_death_costs_one_attempt() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let gate = Gate::after_epoch(&server, 2);
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 4, "batch_size": 6, "seed": 5, "threads": 1 });
    let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/held", "recipe": recipe })).await;
    admin.held(&id, 1).await;
    let worker = children_of(server.pid())[0];
    let training = training_of(worker).expect("a process that trains");

    let kernel = Kernel::ask();
    assert_eq!(status(training, "NoNewPrivs"), "1");
    assert_eq!(status(training, "Seccomp") == "2", kernel.seccomp);
    let rights = u64::from_str_radix(&status(training, "CapEff"), 16).unwrap();
    assert_eq!(rights & !0b10, 0, "at most that of reading what other accounts own");
    let environment = std::fs::read_to_string(format!("/proc/{training}/environ")).unwrap();
    let names: Vec<_> = environment.split_terminator('\0').filter_map(|entry| entry.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["TMPDIR"]);
    let database = server.data().join("hub.db");
    let held = |file: &PathBuf| file.starts_with(&database) || file.to_string_lossy().contains("socket:");
    assert!(open_files(worker).iter().any(|file| file.to_string_lossy().contains("hub.db")), "the worker has the database");
    assert_eq!(open_files(training).into_iter().filter(held).collect::<Vec<_>>(), Vec::<PathBuf>::new());

    // A training that dies is no death of the worker: the job is tried again from its checkpoint.
    crate::support::signal(training, libc::SIGKILL);
    gate.open();
    let job = admin.end(&id).await;
    let log = admin.log(&id).await;
    assert_eq!((&job["state"], &job["attempt"], &job["result_version"]), (&json!("succeeded"), &json!(2), &json!(1)), "{job:#}\n{log}");
    assert!(log.contains("it was killed from outside (signal 9)") && log.contains("resumed after epoch 1"), "{log}");
    assert_eq!(children_of(server.pid()), [worker], "the same worker, and nobody else is left");
    assert_eq!(children_of(worker), Vec::<u32>::new());
}

#[tokio::test]
async fn a_training_goes_with_its_worker() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let _gate = Gate::after_epoch(&server, 1);
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 4, "batch_size": 6, "seed": 5, "threads": 1 });
    let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/gone", "recipe": recipe })).await;
    admin.held(&id, 1).await;
    let training = training_of(children_of(server.pid())[0]).expect("a process that trains");
    let _data = server.kill();
    let gone = async || !Path::new(&format!("/proc/{training}")).exists();
    until("the training goes with the worker, which goes with the server", gone).await;
}

/// Makes the calls of Landlock unknown to what is started, as on a kernel without it.
fn without_landlock(command: &mut Command) {
    let unknown = seccompiler::SeccompAction::Errno(libc::ENOSYS as u32);
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    let rules = calls.map(|call| (call, Vec::new())).into();
    let here = std::env::consts::ARCH.try_into().unwrap();
    let filter = seccompiler::SeccompFilter::new(rules, seccompiler::SeccompAction::Allow, unknown, here).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    // SAFETY: only system calls between the fork and the program; the filter was made before.
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&program).map_err(|_| std::io::ErrorKind::Other.into()));
    }
}

fn said(config: &mut Command) -> String {
    let output = config.args(["config", "--json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value["confinement"].as_str().unwrap().to_owned()
}

#[test]
fn what_the_kernel_lacks_is_said_and_may_be_required() {
    let data = tempfile::tempdir().unwrap();
    let config = |setting: &str| {
        let mut command = Command::new(HUB);
        command.env_clear().env("HUB_DATA", data.path()).env("HOME", data.path()).env("HUB_CONFINEMENT", setting);
        command
    };
    let here = Kernel::ask();
    let line = said(&mut config("auto"));
    assert!(line.starts_with(&here.to_string()), "{line}");
    assert_eq!(line.contains("all closed"), here.is_whole(), "{line}");
    assert!(said(&mut config("off")).starts_with("off: "));
    let mut lacking = config("auto");
    without_landlock(&mut lacking);
    let line = said(&mut lacking);
    assert!(line.contains("this kernel has no") && line.contains("open: ") && line.contains("read admin-token"), "{line}");

    let serve = |setting: &str| {
        let mut command = config(setting);
        command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "0"]).stderr(Stdio::piped());
        without_landlock(&mut command);
        command
    };
    let refused = serve("require").output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{words}");
    assert!(words.contains("no Landlock") && words.contains("HUB_CONFINEMENT"), "{words}");
    let mut without = serve("auto").spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(without.stderr.take().unwrap()));
    let begun: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.starts_with("listening on")).collect();
    without.kill().unwrap();
    without.wait().unwrap();
    assert!(begun.iter().any(|line| line.contains("WARN") && line.contains("this kernel has no Landlock")), "{begun:#?}");
    let wrong = hub(data.path()).env("HUB_CONFINEMENT", "perhaps").arg("config").output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("auto, require or off"));
}
