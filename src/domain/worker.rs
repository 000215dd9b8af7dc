//! Workers as they are shown: which machines work on jobs, and whether they are still heard of.

use super::time::Timestamp;

/// A worker that was not heard of for so long is silent: it died, or cannot reach the hub.
pub const SILENT_AFTER_MS: i64 = 60_000;

/// A worker, and when it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// What its claims begin with.
    pub name: String,
    /// The name of its worker's token, of one that works over HTTP.
    pub token: Option<String>,
    /// The machine it runs on.
    pub node: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// `cpu`, `cuda` ...
    pub device: String,
    /// Of the program.
    pub release: String,
    pub started: Timestamp,
    pub seen: Timestamp,
    /// The job in hand.
    pub job: Option<String>,
}

impl Worker {
    /// What it does: `idle`, `working`, or `silent` where that is not known.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match &self.job {
            _ if now.unix_ms() - self.seen.unix_ms() > SILENT_AFTER_MS => "silent",
            Some(_) => "working",
            None => "idle",
        }
    }
}
