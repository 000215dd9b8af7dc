//! A state dict: names and tensors, from whichever file form they came in.

use std::collections::BTreeMap;
use std::collections::HashSet;

use super::error::{Error, Result, corrupt};
use super::pickle::{Id, Pickle, TensorRef, Value};
use super::tensor::{Dtype, Tensor, materialise};
use super::torch_file::{self, TorchFile};
use crate::domain::safetensors;

/// Names and tensors, sorted by name.
pub type StateDict = BTreeMap<String, Tensor>;

/// Keys under which training scripts put the weights, beside the epoch and the optimizer.
const WRAPPERS: [&str; 8] = ["state_dict", "model_state_dict", "model", "net_dict", "net", "state_dict_ema", "model_ema", "weights"];
/// Prefixes that a wrapping module leaves in front of every name.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "backbone.", "encoder."];
const MAX_WRAPPING: usize = 4;
const MAX_TENSORS: usize = 100_000;
/// A state dict may name a tensor twice (tied weights), but not blow a file up.
const MAX_GROWTH: u64 = 4;

/// Reads a PyTorch file, zip or legacy.
pub fn from_torch(file: &[u8]) -> Result<StateDict> {
    let opened = torch_file::open(file)?;
    let entries = weights_of(&opened.pickle)?;
    let mut bytes_left = (file.len() as u64).saturating_mul(MAX_GROWTH);
    let mut tensors = StateDict::new();
    for (name, view) in entries {
        let tensor = materialise_one(&opened, &name, view)?;
        bytes_left = bytes_left
            .checked_sub(tensor.bytes.len() as u64)
            .ok_or_else(|| corrupt("its tensors together are far larger than the file"))?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(corrupt(format!("tensor `{name}` is given twice")));
        }
    }
    Ok(strip_prefixes(tensors))
}

fn materialise_one(opened: &TorchFile, name: &str, view: &TensorRef) -> Result<Tensor> {
    let storage = opened.storages.get(&view.storage.key);
    let storage = storage.ok_or_else(|| corrupt(format!("the numbers of tensor `{name}` are missing")))?;
    materialise(name, view, storage)
}

/// The dict of tensors inside whatever a training script wrapped around it.
fn weights_of(pickle: &Pickle) -> Result<Vec<(String, &TensorRef)>> {
    let mut dict = pickle.root;
    for _ in 0..MAX_WRAPPING {
        let Some(items) = pickle.items(dict) else { break };
        if items.iter().any(|&(_, value)| matches!(pickle.get(value), Value::Tensor(_))) {
            return tensors_of(pickle, &items);
        }
        let inner = WRAPPERS.iter().find_map(|wrapper| {
            items.iter().find(|(key, value)| key == wrapper && matches!(pickle.get(*value), Value::Dict(_))).map(|&(_, value)| value)
        });
        let Some(inner) = inner else {
            let keys: Vec<String> = items.iter().take(8).map(|(key, _)| shown(key)).collect();
            return Err(Error::NoMatch(format!(
                "the file holds no state dict: its keys are {}. Save model.state_dict() alone",
                keys.join(", ")
            )));
        };
        dict = inner;
    }
    Err(Error::NoMatch("the file holds no state dict of tensors; save model.state_dict() with torch.save".into()))
}

fn tensors_of<'a>(pickle: &'a Pickle, items: &[(&str, Id)]) -> Result<Vec<(String, &'a TensorRef)>> {
    if items.len() > MAX_TENSORS {
        return Err(Error::TooLarge(format!("more than {MAX_TENSORS} tensors")));
    }
    let mut tensors = Vec::with_capacity(items.len());
    for &(name, value) in items {
        match pickle.get(value) {
            Value::Tensor(tensor) => {
                check_name(name)?;
                tensors.push((name.to_owned(), tensor.as_ref()));
            }
            // Counters and versions that some scripts leave among the weights.
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
            _ => return Err(Error::NoMatch(format!("`{}` lies among the tensors but is none", shown(name)))),
        }
    }
    Ok(tensors)
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > safetensors::MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(corrupt(format!("a tensor's name is empty, too long or hidden: {}", shown(name))));
    }
    Ok(())
}

/// Takes off what a wrapping module put in front of every name.
fn strip_prefixes(mut tensors: StateDict) -> StateDict {
    while let Some(prefix) = PREFIXES.iter().find(|prefix| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(**prefix))) {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
    }
    tensors
}

/// Reads a safetensors file.
pub fn from_safetensors(file: &[u8]) -> Result<StateDict> {
    let header = safetensors::parse_header(file, file.len() as u64).map_err(|error| corrupt(error.to_string()))?;
    let mut tensors = StateDict::new();
    let mut unread = HashSet::new();
    for info in header.tensors {
        let Some(dtype) = Dtype::from_safetensors(&info.dtype) else {
            unread.insert(info.dtype);
            continue;
        };
        // parse_header has shown that the range lies inside the file.
        let bytes = file[info.offset as usize..][..info.size_bytes as usize].to_vec();
        tensors.insert(info.name, Tensor { dtype, shape: info.shape, bytes });
    }
    if let Some(dtype) = unread.into_iter().next() {
        return Err(Error::NoMatch(format!("the file holds {dtype} numbers, which are not read; save it as F32, F16 or BF16")));
    }
    Ok(strip_prefixes(tensors))
}

fn shown(name: &str) -> String {
    format!("`{}`", name.chars().take(60).flat_map(char::escape_debug).collect::<String>())
}

#[cfg(test)]
#[path = "state_dict_tests.rs"]
mod tests;
