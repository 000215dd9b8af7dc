//! Why an attempt at a job ended without a result, named by what the worker does next.

use std::path::PathBuf;

use crate::domain::disk;
use crate::wire::error::Kind;
use crate::{client, service, train};

/// What a token is told that no worker can work with.
const REFUSALS: [&str; 5] = ["bad_token", "login_required", "bad_authorization", "not_a_worker_token", "bad_worker_name"];

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner asked for it.
    #[error("the job was cancelled")]
    Cancelled,
    /// Another worker has the job now: hands off.
    #[error("the lease was lost")]
    Lost,
    /// This worker shuts down: the job goes back as it is.
    #[error("the worker shuts down")]
    Stopping,
    /// The same again may well succeed later.
    #[error("{0}")]
    Later(String),
    /// The hub, or its database, cannot be asked now.
    #[error("{0}")]
    Busy(String),
    /// The hub takes nothing from this worker.
    #[error("{0}")]
    Refused(String),
    /// Trying again would end the same way.
    #[error("{0}")]
    Never(String),
    /// What an earlier attempt left cannot be used; without it the job can.
    #[error("{0}")]
    Checkpoint(String),
    #[error("cannot use {}: {source}; {}", path.display(), disk::advice(source))]
    Io { path: PathBuf, source: std::io::Error },
}

impl Error {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

impl From<service::Error> for Error {
    fn from(error: service::Error) -> Error {
        use service::Error as Story;
        match error {
            Story::Conflict(problem) if problem.code == "lease_lost" => Error::Lost,
            // A moved ref or a name taken in this moment looks different next time.
            Story::Busy(problem) => Error::Busy(format!("{}; {}", problem.message, problem.hint)),
            Story::Conflict(problem) => Error::Later(format!("{}; {}", problem.message, problem.hint)),
            Story::Internal(message) => Error::Later(message),
            Story::NotFound(problem)
            | Story::Unauthorized(problem)
            | Story::Forbidden(problem)
            | Story::Invalid(problem)
            | Story::TooLarge(problem)
            | Story::Corrupt(problem) => Error::Never(format!("{}; {}", problem.message, problem.hint)),
        }
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Error {
        use client::Error as Call;
        let said = || format!("{error}; {}", error.hint());
        match &error {
            Call::Answer { code, .. } if code == "lease_lost" => Error::Lost,
            Call::Answer { code, .. } if REFUSALS.contains(&code.as_str()) => Error::Refused(said()),
            Call::Answer { kind: Kind::Busy | Kind::Internal, .. } | Call::Unreachable { .. } | Call::Strange { .. } => Error::Busy(said()),
            Call::Answer { kind: Kind::Conflict, .. } | Call::Corrupt(_) | Call::File { .. } | Call::Cache(_) => Error::Later(said()),
            Call::Insecure { .. } => Error::Refused(said()),
            Call::Answer { .. } | Call::Input { .. } => Error::Never(said()),
        }
    }
}

impl From<train::Error> for Error {
    fn from(error: train::Error) -> Error {
        match error {
            train::Error::Cancelled => Error::Cancelled,
            train::Error::Checkpoint { .. } => Error::Checkpoint(error.to_string()),
            other if other.is_disk_full() || matches!(other, train::Error::Io { .. }) => Error::Later(other.to_string()),
            train::Error::Data(data) => Error::Never(format!("{data}; {}", data.hint())),
            other => Error::Never(other.to_string()),
        }
    }
}
