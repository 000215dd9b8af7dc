//! Lines of the audit log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::audit as domain;

/// Who did what, when, and from where.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub time: String,
    /// An account's name, `anonymous`, or `system`.
    pub account: String,
    /// `publish`, `login`, `refused`, `token.create` ...
    pub action: String,
    pub subject: String,
    pub detail: String,
    /// The id of the token in hand, or empty.
    pub token: String,
    /// The caller's address, or empty.
    pub address: String,
    /// The request's id, as in the server's log, or empty.
    pub request_id: String,
}

impl From<domain::AuditEntry> for AuditEntry {
    fn from(e: domain::AuditEntry) -> AuditEntry {
        let domain::AuditEntry { time, account, action, subject, detail, token, address, request } = e;
        AuditEntry { time: time.to_string(), account, action, subject, detail, token, address, request_id: request }
    }
}
