//! The problem body, and the one table between error codes, HTTP statuses and CLI exit codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every answer of status 400 and above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Stable, for programs: `not_found`, `digest_mismatch` ...
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Names this request in the server's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

/// What kind of ending a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Unauthorized,
    Forbidden,
    Conflict,
    Invalid,
    TooLarge,
    Busy,
    Corrupt,
    Internal,
}

/// kind, HTTP status, CLI exit code.
const TABLE: &[(Kind, u16, i32)] = &[
    (Kind::NotFound, 404, 3),
    (Kind::Unauthorized, 401, 4),
    (Kind::Forbidden, 403, 4),
    (Kind::Conflict, 409, 1),
    (Kind::Invalid, 422, 1),
    (Kind::TooLarge, 413, 1),
    (Kind::Busy, 503, 1),
    (Kind::Corrupt, 502, 5),
    (Kind::Internal, 500, 1),
];

impl Kind {
    pub fn status(self) -> u16 {
        TABLE.iter().find(|row| row.0 == self).map_or(500, |row| row.1)
    }

    pub fn exit_code(self) -> i32 {
        TABLE.iter().find(|row| row.0 == self).map_or(1, |row| row.2)
    }

    /// 400 and 405 read as `Invalid`, 429 and 507 as `Busy`, unknown ones as `Internal`.
    pub fn from_status(status: u16) -> Kind {
        match status {
            400 | 405 | 415 | 416 => Kind::Invalid,
            429 | 504 | 507 => Kind::Busy,
            _ => TABLE.iter().find(|row| row.1 == status).map_or(Kind::Internal, |row| row.0),
        }
    }
}
