//! Putting files together as a shard says: from where the chunks it names lie, proved by the sha256 it states.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::super::storage::uploads::uploader;
use super::super::{Error, Result, Service};
use crate::blob;
use crate::catalog::blobs;
use crate::catalog::xorbs::{self, Place, Xorb};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::user::Actor;
use crate::domain::xet::XetHash;
use crate::domain::xet::shard::{Segment, ShardFile};

/// Files put together at the same time, over all requests: each keeps the disk busy by itself.
static TURNS: Semaphore = Semaphore::const_new(4);
/// A file in more pieces than this was not cut by a client of ours.
const MOST_SEGMENTS: usize = 1_000_000;
/// The places of chunks in a file that is in more pieces are not worth so many rows.
const MOST_NOTED: usize = 10_000;

/// A file that can be put together.
#[derive(Debug, Clone)]
pub struct Assembly {
    sha256: Digest,
    size_bytes: u64,
    /// Where its bytes lie, in order.
    runs: Vec<(Digest, Range<u64>)>,
    segments: Vec<Segment>,
}

impl Service {
    /// Finds all that the files of a shard are made of among what the caller has sent; names what is not there.
    pub async fn plan_shard(&self, actor: &Actor, files: Vec<ShardFile>) -> Result<Vec<Assembly>> {
        let account = uploader(actor)?;
        if files.iter().map(|file| file.segments.len()).sum::<usize>() > MOST_SEGMENTS {
            return Err(Error::too_large("shard_too_large", "the shard's files are in too many pieces", "send fewer files at once"));
        }
        let (most, now) = (self.policy.max_file_bytes, self.now());
        self.db
            .write(move |tx| {
                let mut known = HashMap::new();
                for segment in files.iter().flat_map(|file| &file.segments) {
                    if let Entry::Vacant(place) = known.entry(segment.xorb) {
                        place.insert(usable(tx, &account, &segment.xorb)?);
                    }
                }
                let planned = files.into_iter().map(|file| plan(file, &known, most)).collect::<Result<Vec<_>>>()?;
                // What will be read must not be collected meanwhile.
                let mut sources: Vec<Digest> = planned.iter().flat_map(|file| file.runs.iter().map(|(digest, _)| *digest)).collect();
                sources.sort_unstable();
                sources.dedup();
                for digest in sources {
                    blobs::renew(tx, &digest, &account, now)?;
                }
                Ok(planned)
            })
            .await
    }

    /// Puts a file together and stores it, unless it is here already.
    pub async fn assemble(&self, actor: &Actor, file: Assembly) -> Result<()> {
        let account = uploader(actor)?;
        let _turn = TURNS.acquire().await.map_err(|_| Error::Internal("files are no longer put together".into()))?;
        if self.create_upload(actor, file.sha256, file.size_bytes).await?.complete {
            return Ok(());
        }
        let bytes = stream::iter(file.runs.clone()).then(|(digest, run)| async move {
            let reader = self.blobs.open(&digest).await.map_err(lost)?;
            Ok::<_, Error>(reader.stream(run).map_err(Error::from))
        });
        self.store_object(actor, file.sha256, file.size_bytes, bytes.try_flatten().boxed()).await?;
        self.note_places(account, file).await
    }

    /// The chunks lie in the file now, too: a client may name them when the xorb's own blob is long collected.
    async fn note_places(&self, account: AccountId, file: Assembly) -> Result<()> {
        if file.segments.len() > MOST_NOTED {
            return Ok(());
        }
        self.db
            .write(move |tx| {
                let mut offset = 0;
                for Segment { xorb, raw_bytes, first_chunk, end_chunk } in file.segments {
                    xorbs::insert_place(tx, &account, &xorb, &Place { first_chunk, end_chunk, digest: file.sha256, offset })?;
                    offset += u64::from(raw_bytes);
                }
                Ok(())
            })
            .await
    }
}

/// A xorb of the account, with those of its places whose blobs are there.
fn usable(tx: &mut Tx<'_>, account: &AccountId, hash: &XetHash) -> Result<Option<Xorb>> {
    let Some(mut xorb) = xorbs::find(tx, account, hash)? else { return Ok(None) };
    let mut there = Vec::with_capacity(xorb.places.len());
    for place in xorb.places {
        if blobs::find_size(tx, &place.digest)?.is_some() {
            there.push(place);
        }
    }
    xorb.places = there;
    Ok(Some(xorb))
}

fn plan(file: ShardFile, known: &HashMap<XetHash, Option<Xorb>>, most: u64) -> Result<Assembly> {
    let mut runs: Vec<(Digest, Range<u64>)> = Vec::new();
    let mut size_bytes = 0;
    for segment in &file.segments {
        let xorb = known.get(&segment.xorb).and_then(Option::as_ref).ok_or_else(|| unknown(&segment.xorb))?;
        let found = locate(xorb, segment).ok_or_else(|| unknown(&segment.xorb))?;
        let found_bytes: u64 = found.iter().map(|(_, run)| run.end - run.start).sum();
        if found_bytes != u64::from(segment.raw_bytes) {
            let message = format!("the chunks named of the xorb {} have {found_bytes} bytes, not {}", segment.xorb, segment.raw_bytes);
            return Err(Error::invalid("bad_shard", message, "send the file again"));
        }
        size_bytes += found_bytes;
        if size_bytes > most {
            let message = format!("the file {} has more than the {most} bytes one file may have here", file.sha256);
            return Err(Error::too_large("file_too_large", message, "split the file"));
        }
        runs.extend(found);
    }
    Ok(Assembly { sha256: file.sha256, size_bytes, runs: joined(runs), segments: file.segments })
}

/// Where the chunks of a segment lie, as few runs of bytes as may be; `None` where some lie nowhere.
fn locate(xorb: &Xorb, segment: &Segment) -> Option<Vec<(Digest, Range<u64>)>> {
    let bytes = |chunks: Range<u32>| -> Option<u64> {
        Some(xorb.lengths.get(chunks.start as usize..chunks.end as usize)?.iter().map(|length| u64::from(*length)).sum())
    };
    let (mut at, mut runs) = (segment.first_chunk, Vec::new());
    while at < segment.end_chunk {
        let around = xorb.places.iter().filter(|place| place.first_chunk <= at && at < place.end_chunk);
        let place = around.max_by_key(|place| place.end_chunk)?;
        let end = place.end_chunk.min(segment.end_chunk);
        let start = place.offset + bytes(place.first_chunk..at)?;
        runs.push((place.digest, start..start + bytes(at..end)?));
        at = end;
    }
    Some(runs)
}

/// Runs that follow each other in the same blob are read as one.
fn joined(runs: Vec<(Digest, Range<u64>)>) -> Vec<(Digest, Range<u64>)> {
    let mut joined: Vec<(Digest, Range<u64>)> = Vec::new();
    for (digest, run) in runs {
        match joined.last_mut() {
            Some((last, before)) if *last == digest && before.end == run.start => before.end = run.end,
            _ => joined.push((digest, run)),
        }
    }
    joined
}

fn unknown(xorb: &XetHash) -> Error {
    let message = format!("the xorb {xorb}, or some of its chunks, are not here");
    Error::invalid("xorb_unknown", message, "send the xorb first; a client that says it has should forget its cache")
}

/// The catalog knew it a moment ago.
fn lost(error: blob::Error) -> Error {
    match error {
        blob::Error::NotFound(_) => Error::busy("store_unavailable", "bytes this file is made of are gone", "send the file again"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_where_they_lie() {
        let (raw, file) = (Digest::of(b"raw"), Digest::of(b"file"));
        let place = |first_chunk, end_chunk, digest, offset| Place { first_chunk, end_chunk, digest, offset };
        let segment = |first_chunk, end_chunk| Segment { xorb: XetHash::from_bytes([0; 32]), raw_bytes: 0, first_chunk, end_chunk };
        let whole = Xorb { lengths: vec![1, 2, 3, 4, 5], places: vec![place(0, 5, raw, 0)] };
        assert_eq!(locate(&whole, &segment(1, 3)), Some(vec![(raw, 1..6)]));
        assert_eq!(locate(&whole, &segment(4, 6)), None);
        let parts = Xorb { places: vec![place(0, 2, file, 100), place(3, 5, file, 500), place(1, 4, raw, 7)], ..whole };
        assert_eq!(locate(&parts, &segment(0, 5)), Some(vec![(file, 100..103), (raw, 9..16), (file, 504..509)]));
        let gap = Xorb { places: vec![place(0, 2, file, 0), place(3, 5, file, 9)], ..parts };
        assert_eq!(locate(&gap, &segment(0, 5)), None);
        assert_eq!(joined(vec![(raw, 0..2), (raw, 2..5), (file, 5..6), (raw, 6..7)]), [(raw, 0..5), (file, 5..6), (raw, 6..7)]);
    }
}
