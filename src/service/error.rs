//! What a user story can end in, named by what the caller can do. `wire::error` holds the one table from
//! these codes to HTTP statuses and CLI exit codes.

use crate::domain::disk;
use crate::domain::name::RepoId;
use crate::{blob, db};

/// A story that did not end well. `message` says what is wrong, `hint` what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist, or this caller may not know that it does.
    #[error("{0}")]
    NotFound(Problem),
    /// Someone must log in first, or the token is no good.
    #[error("{0}")]
    Unauthorized(Problem),
    /// Known, visible, and not allowed.
    #[error("{0}")]
    Forbidden(Problem),
    /// It exists already, or moved since the caller looked.
    #[error("{0}")]
    Conflict(Problem),
    /// The request is understood and wrong.
    #[error("{0}")]
    Invalid(Problem),
    #[error("{0}")]
    TooLarge(Problem),
    /// Try again later.
    #[error("{0}")]
    Busy(Problem),
    /// Stored bytes do not have their digest.
    #[error("{0}")]
    Corrupt(Problem),
    /// Our fault; the log says more.
    #[error("{0}")]
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// The code of what another story came between.
pub(super) const OVERTAKEN: &str = "overtaken";

/// A stable code for programs, a message and a hint for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub message: String,
    pub hint: String,
    /// What the repo that is not at this name any more is called now; only callers who may read it are told.
    pub moved_to: Option<Box<RepoId>>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

macro_rules! makers {
    ($($function:ident => $variant:ident),+ $(,)?) => {
        impl Error {
            $(pub fn $function(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Error {
                Error::$variant(Problem { code, message: message.into(), hint: hint.into(), moved_to: None })
            })+
        }
    };
}

impl Error {
    /// The repo of the asker's name is there no more, but under another.
    pub(super) fn moved(old: &RepoId, new: RepoId) -> Error {
        let message = format!("'{old}' was moved and is called '{new}' now");
        let hint = format!("use '{new}'");
        Error::NotFound(Problem { code: "repo_moved", message, hint, moved_to: Some(Box::new(new)) })
    }

    /// The asker's name is another one of an entry of the library.
    pub(super) fn alias(asked: &RepoId, entry: RepoId) -> Error {
        let message = format!("'{asked}' is another name of '{entry}'");
        let hint = format!("use '{entry}'");
        Error::NotFound(Problem { code: "repo_moved", message, hint, moved_to: Some(Box::new(entry)) })
    }
}

impl Error {
    /// A file of this machine that could not be used; what it says names places, which are the administrator's business.
    pub(super) fn of_file(what: &str, error: &std::io::Error) -> Error {
        if disk::is_full(error) {
            tracing::error!(%error, what, "the disk is full");
            return Error::disk_full();
        }
        Error::Internal(format!("{what}: {error}"))
    }

    fn disk_full() -> Error {
        Error::busy("disk_full", "the server's disk is full", "ask its administrator to make room")
    }
}

makers! {
    not_found => NotFound,
    unauthorized => Unauthorized,
    forbidden => Forbidden,
    conflict => Conflict,
    invalid => Invalid,
    too_large => TooLarge,
    busy => Busy,
    corrupt => Corrupt,
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Error {
        match error {
            db::Error::Busy => Error::busy("busy", "the database is busy", "try again in a moment"),
            db::Error::Overtaken(what) => Error::busy(OVERTAKEN, what, "try again in a moment"),
            db::Error::Unreachable(why) => {
                // What it says names addresses, which are the administrator's business.
                tracing::error!(problem = why, "the database does not answer");
                Error::busy("database_unavailable", "the server's database does not answer", "try again in a moment")
            }
            db::Error::Full => Error::disk_full(),
            other => Error::Internal(other.to_string()),
        }
    }
}

impl From<blob::Error> for Error {
    fn from(error: blob::Error) -> Error {
        use blob::Error as Blob;
        let message = error.to_string();
        match error {
            Blob::NotFound(_) => Error::corrupt("blob_lost", message, "upload the file again to repair it"),
            Blob::Offset { .. } => Error::conflict("wrong_offset", message, "ask the upload for its offset and go on from there"),
            Blob::InUse => {
                Error::busy("upload_in_use", message, "try again in a moment; the other request may be one of yours that broke off")
            }
            Blob::Mismatch { .. } => Error::invalid("digest_mismatch", message, "hash the file again, and announce it with what it holds"),
            Blob::TooLong { .. } => Error::invalid("too_many_bytes", message, "announce the true size when the upload is created"),
            Blob::Short { .. } => Error::invalid("upload_incomplete", message, "send the missing bytes, then finish"),
            Blob::Vanished => Error::not_found("upload_not_found", message, "announce the file again"),
            Blob::Unsynced(_) => Error::busy("store_unavailable", message, "announce the file again and send it from the start"),
            Blob::Full => Error::disk_full(),
            Blob::Corrupt { .. } => Error::corrupt("blob_corrupt", message, "upload the file again to repair it"),
            Blob::Unreadable(_) => Error::corrupt("blob_unreadable", message, "replace the disk and restore from a backup"),
            Blob::Store(_) | Blob::Refused(_) => {
                // What it says names files, buckets and addresses, which are the administrator's business.
                tracing::error!(problem = message, "the blob store failed");
                Error::busy("store_unavailable", "the server's blob store does not answer", "try again in a moment")
            }
        }
    }
}
