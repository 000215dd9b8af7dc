//! What a client that has other blobs need not fetch: where a file's bytes lie in other files the caller may read.
//!
//! How the store has shared them is nobody's business: a tensor may lie in a blob of a repo the caller may not see, and
//! be in a file they may see as well. So a tensor is said to lie in the file that was first to have it among those the
//! caller may see, if that was before this one, and what is left in this file itself. The runs are put together as if
//! the store held those files alone (`plan`): what the caller may not read changes nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures_util::TryStreamExt as _;

use super::super::{Error, Result, Service, access};
use super::plan::Plan;
use super::{is_worth_it, segments};
use crate::blob::{self, Reader};
use crate::catalog::segments::Place;
use crate::catalog::{Visibility, versions};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::pieces::{self, LEAST_BYTES, LEAST_FILE_BYTES, Piece};
use crate::domain::repo::FileEntry;
use crate::domain::revision::Revision;
use crate::domain::safetensors;
use crate::domain::segments::{Layout, Segment};
use crate::domain::user::Actor;

/// Small tensors compared with those beside them for one answer.
const MOST_GUESSES: usize = 4_096;

/// Runs of a stored blob that lie in files which were there before, the oldest file first; by the stored blob.
type Elders = HashMap<Digest, Vec<Segment>>;

impl Service {
    /// The segments of a file; they cover it.
    pub async fn segments(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        path: &RepoPath,
    ) -> Result<(FileEntry, Layout)> {
        let (asker, wanted) = (actor.clone(), path.clone());
        let found = self.at(actor, kind, id, revision, move |tx, repo, version| {
            let entry = versions::find_file(tx, &repo.key, version.number, wanted.as_str())?;
            let entry = entry.ok_or_else(|| super::super::repos::fetch::no_file(&repo, &version, &wanted))?;
            let visible = access::visible_to(tx, &asker)?;
            let stored = match segments::find_layout(tx, &entry.digest)? {
                Some(layout) => layout.segments().to_vec(),
                None => vec![own(&entry, 0..entry.size_bytes)],
            };
            let elders = elders(tx, &entry.digest, &stored, &visible)?;
            Ok((entry, stored, elders))
        });
        let (entry, stored, elders) = found.await?;
        let mut told = self.runs_elsewhere(&entry, &stored, &elders).await?;
        let odd = |e| Error::Internal(format!("the segments of {} are damaged: {e}", entry.digest));
        let rest = Layout::new(entry.size_bytes, told.clone()).map_err(odd)?.gaps();
        told.extend(rest.into_iter().map(|gap| own(&entry, gap)));
        told.sort_by_key(|segment| segment.offset);
        Ok((entry.clone(), Layout::covering(entry.size_bytes, told).map_err(odd)?))
    }

    /// The runs of a file that are told to lie elsewhere, if they are worth it.
    async fn runs_elsewhere(&self, entry: &FileEntry, stored: &[Segment], elders: &Elders) -> Result<Vec<Segment>> {
        if entry.size_bytes < LEAST_FILE_BYTES || elders.values().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let file = self.blobs.open(&entry.digest).await?;
        let pieces = pieces_in(&file).await?;
        let place = |piece: &Piece| if piece.size_bytes < LEAST_BYTES { None } else { place_of(piece, stored, elders) };
        let places: Vec<Vec<Place>> = pieces.iter().map(|piece| place(piece).into_iter().collect()).collect();
        let mut plan = Plan::choose(pieces, &places);
        if !is_worth_it(&plan, entry.size_bytes) {
            return Ok(Vec::new());
        }
        let mut open = HashMap::new();
        for (at, place) in plan.guesses().into_iter().take(MOST_GUESSES) {
            let (piece, placed) = plan.piece(at);
            if placed {
                continue;
            }
            // What the store shares is equal; what it does not may be, and a bucket is too far away to look.
            let shared = place_of(&piece, stored, elders) == Some(place);
            if shared || (!self.blobs.is_remote() && self.is_equal(&file, &piece, place, &mut open).await?) {
                plan.take(at, place);
            }
        }
        Ok(plan.runs())
    }

    /// Does `place` have the bytes of this piece?
    async fn is_equal(&self, file: &Reader, piece: &Piece, place: Place, open: &mut HashMap<Digest, Option<Reader>>) -> Result<bool> {
        let other = match open.entry(place.source) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => match self.blobs.open(&place.source).await {
                Ok(reader) => unknown.insert(Some(reader)),
                Err(blob::Error::NotFound(_) | blob::Error::Corrupt { .. }) => unknown.insert(None),
                Err(error) => return Err(error.into()),
            },
        };
        let end = place.offset + piece.size_bytes;
        let Some(other) = other.as_ref().filter(|other| end <= other.size()) else { return Ok(false) };
        let ours = read(file, piece.offset..piece.end()).await?;
        match read(other, place.offset..end).await {
            Ok(theirs) => Ok(ours == theirs),
            Err(blob::Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

async fn read(reader: &Reader, range: std::ops::Range<u64>) -> blob::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut blocks = reader.stream(range);
    while let Some(block) = blocks.try_next().await? {
        bytes.extend_from_slice(&block);
    }
    Ok(bytes)
}

/// The pieces of a safetensors file, whose hashes nobody asks for here; none of anything else.
async fn pieces_in(file: &Reader) -> Result<Vec<Piece>> {
    let Ok(length) = safetensors::header_len(&read(file, 0..8).await?) else { return Ok(Vec::new()) };
    let end = (8 + length as u64).min(file.size());
    let Ok(header) = safetensors::parse_header(&read(file, 0..end).await?, file.size()) else { return Ok(Vec::new()) };
    let piece = |range: &std::ops::Range<u64>| Piece { offset: range.start, size_bytes: range.end - range.start, sha256: *file.digest() };
    Ok(pieces::ranges(&header).iter().map(piece).collect())
}

/// A run of a file that lies in itself.
fn own(entry: &FileEntry, run: std::ops::Range<u64>) -> Segment {
    Segment { offset: run.start, size_bytes: run.end - run.start, source: entry.digest, source_offset: run.start }
}

/// For each blob the file lies in: which of its runs lie in files that the caller could see before this one.
fn elders(tx: &mut Tx<'_>, file: &Digest, stored: &[Segment], visible: &Visibility) -> Result<Elders> {
    let since = segments::first_seen(tx, file, visible)?.map(|first| (first, *file));
    let mut elders = Elders::new();
    for run in stored {
        if let Entry::Vacant(unknown) = elders.entry(run.source) {
            let mut seen = segments::seen_runs(tx, &run.source, visible)?;
            seen.retain(|(first, run)| since.is_some_and(|since| (*first, run.source) < since));
            seen.sort_by_key(|(first, run)| (*first, run.source, run.offset));
            unknown.insert(seen.into_iter().map(|(_, run)| run).collect());
        }
    }
    Ok(elders)
}

/// Where a piece lies in the oldest of the files that have all of it.
fn place_of(piece: &Piece, stored: &[Segment], elders: &Elders) -> Option<Place> {
    let run = stored.get(stored.partition_point(|run| run.end() <= piece.offset))?;
    if run.offset > piece.offset || piece.end() > run.end() {
        return None;
    }
    let start = run.source_offset + (piece.offset - run.offset);
    let has = |elder: &&Segment| elder.offset <= start && start + piece.size_bytes <= elder.end();
    let elder = elders.get(&run.source)?.iter().find(has)?;
    Some(Place { source: elder.source, offset: elder.source_offset + (start - elder.offset) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_lies_in_the_oldest_file_that_has_all_of_it() {
        let [source, first, second] = [b"s", b"1", b"2"].map(|name| Digest::of(name));
        let stored = [Segment { offset: 1000, size_bytes: 100, source, source_offset: 50 }];
        let run = |source, offset, size_bytes, source_offset| Segment { offset, size_bytes, source, source_offset };
        let piece = |offset, size_bytes| Piece { offset, size_bytes, sha256: source };
        let elders = Elders::from([(source, vec![run(first, 60, 20, 0), run(second, 0, 500, 7)])]);
        let place = |offset, size_bytes| place_of(&piece(offset, size_bytes), &stored, &elders).map(|place| (place.source, place.offset));
        assert_eq!(place(1010, 20), Some((first, 0)));
        assert_eq!(place(1012, 18), Some((first, 2)));
        assert_eq!(place(1009, 20), Some((second, 66)));
        assert_eq!(place(1000, 100), Some((second, 57)));
        for (offset, size_bytes) in [(999, 10), (1000, 101), (1100, 1)] {
            assert_eq!(place(offset, size_bytes), None);
        }
        assert_eq!(place_of(&piece(1010, 20), &stored, &Elders::new()), None);
    }
}
