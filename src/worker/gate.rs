//! A gate in the middle of jobs. While the file `hold` lies in the workers' folder, a job stands still once it has done
//! as many epochs as the file says (0, or nothing that is a number: at once), and goes on when the file goes.
//!
//! Whoever runs the hub can have the machine for an hour so, without losing what a job has done; and a story can be
//! certain that a job is in the middle when something happens to it, on any machine. The heart beats on meanwhile: the
//! lease is kept, and a job that is cancelled or a worker that is told to stop does not wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::heartbeat::Heartbeat;
use crate::domain::job_event::{Event, Level};
use crate::train::Control;

const FILE: &str = "hold";
/// How often a job that stands still looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

/// The gate of one attempt at a job.
pub(super) struct Gate {
    file: PathBuf,
    /// Epochs that are done, so far as this attempt has told.
    epochs: u32,
}

impl Gate {
    pub fn new(folder: &Path) -> Gate {
        Gate { file: folder.join(FILE), epochs: 0 }
    }

    /// Tells an event and lets the job by, or holds it here. Called between training steps, on a thread that may block.
    pub fn pass(&mut self, event: Event, heartbeat: &Heartbeat) -> Control {
        if let Event::Epoch(numbers) = &event {
            self.epochs = numbers.epoch;
        }
        let control = heartbeat.note(event);
        if control == Control::Continue && self.is_shut() {
            self.stand_still(heartbeat);
        }
        heartbeat.control()
    }

    fn is_shut(&self) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|text| self.epochs >= text.trim().parse().unwrap_or(0))
    }

    fn stand_still(&self, heartbeat: &Heartbeat) {
        let (file, epochs) = (self.file.display(), self.epochs);
        tracing::info!(%file, epochs, "a job stands still until this file goes");
        let message = format!("held after epoch {epochs} by those who run this hub; it goes on by itself");
        heartbeat.note(Event::log(Level::Info, message));
        while self.is_shut() && heartbeat.control() == Control::Continue {
            std::thread::sleep(LOOK);
        }
        tracing::info!(%file, epochs, "a job that stood still goes on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_shut_from_the_epoch_its_file_names() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate { epochs: 1, ..Gate::new(folder.path()) };
        assert!(!gate.is_shut(), "nobody holds it");
        for (text, shut) in [("2\n", false), ("1", true), ("0", true), ("", true), ("soon", true)] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(gate.is_shut(), shut, "{text:?}");
        }
    }
}
