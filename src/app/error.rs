//! Why the house could not be opened or an act of administration failed, named by what a person can do.

use std::path::Path;

use crate::domain::disk;
use crate::service;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{message}")]
    NotFound { message: String, hint: String },
    #[error("{message}")]
    Refused { message: String, hint: String },
    /// Stored data is damaged.
    #[error("{message}")]
    Corrupt { message: String, hint: String },
    #[error("{message}")]
    Failed { message: String, hint: String },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn failed(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Failed { message: message.into(), hint: hint.into() }
    }

    pub(super) fn corrupt(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Corrupt { message: message.into(), hint: hint.into() }
    }

    /// The data directory cannot be used.
    pub(super) fn data(directory: &Path, error: &std::io::Error) -> Error {
        let message = format!("the data directory {}: {error}", directory.display());
        let hint =
            if disk::is_full(error) { disk::advice(error) } else { "choose a directory you may write to with --data DIR or HUB_DATA" };
        Error::failed(message, hint)
    }

    pub fn hint(&self) -> &str {
        match self {
            Error::NotFound { hint, .. } | Error::Refused { hint, .. } | Error::Corrupt { hint, .. } | Error::Failed { hint, .. } => hint,
        }
    }
}

impl From<service::Error> for Error {
    fn from(error: service::Error) -> Error {
        use service::Error as E;
        match error {
            E::NotFound(p) => Error::NotFound { message: p.message, hint: p.hint },
            E::Unauthorized(p) | E::Forbidden(p) => Error::Refused { message: p.message, hint: p.hint },
            E::Corrupt(p) => Error::Corrupt { message: p.message, hint: p.hint },
            E::Conflict(p) | E::Invalid(p) | E::TooLarge(p) | E::Busy(p) => Error::Failed { message: p.message, hint: p.hint },
            E::Internal(message) => Error::failed(message, "the log of the server may say more"),
        }
    }
}
