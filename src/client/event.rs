//! What the long stories tell while they run; whoever started them decides how to show it.

use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stretch of work with a known number of bytes begins: `downloading`, `hashing`, `sending` ...
    Begin {
        what: &'static str,
        files: u64,
        bytes: u64,
    },
    /// So many bytes more are done.
    Advance(u64),
    /// So many bytes were in vain and will come again.
    Retreat(u64),
    End,
    /// The last try failed; another follows after the pause.
    Repeat {
        reason: String,
        after: Duration,
    },
    /// Another process has what this one needs.
    Waiting {
        what: String,
    },
    /// Worth knowing, does not stop anything.
    Note(String),
}

/// Hears of events, from any thread.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;
