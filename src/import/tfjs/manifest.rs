//! The weights of a TensorFlow.js model: `weightsManifest` of its model.json, groups of tensors one behind the other in the bytes of the
//! group's shards, as they are or quantised.
//!
//! ```text
//! [{"paths": ["group1-shard1of1.bin"],
//!   "weights": [{"name", "shape": [3, 3, 3, 16], "dtype": "float32", "quantization": {"dtype": "uint8", "scale", "min"}}]}]
//! ```
//!
//! A number of 8 or 16 bits stands for `number * scale + min`; one of `float16` for itself.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use half::f16;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::error::{Error, Result, corrupt};
use super::super::source::{MAX_SOURCE_BYTES, read_whole};
use crate::import::Progress;

/// Tensors of all groups, and shards.
const MOST_TENSORS: usize = 20_000;
const MOST_SHARDS: usize = 1_000;
/// Axes of a tensor.
const MOST_AXES: usize = 8;

/// One group as it is written.
#[derive(Debug, Deserialize)]
pub struct Group {
    paths: Vec<String>,
    weights: Vec<Spec>,
}

#[derive(Debug, Deserialize)]
struct Spec {
    name: String,
    shape: Vec<u64>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Debug, Deserialize)]
struct Quantization {
    dtype: String,
    scale: Option<f64>,
    min: Option<f64>,
}

/// A tensor's numbers, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// All tensors by their names.
pub type Weights = BTreeMap<String, Numbers>;

/// What the shards are together.
pub struct Shards {
    pub size_bytes: u64,
    pub sha256: String,
}

/// Reads every tensor from the shards in `folder`.
///
/// # Errors
/// A path that leads elsewhere, a shard that is missing, a group that has fewer or more bytes than its tensors take, a dtype that is not
/// known: each by its name.
pub fn read(folder: &Path, groups: &[Group], progress: &mut dyn FnMut(Progress)) -> Result<(Weights, Shards)> {
    let count = |of: fn(&Group) -> usize| groups.iter().map(of).sum::<usize>();
    if count(|group| group.weights.len()) > MOST_TENSORS || count(|group| group.paths.len()) > MOST_SHARDS {
        return Err(Error::TooLarge(format!("weightsManifest names more than {MOST_TENSORS} tensors or {MOST_SHARDS} shards")));
    }
    let (mut all, mut hash, mut size_bytes) = (Weights::new(), Sha256::new(), 0);
    for group in groups {
        let mut bytes = Vec::new();
        for path in &group.paths {
            let shard = folder.join(plain(path)?);
            if !shard.is_file() {
                let problem = format!("weightsManifest names the shard `{path}`, which is not there; fetch it too");
                return Err(Error::Unsupported { path: folder.to_owned(), problem });
            }
            bytes.extend(read_whole(&shard, MAX_SOURCE_BYTES - size_bytes - bytes.len() as u64, progress)?);
        }
        size_bytes += bytes.len() as u64;
        hash.update(&bytes);
        let mut rest = bytes.as_slice();
        for spec in &group.weights {
            let numbers = spec.taken(&mut rest)?;
            if all.insert(spec.name.clone(), numbers).is_some() {
                return Err(corrupt(format!("weightsManifest names the tensor `{}` twice", spec.name)));
            }
        }
        if !rest.is_empty() {
            let names = group.paths.join(", ");
            return Err(corrupt(format!("the shards {names} have {} bytes more than weightsManifest tells of", rest.len())));
        }
    }
    Ok((all, Shards { size_bytes, sha256: hex::encode(hash.finalize()) }))
}

/// The name of a file in the folder itself; every other path is refused.
fn plain(path: &str) -> Result<&str> {
    let mut parts = Path::new(path).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == path && !path.contains(['\\', ':']) => Ok(path),
        _ => Err(corrupt(format!("weightsManifest names the shard `{path}`, which is no file beside model.json"))),
    }
}

/// What the bytes of a number stand for.
type Read = Box<dyn Fn(&[u8]) -> f32>;

impl Spec {
    /// Takes its bytes from the front.
    fn taken(&self, rest: &mut &[u8]) -> Result<Numbers> {
        let name = &self.name;
        let lies = || corrupt(format!("the tensor `{name}` of shape {:?} is larger than its shards", self.shape));
        if self.shape.len() > MOST_AXES {
            return Err(corrupt(format!("the tensor `{name}` has {} axes", self.shape.len())));
        }
        let count = self.shape.iter().try_fold(1u64, |count, side| count.checked_mul(*side)).ok_or_else(lies)?;
        let (size, read) = self.reader()?;
        let length = count.checked_mul(size as u64).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= rest.len()).ok_or_else(lies)?;
        let (own, others) = rest.split_at(length);
        *rest = others;
        Ok(Numbers { shape: self.shape.iter().map(|side| *side as usize).collect(), values: own.chunks_exact(size).map(read).collect() })
    }

    /// Bytes of a number, and what it stands for.
    fn reader(&self) -> Result<(usize, Read)> {
        let unknown = |dtype: &str| corrupt(format!("the tensor `{}` is of the dtype `{dtype}`, which is not read", self.name));
        let whole = match self.dtype.as_str() {
            "float32" => false,
            "int32" | "bool" => true,
            other => return Err(unknown(other)),
        };
        let Some(quantization) = &self.quantization else {
            let plain: (usize, Read) = match self.dtype.as_str() {
                "float32" => (4, Box::new(|bytes| f32::from_le_bytes(four(bytes)))),
                "int32" => (4, Box::new(|bytes| i32::from_le_bytes(four(bytes)) as f32)),
                _ => (1, Box::new(|bytes| f32::from(bytes[0]))),
            };
            return Ok(plain);
        };
        if quantization.dtype == "float16" && !whole {
            return Ok((2, Box::new(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32())));
        }
        let (Some(scale), Some(min)) = (quantization.scale, quantization.min) else {
            return Err(corrupt(format!("the tensor `{}` is quantised without scale and min", self.name)));
        };
        let value = move |number: u16| {
            let value = f64::from(number) * scale + min;
            if whole { value.round() as f32 } else { value as f32 }
        };
        match quantization.dtype.as_str() {
            "uint8" => Ok((1, Box::new(move |bytes| value(u16::from(bytes[0]))))),
            "uint16" => Ok((2, Box::new(move |bytes| value(u16::from_le_bytes([bytes[0], bytes[1]]))))),
            other => Err(unknown(other)),
        }
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is read of shards in a folder.
    fn read_of(files: &[(&str, &[u8])], groups: Value) -> std::result::Result<Weights, String> {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
        let groups: Vec<Group> = serde_json::from_value(groups).unwrap();
        read(folder.path(), &groups, &mut |_| {}).map(|(weights, _)| weights).map_err(|error| error.to_string())
    }

    fn of(dtype: &str, shape: &[u64], quantization: Value, bytes: &[u8]) -> std::result::Result<Vec<f32>, String> {
        let spec = json!({"name": "w", "shape": shape, "dtype": dtype, "quantization": quantization});
        let read = read_of(&[("a.bin", bytes)], json!([{"paths": ["a.bin"], "weights": [spec]}]));
        read.map(|mut weights| weights.remove("w").unwrap().values)
    }

    #[test]
    fn every_form_stands_for_what_tensorflow_js_makes_of_it() {
        assert_eq!(of("float32", &[2], Value::Null, &[0, 0, 128, 63, 0, 0, 0, 192]).unwrap(), [1.0, -2.0]);
        assert_eq!(of("int32", &[], Value::Null, &[255, 255, 255, 255]).unwrap(), [-1.0]);
        assert_eq!(of("bool", &[2], Value::Null, &[0, 1]).unwrap(), [0.0, 1.0]);
        assert_eq!(of("float32", &[1], json!({"dtype": "float16"}), &[0x55, 0x31]).unwrap(), [0.166_625_98]);
        assert_eq!(of("float32", &[2], json!({"dtype": "uint8", "scale": 0.5, "min": -1.0}), &[0, 255]).unwrap(), [-1.0, 126.5]);
        assert_eq!(of("float32", &[1], json!({"dtype": "uint16", "scale": 2.0, "min": 1.0}), &[1, 1]).unwrap(), [515.0]);
        assert_eq!(of("int32", &[1], json!({"dtype": "uint8", "scale": 0.4, "min": 0.0}), &[4]).unwrap(), [2.0]);
    }

    #[test]
    fn groups_have_shards_of_their_own() {
        let spec = |name: &str| json!({"name": name, "shape": [2], "dtype": "bool"});
        let groups = json!([{"paths": ["a", "b"], "weights": [spec("x")]}, {"paths": ["c"], "weights": [spec("y")]}]);
        let read = read_of(&[("a", &[1]), ("b", &[0]), ("c", &[0, 1])], groups).unwrap();
        assert_eq!((&read["x"].values[..], &read["y"].values[..]), (&[1.0, 0.0][..], &[0.0, 1.0][..]));
    }

    #[test]
    fn what_lies_is_refused_by_its_name() {
        let null = Value::Null;
        assert!(of("float32", &[3], null.clone(), &[0; 8]).unwrap_err().contains("`w` of shape [3]"));
        assert!(of("float32", &[1], null.clone(), &[0; 8]).unwrap_err().contains("4 bytes more"));
        assert!(of("float32", &[u64::MAX, 2], null.clone(), &[0; 8]).unwrap_err().contains("larger than its shards"));
        assert!(of("float32", &[1 << 40], null.clone(), &[0; 8]).unwrap_err().contains("larger than its shards"));
        assert!(of("float32", &[1; 9], null.clone(), &[0; 4]).unwrap_err().contains("9 axes"));
        assert!(of("string", &[1], null, &[0; 4]).unwrap_err().contains("`string`"));
        assert!(of("float32", &[1], json!({"dtype": "int4", "scale": 1.0, "min": 0.0}), &[0]).unwrap_err().contains("`int4`"));
        assert!(of("float32", &[1], json!({"dtype": "uint8"}), &[0]).unwrap_err().contains("without scale"));
        for path in ["../a.bin", "/etc/passwd", "x/a.bin", "", ".", "..", "c:a.bin", "a\\b"] {
            let error = read_of(&[], json!([{"paths": [path], "weights": []}])).unwrap_err();
            assert!(error.contains("no file beside model.json"), "{path}: {error}");
        }
        assert!(read_of(&[], json!([{"paths": ["a.bin"], "weights": []}])).unwrap_err().contains("`a.bin`, which is not there"));
        let twice = json!([{"name": "w", "shape": [1], "dtype": "bool"}, {"name": "w", "shape": [1], "dtype": "bool"}]);
        assert!(read_of(&[("a", &[1, 1])], json!([{"paths": ["a"], "weights": twice}])).unwrap_err().contains("twice"));
    }
}
