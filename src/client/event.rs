//! What the long stories tell while they run; whoever started them decides how to show it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Work with a known number of bytes begins: `downloading`, `hashing`, `sending` ...
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

/// Passes everything on, but repeats only one at a time: many connections break together.
pub(super) fn calm(sink: &Sink) -> Sink {
    let (sink, quiet_until) = (sink.clone(), Mutex::new(None::<Instant>));
    Arc::new(move |event| {
        if let Event::Repeat { after, .. } = &event {
            let mut until = quiet_until.lock();
            let now = Instant::now();
            if until.is_some_and(|until| now < until) {
                return;
            }
            *until = Some(now + *after);
        }
        sink(event);
    })
}
