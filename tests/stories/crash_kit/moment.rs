//! When to pull the plug. Beside any moment at all, those at which something is half done: a file has just got its
//! name, an upload is being promoted, the database has just written and not yet answered. All of it is seen from
//! outside; the server does not know that it is watched.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::ledger::Ledger;

/// Something that can be seen in the data directory.
#[derive(Debug, Clone, Copy)]
pub enum Sight {
    /// Nothing in particular.
    Any,
    /// A staging file appears.
    Staged,
    /// A staging file goes: promoted or discarded.
    Promoted,
    /// A blob that is on its way gets its name.
    Named,
    /// The database's log grows.
    Written,
    /// The database's log is put back into the database.
    Checkpointed,
    /// A blob loses its name.
    Collected,
}

/// The sight, how often it must be seen before, and how long to wait after.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    sight: Sight,
    times: u32,
    after: Duration,
}

/// Nothing was seen: pull the plug all the same.
const LONGEST_WATCH: Duration = Duration::from_millis(1_500);

impl Moment {
    pub fn draw(random: &mut ChaCha8Rng) -> Moment {
        let sights = [
            Sight::Any,
            Sight::Staged,
            Sight::Promoted,
            Sight::Named,
            Sight::Written,
            Sight::Checkpointed,
            Sight::Collected,
            Sight::Written,
        ];
        let sight = sights[random.random_range(0..sights.len())];
        let after = match (sight, random.random_range(0..4)) {
            (Sight::Any, _) => random.random_range(0..500_000),
            (_, 0) => 0,
            (_, 1) => random.random_range(0..300),
            _ => random.random_range(0..8_000),
        };
        let times = if matches!(sight, Sight::Any) { 0 } else { random.random_range(1..12) };
        Moment { sight, times, after: Duration::from_micros(after) }
    }

    /// Blocks until the moment has come. Busy on purpose: a moment lasts microseconds.
    pub fn wait(self, data: &Path, ledger: &Ledger) {
        let end = Instant::now() + LONGEST_WATCH;
        let mut eye = Eye::new(self.sight, data, ledger);
        let mut seen = 0;
        while seen < self.times && Instant::now() < end {
            seen += u32::from(eye.blink());
            std::thread::yield_now();
        }
        let strike = Instant::now() + self.after;
        while Instant::now() < strike {
            std::thread::sleep(strike.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_micros(100)));
        }
    }
}

struct Eye<'a> {
    sight: Sight,
    data: PathBuf,
    ledger: &'a Ledger,
    before: u64,
}

impl Eye<'_> {
    fn new<'a>(sight: Sight, data: &Path, ledger: &'a Ledger) -> Eye<'a> {
        let mut eye = Eye { sight, data: data.to_owned(), ledger, before: 0 };
        eye.before = eye.measure();
        eye
    }

    /// Is there something new to see?
    fn blink(&mut self) -> bool {
        let now = self.measure();
        let before = std::mem::replace(&mut self.before, now);
        match self.sight {
            Sight::Any => true,
            Sight::Staged | Sight::Named | Sight::Written => now > before,
            Sight::Promoted | Sight::Collected => now < before,
            Sight::Checkpointed => now != before,
        }
    }

    fn measure(&self) -> u64 {
        let count = |dir: &str| std::fs::read_dir(self.data.join(dir)).map_or(0, |entries| entries.count() as u64);
        let length = |file: &str| std::fs::metadata(self.data.join(file)).map_or(0, |meta| meta.len());
        match self.sight {
            Sight::Any => 0,
            Sight::Staged | Sight::Promoted => count("staging"),
            Sight::Named | Sight::Collected => {
                let named = |sha256: &String| self.data.join(format!("blobs/{}/{}/{sha256}", &sha256[..2], &sha256[2..4])).exists();
                self.ledger.notes().sending.iter().filter(|sha256| named(sha256)).count() as u64
            }
            Sight::Written => length("hub.db-wal"),
            Sight::Checkpointed => length("hub.db"),
        }
    }
}
