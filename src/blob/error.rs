//! What can go wrong with stored bytes, named by what the caller can do.

use std::io;

use crate::domain::digest::Digest;
use crate::domain::disk;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no blob {0} is stored")]
    NotFound(Digest),
    #[error("the upload stands at byte {expected}, not at {got}")]
    Offset { expected: u64, got: u64 },
    #[error("another request is writing to this upload")]
    InUse,
    #[error("the bytes have sha256 {got}, not {expected}")]
    Mismatch { expected: Digest, got: Digest },
    #[error("more bytes came than were announced: they were to end at byte {announced}")]
    TooLong { announced: u64 },
    #[error("the upload holds {received} of {announced} bytes")]
    Short { received: u64, announced: u64 },
    /// The staging file is not what the catalog says of it, or is promoted already.
    #[error("the bytes of this upload are no longer here")]
    Vanished,
    /// The disk did not take them; nothing of the file can be trusted.
    #[error("the server's disk did not keep the bytes of this upload: {0}")]
    Unsynced(String),
    #[error("the server's disk is full")]
    Full,
    #[error("the stored bytes of {digest} are damaged: {problem}")]
    Corrupt { digest: Digest, problem: String },
    /// The disk gave an input/output error: part of it has gone bad.
    #[error("the disk cannot read some stored bytes: {0}")]
    Unreadable(String),
    #[error("the blob store does not answer: {0}")]
    Store(String),
    /// It answers, and will say the same until somebody changes its keys, its rights or its bucket.
    #[error("the blob store refuses: {0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error {
            _ if error.raw_os_error() == Some(libc::EIO) => Error::Unreadable(error.to_string()),
            _ if disk::is_full(&error) => Error::Full,
            _ => Error::Store(error.to_string()),
        }
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Error {
        use object_store::Error as Store;
        match error {
            // Of a blob that is not there callers make [`Error::NotFound`]; what is left is a bucket that is not there.
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } | Store::NotFound { .. } => Error::Refused(error.to_string()),
            other => Error::Store(other.to_string()),
        }
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(stopped: tokio::task::JoinError) -> Error {
        Error::Store(format!("the work was stopped: {stopped}"))
    }
}
