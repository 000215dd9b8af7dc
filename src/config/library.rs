//! What is known before it is here: whether it is listed, by which index, and from where its files come.

use std::path::PathBuf;

use super::Error;
use super::reader::Reader;

/// The settings of the library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Library {
    /// Known models and data sets are listed.
    pub on: bool,
    /// Which ones, in place of those that came with the program.
    pub file: Option<PathBuf>,
    /// Where their files come from, or `off`.
    pub upstream: String,
    pub token: Option<String>,
}

impl Library {
    pub(super) fn read(read: &Reader<'_>) -> Result<Library, Error> {
        Ok(Library {
            on: read.flag("library")?,
            file: Some(read.path("library_file")).filter(|path| !path.as_os_str().is_empty()),
            upstream: read.upstream("library_upstream")?,
            token: Some(read.text("library_token").trim().to_owned()).filter(|token| !token.is_empty()),
        })
    }
}
