//! What can go wrong with another hub, named by what the person can do about it.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured address is none.
    #[error("'{text}' is no address of a hub: {problem}")]
    Endpoint { text: String, problem: String },
    /// There is no such repo or revision, or the token may not see it.
    #[error("{upstream} has no {what}")]
    NotFound { upstream: String, what: String },
    /// `token`: one was sent.
    #[error("{upstream} does not give {what} to {}", if *token { "this token" } else { "strangers" })]
    Refused { upstream: String, what: String, token: bool },
    #[error("{upstream} does not answer ({reason})")]
    Unreachable { upstream: String, reason: String },
    /// It leads to an address that a hub has no business with.
    #[error("it was refused to follow the other hub: {0}")]
    Redirect(String),
    /// An answer that is not of this dialect.
    #[error("{upstream} answered in an unknown way: {problem}")]
    Odd { upstream: String, problem: String },
    #[error("'{path}' came twice with other bytes than announced: {problem}")]
    Damaged { path: String, problem: String },
    /// As it is now, it is not taken, however often it is asked for.
    #[error("it cannot be taken: {0}")]
    Unfit(String),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Adds the path an I/O error happened at.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Endpoint { .. } => "write it as https://huggingface.co or http://127.0.0.1:8080",
            Error::NotFound { .. } => "check the name and the revision; a private or gated repo needs a token (HF_TOKEN)",
            Error::Refused { token: false, .. } => "accept its terms there and set HF_TOKEN",
            Error::Refused { token: true, .. } => "accept its terms there with the account the token belongs to",
            Error::Unreachable { .. } => "try again later; what has arrived is kept and not fetched twice",
            Error::Redirect(_) => "a hub may lead to itself and to public https addresses only",
            Error::Odd { .. } => "check that the address is that of a Hugging Face Hub, or of a hub like this one",
            Error::Damaged { .. } => "try again later, or tell whoever runs that hub",
            Error::Unfit(_) => "tell whoever keeps it there, or take what you need of it by hand",
            Error::Io { .. } => "check free space and permissions",
        }
    }
}
