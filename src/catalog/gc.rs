//! The collector's book: which blobs nobody names any more, and which of them have lost their row already.
//!
//! A blob goes in two steps, a grace period apart: first its row, in the transaction that finds it unnamed
//! ([`mark`]); later its bytes, once a transaction has made sure that nobody stores them again
//! ([`begin_deleting`]). Between the steps it is marked for deletion, and a catalog restored from a
//! backup still finds its bytes. The table of these marks is called `condemned`, as the released migration that
//! makes it calls it.

use super::{segments, usage, xorbs};
use crate::db::{Result, Row, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;
use crate::domain::upload::KEPT_MS;
use crate::params;

/// Whatever the grace period, bytes that may be on their way into a version are left alone so long.
pub const IN_FLIGHT_MS: i64 = 3_600_000;
/// What an account has sent is kept so long while it is still sending more: a large publish takes days.
const SENDING_MS: i64 = 7 * 86_400_000;

/// The moment of a collection and its grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub now: Timestamp,
    pub grace_ms: i64,
}

impl Reach {
    /// What happened at this time or before is older than the grace period.
    pub fn cut(&self) -> Timestamp {
        self.now.plus_ms(-self.grace_ms)
    }

    /// `$1` to `$4` of [`KEPT`].
    fn params(&self) -> Vec<Value> {
        let young = self.now.plus_ms(-self.grace_ms.max(IN_FLIGHT_MS));
        let sent = self.now.plus_ms(-self.grace_ms.max(SENDING_MS));
        // A session ends `KEPT_MS` after its last byte: one that ends later than this had a byte of late.
        let sending = self.now.plus_ms(KEPT_MS - IN_FLIGHT_MS);
        [self.now, young, sent, sending].map(|at| Value::from(at.unix_ms())).into()
    }
}

/// True of a blob `b` that somebody names or is about to name: a version, a blob that lies in pieces of it, a job
/// that has such a file or may be taken up again, a writer, a sender who has not committed yet.
const KEPT: &str = "(exists (select 1 from files f where f.digest = b.digest)
    or exists (select 1 from blob_segments s where s.source = b.digest)
    or exists (select 1 from blob_reservations r where r.digest = b.digest and r.until > $1)
    or exists (select 1 from uploads u where u.digest = b.digest and u.expires > $1 and not exists
        (select 1 from blob_grants g where g.digest = u.digest and g.account = u.account))
    or exists (select 1 from blob_grants g where g.digest = b.digest and (g.created > $2 or (g.created > $3 and exists
        (select 1 from uploads u where u.account = g.account and u.expires > $4))))
    or exists (select 1 from job_files f where f.digest = b.digest)
    or b.digest in (select j.checkpoint from jobs j where j.state in ('queued', 'running') and j.checkpoint is not null))";

/// True of a digest `c.digest` that has a row or a writer; `$1` is now.
const IN_USE: &str = "(exists (select 1 from blobs b where b.digest = c.digest)
    or exists (select 1 from uploads u where u.digest = c.digest and u.expires > $1)
    or exists (select 1 from blob_reservations r where r.digest = c.digest and r.until > $1))";

/// A blob the collector looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub digest: Digest,
    pub size_bytes: u64,
}

fn from_row(row: &Row) -> Result<Entry> {
    Ok(Entry { digest: row.parse("digest", Digest::parse)?, size_bytes: row.count("size_bytes")? })
}

/// Blobs nobody names, older than the grace period, in the order of their digests after `after`.
pub fn unnamed(tx: &mut Tx<'_>, reach: &Reach, after: Option<&Digest>, limit: usize) -> Result<Vec<Entry>> {
    let mut params = reach.params();
    params.extend_from_slice(params![after.map_or(String::new(), Digest::to_hex), reach.cut().unix_ms(), limit]);
    let sql = format!(
        "select b.digest, b.size_bytes from blobs b where b.digest > $5 and b.created <= $6 and not {KEPT} order by b.digest limit $7"
    );
    tx.all(&sql, &params)?.iter().map(from_row).collect()
}

/// Whether somebody names a blob or is about to.
pub fn is_kept(tx: &mut Tx<'_>, reach: &Reach, digest: &Digest) -> Result<bool> {
    let mut params = reach.params();
    params.push(Value::from(digest.to_hex()));
    let sql = format!("select b.digest from blobs b where b.digest = $5 and {KEPT}");
    Ok(tx.find(&sql, &params)?.is_some())
}

/// Marks a blob for deletion, if still nobody names it: takes its row and what hangs on it.
pub fn mark(tx: &mut Tx<'_>, reach: &Reach, digest: &Digest) -> Result<bool> {
    let mut params = reach.params();
    params.extend_from_slice(params![digest.to_hex(), reach.cut().unix_ms()]);
    let sql = format!("select b.digest, b.size_bytes from blobs b where b.digest = $5 and b.created <= $6 and not {KEPT}");
    let Some(row) = tx.find(&sql, &params)? else { return Ok(false) };
    insert(tx, &from_row(&row)?, reach.now)?;
    usage::forget_sent(tx, digest, None)?;
    for sql in [
        // Sessions that ended well; one that is still open would have kept the blob.
        "delete from uploads where digest = $1 and exists
             (select 1 from blob_grants g where g.digest = uploads.digest and g.account = uploads.account)",
        "delete from blob_grants where digest = $1",
        "delete from blobs where digest = $1",
    ] {
        tx.execute(sql, params![digest.to_hex()])?;
    }
    // What it was made of may follow, once nothing else is.
    segments::forget(tx, digest)?;
    xorbs::forget_blob(tx, digest)?;
    Ok(true)
}

/// Marks bytes that lie in the store without a row: a crash came between their name and their row.
pub fn mark_orphan(tx: &mut Tx<'_>, reach: &Reach, orphan: &Entry) -> Result<bool> {
    if state(tx, &orphan.digest, reach.now)? != State::Unknown {
        return Ok(false);
    }
    insert(tx, orphan, reach.now)?;
    Ok(true)
}

/// What the catalog has to say about a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has a row.
    Known,
    /// For deletion.
    Marked,
    /// Somebody is storing it.
    InFlight,
    Unknown,
}

pub fn state(tx: &mut Tx<'_>, digest: &Digest, now: Timestamp) -> Result<State> {
    if super::blobs::find_size(tx, digest)?.is_some() {
        return Ok(State::Known);
    }
    if find_since(tx, digest)?.is_some() {
        return Ok(State::Marked);
    }
    let sql = format!("select c.digest from (select cast($2 as text) as digest) c where {IN_USE}");
    let used = tx.find(&sql, params![now.unix_ms(), digest.to_hex()])?.is_some();
    Ok(if used { State::InFlight } else { State::Unknown })
}

/// Of these digests, those with neither a row nor a mark.
pub fn without_row(tx: &mut Tx<'_>, digests: &[Digest]) -> Result<Vec<Digest>> {
    let sql = "select 1 as known from blobs where digest = $1 union all select 1 from condemned where digest = $1 limit 1";
    let mut unknown = Vec::new();
    for digest in digests {
        if tx.find(sql, params![digest.to_hex()])?.is_none() {
            unknown.push(*digest);
        }
    }
    Ok(unknown)
}

fn insert(tx: &mut Tx<'_>, entry: &Entry, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into condemned (digest, size_bytes, since) values ($1, $2, $3) on conflict (digest) do nothing",
        params![entry.digest.to_hex(), entry.size_bytes, now.unix_ms()],
    )?;
    Ok(())
}

/// Since when a digest is marked for deletion.
pub fn find_since(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Timestamp>> {
    let row = tx.find("select since from condemned where digest = $1", params![digest.to_hex()])?;
    row.map(|row| Ok(Timestamp::from_unix_ms(row.int("since")?))).transpose()
}

/// Marked blobs whose grace period is over, in the order of their digests after `after`.
pub fn due(tx: &mut Tx<'_>, reach: &Reach, after: Option<&Digest>, limit: usize) -> Result<Vec<Entry>> {
    let sql = "select digest, size_bytes from condemned where deleting = 0 and since <= $1 and digest > $2 order by digest limit $3";
    let params = params![reach.cut().unix_ms(), after.map_or(String::new(), Digest::to_hex), limit];
    tx.all(sql, params)?.iter().map(from_row).collect()
}

/// How many those are, and their bytes.
pub fn count_due(tx: &mut Tx<'_>, reach: &Reach) -> Result<(u64, u64)> {
    let sql =
        "select count(*) as n, cast(coalesce(sum(size_bytes), 0) as bigint) as bytes from condemned where deleting = 0 and since <= $1";
    let row = tx.one(sql, params![reach.cut().unix_ms()])?;
    Ok((row.count("n")?, row.count("bytes")?))
}

/// Shuts writers out, if none has come: after this the bytes may be removed.
pub fn begin_deleting(tx: &mut Tx<'_>, reach: &Reach, digest: &Digest) -> Result<bool> {
    // The alias of an updated table has no place in the common dialect, so the row is looked at first.
    let sql = format!("select c.digest from condemned c where c.digest = $2 and c.deleting = 0 and c.since <= $3 and not {IN_USE}");
    if tx.find(&sql, params![reach.now.unix_ms(), digest.to_hex(), reach.cut().unix_ms()])?.is_none() {
        return Ok(false);
    }
    tx.execute("update condemned set deleting = 1 where digest = $1", params![digest.to_hex()])?;
    Ok(true)
}

/// Blobs whose removal was begun and not ended: the collector died.
pub fn half_deleted(tx: &mut Tx<'_>) -> Result<Vec<Digest>> {
    let rows = tx.all("select digest from condemned where deleting = 1 order by digest", &[])?;
    rows.iter().map(|row| row.parse("digest", Digest::parse)).collect()
}

/// The bytes are gone; writers may come again.
pub fn end_deleting(tx: &mut Tx<'_>, digest: &Digest) -> Result<()> {
    tx.execute("delete from condemned where digest = $1 and deleting = 1", params![digest.to_hex()])?;
    Ok(())
}

/// How many blobs wait for their grace period to end, and their bytes.
pub fn waiting(tx: &mut Tx<'_>) -> Result<(u64, u64)> {
    let row = tx.one("select count(*) as n, cast(coalesce(sum(size_bytes), 0) as bigint) as bytes from condemned", &[])?;
    Ok((row.count("n")?, row.count("bytes")?))
}

/// Forgets all marks and all that keeps the collector away, for a catalog that was restored beside a fresh store.
pub fn forget_unfinished(tx: &mut Tx<'_>) -> Result<()> {
    for sql in ["delete from condemned", "delete from blob_reservations", "delete from uploads", "delete from passes"] {
        tx.execute(sql, &[])?;
    }
    xorbs::forget_all(tx)
}
