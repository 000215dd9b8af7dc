//! What stories of crashes need: publishers that note what was acknowledged, somebody who pulls the plug at
//! telling moments, and one check of all that must hold afterwards.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment
#![allow(dead_code)]

pub mod check;
pub mod ledger;
pub mod moment;
pub mod traffic;

use bytes::Bytes;
use hub::domain::digest::Digest;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// The seed and the number of rounds: `HUB_CRASH_SEED`, `HUB_CRASH_ROUNDS`.
pub fn seed_and_rounds(rounds: u64) -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("HUB_CRASH_SEED").unwrap_or(7);
    let rounds = number("HUB_CRASH_ROUNDS").unwrap_or(rounds);
    println!("HUB_CRASH_SEED={seed} HUB_CRASH_ROUNDS={rounds}");
    (seed, rounds)
}

pub fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

/// A file to publish.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub bytes: Bytes,
    pub sha256: String,
    /// Where the tensors of a safetensors file lie, as an upload announces them.
    pub tensors: Vec<Value>,
}

impl File {
    pub fn new(path: &str, bytes: Vec<u8>) -> File {
        let sha256 = Digest::of(&bytes).to_hex();
        File { path: path.into(), bytes: bytes.into(), sha256, tensors: Vec::new() }
    }

    pub fn listed(&self) -> Value {
        json!({ "path": self.path, "size_bytes": self.bytes.len(), "sha256": self.sha256 })
    }
}

/// The files of one version of a repo: some its very own, some like those of other versions, some with tensors that
/// other versions have, too.
pub fn content(random: &mut ChaCha8Rng, repo: &str) -> Vec<File> {
    let note = format!("# {repo}\n\n{:x}\n", random.random::<u64>());
    let mut files = vec![
        File::new("README.md", note.into_bytes()),
        File::new("LICENSE", b"everybody may\n".repeat(random.random_range(1..4))),
        weights(random, repo),
    ];
    if random.random_bool(0.2) {
        files.push(File::new("empty.txt", Vec::new()));
    }
    if random.random_bool(0.3) {
        let mut bytes = vec![0; random.random_range(1..3_000_000)];
        random.fill_bytes(&mut bytes);
        files.push(File::new("extra/noise.dat", bytes));
    }
    files
}

/// Three tensors every version of the repo has, and one it has alone.
fn weights(random: &mut ChaCha8Rng, repo: &str) -> File {
    let mut backbone = ChaCha8Rng::from_seed(*Digest::of(repo.as_bytes()).as_bytes());
    let mut tensors = vec![vec![0u8; 4_096], vec![0; 40_000], vec![0; 300_000]];
    tensors.iter_mut().for_each(|tensor| backbone.fill_bytes(tensor));
    let mut head = vec![0; 4 * random.random_range(16..40_000)];
    random.fill_bytes(&mut head);
    tensors.push(head);
    safetensors(&tensors)
}

fn safetensors(tensors: &[Vec<u8>]) -> File {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (number, tensor) in tensors.iter().enumerate() {
        let (begin, shape) = (end, tensor.len() / 4);
        end += tensor.len();
        header.insert(format!("layer.{number}"), json!({ "dtype": "I32", "shape": [shape], "data_offsets": [begin, end] }));
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let mut places = Vec::new();
    for tensor in tensors {
        places.push(json!({ "offset_bytes": bytes.len(), "size_bytes": tensor.len(), "sha256": Digest::of(tensor).to_hex() }));
        bytes.extend(tensor);
    }
    File { tensors: places, ..File::new("model.safetensors", bytes) }
}
