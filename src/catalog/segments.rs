//! Which blobs lie in pieces of others, and which tensors lie in whole blobs, so that the next file that has
//! them need not bring them again. A source is always a whole blob: nothing is composed of what is composed.

use std::ops::Range;

use super::blobs::{find_size, has_grant, is_readable};
use super::visibility::{Visibility, seen_by};
use crate::db::{Error, Result, Row, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::pieces::{LEAST_BYTES, Piece};
use crate::domain::segments::{Layout, Segment};
use crate::domain::time::Timestamp;
use crate::params;

/// Blobs that are told to have the same tensor: one is enough, a few let a choice be made among them.
const MOST_PLACES: usize = 32;
/// Rows of composed blobs looked at to see whether a caller may read a source through one of them. Few: how long
/// the look takes must not tell a stranger what is there.
const MOST_DEPENDENTS: usize = 256;

/// Runs of a source looked at that lie in other blobs as well.
const MOST_RUNS: usize = 2_048;

/// A run of a whole blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub source: Digest,
    pub offset: u64,
}

/// Notes what a blob is made of, in place of what was noted before.
pub fn insert(tx: &mut Tx<'_>, digest: &Digest, layout: &Layout) -> Result<()> {
    forget(tx, digest)?;
    for (position, segment) in layout.segments().iter().enumerate() {
        tx.execute(
            "insert into blob_segments (digest, position, offset_bytes, size_bytes, source, source_offset) values ($1, $2, $3, $4, $5, $6)",
            params![digest.to_hex(), position, segment.offset, segment.size_bytes, segment.source.to_hex(), segment.source_offset],
        )?;
    }
    Ok(())
}

/// What a blob is made of; `None` of one that lies whole.
pub fn find_layout(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<Layout>> {
    let sql = "select offset_bytes, size_bytes, source, source_offset from blob_segments where digest = $1 order by position";
    let rows = tx.all(sql, params![digest.to_hex()])?;
    if rows.is_empty() {
        return Ok(None);
    }
    let segments = rows.iter().map(segment).collect::<Result<Vec<_>>>()?;
    let size_bytes = segments.last().map_or(0, Segment::end);
    let damaged = |e: crate::domain::segments::LayoutError| Error::Column { column: "blob_segments".into(), problem: e.to_string() };
    Layout::covering(size_bytes, segments).map(Some).map_err(damaged)
}

fn segment(row: &Row) -> Result<Segment> {
    Ok(Segment {
        offset: row.count("offset_bytes")?,
        size_bytes: row.count("size_bytes")?,
        source: row.parse("source", Digest::parse)?,
        source_offset: row.count("source_offset")?,
    })
}

/// All blobs that lie in pieces of others.
pub fn composed(tx: &mut Tx<'_>) -> Result<Vec<Digest>> {
    let rows = tx.all("select distinct digest from blob_segments", &[])?;
    rows.iter().map(|row| row.parse("digest", Digest::parse)).collect()
}

/// Bytes of all blobs that lie in pieces of others.
pub fn shared_bytes(tx: &mut Tx<'_>) -> Result<u64> {
    tx.one("select cast(coalesce(sum(size_bytes), 0) as bigint) as bytes from blob_segments", &[])?.count("bytes")
}

/// Blobs that lie in pieces of one that has no row: nobody keeps the collector away from it.
pub fn without_source(tx: &mut Tx<'_>) -> Result<Vec<(Digest, Digest)>> {
    let sql = "select distinct s.digest, s.source from blob_segments s left join blobs b on b.digest = s.source where b.digest is null";
    let rows = tx.all(sql, &[])?;
    rows.iter().map(|row| Ok((row.parse("digest", Digest::parse)?, row.parse("source", Digest::parse)?))).collect()
}

/// The blobs a blob is made of; none of one that lies whole.
pub fn sources(tx: &mut Tx<'_>, digest: &Digest) -> Result<Vec<Digest>> {
    let rows = tx.all("select distinct source from blob_segments where digest = $1 order by source", params![digest.to_hex()])?;
    rows.iter().map(|row| row.parse("source", Digest::parse)).collect()
}

/// Composed blobs that cannot be read without this one, in the order of their digests.
pub fn dependents(tx: &mut Tx<'_>, source: &Digest, limit: usize) -> Result<Vec<Digest>> {
    let sql = "select distinct digest from blob_segments where source = $1 order by digest limit $2";
    tx.all(sql, params![source.to_hex(), limit])?.iter().map(|row| row.parse("digest", Digest::parse)).collect()
}

/// May others be composed of this blob? It is known, and lies whole.
pub fn is_whole(tx: &mut Tx<'_>, digest: &Digest) -> Result<bool> {
    let composed = tx.find("select position from blob_segments where digest = $1 limit 1", params![digest.to_hex()])?;
    Ok(composed.is_none() && find_size(tx, digest)?.is_some())
}

/// Forgets what a blob is made of and what it offers: its row goes, its bytes were found damaged, or it is
/// stored otherwise now. Those made of it are not touched.
pub fn forget(tx: &mut Tx<'_>, digest: &Digest) -> Result<()> {
    tx.execute("delete from blob_segments where digest = $1", params![digest.to_hex()])?;
    tx.execute("delete from tensor_bytes where digest = $1", params![digest.to_hex()])?;
    Ok(())
}

/// Notes the pieces that lie in a whole blob. Those below [`LEAST_BYTES`] are not worth a row.
pub fn insert_pieces(tx: &mut Tx<'_>, digest: &Digest, pieces: &[Piece]) -> Result<()> {
    for piece in pieces.iter().filter(|piece| piece.size_bytes >= LEAST_BYTES) {
        tx.execute(
            "insert into tensor_bytes (digest, offset_bytes, size_bytes, sha256) values ($1, $2, $3, $4)
             on conflict (digest, offset_bytes) do nothing",
            params![digest.to_hex(), piece.offset, piece.size_bytes, piece.sha256.to_hex()],
        )?;
    }
    Ok(())
}

/// Where a piece lies in whole blobs.
pub fn places(tx: &mut Tx<'_>, piece: &Piece) -> Result<Vec<Place>> {
    let sql = "select digest, offset_bytes from tensor_bytes where sha256 = $1 and size_bytes = $2 order by digest, offset_bytes limit $3";
    let rows = tx.all(sql, params![piece.sha256.to_hex(), piece.size_bytes, MOST_PLACES])?;
    rows.iter().map(|row| Ok(Place { source: row.parse("digest", Digest::parse)?, offset: row.count("offset_bytes")? })).collect()
}

/// Which runs of a whole blob a caller may read: all of it, or what lies in composed blobs they may read.
pub fn readable(tx: &mut Tx<'_>, source: &Digest, account: Option<&AccountId>, visible: &Visibility) -> Result<Vec<Range<u64>>> {
    if may_read(tx, source, account, visible)? {
        let whole = find_size(tx, source)?;
        return Ok(whole.map(|size| 0..size).into_iter().collect());
    }
    let mut params = vec![Value::Text(source.to_hex()), Value::Text(account.map_or(String::new(), ToString::to_string))];
    let seen = seen_by(visible, &mut params);
    let sql = format!(
        "select distinct s.source_offset, s.size_bytes from blob_segments s where s.source = $1
             and s.digest in (select digest from blob_segments where source = $1 order by digest limit {MOST_DEPENDENTS}) and (
                 exists (select 1 from files f join repos r on r.key = f.repo where f.digest = s.digest and r.deleted is null and ({seen}))
                 or exists (select 1 from blob_grants g where g.digest = s.digest and g.account = $2))"
    );
    let rows = tx.all(&sql, &params)?;
    rows.iter().map(|row| Ok(row.count("source_offset")?..row.count("source_offset")? + row.count("size_bytes")?)).collect()
}

/// When a blob was first part of a version that may be seen; `None` where it is part of none.
pub fn first_seen(tx: &mut Tx<'_>, digest: &Digest, visible: &Visibility) -> Result<Option<Timestamp>> {
    let mut params = vec![Value::Text(digest.to_hex())];
    let seen = seen_by(visible, &mut params);
    let sql = format!(
        "select min(v.created) as first from files f join repos r on r.key = f.repo join versions v on v.repo = f.repo and v.number = f.number
         where f.digest = $1 and r.deleted is null and ({seen})"
    );
    Ok(tx.one(&sql, &params)?.find_int("first")?.map(Timestamp::from_unix_ms))
}

/// The runs of a whole blob that lie in blobs which may be seen, as places in those: in that blob itself, if it is one of
/// them, and in those composed of it; the source's places are the offsets. Each with when its blob was first seen.
pub fn seen_runs(tx: &mut Tx<'_>, source: &Digest, visible: &Visibility) -> Result<Vec<(Timestamp, Segment)>> {
    let mut seen = Vec::new();
    if let (Some(first), Some(size_bytes)) = (first_seen(tx, source, visible)?, find_size(tx, source)?) {
        seen.push((first, Segment { offset: 0, size_bytes, source: *source, source_offset: 0 }));
    }
    let mut params = vec![Value::Text(source.to_hex())];
    let visibly = seen_by(visible, &mut params);
    let sql = format!(
        "select s.digest, s.offset_bytes, s.size_bytes, s.source_offset, n.first from blob_segments s join (
             select f.digest, min(v.created) as first
             from files f join repos r on r.key = f.repo join versions v on v.repo = f.repo and v.number = f.number
             where f.digest in (select distinct digest from blob_segments where source = $1 order by digest limit {MOST_DEPENDENTS})
                 and r.deleted is null and ({visibly})
             group by f.digest
         ) n on n.digest = s.digest where s.source = $1 order by n.first, s.digest, s.position limit {MOST_RUNS}"
    );
    for row in tx.all(&sql, &params)? {
        let run = Segment {
            offset: row.count("source_offset")?,
            size_bytes: row.count("size_bytes")?,
            source: row.parse("digest", Digest::parse)?,
            source_offset: row.count("offset_bytes")?,
        };
        seen.push((Timestamp::from_unix_ms(row.int("first")?), run));
    }
    Ok(seen)
}

/// May the caller read this very blob: in a repo they see, or because they have sent it?
pub fn may_read(tx: &mut Tx<'_>, digest: &Digest, account: Option<&AccountId>, visible: &Visibility) -> Result<bool> {
    let sent = match account {
        Some(account) => has_grant(tx, digest, account)?,
        None => false,
    };
    Ok(sent || is_readable(tx, digest, visible)?)
}
