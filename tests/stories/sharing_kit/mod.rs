//! What stories about sharing need: a base and fine-tunes of it, and a line that counts what travels over it.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hub::domain::digest::Digest;
use hub::nn::weights::Weights;
use serde_json::json;

pub const ARCHITECTURE: &str = "mobilenetv2_100";

/// A base with a classifier of ten.
pub fn base() -> Weights {
    Weights::random(ARCHITECTURE, 10, 7).unwrap()
}

/// The same backbone under a classifier of its own.
pub fn fine_tune(base: &Weights, classes: usize, seed: u64) -> Weights {
    let (backbone, _) = base.clone().split("classifier");
    let (_, head) = Weights::random(ARCHITECTURE, classes, seed).unwrap().split("classifier");
    let mut tuned = backbone.deep_copy().unwrap();
    head.iter().for_each(|(name, var)| tuned.insert(name.to_owned(), var.clone()));
    tuned
}

pub fn bytes_of(weights: &Weights) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    weights.save(&path, &[]).unwrap();
    std::fs::read(path).unwrap()
}

/// A model's folder; the bytes of its weights.
pub fn write_model(folder: &Path, weights: &Weights, classes: usize) -> Vec<u8> {
    std::fs::create_dir_all(folder).unwrap();
    let config = json!({
        "architecture": ARCHITECTURE, "num_classes": classes, "num_features": 1280,
        "pretrained_cfg": { "input_size": [3, 32, 32], "num_classes": classes, "crop_pct": 1.0 },
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("README.md"), "---\nlicense: apache-2.0\n---\n# A net\n").unwrap();
    weights.save(&folder.join("model.safetensors"), &[]).unwrap();
    std::fs::read(folder.join("model.safetensors")).unwrap()
}

/// The pieces of a file, as a client offers them.
pub fn tensors_of(bytes: &[u8]) -> Vec<serde_json::Value> {
    let header = hub::domain::safetensors::parse_header(bytes, bytes.len() as u64).unwrap();
    let offered = |range: &std::ops::Range<u64>| {
        let sha256 = Digest::of(&bytes[range.start as usize..range.end as usize]).to_hex();
        json!({"offset_bytes": range.start, "size_bytes": range.end - range.start, "sha256": sha256})
    };
    hub::domain::pieces::ranges(&header).iter().map(offered).collect()
}

/// Where a server keeps a blob whole, and where it says how it is composed.
pub fn places(data: &Path, bytes: &[u8]) -> (PathBuf, PathBuf) {
    let hex = Digest::of(bytes).to_hex();
    let whole = data.join("blobs").join(&hex[..2]).join(&hex[2..4]).join(&hex);
    let list = whole.with_extension("segments");
    (whole, list)
}

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// A line to a server that counts bytes each way.
pub struct Line {
    pub url: String,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Line {
    pub fn to(authority: &str) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let line = Line { url: format!("http://{}", listener.local_addr().unwrap()), up: up.clone(), down: down.clone() };
        let authority = authority.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&authority).unwrap();
                for (from, to, count) in [(&client, &server, &up), (&server, &client, &down)] {
                    let (from, to, count) = (from.try_clone().unwrap(), to.try_clone().unwrap(), count.clone());
                    std::thread::spawn(move || carry(from, to, &count));
                }
            }
        });
        line
    }

    /// Bytes sent to the server and back since this was last asked.
    pub fn counted(&self) -> (u64, u64) {
        (self.up.swap(0, Ordering::Relaxed), self.down.swap(0, Ordering::Relaxed))
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut block = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut block) {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&block[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
