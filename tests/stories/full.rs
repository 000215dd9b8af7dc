//! A full disk: uploads are refused with 507 and a hint, reads go on, nothing is left behind, and once there is room
//! everything works again without a restart.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment

use std::path::Path;
use std::process::Command;

use crate::crash_kit::check::nothing_is_left_over;
use crate::crash_kit::ledger::Ledger;
use crate::support::publishing::{announce, create_repo, file, publish, send, sha256, upload};
use crate::support::training::{Gate, Person, Worker};
use crate::support::{Api, Reply, Server, until};
use rand::Rng as _;
use reqwest::{Method, StatusCode};
use serde_json::json;

const FULL: StatusCode = StatusCode::INSUFFICIENT_STORAGE;

/// A small disk of its own.
struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    /// `None` where this user may not mount.
    fn mount(megabytes: u32) -> Option<Disk> {
        let place = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path()).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Disk { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    crate::crash_kit::random(seed, 0).fill_bytes(&mut bytes);
    bytes
}

/// Sends a file in pieces; the answer to the first that was refused, or to the last.
async fn send_all(api: &Api, bytes: &[u8]) -> Reply {
    let body = json!({ "sha256": sha256(bytes), "size_bytes": bytes.len() });
    let announced = api.post("/api/v1/uploads", &body).await;
    if announced.status != 201 || announced.json()["complete"] == true {
        return announced;
    }
    let announced = announced.json();
    let mut offset = announced["offset"].as_u64().unwrap() as usize;
    loop {
        let end = bytes.len().min(offset + (1 << 20));
        let sent = send(api, &announced, offset, &bytes[offset..end]).await;
        if sent.status != 200 || end == bytes.len() {
            return sent;
        }
        offset = end;
    }
}

async fn reads_go_on(server: &Server, weights: &[u8]) {
    let anybody = server.anonymous();
    let got = anybody.get("/api/v1/models/library/net/versions/1/files/weights.dat").await;
    assert_eq!((got.status, sha256(&got.bytes)), (StatusCode::OK, sha256(weights)));
    for path in ["/library/net", "/", "/api/v1/models", "/api/v1/search?q=net", "/readyz"] {
        let got = anybody.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
    }
    server.admin().get("/api/v1/whoami").await.ok();
}

/// Cancels every upload that did not end, as a person would who gives up.
async fn give_up(api: &Api, bytes: &[u8]) {
    let open = announce(api, bytes).await;
    if open["complete"] != true {
        api.delete(&format!("/api/v1/uploads/{}", open["id"].as_str().unwrap())).await.done();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_uploads_and_nothing_else() {
    let Some(disk) = Disk::mount(40) else {
        println!("skipped: this user may not mount a small disk; the limit on file sizes below tells the same story");
        return;
    };
    let data = disk.path().join("data");
    let server = Server::start_on(&data, &["--workers", "0"], &[]);
    let admin = server.admin();
    let weights = noise(1, 3 << 20);
    create_repo(&admin, "model", "library/net").await;
    publish(&admin, "models/library/net", None, &[("weights.dat", &weights), ("README.md", b"# Net\n")]).await.created();

    // Whatever is sent now, the disk fills up.
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, noise(2, 20 << 20)).unwrap();
    let mut refused = Vec::new();
    for seed in 10..40 {
        let bytes = noise(seed, 1_500_000);
        let sent = send_all(&admin, &bytes).await;
        if sent.status != 200 {
            let problem = sent.problem(507, "disk_full");
            assert!(problem["hint"].as_str().unwrap().contains("room"), "{problem}");
            refused.push(bytes);
        }
    }
    assert!(refused.len() > 5, "the disk is not full");
    reads_go_on(&server, &weights).await;
    // The last kilobytes go to small writes; each works or says why not.
    for number in 0..200 {
        let body = json!({ "kind": "model", "id": format!("library/small{number}"), "summary": "x".repeat(450) });
        let made = admin.post("/api/v1/repos", &body).await;
        if made.status != 201 {
            made.problem(507, "disk_full");
        }
        let note = format!("# Note {number}\n{}", "y".repeat(3_000));
        let sent = send_all(&admin, note.as_bytes()).await;
        if sent.status == FULL {
            sent.problem(507, "disk_full");
            continue;
        }
        let parent = admin.get("/api/v1/models/library/net").await.ok()["version"]["number"].as_u64();
        let body = json!({ "message": "", "parent": parent, "files": [file("README.md", note.as_bytes()), file("weights.dat", &weights)] });
        let committed = admin.post("/api/v1/models/library/net/commits", &body).await;
        if committed.status != 201 {
            committed.problem(507, "disk_full");
        }
    }
    reads_go_on(&server, &weights).await;

    std::fs::remove_file(&ballast).unwrap();
    for bytes in &refused {
        give_up(&admin, bytes).await;
    }
    upload(&admin, &refused[0]).await;
    let parent = admin.get("/api/v1/models/library/net").await.ok()["version"]["number"].as_u64();
    publish(&admin, "models/library/net", parent.map(|n| n as u32), &[("again.dat", &refused[0])]).await.created();
    nothing_is_left_over(&server, &Ledger::default(), 0).await;
    reads_go_on(&server, &weights).await;
    assert_eq!(server.stop(), Some(0));
}

/// Bounds the files a process may write; 0: no bound.
fn bound_files(pid: u32, bytes: u64) {
    crate::support::bound(pid, libc::RLIMIT_FSIZE, bytes);
}

#[tokio::test]
async fn a_limit_on_file_sizes_reads_as_a_full_disk() {
    let server = Server::start();
    let admin = server.admin();
    let weights = noise(3, 3 << 20);
    create_repo(&admin, "model", "library/net").await;
    publish(&admin, "models/library/net", None, &[("weights.dat", &weights), ("README.md", b"# Net\n")]).await.created();

    bound_files(server.pid(), 2 << 20);
    let large = noise(4, 5 << 20);
    let sent = send_all(&admin, &large).await;
    sent.problem(507, "disk_full");
    reads_go_on(&server, &weights).await;
    assert_eq!(send_all(&admin, &noise(5, 1 << 20)).await.status, 200, "what fits is taken");
    // The database's own files are bounded, too.
    bound_files(server.pid(), 1 << 16);
    for number in 0..50 {
        let made = admin.post("/api/v1/repos", &json!({ "kind": "model", "id": format!("library/small{number}") })).await;
        if made.status != 201 {
            made.problem(507, "disk_full");
        }
    }
    reads_go_on(&server, &weights).await;

    bound_files(server.pid(), 0);
    upload(&admin, &large).await;
    publish(&admin, "models/library/net", Some(1), &[("large.dat", &large)]).await.created();
    let got = Reply::of(server.anonymous().request(Method::GET, "/api/v1/models/library/net/versions/2/files/large.dat")).await;
    assert_eq!(sha256(&got.bytes), sha256(&large));
    nothing_is_left_over(&server, &Ledger::default(), 0).await;
}

/// Takes all the room of a disk but so many bytes.
fn fill(disk: &Disk, leave: u64) -> std::path::PathBuf {
    use std::io::Write as _;
    let path = disk.path().join("ballast");
    let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
    let block = noise(6, 64 << 10);
    while file.write_all(&block).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(leave)).unwrap();
    path
}

#[tokio::test]
async fn a_job_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount(200) else {
        println!("skipped: this user may not mount a small disk; `story_jobs` tells of a limit on file sizes");
        return;
    };
    let server = Server::start_on(&disk.path().join("data"), &["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 4, "batch_size": 6, "seed": 5, "threads": 1 });
    let asked = |name: &str, sweep: serde_json::Value| json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe, "sweep": sweep });
    let none = serde_json::Value::Null;
    let gate = Gate::after_epoch(&server, 2);
    let _worker = Worker::start(&server);
    let id = admin.finetune(asked("library/cramped", none.clone())).await;
    admin.held(&id, 1).await;
    // Room for what the database writes, and for no checkpoint.
    let ballast = fill(&disk, 1 << 20);
    gate.open();
    until("its log tells of the disk", async || admin.log(&id).await.contains("the disk is full")).await;
    // No room even for that.
    fill(&disk, 0);
    for number in 0.. {
        let body = json!({ "kind": "model", "id": format!("library/small{number}"), "summary": "x".repeat(450) });
        if server.admin().post("/api/v1/repos", &body).await.status == FULL {
            break;
        }
        fill(&disk, 0);
    }
    std::fs::remove_file(&ballast).unwrap();
    let job = admin.end(&id).await;
    let log = admin.log(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{log}");
    assert!(!log.contains("memory"), "{log}");

    // The same without a pinch, and as the trials of a sweep whose own run finds no room for the result.
    let quiet = admin.finetune(asked("library/quiet", none)).await;
    assert_eq!(admin.end(&quiet).await["state"], "succeeded");
    let (cramped, quiet) = (weights_of(&admin, "library/cramped").await, weights_of(&admin, "library/quiet").await);
    assert_eq!(cramped, quiet, "nothing was lost");
    let id = admin.finetune(asked("library/swept", json!({ "settings": { "epochs": [4] } }))).await;
    let trial = admin.job(&id).await["children"][0]["job"].as_str().unwrap().to_owned();
    let gate = Gate::after_epoch(&server, 3);
    admin.held(&trial, 1).await;
    let ballast = fill(&disk, 1 << 20);
    gate.open();
    until("the trial's log tells of the disk", async || admin.log(&trial).await.contains("the disk is full")).await;
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}\n{}", admin.log(&id).await, admin.log(&trial).await);
    assert_eq!(weights_of(&admin, "library/swept").await, quiet);
}

#[tokio::test]
async fn features_that_find_no_room_are_made_when_there_is_some() {
    let Some(disk) = Disk::mount(200) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let server = Server::start_on(&disk.path().join("data"), &["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 12).await;
    let asked = |name: &str| json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": { "strategy": "head", "seed": 5, "threads": 1 } });
    let id = admin.finetune(asked("library/cramped")).await;
    // Room for a job's log, and for nothing that it reads or computes.
    let ballast = fill(&disk, 512 << 10);
    let _worker = Worker::start(&server);
    let told =
        async || admin.log(&id).await.contains("full") || admin.job(&id).await["error"].as_str().is_some_and(|said| said.contains("full"));
    until("it says that the disk is full", told).await;
    std::fs::remove_file(&ballast).unwrap();
    let job = admin.end(&id).await;
    assert!(!admin.log(&id).await.contains("memory"), "{}", admin.log(&id).await);
    let id = match job["state"] == "failed" {
        true => admin.post(&format!("/jobs/{id}/retry"), json!({})).await.1["id"].as_str().unwrap().to_owned(),
        false => id,
    };
    assert_eq!(admin.end(&id).await["state"], "succeeded", "{}", admin.log(&id).await);
    let quiet = admin.finetune(asked("library/quiet")).await;
    assert_eq!(admin.end(&quiet).await["state"], "succeeded");
    assert_eq!(weights_of(&admin, "library/cramped").await, weights_of(&admin, "library/quiet").await, "nothing was lost");
}

/// The sha256 of the first version's weights.
async fn weights_of(person: &Person<'_>, name: &str) -> String {
    let (_, manifest) = person.get(&format!("/models/{name}/versions/1/manifest")).await;
    let files = manifest["files"].as_array().unwrap_or_else(|| panic!("{manifest}"));
    files.iter().find(|file| file["path"] == "model.safetensors").unwrap()["sha256"].as_str().unwrap().to_owned()
}
