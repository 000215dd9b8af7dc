//! What can go wrong with word vectors, named by what the person can do about it.

use std::path::{Path, PathBuf};

use crate::domain::disk;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is of no kind we read, or of one that is read elsewhere.
    #[error("{path}: {problem}")]
    Unsupported { path: PathBuf, problem: String },
    /// The file is damaged or lies about itself; `offset` in bytes from its beginning.
    #[error("{path}: at byte {offset}: {problem}")]
    Corrupt { path: PathBuf, offset: u64, problem: String },
    /// A setting that cannot be obeyed.
    #[error("{setting}: {problem}")]
    Invalid { setting: &'static str, problem: String },
    /// A word that has no vector, and no part of it has one.
    #[error("`{word}` is not in the vocabulary{why}")]
    UnknownWord { word: String, why: &'static str },
    #[error("{path}: {source}; {advice}", advice = disk::advice(.source))]
    Io { path: PathBuf, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Adds the path an I/O error happened at.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }

    pub fn corrupt(path: &Path, offset: u64, problem: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), offset, problem: problem.into() }
    }

    pub fn invalid(setting: &'static str, problem: impl Into<String>) -> Error {
        Error::Invalid { setting, problem: problem.into() }
    }
}

/// A word of somebody's file made safe and short enough for a message.
pub fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(40).flat_map(char::escape_debug).collect();
    if word.chars().nth(40).is_some() {
        text.push('…');
    }
    text
}
