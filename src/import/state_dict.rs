//! What a weights file holds: every dict of tensors in it, by the keys that lead there. Which of them is a network's state
//! dict `matching` decides; the numbers are taken out only then.

use std::collections::BTreeMap;

use super::error::{Error, Result, corrupt};
use super::pickle::{Id, Pickle, Value};
use super::tensor::{Dtype, Tensor, materialise};
use super::torch_file::{self, TorchFile};
use crate::domain::safetensors;

/// A tensor as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Where its numbers are, for [`Checkpoint::tensor`].
    at: Place,
    moved: Option<Moved>,
}

/// That the axes stand in another order than in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moved {
    /// The shape there.
    stored: Vec<usize>,
    /// Which of its axes stands here, one by one.
    axes: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A value of the pickle of this file.
    Value(usize, Id),
    /// Bytes of this file.
    Bytes { file: usize, start: usize, length: usize },
    /// Nowhere: all of them are one.
    Ones,
}

impl Found {
    /// The same numbers in another shape.
    pub fn shaped(&self, shape: Vec<usize>) -> Found {
        Found { shape, ..self.clone() }
    }

    /// The same numbers with the axes in this order. Asked once, of a tensor as it is stored.
    pub fn transposed(&self, axes: Vec<usize>) -> Found {
        let shape = axes.iter().map(|axis| self.shape[*axis]).collect();
        Found { shape, moved: Some(Moved { stored: self.shape.clone(), axes }), ..self.clone() }
    }

    /// One that is in no file, all of whose numbers are one.
    pub fn ones(shape: &[usize]) -> Found {
        Found { dtype: Dtype::F32, shape: shape.to_vec(), at: Place::Ones, moved: None }
    }

    /// One without numbers, for what looks at names and shapes only.
    #[cfg(test)]
    pub fn hollow(dtype: Dtype, shape: &[usize]) -> Found {
        Found { dtype, shape: shape.to_vec(), at: Place::Bytes { file: 0, start: 0, length: 0 }, moved: None }
    }
}

/// Names and tensors, sorted by name.
pub type StateDict = BTreeMap<String, Found>;

/// One dict of tensors.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The keys that lead to it, joined by dots; empty where it is the file itself.
    pub key: String,
    pub tensors: StateDict,
}

/// An opened file, or the parts of one.
#[derive(Debug, Default)]
pub struct Checkpoint {
    pub candidates: Vec<Candidate>,
    /// Keys beside the weights that hold none, such as the epoch.
    pub beside: Vec<String>,
    files: Vec<File>,
}

#[derive(Debug)]
enum File {
    Torch(Box<TorchFile>),
    Safetensors(Vec<u8>),
}

const MAX_DEPTH: usize = 4;
const MAX_NODES: usize = 20_000;
const MAX_CANDIDATES: usize = 32;
const MAX_TENSORS: usize = 100_000;
/// Longest list that is looked into: a file may hold the weights and the epoch as a pair.
const MAX_LIST: usize = 8;
/// A state dict may name a tensor twice (tied weights), but not blow a file up.
const MAX_GROWTH: u64 = 4;

/// Reads a PyTorch file, zip or legacy.
pub fn from_torch(file: &[u8]) -> Result<Checkpoint> {
    let opened = torch_file::open(file)?;
    let mut search = Search { pickle: &opened.pickle, nodes: 0, found: Vec::new() };
    search.look(opened.pickle.root, String::new(), 0)?;
    let candidates = search.found;
    if candidates.is_empty() {
        return Err(Error::NoMatch(without_tensors(&opened.pickle)));
    }
    let with_weights = |key: &str| {
        candidates.iter().any(|one| match one.key.as_str() {
            "" => one.tensors.contains_key(key),
            path => path.split('.').next() == Some(key),
        })
    };
    let keys = opened.pickle.items(opened.pickle.root).unwrap_or_default();
    let beside = keys.into_iter().map(|(key, _)| key).filter(|key| !with_weights(key)).take(16).map(shown).collect();
    Ok(Checkpoint { candidates, beside, files: vec![File::Torch(Box::new(opened))] })
}

/// Reads a safetensors file.
pub fn from_safetensors(file: Vec<u8>) -> Result<Checkpoint> {
    let header = safetensors::parse_header(&file, file.len() as u64).map_err(|error| corrupt(error.to_string()))?;
    let mut tensors = StateDict::new();
    for info in header.tensors {
        let Some(dtype) = Dtype::from_safetensors(&info.dtype) else {
            let problem =
                format!("the file holds {} numbers (`{}`), which are not read; save it as F32, F16 or BF16", info.dtype, info.name);
            return Err(Error::NoMatch(problem));
        };
        // parse_header has shown that the range lies inside the file.
        let at = Place::Bytes { file: 0, start: info.offset as usize, length: info.size_bytes as usize };
        tensors.insert(info.name, Found { dtype, shape: info.shape, at, moved: None });
    }
    let candidates = vec![Candidate { key: String::new(), tensors }];
    Ok(Checkpoint { candidates, beside: Vec::new(), files: vec![File::Safetensors(file)] })
}

impl Checkpoint {
    /// One without files.
    #[cfg(test)]
    pub fn of(candidates: Vec<Candidate>) -> Checkpoint {
        Checkpoint { candidates, ..Checkpoint::default() }
    }

    /// Adds the next part of weights that are spread over files.
    pub fn join(&mut self, part: Checkpoint) -> Result<()> {
        let file = self.files.len();
        self.files.extend(part.files);
        let Some(tensors) = part.candidates.into_iter().next().map(|one| one.tensors) else { return Ok(()) };
        if self.candidates.is_empty() {
            self.candidates.push(Candidate { key: String::new(), tensors: StateDict::new() });
        }
        self.candidates.truncate(1);
        for (name, mut found) in tensors {
            found.at = match found.at {
                Place::Value(_, id) => Place::Value(file, id),
                Place::Bytes { start, length, .. } => Place::Bytes { file, start, length },
                Place::Ones => Place::Ones,
            };
            if self.candidates[0].tensors.insert(name.clone(), found).is_some() {
                return Err(corrupt(format!("tensor `{name}` lies in two of the parts")));
            }
        }
        Ok(())
    }

    /// The numbers of these tensors, which belong to one file of `size_bytes`.
    pub fn take(&self, wanted: BTreeMap<String, Found>, size_bytes: u64) -> Result<BTreeMap<String, Tensor>> {
        let mut bytes_left = size_bytes.saturating_mul(MAX_GROWTH);
        let mut tensors = BTreeMap::new();
        for (name, found) in wanted {
            let tensor = self.tensor(&name, &found)?;
            bytes_left = bytes_left
                .checked_sub(tensor.bytes.len() as u64)
                .ok_or_else(|| corrupt("its tensors together are far larger than the file"))?;
            let tensor = match &found.moved {
                Some(Moved { stored, axes }) => Tensor { shape: stored.clone(), ..tensor }.transposed(axes),
                None => tensor,
            };
            tensors.insert(name, Tensor { shape: found.shape, ..tensor });
        }
        Ok(tensors)
    }

    fn tensor(&self, name: &str, found: &Found) -> Result<Tensor> {
        let missing = || corrupt(format!("the numbers of tensor `{name}` are missing"));
        match found.at {
            Place::Bytes { file, start, length } => {
                let Some(File::Safetensors(bytes)) = self.files.get(file) else { return Err(missing()) };
                let bytes = bytes.get(start..start + length).ok_or_else(missing)?.to_vec();
                Ok(Tensor { dtype: found.dtype, shape: found.shape.clone(), bytes })
            }
            Place::Value(file, id) => {
                let Some(File::Torch(opened)) = self.files.get(file) else { return Err(missing()) };
                let Value::Tensor(view) = opened.pickle.get(id) else { return Err(missing()) };
                materialise(name, view, opened.storages.get(&view.storage.key).ok_or_else(missing)?)
            }
            Place::Ones => {
                let count = found.shape.iter().product::<usize>();
                Ok(Tensor { dtype: found.dtype, shape: found.shape.clone(), bytes: 1f32.to_le_bytes().repeat(count) })
            }
        }
    }
}

/// Looks for dicts of tensors.
struct Search<'a> {
    pickle: &'a Pickle,
    /// Values looked at: a value that holds itself ends at the depth, and all of it here.
    nodes: usize,
    found: Vec<Candidate>,
}

impl Search<'_> {
    fn look(&mut self, id: Id, key: String, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH || self.nodes >= MAX_NODES || self.found.len() >= MAX_CANDIDATES {
            return Ok(());
        }
        self.nodes += 1;
        let inside = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        if let Value::Tuple(items) | Value::List(items) = self.pickle.get(id) {
            for (at, &item) in items.iter().enumerate().take(MAX_LIST) {
                self.look(item, inside(&at.to_string()), depth + 1)?;
            }
            return Ok(());
        }
        let Some(items) = self.pickle.items(id) else { return Ok(()) };
        let tensors = tensors_of(self.pickle, &items)?;
        let any = !tensors.is_empty();
        if any {
            self.found.push(Candidate { key: key.clone(), tensors });
        }
        let before = self.found.len();
        for (name, value) in items {
            self.look(value, inside(name), depth + 1)?;
        }
        // Some save a dict for each part of the network.
        let parts = &self.found[before..];
        let prefix = if key.is_empty() { 0 } else { key.len() + 1 };
        if !any && parts.len() > 1 && parts.iter().all(|part| !part.key[prefix..].contains('.')) {
            let named = |part: &Candidate| {
                let name = part.key[prefix..].to_owned();
                part.tensors.clone().into_iter().map(move |(tensor, found)| (format!("{name}.{tensor}"), found)).collect::<Vec<_>>()
            };
            let tensors = parts.iter().flat_map(named).collect();
            self.found.push(Candidate { key, tensors });
        }
        Ok(())
    }
}

fn tensors_of(pickle: &Pickle, items: &[(&str, Id)]) -> Result<StateDict> {
    if items.len() > MAX_TENSORS {
        return Err(Error::TooLarge(format!("more than {MAX_TENSORS} tensors")));
    }
    let mut tensors = StateDict::new();
    for &(name, value) in items {
        // What else lies there, such as counters, versions and settings, is no weight.
        let Value::Tensor(tensor) = pickle.get(value) else { continue };
        check_name(name)?;
        let found = Found { dtype: tensor.storage.dtype, shape: tensor.shape.clone(), at: Place::Value(0, value), moved: None };
        if tensors.insert(name.to_owned(), found).is_some() {
            return Err(corrupt(format!("tensor `{name}` is given twice")));
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

/// What to say of a file in which no tensor has a name.
fn without_tensors(pickle: &Pickle) -> String {
    let save = "save model.state_dict() alone, with torch.save or as safetensors";
    if let Some(class) = pickle.class_of(pickle.root) {
        return format!("the file holds a whole object, `{class}`, and no state dict; {save}");
    }
    let Some(items) = pickle.items(pickle.root) else {
        return format!("the file holds no state dict of tensors; {save}");
    };
    let keys: Vec<String> = items.iter().take(8).map(|(key, _)| shown(key)).collect();
    let objects: Vec<String> = items
        .iter()
        .filter_map(|&(key, value)| Some(format!("{} is a whole object, `{}`", shown(key), pickle.class_of(value)?)))
        .take(3)
        .collect();
    let objects = if objects.is_empty() { String::new() } else { format!(" ({})", objects.join(", ")) };
    format!("the file holds no state dict: its keys are {}{objects}; {save}", keys.join(", "))
}

pub(super) fn shown(name: &str) -> String {
    format!("`{}`", name.chars().take(60).flat_map(char::escape_debug).collect::<String>())
}

#[cfg(test)]
#[path = "state_dict_tests.rs"]
mod tests;
