//! The safetensors file. Reading goes through the `safetensors` crate, which checks every offset; writing is our own
//! twenty lines, because the crate keeps metadata in a hash map and the same weights must give the same bytes.
//!
//! ```text
//! u64 LE n | n bytes of JSON, padded with spaces to a multiple of 8 | tensors, one after the other
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use crate::domain::safetensors::is_counter;

/// Every tensor but counters and indices, as f32 on the CPU.
pub(crate) fn read(path: &Path) -> Result<HashMap<String, Tensor>> {
    // Read, not mapped: a file cut short while it is mapped would kill the process.
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::Format { path: path.into(), reason: e.to_string() })?;
    let mut tensors = HashMap::new();
    for (name, view) in file.iter() {
        if !is_counter(name) && !is_index(view.dtype()) {
            tensors.insert(name.to_string(), Tensor::from_vec(floats(name, &view)?, view.shape(), &Device::Cpu)?);
        }
    }
    Ok(tensors)
}

/// Places, indices and masks (`position_ids`, `relative_position_index`): buffers that modules of older releases saved and
/// that are worked out anew. No weight is of such a kind: quantised ones have fewer bits.
fn is_index(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::I64 | Dtype::U64 | Dtype::BOOL)
}

fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = view.data();
    let pairs = || data.as_chunks::<2>().0.iter().copied();
    match view.dtype() {
        Dtype::F32 => Ok(data.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()),
        Dtype::F16 => Ok(pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect()),
        Dtype::BF16 => Ok(pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect()),
        Dtype::F64 => Ok(data.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect()),
        other => Err(Error::DType { name: name.into(), dtype: format!("{other:?}") }),
    }
}

/// Writes `tensors` in the order of their names.
pub(crate) fn write(path: &Path, tensors: &BTreeMap<String, Var>, metadata: &[(&str, &str)]) -> Result<()> {
    let io = |source| Error::Io { path: path.into(), source };
    let header = header(tensors, metadata);
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for var in tensors.values() {
        file.write_all(&bytes(var)?).map_err(io)?;
    }
    file.flush().map_err(io)
}

fn header(tensors: &BTreeMap<String, Var>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut facts: BTreeMap<&str, &str> = metadata.iter().copied().collect();
    facts.entry("format").or_insert("pt");
    let facts: Map<String, Value> = facts.into_iter().map(|(key, value)| (key.to_string(), value.into())).collect();
    let mut header = Map::new();
    header.insert("__metadata__".into(), Value::Object(facts));
    let mut offset = 0;
    for (name, var) in tensors {
        let end = offset + var.elem_count() * size_of::<f32>();
        header.insert(name.clone(), json!({"dtype": "F32", "shape": var.dims(), "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    text
}

/// A tensor's values, little-endian.
pub(crate) fn bytes(var: &Var) -> Result<Vec<u8>> {
    let values = var.as_tensor().flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
}
