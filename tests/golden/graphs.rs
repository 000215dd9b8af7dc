//! The published graphs of TensorFlow.js as folders, of fixtures without weights: these are made by the formula, as in `make_tfjs.mjs`.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::formula::uniform;

const SHARD: &str = "group1-shard1of1.bin";

fn fixture(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/tfjs/{name}.json.gz"));
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// As `golden/make_tfjs.mjs` has it.
fn range(name: &str, shape: &[u64]) -> (f64, f64) {
    let [height, width, input, output] = shape[..] else {
        return match () {
            () if name.ends_with("centernet_wh_output/biases") => (2.0, 4.0),
            () if name.ends_with("centernet_cls_output/biases") => (-4.0, -2.0),
            () => (-0.2, 0.2),
        };
    };
    let lone = output == 1 && height > 1;
    let part = match () {
        () if name.contains("_output/pointwise") => 0.25,
        () if name == "tower_0/MobilenetV3/Conv/Conv2D_weights" => 0.01,
        () => 1.0,
    };
    let gain = if name.contains("CenternetHead") { 2.0 } else { 6.0 };
    let bound = part * (gain / (height * width * if lone { 1 } else { input }) as f64).sqrt();
    (-bound, bound)
}

/// The shard of a fixture.
fn shard(fixture: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for spec in fixture["weightsManifest"][0]["weights"].as_array().unwrap() {
        let name = spec["name"].as_str().unwrap();
        let shape: Vec<u64> = spec["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).collect();
        if let Some(values) = fixture["constants"].get(name) {
            for value in values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()) {
                let whole = spec["dtype"] == "int32";
                bytes.extend(if whole { (value as i32).to_le_bytes() } else { (value as f32).to_le_bytes() });
            }
            continue;
        }
        let (low, high) = range(name, &shape);
        for value in uniform(name, shape.iter().product::<u64>() as usize) {
            bytes.extend(((low + value * (high - low)) as f32).to_le_bytes());
        }
    }
    bytes
}

/// A folder with a fixture as `change` leaves it.
pub fn graph(name: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> tempfile::TempDir {
    let (mut model, folder) = (fixture(name), tempfile::tempdir().unwrap());
    let mut bytes = shard(&model);
    change(&mut model, &mut bytes);
    std::fs::write(folder.path().join("model.json"), model.to_string()).unwrap();
    std::fs::write(folder.path().join(SHARD), bytes).unwrap();
    folder
}
