//! `hub publish` on a line that is held up, killed and cut: what has arrived never travels again.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::line::Line;
use crate::support::publishing::random;
use crate::support::{HUB, Server, signal, until};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// Where a line is held up: four parts of 8 MiB travel at once, so by then one has arrived, and not all five have.
const HELD_AT: u64 = 34 << 20;

/// A folder with a large file of parts and some small ones.
fn folder(home: &Path, large: usize) -> u64 {
    let folder = home.join("net");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("large.dat"), random(7, large)).unwrap();
    for n in 0..10 {
        std::fs::write(folder.join(format!("{n}.dat")), random(n + 10, 20_000)).unwrap();
    }
    large as u64 + 200_000
}

fn publish(server: &Server, home: &Path, url: &str, output: Stdio) -> Child {
    let mut command = Command::new(HUB);
    command.args(["publish", "net", "library/net", "--json"]).current_dir(home).env_clear().env("HOME", home);
    command.env("HUB_CACHE", home.join("cache")).env("HUB_SERVER", url).env("HUB_TOKEN", &server.admin_token);
    command.stdout(output).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Bytes of the only open upload that the server has received.
async fn received(server: &Server) -> u64 {
    let staged = std::fs::read_dir(server.data().join("staging")).unwrap().filter_map(Result::ok);
    let mut total = 0;
    for entry in staged {
        let upload = server.admin().get(&format!("/api/v1/uploads/{}", entry.file_name().to_str().unwrap())).await;
        let runs = if upload.status == 200 { upload.json()["received"].as_array().unwrap().clone() } else { Vec::new() };
        total += runs.iter().map(|run| run[1].as_u64().unwrap() - run[0].as_u64().unwrap()).sum::<u64>();
    }
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_goes_on_and_sends_only_what_is_missing() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let whole = folder(home.path(), 96 * MIB);
    let line = Line::start(&server, HELD_AT);
    let mut killed = publish(&server, home.path(), &line.url, Stdio::null());
    until("a part has arrived", async || received(&server).await >= 8 * MIB as u64).await;
    signal(killed.id(), libc::SIGKILL);
    killed.wait().unwrap();
    line.let_go();
    // What the dead client had still put on the line arrives.
    until("the server has closed the dead client's connections", async || line.open() == 0).await;
    let there = received(&server).await;
    assert!(there >= 8 * MIB as u64 && there < 96 * MIB as u64, "{there}");

    let line = Line::start(&server, u64::MAX);
    let output = publish(&server, home.path(), &line.url, Stdio::piped()).wait_with_output().unwrap();
    assert!(output.status.success());
    let published: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&published["created"], &published["version"]["total_bytes"]), (&json!(true), &json!(whole)));
    let sent = published["sent_bytes"].as_u64().unwrap();
    assert!(sent > 0 && sent <= whole - there, "{sent} were sent, {there} of {whole} were there");
    assert!(line.sent() < sent + 100_000, "{} bytes went over the line for {sent}", line.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_outlives_a_killed_server() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let whole = folder(home.path(), 40 * MIB);
    let line = Line::start(&server, HELD_AT);
    let client = publish(&server, home.path(), &line.url, Stdio::piped());
    until("a part has arrived", async || received(&server).await >= 8 * MIB as u64).await;
    line.lead_nowhere();
    let data = server.kill().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    line.lead_to(&server);
    line.let_go();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success());
    let published: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&published["created"], &published["version"]["total_bytes"]), (&json!(true), &json!(whole)));
    assert!(line.sent() < whole + HELD_AT, "{} bytes went over the line for {whole}", line.sent());
    let file = server.admin().get("/api/v1/models/library/net/versions/1/files/large.dat").await;
    assert_eq!(file.bytes, random(7, 40 * MIB));
    assert_eq!(std::fs::read_dir(data.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_says_what_would_travel_and_changes_nothing() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let net = home.path().join("net");
    std::fs::create_dir_all(&net).unwrap();
    for (name, bytes) in [("a.dat", "aaa"), ("b.dat", "bbbbb"), ("same.dat", "aaa")] {
        std::fs::write(net.join(name), bytes).unwrap();
    }
    let run = |args: &[&str]| {
        let output = server.hub(home.path()).arg("publish").arg(&net).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plan = |args: &[&str]| serde_json::from_str::<Value>(&run(&[args, &["--dry-run", "--json"]].concat())).unwrap();
    let states =
        |plan: &Value| plan["files"].as_array().unwrap().iter().map(|f| f["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let first = plan(&["library/net"]);
    assert_eq!((&first["makes_repo"], &first["makes_version"], &first["main"]), (&json!(true), &json!(true), &Value::Null));
    assert_eq!((&first["new_files"], &first["new_bytes"], &first["total_bytes"]), (&json!(2), &json!(8), &json!(11)));
    assert_eq!(states(&first), ["new", "new", "held"], "equal files travel once");
    let human = run(&["library/net", "--dry-run"]);
    assert!(human.contains("2 of 3 files would be sent: 8 B of 11 B") && human.contains("library/net would be made"), "{human}");
    server.hub(home.path()).args(["show", "library/net"]).assert().code(3);
    assert_eq!(std::fs::read_dir(server.data().join("staging")).unwrap().count(), 0);

    run(&["library/net"]);
    let same = plan(&["library/net"]);
    assert_eq!((&same["makes_version"], &same["new_bytes"], &same["main"]), (&json!(false), &json!(0), &json!(1)));
    assert!(run(&["library/net", "--dry-run"]).contains("no version would be made: library/net version 1 holds exactly these files"));
    std::fs::write(net.join("b.dat"), "ccc").unwrap();
    let next = plan(&["library/net"]);
    assert_eq!(
        (states(&next), &next["new_bytes"], &next["makes_version"]),
        (vec!["held".into(), "new".into(), "held".into()], &json!(3), &json!(true))
    );
    assert_eq!(plan(&["library/other"])["new_bytes"], 3, "what may be read here need not travel");
    server.hub(home.path()).arg("publish").arg(&net).args(["library/net", "--dry-run"]).env("HUB_TOKEN", "").assert().code(4);
    server.hub(home.path()).arg("publish").arg(&net).args(["library/net", "--dry-run", "--private"]).assert().code(1);
}

#[test]
fn digests_are_remembered_for_files_that_rest() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    // The sources of these documents were written long before this story began.
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let dry = || {
        let output = server.hub(home.path()).arg("publish").arg(&docs).args(["library/docs", "--dry-run", "--json"]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (first, list) = (dry(), home.path().join("cache/hashes"));
    let lines = || std::fs::read_to_string(&list).unwrap().lines().filter(|line| !line.is_empty()).count();
    assert_eq!(lines(), first["files"].as_array().unwrap().len());
    assert_eq!(
        (dry()["commit"].clone(), lines()),
        (first["commit"].clone(), first["files"].as_array().unwrap().len()),
        "nothing new was learned"
    );
    std::fs::write(&list, b"\xff\xfe damaged").unwrap();
    assert_eq!(dry()["commit"], first["commit"]);
}
