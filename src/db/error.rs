//! What can go wrong below the catalog, named by what the caller can do.

/// A database call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A unique or foreign key said no.
    #[error("the row conflicts with one that exists: {0}")]
    Conflict(String),
    /// Another writer held on too long; trying again may help.
    #[error("the database is busy")]
    Busy,
    /// The server of the database does not answer, or not as it should; it may be back in a moment. What was being
    /// committed just then may have been committed or not.
    #[error("the database does not answer: {0}")]
    Unreachable(String),
    /// Another story came between and changed what this one relied on; from the start it may succeed.
    #[error("{0}")]
    Overtaken(&'static str),
    #[error("the disk is full")]
    Full,
    /// A row did not have the shape its reader expected.
    #[error("column '{column}': {problem}")]
    Column { column: String, problem: String },
    #[error("the database file is damaged: {0}; restore it from a backup")]
    Corrupt(String),
    #[error("database: {0}")]
    Engine(String),
}

pub type Result<T> = std::result::Result<T, Error>;
