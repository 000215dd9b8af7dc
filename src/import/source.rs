//! What lies at the path a person named: which file holds the weights, and what stands beside it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::state_dict::{self, Checkpoint};
use super::torch_file::{LEGACY_MAGIC, ZIP_MAGIC};
use super::{Progress, Step, forms, shards};
use crate::domain::card::Card;
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig};

/// Largest weights file in bytes; it is held in memory twice.
pub const MAX_SOURCE_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Bytes read between two reports of progress.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Names tried in a folder, in this order.
const USUAL_NAMES: [&str; 4] = ["model.safetensors", "pytorch_model.bin", "model.pth", "model.pt"];

/// Endings of files that hold the weights of other tools.
const OTHERS: [&str; 8] = [".h5", ".hdf5", ".keras", ".onnx", ".pb", ".tflite", ".msgpack", ".gguf"];

/// The weights and what was found with them.
#[derive(Debug)]
pub struct Source {
    pub file: Checkpoint,
    pub file_name: String,
    /// What it lies in, where that is what was named.
    pub folder: Option<PathBuf>,
    pub size_bytes: u64,
    pub sha256: String,
    /// In words: `PyTorch file, legacy form`.
    pub form: &'static str,
    pub config: Option<ModelConfig>,
    pub card: Option<Card>,
}

/// Reads a weights file, or a folder that holds one, whole or in parts.
pub fn read(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Source> {
    let is_folder = path.is_dir();
    let files = if is_folder { weights_in(path)? } else { vec![path.to_owned()] };
    let (mut size_bytes, mut hash, mut forms, mut file) = (0, Sha256::new(), Vec::new(), None::<Checkpoint>);
    for part in &files {
        let bytes = read_whole(part, MAX_SOURCE_BYTES - size_bytes, progress)?;
        size_bytes += bytes.len() as u64;
        hash.update(&bytes);
        let (form, read) = read_tensors(part, bytes)?;
        forms.push(form);
        match &mut file {
            None if files.len() == 1 => file = Some(read),
            None => file.insert(Checkpoint::default()).join(read)?,
            Some(whole) => whole.join(read)?,
        }
    }
    let mut file_name = files.first().and_then(|file| file.file_name()).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if files.len() > 1 {
        file_name.push_str(&format!(" and {} more", files.len() - 1));
    }
    let (config, card) = if is_folder { companions(path)? } else { (None, None) };
    let form = forms.first().copied().unwrap_or("no file");
    let sha256 = hex::encode(hash.finalize());
    let folder = is_folder.then(|| path.to_owned());
    Ok(Source { file: file.unwrap_or_default(), file_name, folder, size_bytes, sha256, form, config, card })
}

fn read_tensors(path: &Path, bytes: Vec<u8>) -> Result<(&'static str, Checkpoint)> {
    let unsupported = |problem| Err(Error::Unsupported { path: path.to_owned(), problem });
    if bytes.starts_with(LEGACY_MAGIC) {
        return Ok(("PyTorch file, legacy form", state_dict::from_torch(&bytes)?));
    }
    if bytes.starts_with(ZIP_MAGIC) {
        return match forms::of_zip(path, &bytes) {
            Some(problem) => unsupported(problem),
            None => Ok(("PyTorch file, zip form", state_dict::from_torch(&bytes)?)),
        };
    }
    if bytes.get(8) == Some(&b'{') {
        return Ok(("safetensors file", state_dict::from_safetensors(bytes)?));
    }
    unsupported(forms::of_other(path, &bytes))
}

/// The files in a folder that hold its weights: one, or the parts of one.
fn weights_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if let Some(usual) = USUAL_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(vec![usual]);
    }
    let parts = shards::parts_in(folder)?;
    if !parts.is_empty() {
        return Ok(parts);
    }
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && forms::is_weights(name) {
            found.push(path);
        } else if OTHERS.iter().any(|ending| name.ends_with(ending)) || forms::is_tensorflow_checkpoint(&path) {
            others.push(name.to_owned());
        }
    }
    others.sort();
    let problem = match (found.len(), others.first()) {
        (1, _) => return Ok(found),
        (0, Some(other)) => format!("the folder holds no weights that are read, but {other}; export the weights as safetensors"),
        (0, None) => "the folder holds no weights (model.safetensors, *.pth or *.pt)".to_owned(),
        (many, _) => format!("the folder holds {many} weights files; name the one to import"),
    };
    Err(Error::Unsupported { path: folder.to_owned(), problem })
}

/// A longer README.md is not a card.
const MOST_CARD_BYTES: usize = 16 << 20;

/// config.json and README.md of a folder, when it has them.
fn companions(folder: &Path) -> Result<(Option<ModelConfig>, Option<Card>)> {
    let invalid = |setting: &'static str, error: &dyn std::fmt::Display| Error::Invalid { setting, problem: error.to_string() };
    let config = match text_of(&folder.join("config.json"), MAX_CONFIG_BYTES)? {
        Some(text) => Some(ModelConfig::read(&text).map_err(|error| invalid("config.json", &error))?),
        None => None,
    };
    let card = bytes_of(&folder.join("README.md"), MOST_CARD_BYTES)?;
    let card = card.map(|bytes| Card::read_bytes(&bytes, bytes.len() as u64).0);
    Ok((config, card))
}

fn bytes_of(path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    if !path.is_file() {
        return Ok(None);
    }
    read_whole(path, limit as u64, &mut |_| {}).map(Some)
}

fn text_of(path: &Path, limit: usize) -> Result<Option<String>> {
    let Some(bytes) = bytes_of(path, limit)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Error::Unsupported { path: path.to_owned(), problem: "this file is not UTF-8 text".into() })
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read_whole(path: &Path, limit: u64, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let total = file.metadata().map_err(Error::io(path))?.len();
    if total > limit {
        return Err(Error::TooLarge(format!("{} has {total} bytes, more than {limit}", path.display())));
    }
    let mut bytes = Vec::with_capacity(total as usize);
    // A file that grows while it is read stays within the limit too.
    while file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut bytes).map_err(Error::io(path))? > 0 {
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge(format!("{} is larger than {limit} bytes", path.display())));
        }
        progress(Progress { step: Step::Reading, done: bytes.len() as u64, total });
    }
    Ok(bytes)
}
