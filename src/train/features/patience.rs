//! Two runs that want the same features at the same time, as trials of a sweep do: one makes them, the others wait.

use std::time::{Duration, Instant};

use crate::train::error::Result;
use crate::train::progress::ProgressReporter;

/// How often a run that waits for another looks whether that is done.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the other may take for a batch. One that is held by those who run the hub would be waited for without end.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(120);

/// Waits for another run that makes the very same features, as long as that gets on with it.
#[derive(Default)]
pub(super) struct Patience {
    bytes: u64,
    /// When the other was last seen to get on.
    since: Option<Instant>,
}

impl Patience {
    /// Whether it waited a moment, after which it is to be looked again; not where the other stands still at so many `bytes`.
    pub fn waits(&mut self, bytes: u64, reporter: &mut ProgressReporter) -> Result<bool> {
        if self.since.is_none() {
            reporter.info("another run makes the same features at this moment; this one waits for them")?;
        }
        if !self.holds(bytes, Instant::now()) {
            reporter.info("the other run does not get on with the features; this one makes its own")?;
            return Ok(false);
        }
        std::thread::sleep(LOOK_AGAIN);
        reporter.prepare("waiting for the features of another run", 0, 0)?;
        Ok(true)
    }

    fn holds(&mut self, bytes: u64, now: Instant) -> bool {
        match self.since {
            Some(since) if bytes == self.bytes => now.duration_since(since) < LONGEST_STANDSTILL,
            _ => {
                (self.bytes, self.since) = (bytes, Some(now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_waited_for_as_long_as_it_gets_on() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        let mut at = |bytes, seconds| patience.holds(bytes, began + Duration::from_secs(seconds));
        assert!(at(0, 0) && at(0, 119));
        assert!(at(156, 130) && at(156, 240), "a batch came in between");
        assert!(!at(156, 250), "two minutes without one");
        assert!(at(312, 260), "it went on after all");
    }
}
