//! The collector: what no version, no job and no writer names any more loses its row, and a grace period later
//! its bytes. `catalog::gc` has the rules; here is their order.
//!
//! Nothing is taken for garbage because something did not answer: any error ends the collection where it stands,
//! and the next one goes on from there. It is safe at any moment to kill it, and safe beside everything that
//! stores bytes, in this process or in others; only two collectors must not meet, hence [`Alone`].

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Error, Result, Service};
use super::expire::in_flight;
use super::lock::Alone;
use super::{Count, Event, Tell};
use crate::blob::{Lying, Stored};
use crate::catalog::gc::{self, Entry, Reach};
use crate::catalog::upkeep::{self, Chore};
use crate::db::Held;
use crate::domain::digest::Digest;

/// Blobs looked at in one read.
const PAGE: usize = 1_000;
/// Rows taken in one write transaction: others wait for it.
const MARKED_AT_ONCE: usize = 200;
/// Blobs whose bytes are removed together; those who want to store one of them wait.
const DELETED_AT_ONCE: usize = 64;
/// Removals in flight, for stores that are far away.
const SIDE_BY_SIDE: usize = 16;
/// From so many orphans on, and if they are more than half of all blobs, the catalog may be the wrong one.
const SUSPICIOUS: usize = 1_000;

/// What a collection is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    /// How long a blob stays after its last name is gone, and its bytes after its row.
    pub grace_ms: i64,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Also if the catalog does not know most of what lies in the store.
    pub force: bool,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs nobody names, marked for deletion: their rows are gone.
    pub marked: Count,
    /// Bytes that lay in the store without a row.
    pub orphans: Count,
    /// Blobs whose bytes are gone, and what that freed.
    pub freed: Count,
    /// Marked blobs whose grace period is not over.
    pub waiting: Count,
    pub expired_uploads: u64,
    /// Half-written files of the dead, and their bytes.
    pub leftovers: Count,
    /// In a dry run: each blob, and why it would go.
    pub list: Vec<(Digest, u64, &'static str)>,
}

/// Another machine is at it.
pub(super) fn elsewhere() -> Error {
    Error::busy("upkeep_elsewhere", "another hub on this database collects or backs up just now", "wait for it to end")
}

impl Service {
    /// Collects once through. See the module.
    pub async fn collect(&self, _alone: &Alone, asked: Collection, tell: &Tell) -> Result<Collected> {
        let reach = Reach { now: self.now(), grace_ms: asked.grace_ms.max(0) };
        if asked.dry_run {
            return self.would_collect(&reach).await;
        }
        let _held = self.hold_upkeep(false).await?.ok_or_else(elsewhere)?;
        self.end_half_deleted().await?;
        let expired = self.expire_uploads().await?;
        let mut collected = Collected { expired_uploads: expired.uploads, ..Collected::default() };
        collected.leftovers = Count { blobs: expired.files, bytes: expired.bytes };
        self.mark_unnamed(&reach, &mut collected).await?;
        self.mark_orphans(&reach, asked.force, &mut collected).await?;
        self.delete_due(&reach, &mut collected, tell).await?;
        let now = self.now();
        let (blobs, bytes) = self
            .db
            .write(move |tx| {
                upkeep::add(tx, "hub_gc_runs_total", 1)?;
                upkeep::set_done(tx, Chore::Collection, now)?;
                Ok::<_, Error>(gc::waiting(tx)?)
            })
            .await?;
        collected.waiting = Count { blobs, bytes };
        Ok(collected)
    }

    /// Ends what a collector that died had begun: until then nobody could store those bytes again.
    pub async fn end_interrupted(&self, _alone: &Alone) -> Result<()> {
        match self.hold_upkeep(false).await? {
            Some(_held) => self.end_half_deleted().await,
            None => Ok(()),
        }
    }

    /// As [`Alone`] and [`Beside`](super::lock::Beside) do in the data directory, of all hubs on the same database server.
    pub(super) async fn hold_upkeep(&self, shared: bool) -> Result<Option<Held>> {
        Ok(self.db.hold("upkeep", shared).await?)
    }

    async fn end_half_deleted(&self) -> Result<()> {
        let begun = self.db.read(|tx| Ok::<_, Error>(gc::half_deleted(tx)?)).await?;
        for batch in begun.chunks(DELETED_AT_ONCE) {
            self.delete_bytes(batch.to_vec()).await?;
        }
        Ok(())
    }

    /// Rows first. A blob that shares bytes with others is looked at again once those are gone.
    async fn mark_unnamed(&self, reach: &Reach, collected: &mut Collected) -> Result<()> {
        let reach = *reach;
        loop {
            let before = collected.marked.blobs;
            let mut after = None;
            loop {
                let page = self.db.read(move |tx| Ok::<_, Error>(gc::unnamed(tx, &reach, after.as_ref(), PAGE)?)).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.digest);
                for batch in page.chunks(MARKED_AT_ONCE).map(<[Entry]>::to_vec) {
                    let taken = self.db.write(move |tx| taken(batch, |entry| gc::mark(tx, &reach, &entry.digest))).await?;
                    taken.iter().for_each(|entry| collected.marked.add(entry.size_bytes));
                }
            }
            if collected.marked.blobs == before {
                return Ok(());
            }
        }
    }

    /// What lies in the store and has no row, nor is about to get one.
    async fn mark_orphans(&self, reach: &Reach, force: bool, collected: &mut Collected) -> Result<()> {
        let reach = *reach;
        let found = self.look_around(&reach).await?;
        let orphans = found.orphans.len();
        if orphans >= SUSPICIOUS && orphans * 2 > found.blobs && !force {
            let message = format!("{orphans} of the {} blobs in the store have no row in this catalog", found.blobs);
            let hint = "make sure that catalog and store belong together and that no other hub uses this store; then use --force";
            return Err(Error::conflict("store_unknown", message, hint));
        }
        for batch in found.orphans.chunks(MARKED_AT_ONCE).map(<[Entry]>::to_vec) {
            let taken = self.db.write(move |tx| taken(batch, |entry| gc::mark_orphan(tx, &reach, entry))).await?;
            taken.iter().for_each(|entry| collected.orphans.add(entry.size_bytes));
        }
        for left in found.leftovers {
            let before = reach.now.plus_ms(-gc::IN_FLIGHT_MS);
            if let Some(bytes) = self.blobs.remove_leftover(&left.name, before).await? {
                collected.leftovers.add(bytes);
            }
        }
        Ok(())
    }

    /// Walks through the whole store. An error anywhere ends the walk: what was not seen is not known.
    async fn look_around(&self, reach: &Reach) -> Result<Found> {
        let mut found = Found::default();
        let mut listing = self.blobs.list();
        while let Some(listed) = listing.try_next().await? {
            found.blobs += listed.iter().filter(|stored| stored.lying.digest().is_some()).count();
            found.leftovers.extend(listed.iter().filter(|stored| is_leftover(stored, reach)).cloned());
            found.orphans.extend(self.orphans(listed, reach).await?);
        }
        Ok(found)
    }

    /// Of what was listed, the blobs without a row that are older than the grace period.
    async fn orphans(&self, listed: Vec<Stored>, reach: &Reach) -> Result<Vec<Entry>> {
        let old = listed.iter().filter(|stored| stored.modified <= reach.cut());
        let entry = |stored: &Stored| Some(Entry { digest: stored.lying.digest()?, size_bytes: stored.size_bytes });
        let old: Vec<Entry> = old.filter_map(entry).collect();
        let digests: Vec<Digest> = old.iter().map(|entry| entry.digest).collect();
        let unknown = self.db.read(move |tx| Ok::<_, Error>(gc::without_row(tx, &digests)?)).await?;
        Ok(old.into_iter().filter(|entry| unknown.contains(&entry.digest)).collect())
    }

    async fn delete_due(&self, reach: &Reach, collected: &mut Collected, tell: &Tell) -> Result<()> {
        let (reach, mut after) = (*reach, None);
        let all = self.db.read(move |tx| Ok::<_, Error>(gc::count_due(tx, &reach)?)).await?;
        tell(Event::Begin { what: "removing", items: all.0, bytes: all.1 });
        loop {
            let page = self.db.read(move |tx| Ok::<_, Error>(gc::due(tx, &reach, after.as_ref(), DELETED_AT_ONCE)?)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.digest);
            let sizes = page.iter().map(|entry| entry.size_bytes).sum();
            let begun = self.db.write(move |tx| taken(page, |entry| gc::begin_deleting(tx, &reach, &entry.digest))).await?;
            let freed = self.delete_bytes(begun.into_iter().map(|entry| entry.digest).collect()).await?;
            collected.freed.blobs += freed.blobs;
            collected.freed.bytes += freed.bytes;
            tell(Event::Advance(sizes));
        }
        tell(Event::End);
        Ok(())
    }

    /// Removes bytes that writers are shut out of, and lets the writers in again.
    async fn delete_bytes(&self, begun: Vec<Digest>) -> Result<Count> {
        let removed = stream::iter(begun.clone()).map(|digest| async move { self.blobs.delete(&digest).await });
        let sizes: Vec<u64> = removed.buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        let freed = Count { blobs: sizes.len() as u64, bytes: sizes.iter().sum() };
        self.db
            .write(move |tx| {
                for digest in &begun {
                    gc::end_deleting(tx, digest)?;
                }
                upkeep::add(tx, "hub_gc_freed_blobs_total", freed.blobs)?;
                Ok::<_, Error>(upkeep::add(tx, "hub_gc_freed_bytes_total", freed.bytes)?)
            })
            .await?;
        Ok(freed)
    }

    async fn would_collect(&self, reach: &Reach) -> Result<Collected> {
        let (reach, mut found) = (*reach, Collected::default());
        let (unnamed, due, waiting) = self
            .db
            .read(move |tx| {
                let all = usize::MAX >> 1;
                Ok::<_, Error>((gc::unnamed(tx, &reach, None, all)?, gc::due(tx, &reach, None, all)?, gc::waiting(tx)?))
            })
            .await?;
        for entry in unnamed {
            found.marked.add(entry.size_bytes);
            found.list.push((entry.digest, entry.size_bytes, "no version names it"));
        }
        let around = self.look_around(&reach).await?;
        around.leftovers.iter().for_each(|left| found.leftovers.add(left.size_bytes));
        for entry in around.orphans {
            found.orphans.add(entry.size_bytes);
            found.list.push((entry.digest, entry.size_bytes, "it has no row"));
        }
        if reach.grace_ms == 0 {
            found.list.iter().for_each(|(_, bytes, _)| found.freed.add(*bytes));
        }
        for entry in due {
            found.freed.add(entry.size_bytes);
            found.list.push((entry.digest, entry.size_bytes, "its grace period is over"));
        }
        found.waiting = Count { blobs: waiting.0, bytes: waiting.1 };
        Ok(found)
    }
}

/// What a walk through the store found.
#[derive(Default)]
struct Found {
    /// All that lie there.
    blobs: usize,
    orphans: Vec<Entry>,
    leftovers: Vec<Stored>,
}

/// The entries of which `take` said yes.
fn taken(entries: Vec<Entry>, mut take: impl FnMut(&Entry) -> crate::db::Result<bool>) -> Result<Vec<Entry>> {
    let mut yes = Vec::new();
    for entry in entries {
        if take(&entry)? {
            yes.push(entry);
        }
    }
    Ok(yes)
}

fn is_leftover(stored: &Stored, reach: &Reach) -> bool {
    matches!(stored.lying, Lying::Leftover) && !in_flight(stored.modified, reach.now)
}
