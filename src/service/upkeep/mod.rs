//! What the house does for itself and asks about itself: keeping the collector away from writers, collecting,
//! reading blobs again, comparing catalog and store, backing up; and the numbers of those who watch over it.

pub mod backup;
pub mod collect;
pub(super) mod expire;
pub mod fsck;
pub mod lock;
pub mod migrate;
pub mod overview;
mod paced_scrub;
mod reserve;
pub mod restore;
pub mod scrub;
pub mod soundness;
mod vault;

use parking_lot::Mutex;
use std::sync::Arc;

pub use vault::Lost;

use super::{Error, Result, Service, access};
use crate::catalog::upkeep::{self, Chore};
use crate::catalog::{blobs, jobs, segments, users};
use crate::domain::job::JobState;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

const STATES: [JobState; 5] = [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];
/// Counting all blobs reads the whole table, so a count is good for so long.
const COUNTED_MS: i64 = 60_000;

/// What long stories tell while they run; whoever started them decides how to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Work with a known number of bytes begins: `reading`, `copying`, `removing` ...
    Begin {
        what: &'static str,
        items: u64,
        bytes: u64,
    },
    /// So many bytes more are done.
    Advance(u64),
    End,
    /// Worth knowing, does not stop anything.
    Note(String),
}

/// Hears of events, from any thread.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// Blobs and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub blobs: u64,
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// What was last counted, and when: the blobs, and the bytes they share.
pub(super) type Counted = Mutex<Option<(Timestamp, Count, u64)>>;

/// Numbers for the metrics, of all processes on this data directory together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// Totals that only grow: the name metrics have for it, what it counts, how far it is.
    pub totals: Vec<(&'static str, &'static str, u64)>,
    /// What the catalog says the store holds.
    pub stored: Count,
    /// Of those bytes, how many lie in other blobs and cost no room of their own.
    pub shared_bytes: u64,
    pub last_collection: Option<Timestamp>,
    pub last_backup: Option<Timestamp>,
}

impl Service {
    /// The database and the store answer, and the database was not found damaged.
    pub async fn ready(&self) -> Result<()> {
        self.require_sound()?;
        self.db.read(users::count).await?;
        if let Some(migration) = self.db.find_break().await? {
            let message = format!("a newer hub has changed the database ({migration}), and this one cannot go on");
            return Err(Error::busy("database_newer", message, "start the newer release here as well"));
        }
        Ok(self.blobs.ready().await?)
    }

    /// May the caller read the numbers of the whole site?
    pub fn may_watch(&self, actor: &Actor) -> Result<()> {
        access::watch_site(actor)
    }

    /// How many jobs are in each state, also where none is.
    pub async fn count_jobs(&self) -> Result<Vec<(JobState, u64)>> {
        let counted = self.db.read(jobs::count_by_state).await?;
        let count = |state: JobState| counted.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n);
        Ok(STATES.into_iter().map(|state| (state, count(state))).collect())
    }

    /// What upkeep has done so far and what there is to keep up.
    pub async fn upkeep_numbers(&self) -> Result<Numbers> {
        let now = self.now();
        let fresh = *self.counted.lock();
        let fresh = fresh.filter(|(at, ..)| (0..COUNTED_MS).contains(&(now.unix_ms() - at.unix_ms())));
        let numbers = self
            .db
            .read(move |tx| {
                let (stored, shared_bytes) = match fresh {
                    Some((_, stored, shared_bytes)) => (stored, shared_bytes),
                    None => {
                        let (blobs, bytes) = blobs::count(tx)?;
                        (Count { blobs, bytes }, segments::shared_bytes(tx)?)
                    }
                };
                Ok::<_, Error>(Numbers {
                    totals: upkeep::totals(tx)?,
                    stored,
                    shared_bytes,
                    last_collection: upkeep::last_done(tx, Chore::Collection)?,
                    last_backup: upkeep::last_done(tx, Chore::Backup)?,
                })
            })
            .await?;
        if fresh.is_none() {
            *self.counted.lock() = Some((now, numbers.stored, numbers.shared_bytes));
        }
        Ok(numbers)
    }
}
