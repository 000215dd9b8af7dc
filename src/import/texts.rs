//! What a text encoder's folder holds beside its weights: its config.json in transformers' form, the tokenizer, and what
//! sentence-transformers say of pooling. All of it is carried over; without its tokenizer nobody could ask the model anything.

use std::path::Path;

use super::error::{Error, Result};
use super::matching::Match;
use super::source::{Source, read_whole};
use crate::domain::config::ModelConfig;
use crate::domain::sentence::Sentence;
use crate::nn::architectures::{self, Architecture};

/// Files of tokenizers.
const TOKENIZER: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
];
/// The largest of them: a quarter of a million words and their pieces take 17 MB.
const MOST_BYTES: u64 = 64 << 20;

/// Whether it takes texts.
pub fn is_encoder(architecture: &str) -> bool {
    architectures::find(architecture).is_some_and(Architecture::is_encoder)
}

/// The source's own config.json with what was found; how images are prepared has no place in it.
pub fn config(source: &Source, found: &Match, labels: Option<Vec<String>>) -> ModelConfig {
    let own = source.config.clone().unwrap_or_default();
    ModelConfig {
        architecture: found.architecture.clone(),
        num_classes: Some(found.num_classes),
        num_features: Some(found.num_features),
        label_names: labels.or(own.label_names).filter(|_| found.num_classes > 0),
        ..own
    }
}

/// Copies what stands beside the weights in `from`.
pub fn carry(from: &Path, to: &Path) -> Result<()> {
    let mut names: Vec<String> = TOKENIZER.iter().map(|name| (*name).to_owned()).collect();
    for entry in std::fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let inside = format!("{name}/config.json");
        names.extend([name, inside].into_iter().filter(|path| Sentence::is_paper(path)));
    }
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        if !source.is_file() {
            continue;
        }
        let bytes = read_whole(&source, MOST_BYTES, &mut |_| {})?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        std::fs::write(&target, bytes).map_err(Error::io(&target))?;
    }
    Ok(())
}
