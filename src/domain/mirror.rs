//! What is known of a repo of the hub behind this one.

use super::id::RepoKey;
use super::name::{RepoId, RepoKind};
use super::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub kind: RepoKind,
    /// Its name there.
    pub id: RepoId,
    /// The repo here, once something was taken.
    pub repo: Option<RepoKey>,
    /// The other hub's address.
    pub upstream: String,
    /// The commit there that was taken last, or empty.
    pub commit: String,
    pub refused: Option<Refusal>,
    /// When it was asked last.
    pub checked: Timestamp,
}

/// A commit there that is not taken here, as long as nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub commit: String,
    pub reason: String,
}
