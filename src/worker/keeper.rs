//! Keeps the checkpoints of a running job where any worker finds them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::heartbeat::Heartbeat;
use super::office::Office;
use crate::domain::job::Lease;
use crate::domain::job_event::{self, Level};

/// Storing checkpoints may take this share of a job's time.
const CHECKPOINT_SHARE: u32 = 20;

/// Stores checkpoints, but not so often that a quick job spends its time on it.
pub(super) struct Keeper {
    office: Arc<dyn Office>,
    lease: Lease,
    handle: Handle,
    last: Option<(Instant, Duration)>,
}

impl Keeper {
    pub fn new(office: &Arc<dyn Office>, lease: &Lease) -> Keeper {
        Keeper { office: office.clone(), lease: lease.clone(), handle: Handle::current(), last: None }
    }

    /// Stores the file at `path`, on a thread that may block.
    pub fn keep(&mut self, path: &Path, heartbeat: &Heartbeat) {
        if self.last.is_some_and(|(at, took)| at.elapsed() < took * CHECKPOINT_SHARE) {
            return;
        }
        let began = Instant::now();
        let saved = self.handle.block_on(self.office.keep(&self.lease, path));
        self.last = Some((Instant::now(), began.elapsed()));
        if let Err(error) = saved {
            // Training goes on: without this checkpoint a later attempt only has more to do again.
            heartbeat.note(job_event::Event::log(Level::Warn, format!("a checkpoint could not be stored: {error}")));
        }
    }
}
