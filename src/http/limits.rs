//! How much patience and room the server has for those who are slow or many. What is slow is measured in bytes
//! that move, so that a slow line is served and a line that is only held open is not.

use std::time::Duration;

/// What an administrator may set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In this time at least [`LEAST_BYTES`] must move where somebody waits for a body or for a reader.
    pub patience: Duration,
    /// Open connections in all; beyond, new ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Open connections of one address; 0 for no limit of its own.
    pub max_connections_per_peer: usize,
    /// Requests of one account or address, those that only move bytes not counted; 0 for no limit.
    pub max_requests_per_minute: u32,
}

/// Less than this in `Limits::patience` is no transfer: with the defaults about 1 KiB a second.
pub const LEAST_BYTES: u64 = 64 << 10;
/// What bodies that are gathered in memory may take all together.
pub const MAX_GATHERED_BYTES: usize = 256 << 20;
/// A refused connection has so long to read why.
pub const REFUSED_FOR: Duration = Duration::from_secs(1);

const LONGEST_HEAD: Duration = Duration::from_secs(10);
const LONGEST_IDLE: Duration = Duration::from_secs(30);

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            patience: Duration::from_secs(60),
            max_connections: 8_192,
            max_connections_per_peer: 1_024,
            max_requests_per_minute: 12_000,
        }
    }
}

impl Limits {
    /// For the head of a connection's first request.
    pub fn head(&self) -> Duration {
        self.patience.min(LONGEST_HEAD)
    }

    /// For a connection on which nothing is asked.
    pub fn keep_alive(&self) -> Duration {
        self.patience.min(LONGEST_IDLE)
    }

    /// Between two requests, whatever trickles in meanwhile. The framework times only the head of the first.
    pub fn between_requests(&self) -> Duration {
        self.keep_alive() + self.head()
    }

    /// How often a connection is looked at.
    pub fn look(&self) -> Duration {
        (self.patience / 8).clamp(Duration::from_millis(50), Duration::from_secs(5))
    }
}
