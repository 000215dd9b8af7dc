//! What sharing saves, measured on a real server with the real command line: `cargo bench --bench sharing`.
//!
//! ResNet-50 as the base; a fine-tune whose stem and first three stages are unchanged, one that has only a new head,
//! and many of the latter. Prints what was stored, sent and fetched over the whole, what all of them cost on the disk,
//! and how quickly a composed file is served beside a whole one, as `ratio NAME VALUE` lines.
//!
//!     SHARING_DIR=/dev/shm SHARING_TUNES=1000 cargo bench --bench sharing

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "../tests/stories/sharing_kit/mod.rs"]
mod sharing;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hub::domain::digest::Digest;
use hub::nn::weights::Weights;
use serde_json::{Value, json};
use sharing::{Line, bytes_below, tensors_of};
use support::publishing::{commit, create_repo, file, upload};
use support::{Api, Server};

const ARCHITECTURE: &str = "resnet50";
const CLASSES: usize = 10;

/// The base with all tensors that begin so drawn anew, and the head.
fn tuned(base: &Weights, changed: &[&str], classes: usize, seed: u64) -> Weights {
    let other = Weights::random(ARCHITECTURE, classes, seed).unwrap();
    let mut tuned = base.deep_copy().unwrap();
    for (name, var) in other.iter().filter(|(name, _)| name.starts_with("fc.") || changed.iter().any(|start| name.starts_with(start))) {
        tuned.insert(name.to_owned(), var.clone());
    }
    tuned
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let dir = tempfile::tempdir_in(std::env::var("SHARING_DIR").unwrap_or_else(|_| std::env::temp_dir().display().to_string())).unwrap();
    let tunes = std::env::var("SHARING_TUNES").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let server = Server::start_on(&dir.path().join("data"), &["--workers", "0"], &[]);
    let base = Weights::random(ARCHITECTURE, 1000, 1).unwrap();
    one_by_one(&server, dir.path(), &base);
    serving(&server);
    tokio::runtime::Runtime::new().unwrap().block_on(many(&server, dir.path(), &base, tunes));
}

fn write(folder: &Path, weights: &Weights, classes: usize) -> u64 {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), config(classes)).unwrap();
    std::fs::write(folder.join("README.md"), card()).unwrap();
    weights.save(&folder.join("model.safetensors"), &[]).unwrap();
    std::fs::metadata(folder.join("model.safetensors")).unwrap().len()
}

fn config(classes: usize) -> Vec<u8> {
    json!({"architecture": ARCHITECTURE, "num_classes": classes, "num_features": 2048}).to_string().into_bytes()
}

fn card() -> Vec<u8> {
    b"---\nlicense: apache-2.0\ndatasets: [library/imagenet-1k]\n---\n# A net\n\nFor a measurement.\n".to_vec()
}

fn hub(server: &Server, line: &Line, home: &Path, args: &[&str]) -> (Value, Duration) {
    let started = Instant::now();
    let output = server.hub(home).env("HUB_SERVER", &line.url).args(args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), started.elapsed())
}

/// Publishes and pulls each kind of fine-tune.
fn one_by_one(server: &Server, dir: &Path, base: &Weights) {
    let line = Line::to(server.authority());
    let (stored, place) = (|| bytes_below(&server.data().join("blobs")), |name: &str| dir.join(name).display().to_string());
    let kinds: [(&str, &[&str], usize); 3] =
        [("base", &["conv1", "bn1", "layer"], 1000), ("stage3", &["layer4."], CLASSES), ("head", &[], CLASSES)];
    for (name, changed, classes) in kinds {
        let weights = if name == "base" { base.clone() } else { tuned(base, changed, classes, 7) };
        let whole = write(&dir.join(name), &weights, classes) as f64;
        let (before, _) = (stored(), line.counted());
        let (_, took) = hub(server, &line, dir, &["publish", &place(name), &format!("library/{name}")]);
        let (sent, _) = line.counted();
        let kept = stored() - before;
        let (_, pulled_in) = hub(server, &line, &dir.join("puller"), &["pull", &format!("library/{name}")]);
        let (_, fetched) = line.counted();
        println!(
            "{name}: {whole} bytes whole; sent {sent}, stored {kept}, fetched {fetched}; published in {took:.1?}, pulled in {pulled_in:.1?}"
        );
        if name != "base" {
            for (what, bytes) in [("sent", sent), ("stored", kept), ("fetched", fetched)] {
                println!("ratio sharing_{name}_{what}_over_whole {:.4}", bytes as f64 / whole);
            }
        }
    }
}

/// Reads a file over one connection; seconds.
fn fetch(authority: &str, path: &str, buffer: &mut [u8]) -> f64 {
    let mut stream = TcpStream::connect(authority).unwrap();
    let started = Instant::now();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").unwrap();
    let mut total = 0;
    while let read @ 1.. = stream.read(buffer).unwrap() {
        total += read;
    }
    assert!(total > 80_000_000, "{total} bytes came");
    total as f64 / started.elapsed().as_secs_f64()
}

fn serving(server: &Server) {
    let path = |name: &str| format!("/api/v1/models/library/{name}/versions/1/files/model.safetensors");
    let mut buffer = vec![0; 1 << 20];
    let mut rates = [("base", Vec::new()), ("head", Vec::new()), ("stage3", Vec::new())];
    for _ in 0..15 {
        for (name, rates) in &mut rates {
            rates.push(fetch(server.authority(), &path(name), &mut buffer));
        }
    }
    let medians = rates.map(|(name, mut rates)| {
        rates.sort_by(f64::total_cmp);
        println!("serving {name}: {:.2} GB/s", rates[rates.len() / 2] / 1e9);
        (name, rates[rates.len() / 2])
    });
    for (name, rate) in &medians[1..] {
        println!("ratio serve_composed_{name}_over_whole {:.3}", rate / medians[0].1);
    }
}

/// A head-only fine-tune of the base's file, made by replacing the head's bytes: as `save` would write it.
async fn publish_tune(admin: &Api, id: &str, bytes: &[u8], tensors: &[Value]) {
    create_repo(admin, "model", id).await;
    let body = json!({"sha256": Digest::of(bytes).to_hex(), "size_bytes": bytes.len(), "tensors": tensors});
    let upload_json = admin.post("/api/v1/uploads", &body).await.created();
    let mut at = 0;
    let gaps: Vec<[usize; 2]> =
        upload_json["received"].as_array().unwrap().iter().map(|r| [0, 1].map(|n| r[n].as_u64().unwrap() as usize)).collect();
    for [start, end] in gaps.into_iter().chain([[bytes.len(), bytes.len()]]) {
        if at < start {
            let range = format!("bytes {at}-{}/{}", start - 1, bytes.len());
            let path = format!("/api/v1/uploads/{}", upload_json["id"].as_str().unwrap());
            let put = admin.request(reqwest::Method::PUT, &path).header("Content-Range", range).body(bytes[at..start].to_vec());
            support::Reply::of(put).await.ok();
        }
        at = end;
    }
    let (config, card) = (config(CLASSES), card());
    upload(admin, &config).await;
    upload(admin, &card).await;
    let files = vec![file("README.md", &card), file("config.json", &config), file("model.safetensors", bytes)];
    commit(admin, &format!("models/{id}"), None, files).await.created();
}

async fn many(server: &Server, dir: &Path, base: &Weights, count: usize) {
    let admin = server.admin();
    let path = dir.join("tune.safetensors");
    tuned(base, &[], CLASSES, 3).save(&path, &[]).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let header = hub::domain::safetensors::parse_header(&bytes, bytes.len() as u64).unwrap();
    let head = header.tensors.iter().find(|tensor| tensor.name == "fc.weight").unwrap().clone();
    let mut tensors = tensors_of(&bytes);
    let database = || {
        ["hub.db", "hub.db-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(server.data().join(name)).ok())
            .map(|found| found.len())
            .sum::<u64>()
    };
    let before = (bytes_below(&server.data().join("blobs")), disk(&server.data().join("blobs")), database());
    let started = Instant::now();
    for number in 0..count as u32 {
        let range = head.offset as usize..(head.offset + head.size_bytes) as usize;
        for (at, value) in bytes[range.clone()].chunks_exact_mut(4).enumerate() {
            value.copy_from_slice(&((at as f32 + 1.0) * 1e-6 + number as f32).to_le_bytes());
        }
        let changed = tensors.iter_mut().find(|tensor| tensor["offset_bytes"] == head.offset).unwrap();
        changed["sha256"] = json!(Digest::of(&bytes[range]).to_hex());
        publish_tune(&admin, &format!("library/tune-{number}"), &bytes, &tensors).await;
    }
    let each = started.elapsed() / count as u32;
    let after = (bytes_below(&server.data().join("blobs")), disk(&server.data().join("blobs")), database());
    let whole = bytes.len() as f64 * count as f64;
    let (blobs, disk, rows) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    println!("{count} head-only fine-tunes of {} bytes: blobs {blobs} ({disk} on the disk), catalog {rows}; {each:.0?} each", bytes.len());
    println!("per fine-tune: blobs {}, on the disk {}, catalog {}", blobs / count as u64, disk / count as u64, rows / count as u64);
    println!("ratio sharing_{count}_tunes_disk_and_catalog_over_whole {:.5}", (disk + rows) as f64 / whole);
    // What is composed of one base is still true.
    let got = server.anonymous().get(&format!("/api/v1/models/library/tune-{}/versions/1/files/model.safetensors", count - 1)).await;
    assert!(got.bytes == bytes);
}

/// Blocks on the disk, folders too.
fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum()
}
