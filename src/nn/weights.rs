//! Named tensors: what a backbone and its head are made of.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::safetensors_file;
use crate::domain::safetensors::{is_buffer, is_counter};

/// Named f32 tensors under timm's names. Handles are shared: a clone sees what an optimiser writes to the original.
///
/// Batch norm's `num_batches_tracked` counters are left out: nothing here needs them, and PyTorch's strict loading
/// accepts a state dict without them.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Var>,
}

/// The variable itself where it is on `device`, else its values in a new one there.
pub(crate) fn on_device(var: &Var, device: &Device) -> Result<Var> {
    if var.device().same_device(device) {
        return Ok(var.clone());
    }
    Ok(Var::from_tensor(&var.as_tensor().detach().to_device(device)?)?)
}

impl Weights {
    /// Reads a safetensors file. F16, BF16 and F64 become f32; whole numbers of 64 bits and truth values, which are places and masks, are
    /// left out; other kinds of numbers are an error that names the tensor.
    pub fn load(path: &Path) -> Result<Weights> {
        Weights::from_tensors(safetensors_file::read(path)?)
    }

    /// Takes tensors as they are (converted to f32), copying each into a variable of its own.
    pub fn from_tensors(tensors: HashMap<String, Tensor>) -> Result<Weights> {
        let mut weights = Weights::default();
        for (name, tensor) in tensors {
            if is_counter(&name) {
                continue;
            }
            if !tensor.dtype().is_float() {
                return Err(Error::DType { name, dtype: tensor.dtype().as_str().into() });
            }
            // Detached first, so that a variable given here is copied instead of shared.
            let tensor = tensor.detach().to_dtype(DType::F32)?.contiguous()?;
            weights.tensors.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(weights)
    }

    /// Writes a safetensors file that timm loads strictly: names sorted, `{"format": "pt"}` and `metadata` in the
    /// header. The same weights give the same bytes.
    pub fn save(&self, path: &Path, metadata: &[(&str, &str)]) -> Result<()> {
        safetensors_file::write(path, &self.tensors, metadata)
    }

    /// The same values in variables of their own on `device`; where they are there already, the same handles.
    pub fn to_device(&self, device: &Device) -> Result<Weights> {
        let mut moved = Weights::default();
        for (name, var) in self.iter() {
            moved.insert(name.into(), on_device(var, device)?);
        }
        Ok(moved)
    }

    /// Trainable tensors by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| !is_buffer(name))
    }

    /// Running means and variances by name.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| is_buffer(name))
    }

    /// All tensors by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.tensors.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Where they lie.
    pub fn device(&self) -> Device {
        self.iter().next().map_or(Device::Cpu, |(_, var)| var.device().clone())
    }

    pub fn get(&self, name: &str) -> Option<&Var> {
        self.tensors.get(name)
    }

    /// Adds or replaces a tensor, sharing its handle.
    pub fn insert(&mut self, name: String, var: Var) {
        self.tensors.insert(name, var);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// sha256 over every tensor's name, shape and bytes in the order of names.
    pub fn digest(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for (name, var) in self.iter() {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update((var.rank() as u64).to_le_bytes());
            var.dims().iter().for_each(|&size| hash.update((size as u64).to_le_bytes()));
            hash.update(safetensors_file::bytes(var)?);
        }
        Ok(hash.finalize().into())
    }

    /// Without the module `head` (such as `classifier` or `fc`): what a new head is put on.
    pub fn without_head(self, head: &str) -> Weights {
        self.split(head).0
    }

    /// The backbone's tensors and those of the module `head`.
    pub fn split(self, head: &str) -> (Weights, Weights) {
        let of_head = |name: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
        let (head, backbone) = self.tensors.into_iter().partition(|(name, _)| of_head(name));
        (Weights { tensors: backbone }, Weights { tensors: head })
    }

    /// The same values in variables of their own.
    pub fn deep_copy(&self) -> Result<Weights> {
        Weights::from_tensors(self.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect())
    }
}
