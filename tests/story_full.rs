//! A full disk: uploads are refused with 507 and a hint, reads go on, nothing is left behind, and once there is room
//! everything works again without a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods)] // a test may look at its own environment

mod crash;
mod support;

use std::path::Path;
use std::process::Command;

use crash::check::nothing_is_left_over;
use crash::ledger::Ledger;
use rand::Rng as _;
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::publishing::{announce, create_repo, file, publish, send, sha256, upload};
use support::{Api, Reply, Server};

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
    crash::random(seed, 0).fill_bytes(&mut bytes);
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
    support::bound(pid, libc::RLIMIT_FSIZE, bytes);
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
