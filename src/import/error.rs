//! What can go wrong when other people's files are read, named by what the person can do about it.

use std::path::{Path, PathBuf};

use crate::domain::disk;

/// A failed import. Nothing was executed and the output folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is of no kind we read.
    #[error("{path}: {problem}")]
    Unsupported { path: PathBuf, problem: String },
    /// The pickle asks for more than tensors: it would run code.
    #[error(
        "the file asks Python to run `{global}`, and an import never runs code; {why}. If you trust the file, load it in Python and save \
         the weights alone: torch.save(model.state_dict(), ...) or safetensors.torch.save_file(...)"
    )]
    RefusedGlobal { global: String, why: String },
    /// The file is damaged or lies about itself.
    #[error("the file is damaged or made to deceive: {0}; fetch it again and compare its sha256")]
    Corrupt(String),
    /// The file holds more than we are willing to read.
    #[error("the file is too large to import: {0}")]
    TooLarge(String),
    /// Tensor names or shapes fit no architecture we know.
    #[error("{0}")]
    NoMatch(String),
    /// A setting given beside the file does not fit it.
    #[error("{setting}: {problem}")]
    Invalid { setting: &'static str, problem: String },
    #[error("{path}: {source}; {advice}", advice = disk::advice(.source))]
    Io { path: PathBuf, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Adds the path an I/O error happened at.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }
}

/// Shorthand for damage.
pub(super) fn corrupt(problem: impl Into<String>) -> Error {
    Error::Corrupt(problem.into())
}
