//! An open model of word vectors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::{Error, Result, shown};
use super::lists::Lists;
use super::matrix::Matrix;
use super::subwords::Subwords;
use super::tensors::TensorFile;
use super::vocabulary::{VOCABULARY_FILE, Vocabulary, le_u32};
use super::{ARCHITECTURES, WEIGHTS_FILE};
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig};

/// Where a vector came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The word's row.
    Word(usize),
    /// So many n-grams of a word that has no row.
    Subwords(usize),
}

/// Where the files of a model lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub config: PathBuf,
    pub vocabulary: PathBuf,
    pub weights: PathBuf,
}

impl Files {
    /// Those of a model folder.
    pub fn of(folder: &Path) -> Files {
        let at = |name: &str| folder.join(name);
        Files { config: at("config.json"), vocabulary: at(VOCABULARY_FILE), weights: at(WEIGHTS_FILE) }
    }
}

/// Word vectors of a model folder: config.json, model.safetensors, vocabulary.safetensors. Opening reads the headers and no more.
pub struct WordVectors {
    pub config: ModelConfig,
    pub vocabulary: Vocabulary,
    pub vectors: Matrix,
    subwords: Option<(Subwords, Matrix)>,
    /// Where rows are looked for; without them every row is looked at.
    pub(super) lists: Option<Lists>,
}

impl WordVectors {
    /// Whether a folder holds word vectors, by what its config.json says.
    pub fn is_in(folder: &Path) -> bool {
        config(&folder.join("config.json")).is_ok_and(|config| ARCHITECTURES.contains(&config.architecture.as_str()))
    }

    /// Opens a model folder.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where vocabulary and matrix disagree, [`Error::Unsupported`] where the folder holds another kind of model.
    pub fn open(folder: &Path) -> Result<WordVectors> {
        WordVectors::open_files(&Files::of(folder))
    }

    /// The same of files that lie anywhere.
    ///
    /// # Errors
    /// As [`WordVectors::open`].
    pub fn open_files(files: &Files) -> Result<WordVectors> {
        let config = config(&files.config)?;
        if !ARCHITECTURES.contains(&config.architecture.as_str()) {
            let problem = format!("`{}` is no model of word vectors ({})", shown(&config.architecture), ARCHITECTURES.join(", "));
            return Err(Error::Unsupported { path: files.config.clone(), problem });
        }
        WordVectors::of_files(config, &files.vocabulary, &files.weights)
    }

    /// The same for a config that was read and says that they are word vectors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where vocabulary and matrix disagree.
    pub fn of_files(config: ModelConfig, vocabulary: &Path, weights: &Path) -> Result<WordVectors> {
        let vocabulary = Vocabulary::open(vocabulary)?;
        let weights = Arc::new(TensorFile::open(weights)?);
        let vectors = Matrix::open(&weights, "vectors")?;
        if vectors.rows != vocabulary.len() {
            let problem = format!("the matrix has {} rows, and the vocabulary {} words", vectors.rows, vocabulary.len());
            return Err(Error::corrupt(&weights.path, 0, problem));
        }
        let settings = config.model_args.as_ref().and_then(Subwords::of_args);
        let subwords = match settings {
            Some(settings) if weights.find("subwords").is_some() => Some((settings, Matrix::open(&weights, "subwords")?)),
            _ => None,
        };
        if let Some((_, matrix)) = &subwords
            && matrix.width != vectors.width
        {
            let problem = format!("n-grams are {} wide, and words {}", matrix.width, vectors.width);
            return Err(Error::corrupt(&weights.path, 0, problem));
        }
        Ok(WordVectors { config, vocabulary, vectors, subwords, lists: None })
    }

    /// Numbers of a vector.
    pub fn width(&self) -> usize {
        self.vectors.width
    }

    pub fn has_subwords(&self) -> bool {
        self.subwords.is_some()
    }

    /// The settings of the n-grams.
    pub fn subwords(&self) -> Option<Subwords> {
        self.subwords.as_ref().map(|(settings, _)| *settings)
    }

    /// Writes the vector of a word into `out`, `[width]`: its row, else the mean of its n-grams' rows where the model has them.
    pub fn look_up(&self, word: &str, out: &mut [f32]) -> Option<Found> {
        if let Some(row) = self.vocabulary.find(word) {
            self.vectors.read(row, out);
            return Some(Found::Word(row));
        }
        out.fill(0.0);
        let (settings, matrix) = self.subwords.as_ref()?;
        let rows: Vec<usize> = settings.of(word.as_bytes()).into_iter().filter_map(|bucket| self.row_of_bucket(bucket)).collect();
        if rows.is_empty() {
            return None;
        }
        let share = 1.0 / rows.len() as f32;
        rows.iter().for_each(|row| matrix.add(*row, share, out));
        Some(Found::Subwords(rows.len()))
    }

    /// The vector of a word.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] where it has none.
    pub fn vector(&self, word: &str) -> Result<(Vec<f32>, Found)> {
        let mut out = vec![0.0; self.width()];
        let why = match (self.has_subwords(), self.config.architecture.as_str()) {
            (true, _) => ", and none of its parts is known",
            _ => ", and this model makes no vectors of parts of words",
        };
        let found = self.look_up(word, &mut out).ok_or_else(|| Error::UnknownWord { word: shown(word), why })?;
        Ok((out, found))
    }

    /// Where only some buckets were kept they stand in ascending order beside their rows.
    fn row_of_bucket(&self, bucket: u32) -> Option<usize> {
        let (Some(buckets), Some(rows)) = (self.vocabulary.numbers("subwords.buckets"), self.vocabulary.numbers("subwords.rows")) else {
            return Some(bucket as usize);
        };
        let (mut low, mut high) = (0, buckets.len() / 4);
        while low < high {
            let middle = (low + high) / 2;
            match le_u32(buckets, middle)?.cmp(&bucket) {
                std::cmp::Ordering::Equal => return Some(le_u32(rows, middle)? as usize),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// What config.json says of the training.
    pub fn args(&self) -> Map<String, Value> {
        self.config.model_args.clone().unwrap_or_default()
    }
}

fn config(path: &Path) -> Result<ModelConfig> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let refused = |problem: String| Error::Unsupported { path: path.to_owned(), problem };
    if size > MAX_CONFIG_BYTES as u64 {
        return Err(refused(format!("it has {size} bytes, more than {MAX_CONFIG_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    ModelConfig::read(&text).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
