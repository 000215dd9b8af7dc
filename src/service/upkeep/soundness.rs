//! Whether the database's file was found whole since the start: small ones are looked through before anything is believed, large ones while the
//! server is at work, for that takes as long as reading them does.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use super::super::{Error, Result, Service};
use crate::db::{self, Haste};

/// What is known of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soundness {
    /// It is being looked through, or will be.
    Unknown,
    Sound,
    Damaged,
}

/// What was found, shared by all clones of a service.
#[derive(Debug, Default)]
pub struct Examined {
    /// 0: unknown, 1: sound, 2: damaged.
    state: AtomicU8,
    problem: Mutex<String>,
}

impl Service {
    /// Reads the whole database file and remembers what it found; damage is an error, and from then on the server is not ready.
    pub async fn examine_database(&self, haste: Haste) -> Result<()> {
        match self.db.check(haste).await {
            Ok(()) => self.examined.state.store(1, Ordering::Release),
            Err(db::Error::Corrupt(problem)) => {
                self.examined.problem.lock().clone_from(&problem);
                self.examined.state.store(2, Ordering::Release);
                return Err(db::Error::Corrupt(problem).into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Lets a look that is under way end early: the server is about to stop.
    pub fn stop_examining(&self) {
        self.db.stop_checks();
    }

    /// What the last look found.
    pub fn soundness(&self) -> Soundness {
        match self.examined.state.load(Ordering::Acquire) {
            0 => Soundness::Unknown,
            1 => Soundness::Sound,
            _ => Soundness::Damaged,
        }
    }

    /// What was found damaged.
    pub fn database_damage(&self) -> db::Error {
        db::Error::Corrupt(self.examined.problem.lock().clone())
    }

    /// Fails once damage was found.
    pub(super) fn require_sound(&self) -> Result<()> {
        match self.soundness() {
            Soundness::Damaged => {
                let hint = "stop the server and restore the data directory from a backup";
                Err(Error::busy("database_damaged", self.database_damage().to_string(), hint))
            }
            Soundness::Unknown | Soundness::Sound => Ok(()),
        }
    }
}
