//! Putting files together as a shard says: from where the chunks it names lie, proved by the sha256 it states.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::storage::uploads::uploader;
use super::super::work::{Whose, Work};
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

/// Files put together at the same time, over all requests, and those of one account: each keeps the disk busy by itself.
const AT_ONCE: usize = 4;
const OF_ONE: usize = 2;
/// A file in more pieces than this was not cut by a client of ours.
const MOST_SEGMENTS: usize = 1_000_000;
/// Xorbs that one shard names: the lengths of all their chunks lie in memory at once.
const MOST_XORBS: usize = 4_096;
/// The places of chunks in a file that is in more pieces are not worth so many rows.
const MOST_NOTED: usize = 10_000;
/// Nor are more places of one xorb.
const MOST_PLACES: u64 = 1_000;
/// So many bytes of a file may be made of any xorbs, and beyond that so many for each byte of the xorbs it names.
const FREE_BYTES: u64 = 64 << 20;
const MOST_REPEATS: u64 = 64;

/// A room of its own: what is put together waits for the disk, not for a processor.
pub fn room() -> Work {
    Work::shared(AT_ONCE, OF_ONE)
}

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
        let (owner, most, whose) = (account.clone(), self.policy.max_file_bytes, Whose::of(actor));
        let (files, named) = self.work.run(&whose, move || named_by(files)).await??;
        let turn = self.work.turn(&whose).await?;
        let known = self.db.read(move |tx| {
            let one = |hash: XetHash| Ok(usable(tx, &owner, &hash)?.map(|xorb| (hash, Places::of(xorb))));
            named.into_iter().map(one).filter_map(Result::transpose).collect::<Result<HashMap<_, _>>>()
        });
        let known = known.await?;
        drop(turn);
        let planned = self.work.run(&whose, move || plan_all(files, &known, most)).await??;
        self.reserve_sources(&account, &planned).await?;
        Ok(planned)
    }

    /// What will be read must not be collected meanwhile.
    async fn reserve_sources(&self, account: &AccountId, planned: &[Assembly]) -> Result<()> {
        let sources: BTreeSet<Digest> = planned.iter().flat_map(|file| file.runs.iter().map(|(digest, _)| *digest)).collect();
        let (account, now) = (account.clone(), self.now());
        self.db
            .write(move |tx| {
                for digest in &sources {
                    if blobs::find_size(tx, digest)?.is_none() {
                        return Err(Error::busy("store_unavailable", "bytes these files are made of are gone", "send the files again"));
                    }
                    blobs::renew(tx, digest, &account, now)?;
                }
                Ok(())
            })
            .await
    }

    /// Puts a file together and stores it, unless it is here already.
    pub async fn assemble(&self, actor: &Actor, file: Assembly) -> Result<()> {
        let account = uploader(actor)?;
        let _turn = self.assembling.next_turn(&Whose::Account(account.clone())).await?;
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
                let (mut offset, mut room) = (0, HashMap::new());
                for Segment { xorb, raw_bytes, first_chunk, end_chunk } in file.segments {
                    let room = match room.entry(xorb) {
                        Entry::Occupied(room) => room.into_mut(),
                        Entry::Vacant(room) => room.insert(MOST_PLACES.saturating_sub(xorbs::count_places(tx, &account, &xorb)?)),
                    };
                    if *room == 0 {
                        offset += u64::from(raw_bytes);
                        continue;
                    }
                    *room -= 1;
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

/// A xorb as it is looked into for segments.
#[derive(Debug)]
struct Places {
    xorb: Xorb,
    /// Raw bytes before each chunk, and of all.
    before: Vec<u64>,
    /// Of each chunk, the place that has it and reaches furthest.
    best: Vec<Option<usize>>,
}

impl Places {
    fn of(xorb: Xorb) -> Places {
        let mut before = vec![0];
        for length in &xorb.lengths {
            before.push(before[before.len() - 1] + u64::from(*length));
        }
        let mut order: Vec<usize> = (0..xorb.places.len()).collect();
        order.sort_by_key(|at| xorb.places[*at].first_chunk);
        let (mut order, mut furthest) = (order.into_iter().peekable(), None::<usize>);
        let mut best = Vec::with_capacity(xorb.lengths.len());
        for chunk in 0..xorb.lengths.len() as u32 {
            while let Some(at) = order.next_if(|at| xorb.places[*at].first_chunk <= chunk) {
                if furthest.is_none_or(|found| xorb.places[found].end_chunk < xorb.places[at].end_chunk) {
                    furthest = Some(at);
                }
            }
            best.push(furthest.filter(|found| xorb.places[*found].end_chunk > chunk));
        }
        Places { xorb, before, best }
    }

    fn raw_bytes(&self) -> u64 {
        self.before.last().copied().unwrap_or_default()
    }

    fn bytes(&self, chunks: Range<u32>) -> Option<u64> {
        Some(self.before.get(chunks.end as usize)? - self.before.get(chunks.start as usize)?)
    }

    /// Where the chunks of a segment lie, as few runs of bytes as may be; `None` where some lie nowhere.
    fn locate(&self, segment: &Segment) -> Option<Vec<(Digest, Range<u64>)>> {
        let (mut at, mut runs) = (segment.first_chunk, Vec::new());
        while at < segment.end_chunk {
            let place = &self.xorb.places[(*self.best.get(at as usize)?)?];
            let end = place.end_chunk.min(segment.end_chunk);
            let start = place.offset + self.bytes(place.first_chunk..at)?;
            runs.push((place.digest, start..start + self.bytes(at..end)?));
            at = end;
        }
        Some(runs)
    }
}

/// The xorbs that the files of a shard name.
fn named_by(files: Vec<ShardFile>) -> Result<(Vec<ShardFile>, HashSet<XetHash>)> {
    let refused =
        |problem: &str| Err(Error::too_large("shard_too_large", format!("the shard's files are {problem}"), "send fewer files at once"));
    if files.iter().map(|file| file.segments.len()).sum::<usize>() > MOST_SEGMENTS {
        return refused("in too many pieces");
    }
    let named: HashSet<XetHash> = files.iter().flat_map(|file| &file.segments).map(|segment| segment.xorb).collect();
    if named.len() > MOST_XORBS {
        return refused("made of too many xorbs");
    }
    Ok((files, named))
}

fn plan_all(files: Vec<ShardFile>, known: &HashMap<XetHash, Places>, most: u64) -> Result<Vec<Assembly>> {
    let mut runs = 0;
    let mut planned = Vec::with_capacity(files.len());
    for file in files {
        let file = plan(file, known, most)?;
        runs += file.runs.len();
        if runs > MOST_SEGMENTS {
            return Err(Error::too_large("shard_too_large", "the shard's files lie in too many pieces", "send fewer files at once"));
        }
        planned.push(file);
    }
    Ok(planned)
}

fn plan(file: ShardFile, known: &HashMap<XetHash, Places>, most: u64) -> Result<Assembly> {
    let mut runs: Vec<(Digest, Range<u64>)> = Vec::new();
    let (mut size_bytes, mut named, mut named_bytes) = (0, HashSet::new(), 0u64);
    for segment in &file.segments {
        let xorb = known.get(&segment.xorb).ok_or_else(|| unknown(&segment.xorb))?;
        if named.insert(segment.xorb) {
            named_bytes += xorb.raw_bytes();
        }
        let found = xorb.locate(segment).ok_or_else(|| unknown(&segment.xorb))?;
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
        if runs.len() > MOST_SEGMENTS {
            return Err(Error::too_large("shard_too_large", "the shard's files lie in too many pieces", "send fewer files at once"));
        }
    }
    refuse_swollen(&file, size_bytes, named_bytes)?;
    Ok(Assembly { sha256: file.sha256, size_bytes, runs: joined(runs), segments: file.segments })
}

/// A file that says the same few chunks again and again is no file that somebody has sent.
fn refuse_swollen(file: &ShardFile, size_bytes: u64, named_bytes: u64) -> Result<()> {
    let most = FREE_BYTES.saturating_add(named_bytes.saturating_mul(MOST_REPEATS));
    if size_bytes <= most {
        return Ok(());
    }
    let message = format!(
        "the file {} would have {size_bytes} bytes, more than the {most} that {named_bytes} bytes of xorbs may become",
        file.sha256
    );
    Err(Error::too_large("swollen", message, "pack the file, or set HF_HUB_DISABLE_XET=1 and send it whole"))
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
        let within = |places: &[Place]| Places::of(Xorb { lengths: vec![1, 2, 3, 4, 5], places: places.to_vec() });
        let whole = within(&[place(0, 5, raw, 0)]);
        assert_eq!(whole.locate(&segment(1, 3)), Some(vec![(raw, 1..6)]));
        assert_eq!((whole.locate(&segment(4, 6)), whole.raw_bytes()), (None, 15));
        let parts = within(&[place(0, 2, file, 100), place(3, 5, file, 500), place(1, 4, raw, 7)]);
        assert_eq!(parts.locate(&segment(0, 5)), Some(vec![(file, 100..103), (raw, 9..16), (file, 504..509)]));
        let gap = within(&[place(0, 2, file, 0), place(3, 5, file, 9)]);
        assert_eq!(gap.locate(&segment(0, 5)), None);
        assert_eq!(joined(vec![(raw, 0..2), (raw, 2..5), (file, 5..6), (raw, 6..7)]), [(raw, 0..5), (file, 5..6), (raw, 6..7)]);
    }

    #[test]
    fn a_file_may_not_swell_from_a_few_chunks() {
        let (hash, raw) = (XetHash::from_bytes([7; 32]), Digest::of(b"raw"));
        let chunk = 128 << 10;
        let xorb = Xorb { lengths: vec![chunk], places: vec![Place { first_chunk: 0, end_chunk: 1, digest: raw, offset: 0 }] };
        let known = HashMap::from([(hash, Places::of(xorb))]);
        let said = |times: usize| ShardFile {
            sha256: Digest::of(b"file"),
            segments: vec![Segment { xorb: hash, raw_bytes: chunk, first_chunk: 0, end_chunk: 1 }; times],
        };
        let planned = |times: usize| plan(said(times), &known, 64 << 30).map(|file| file.size_bytes);
        assert_eq!(planned(512 + 64).unwrap(), (64 << 20) + 64 * u64::from(chunk));
        assert!(matches!(planned(512 + 65), Err(Error::TooLarge(problem)) if problem.code == "swollen"));
    }
}
