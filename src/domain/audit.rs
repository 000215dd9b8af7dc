//! Who did what, when, and from where: a line of the audit log.

use super::time::Timestamp;

/// `action` is a word (`token.create`, `publish`, `refused`), `subject` what it was done to, `detail` what changed. Never a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub time: Timestamp,
    /// An account's name, `anonymous`, or `system`.
    pub account: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
    /// The id of the token in hand, or empty.
    pub token: String,
    /// The caller's address, or empty.
    pub address: String,
    /// The request's id, or empty.
    pub request: String,
}

/// Which lines are wanted; empty texts mean any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub account: String,
    pub action: String,
    /// From this time on.
    pub since: Option<Timestamp>,
}
