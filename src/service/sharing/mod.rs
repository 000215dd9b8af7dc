//! Keeping once what is the same: a safetensors file whose tensors lie in other blobs already is stored as a list
//! of where they lie and a remainder of its own. Which blobs those are tells nobody anything: whoever stores the
//! file had all its bytes. What callers may be offered of others' bytes is another matter: [`fill`], [`offer`].
//!
//! A file gets such a list only after all its bytes were proved, and each source was compared with them byte by
//! byte (`blob::compose`). Until then, and until the catalog keeps the collector away from the sources, the
//! staged file stays; where anything comes between, it is stored whole.

mod fill;
mod offer;
mod plan;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Error, Result, Service};
use crate::blob::{Composed, Proved, Reader};
use crate::catalog::blobs;
use crate::catalog::reservations::Keeper;
use crate::catalog::segments::{self, Place};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::pieces::{self, LEAST_BYTES, LEAST_FILE_BYTES, Piece};
use crate::domain::safetensors;
use crate::domain::segments::{Layout, Segment};
use plan::Plan;

/// Less than this, and less than this part of the file, is not worth the trouble of a list.
const LEAST_SAVED_BYTES: u64 = 64 * 1024;
const LEAST_SAVED_PART: u64 = 20;

/// What else the transaction does that makes a stored blob usable.
pub(super) type Noted = Arc<dyn Fn(&mut Tx<'_>) -> Result<()> + Send + Sync>;

/// How a file is to be composed: where its bytes lie, and what of it lies nowhere yet.
struct Recipe {
    layout: Layout,
    remainder: Digest,
    remainder_bytes: u64,
    /// The tensors in the remainder.
    pieces: Vec<Piece>,
}

impl Service {
    /// Gives proved bytes their name, shared or whole, and makes them usable.
    ///
    /// `keeper` keeps the collector away from the blob until it has a row.
    pub(super) async fn keep(&self, proved: Proved, keeper: Keeper, noted: Noted) -> Result<()> {
        let pieces = self.pieces_of(&proved).await?;
        // Bytes that lie here already were sent again because they are damaged, or others need them: whole, they
        // repair what is there.
        if !pieces.is_empty() && self.blobs.find_source(proved.digest()).await?.is_none() {
            // Its own rows may outlive its bytes.
            let mut refused = HashSet::from([*proved.digest()]);
            while let Some(plan) = self.plan(&proved, &pieces, &refused).await? {
                match self.compose(&proved, &plan, &keeper, &noted).await? {
                    Outcome::Stored => return Ok(proved.discard().await?),
                    Outcome::Overtaken => break,
                    Outcome::Differs(source) => {
                        tracing::error!(%source, "a stored blob is gone or damaged; nothing is shared with it");
                        refused.insert(source);
                    }
                }
            }
        }
        self.keep_whole(proved, pieces, keeper, noted).await
    }

    /// Stores proved bytes whole; `pieces` are those that others may share.
    pub(super) async fn keep_whole(&self, proved: Proved, pieces: Vec<Piece>, keeper: Keeper, noted: Noted) -> Result<()> {
        let (digest, size_bytes, now) = (*proved.digest(), proved.size_bytes(), self.now());
        let may_have_list = !pieces.is_empty();
        proved.promote().await?;
        self.db
            .write_beside(vec![format!("blob {digest}")], move |tx| {
                segments::forget(tx, &digest)?;
                blobs::insert(tx, &digest, size_bytes, &keeper, now)?;
                segments::insert_pieces(tx, &digest, &pieces)?;
                noted(tx)
            })
            .await?;
        // The whole file wins over a list that is still there; but nobody keeps that list's sources any more.
        if may_have_list { Ok(self.blobs.forget_layout(&digest).await?) } else { Ok(()) }
    }

    /// The pieces of a safetensors file that is large enough; of anything else none.
    async fn pieces_of(&self, proved: &Proved) -> Result<Vec<Piece>> {
        if proved.size_bytes() < LEAST_FILE_BYTES {
            return Ok(Vec::new());
        }
        let Ok(length) = safetensors::header_len(&proved.read(0..8).await?) else { return Ok(Vec::new()) };
        if proved.read(8..9).await?.first() != Some(&b'{') {
            return Ok(Vec::new());
        }
        let prefix = proved.read(0..8 + length as u64).await?;
        match safetensors::parse_header(&prefix, proved.size_bytes()) {
            Ok(header) => Ok(proved.hash_pieces(pieces::ranges(&header)).await?),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Where the file's bytes may come from, if that is worth it.
    async fn plan(&self, proved: &Proved, pieces: &[Piece], refused: &HashSet<Digest>) -> Result<Option<Plan>> {
        let (wanted, refused) = (pieces.to_vec(), refused.clone());
        let places = self
            .db
            .read(move |tx| {
                let places = |piece: &Piece| match piece.size_bytes {
                    ..LEAST_BYTES => Ok(Vec::new()),
                    _ => segments::places(tx, piece),
                };
                let places: Vec<Vec<Place>> = wanted.iter().map(places).collect::<crate::db::Result<_>>()?;
                let allowed = |places: Vec<Place>| places.into_iter().filter(|place| !refused.contains(&place.source)).collect();
                Ok::<_, Error>(places.into_iter().map(allowed).collect::<Vec<Vec<Place>>>())
            })
            .await?;
        let mut plan = Plan::choose(pieces.to_vec(), &places);
        if !is_worth_it(&plan, proved.size_bytes()) {
            return Ok(None);
        }
        let mut sources: HashMap<Digest, Option<Reader>> = HashMap::new();
        for (at, place) in plan.guesses() {
            let (piece, placed) = plan.piece(at);
            if placed {
                continue;
            }
            if let Entry::Vacant(unknown) = sources.entry(place.source) {
                unknown.insert(self.blobs.find_source(&place.source).await?);
            }
            let Some(Some(source)) = sources.get(&place.source) else { continue };
            if proved.equals(piece.offset, source, place.offset..place.offset + piece.size_bytes).await? {
                plan.take(at, place);
            }
        }
        Ok(Some(plan))
    }

    async fn compose(&self, proved: &Proved, plan: &Plan, keeper: &Keeper, noted: &Noted) -> Result<Outcome> {
        // What is left becomes a blob of its own, which the collector leaves alone as long as this is reserved.
        let staging = UploadId::new(self.now(), self.random()?);
        let outcome = self.compose_beside(proved, plan, keeper, noted, &staging).await;
        self.release(&staging).await;
        outcome
    }

    async fn compose_beside(&self, proved: &Proved, plan: &Plan, keeper: &Keeper, noted: &Noted, staging: &UploadId) -> Result<Outcome> {
        let runs = plan.runs();
        let odd = |e| Error::Internal(format!("a plan to share is no layout: {e}"));
        let left = Layout::new(proved.size_bytes(), runs.clone()).map_err(odd)?.gaps();
        let remainder = proved.carve(&self.blobs, left.clone(), staging).await?;
        let recipe = recipe(proved, plan, &runs, left, &remainder).map_err(odd)?;
        self.reserve(*remainder.digest(), staging).await?;
        remainder.promote().await?;
        match self.blobs.compose(proved, &recipe.layout).await? {
            Composed::Stored => {}
            Composed::Differs(source) => return Ok(Outcome::Differs(source)),
        }
        let (digest, size_bytes, noted, now) = (*proved.digest(), proved.size_bytes(), noted.clone(), self.now());
        let (keeper, beside) = (keeper.clone(), Keeper::Holder(staging.clone()));
        let stored = self.db.write(move |tx| {
            let stands = recipe.still_stands(tx, &digest)?;
            if stands {
                blobs::insert(tx, &recipe.remainder, recipe.remainder_bytes, &beside, now)?;
                segments::insert_pieces(tx, &recipe.remainder, &recipe.pieces)?;
                segments::insert(tx, &digest, &recipe.layout)?;
                blobs::insert(tx, &digest, size_bytes, &keeper, now)?;
                noted(tx)?;
            }
            Ok::<_, Error>(stands)
        });
        Ok(if stored.await? { Outcome::Stored } else { Outcome::Overtaken })
    }
}

impl Recipe {
    /// The sources are known and lie whole, and nobody needs the blob itself to lie whole: what was found before
    /// the bytes were compared may be another's past.
    fn still_stands(&self, tx: &mut Tx<'_>, digest: &Digest) -> Result<bool> {
        for source in self.layout.sources().iter().filter(|source| **source != self.remainder) {
            if !segments::is_whole(tx, source)? {
                return Ok(false);
            }
        }
        let remainder_is_composed = !segments::sources(tx, &self.remainder)?.is_empty();
        let needed_whole = segments::is_whole(tx, digest)? || !segments::dependents(tx, digest, 1)?.is_empty();
        Ok(!remainder_is_composed && !needed_whole)
    }
}

enum Outcome {
    Stored,
    /// Bytes that were to be shared are gone or damaged.
    Differs(Digest),
    /// Something came between; the file is to be stored whole.
    Overtaken,
}

/// Does enough of a file of this size lie elsewhere?
fn is_worth_it(plan: &Plan, size_bytes: u64) -> bool {
    let saved: u64 = plan.runs().iter().map(|run| run.size_bytes).sum();
    saved >= LEAST_SAVED_BYTES && saved >= size_bytes / LEAST_SAVED_PART
}

/// The runs that lie elsewhere, and between them what lies in the remainder.
fn recipe(
    proved: &Proved,
    plan: &Plan,
    runs: &[Segment],
    left: Vec<std::ops::Range<u64>>,
    remainder: &Proved,
) -> std::result::Result<Recipe, crate::domain::segments::LayoutError> {
    let source = *remainder.digest();
    let mut at = 0;
    let mut own = Vec::with_capacity(left.len());
    for gap in left {
        let size_bytes = gap.end - gap.start;
        own.push(Segment { offset: gap.start, size_bytes, source, source_offset: at });
        at += size_bytes;
    }
    let inside = |piece: &Piece| {
        let gap = own[..own.partition_point(|gap| gap.offset <= piece.offset)].last()?;
        Some(Piece { offset: gap.source_offset + (piece.offset - gap.offset), ..*piece })
    };
    let pieces = plan.pieces_outside(runs).filter_map(inside).collect();
    let mut segments = [runs, &own].concat();
    segments.sort_by_key(|segment| segment.offset);
    let layout = Layout::covering(proved.size_bytes(), segments)?;
    Ok(Recipe { layout, remainder: source, remainder_bytes: at, pieces })
}
