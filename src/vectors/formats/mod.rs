//! Files of word vectors as others write them, told apart by what is in them: word2vec's binary and text forms, GloVe's text (the
//! same without a header), fastText's models (versions 11 and 12, also quantised), NumPy arrays beside a list of words. What is
//! packed is unpacked first. Nothing is executed, every number is checked where it is read, and errors name the byte.

mod cursor;
mod fasttext;
mod npy;
mod quantised;
mod text;
mod unpack;
mod word2vec;

use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Map;

use super::error::{Error, Result};
use super::matrix::Dtype;
use super::store::{Store, Stored};
use super::tensors;

pub use npy::{Array, read as read_array};

/// How vectors lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Word2vecBinary,
    /// With a first line that says how many there are.
    Word2vecText,
    /// Without.
    GloveText,
    FastText,
    /// An array, whose words stand in another file.
    Numpy,
}

impl Form {
    /// In words, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Word2vecBinary => "word2vec file, binary form",
            Form::Word2vecText => "word2vec file, text form",
            Form::GloveText => "GloVe file, text form",
            Form::FastText => "fastText model",
            Form::Numpy => "NumPy array with a list of words",
        }
    }
}

/// A file with word vectors, mapped.
pub struct Source {
    pub path: PathBuf,
    pub form: Form,
    map: Mmap,
    /// What a packed file was unpacked into.
    _unpacked: Option<tempfile::NamedTempFile>,
}

impl Source {
    /// Opens a file, if it holds word vectors of a form that is read here.
    ///
    /// # Errors
    /// Those of reading it, and of a packed file that cannot be unpacked.
    pub fn open(path: &Path) -> Result<Option<Source>> {
        let mut map = tensors::map(path)?;
        let unpacked = unpack::unpacked(path, &map)?;
        if let Some(file) = &unpacked {
            map = tensors::map(file.path())?;
        }
        let form = recognise(&map);
        Ok(form.map(|form| Source { path: path.to_owned(), form, map, _unpacked: unpacked }))
    }

    /// Writes what it holds as a model into `folder`, which exists. `words` is the list beside a NumPy array; `progress` is told the bytes
    /// read and how many there are.
    pub fn store(&self, words: Option<&Path>, dtype: Dtype, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Stored> {
        let reading = Reading { bytes: &self.map, path: &self.path, folder, dtype };
        match self.form {
            Form::Word2vecBinary => word2vec::store(&reading, progress),
            Form::Word2vecText | Form::GloveText => text::store(&reading, self.form == Form::Word2vecText, progress),
            Form::FastText => fasttext::store(&reading, progress),
            Form::Numpy => {
                let path = words.map(Path::to_owned).or_else(|| npy::words_beside(&self.path));
                let path = path.ok_or_else(|| Error::Unsupported {
                    path: self.path.clone(),
                    problem: "an array alone has no words; name the list of its words, one a line, with --words".into(),
                })?;
                npy::store(&reading, &path, progress)
            }
        }
    }
}

/// What a form's reader is given.
struct Reading<'a> {
    bytes: &'a [u8],
    path: &'a Path,
    folder: &'a Path,
    dtype: Dtype,
}

impl<'a> Reading<'a> {
    fn corrupt(&self, offset: usize, problem: impl Into<String>) -> Error {
        Error::corrupt(self.path, offset as u64, problem)
    }

    fn begin(&self, width: usize) -> Result<Store> {
        Store::begin(self.folder, self.path, self.dtype, width)
    }
}

/// Words between two reports of progress.
const REPORT: usize = 4096;

/// How vectors lie in these bytes, if such a form is known.
fn recognise(bytes: &[u8]) -> Option<Form> {
    if fasttext::begins(bytes) {
        return Some(Form::FastText);
    }
    if npy::begins(bytes) {
        return Some(Form::Numpy);
    }
    if let Some(header) = text::Header::read(bytes) {
        return Some(if header.is_text(bytes) { Form::Word2vecText } else { Form::Word2vecBinary });
    }
    text::is_without_header(bytes).then_some(Form::GloveText)
}

/// Ends a model whose form says nothing of its training.
fn finish(store: Store, architecture: &str) -> Result<Stored> {
    store.finish(architecture, Map::new(), None)
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
