//! What can go wrong in the store, each with the path it happened at.

use std::path::{Path, PathBuf};

use crate::domain::disk;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} bytes are needed in {}, which has {} bytes free", .needed, .folder.display(), .free)]
    Full { folder: PathBuf, needed: u64, free: u64 },
    /// Bytes or a manifest that are not what their name says.
    #[error("{what} is not what its digest says: expected {expected}, found {found}")]
    Corrupt { what: String, expected: String, found: String },
    /// `--to` would overwrite files of the user's.
    #[error("{} {} other content and would be overwritten{}", .first.display(), if *.count == 1 { "has" } else { "and others have" }, if *.count == 1 { String::new() } else { format!(" ({} files)", .count) })]
    WouldOverwrite { first: PathBuf, count: usize },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Error::Io { path, source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => format!(
                    "{} may only be read by you: what lies in that cache can be used, but nothing fetched into it; set HUB_CACHE to a folder you may write to",
                    path.display()
                ),
                _ if disk::is_full(source) => "make room on that disk, or set HUB_CACHE to a folder on a larger one".into(),
                _ => "check the path and the disk it lies on".into(),
            },
            Error::Full { .. } => "make room on that disk, or set HUB_CACHE to a folder on a larger one".into(),
            Error::Corrupt { .. } => "run the command again: damaged bytes are fetched anew".into(),
            Error::WouldOverwrite { .. } => "choose another folder, or add --force to overwrite".into(),
        }
    }
}

/// What only makes the next use quicker may be left undone where this user may not write: a cache that is mounted
/// read-only, or belongs to somebody else, is as good as another for what lies in it.
pub(super) fn unless_read_only(done: std::io::Result<()>) -> std::io::Result<()> {
    done.or_else(|error| if is_read_only(&error) { Ok(()) } else { Err(error) })
}

pub(super) fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
}

/// Names the action and the path of an I/O error.
pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}
