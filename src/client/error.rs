//! How a call can end badly, with what to do next and the exit code of a command that ends so.

use std::path::{Path, PathBuf};

use crate::cache;
use crate::domain::disk;
use crate::wire::error::{Kind, ProblemBody};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server understood and refused.
    #[error("{message}")]
    Answer { kind: Kind, code: String, message: String, hint: String },
    #[error("cannot reach {server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// It answers, but not as a hub does.
    #[error("{server} does not answer as a hub: {reason}")]
    Strange { server: String, reason: String },
    /// Bytes or lists that are not what their digest says, also after a second try.
    #[error("{0}")]
    Corrupt(String),
    #[error("a token is not sent over plain http to {server}, where others could read it")]
    Insecure { server: String },
    /// What the caller gave is wrong, seen before anything was sent.
    #[error("{message}")]
    Input { code: &'static str, message: String, hint: String },
    #[error("cannot {action} {path}: {source}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

impl Error {
    /// Stable, for programs.
    pub fn code(&self) -> &str {
        match self {
            Error::Answer { code, .. } => code,
            Error::Unreachable { .. } => "unreachable",
            Error::Strange { .. } => "not_a_hub",
            Error::Corrupt(_) | Error::Cache(cache::Error::Corrupt { .. }) => "corrupt",
            Error::Insecure { .. } => "insecure",
            Error::Input { code, .. } => code,
            Error::Cache(cache::Error::Full { .. }) => "disk_full",
            Error::File { source, .. } | Error::Cache(cache::Error::Io { source, .. }) if disk::is_full(source) => "disk_full",
            Error::File { .. } => "file",
            Error::Cache(cache::Error::WouldOverwrite { .. }) => "would_overwrite",
            Error::Cache(cache::Error::Io { .. }) => "cache",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Error::Answer { hint, .. } | Error::Input { hint, .. } => hint.clone(),
            Error::Unreachable { .. } => "start a server with `hub serve`, or name yours with --server URL or HUB_SERVER".into(),
            Error::Strange { .. } => "check the address (--server, HUB_SERVER) and that nothing between rewrites answers".into(),
            Error::Corrupt(_) => {
                "nothing was kept; tell the server's administrator, its storage or something between may be damaged".into()
            }
            Error::Insecure { .. } => "use https://, or add --insecure if you trust the network between".into(),
            Error::File { source, .. } if disk::is_full(source) => disk::advice(source).into(),
            Error::File { .. } => "check that the file exists and that you may read it".into(),
            Error::Cache(error) => error.hint(),
        }
    }

    /// 1 failed, 3 not found, 4 refused, 5 corrupt.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Answer { kind, .. } => kind.exit_code(),
            Error::Corrupt(_) | Error::Cache(cache::Error::Corrupt { .. }) => Kind::Corrupt.exit_code(),
            Error::Insecure { .. } => Kind::Forbidden.exit_code(),
            _ => 1,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Answer { kind: Kind::NotFound, .. })
    }

    /// The server is busy or stumbled; the same request may go better later.
    pub(super) fn is_server_trouble(&self) -> bool {
        matches!(self, Error::Answer { kind: Kind::Busy | Kind::Internal, code, .. } if code != "disk_full")
    }

    /// Something between here and the hub takes no body of this size: the hub itself would say so in words.
    pub(super) fn is_body_limit(&self) -> bool {
        self.has_code("http_413")
    }

    pub(super) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Error::Answer { code, .. } if code == wanted)
    }

    /// An answer of status 400 and above. Whatever stands between (a proxy, another program on that port)
    /// may have written the body, so a missing problem body is not an error of its own.
    pub(super) fn from_answer(status: u16, body: &[u8]) -> Error {
        if let Ok(problem) = serde_json::from_slice::<ProblemBody>(body) {
            let hint = match problem.request_id.as_str() {
                "" => problem.hint,
                id if status >= 500 => format!("{} (request {id} in the server's log)", problem.hint),
                _ => problem.hint,
            };
            return Error::Answer { kind: Kind::from_status(status), code: problem.code, message: problem.message, hint };
        }
        // Without our body a 502 speaks of the road to the server, not of damaged bytes.
        let kind = if matches!(status, 502 | 504) { Kind::Busy } else { Kind::from_status(status) };
        let hint = match kind {
            _ if status == 413 => "raise the limit on bodies of the proxy in front of the hub (nginx: client_max_body_size 0;)",
            Kind::Busy => "try again in a moment",
            Kind::NotFound => "check the address (--server, HUB_SERVER): is a hub of this version there?",
            Kind::Unauthorized => "log in with `hub login`",
            _ => "see the server's log, or what stands between you and it",
        };
        Error::Answer {
            kind,
            code: format!("http_{status}"),
            message: match status {
                413 => "a proxy between here and the hub refuses a body of this size (status 413)".into(),
                _ => format!("the server answered with status {status}"),
            },
            hint: hint.into(),
        }
    }
}

/// Names the action and the path of an I/O error.
pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_words_and_its_exit_code() {
        let body = br#"{"code":"not_found","message":"no model acme/net","hint":"search for it","request_id":"r1"}"#;
        let error = Error::from_answer(404, body);
        assert_eq!((error.exit_code(), error.code(), error.to_string()), (3, "not_found", "no model acme/net".into()));
        assert_eq!(error.hint(), "search for it");
        assert_eq!(Error::from_answer(401, b"").exit_code(), 4);
        let proxy = Error::from_answer(413, b"<html>413 Request Entity Too Large</html>");
        assert!(proxy.is_body_limit() && proxy.hint().contains("client_max_body_size"));
        assert!(!Error::from_answer(413, br#"{"code":"too_large","message":"m","hint":"h"}"#).is_body_limit());
        assert_eq!(Error::from_answer(502, b"<html>Bad gateway</html>").exit_code(), 1);
        assert_eq!(Error::from_answer(502, br#"{"code":"blob_corrupt","message":"m","hint":"h"}"#).exit_code(), 5);
    }
}
