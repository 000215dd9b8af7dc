//! Uploads that need not bring everything: what the client says its tensors are, and what of that lies in blobs it
//! may read, is put into its upload from there. The rest it sends.
//!
//! Knowing a hash yields nothing. A place counts only where the caller may read those very bytes: in a blob of a
//! repo they see or that they have sent themselves, or in a blob composed of it. For anybody else it is as if
//! nothing were there, and the answer is that of tensors nobody has. Each piece is hashed on its way into the
//! upload, so that damage at rest is not passed on; the whole is proved in the end as any upload is.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest as _, Sha256};

use super::super::{Error, Result, Service, access};
use super::plan::Plan;
use crate::blob::{self, Reader};
use crate::catalog::segments::{self, Place};
use crate::catalog::uploads;
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::pieces::{LEAST_BYTES, LEAST_FILE_BYTES, MOST_PIECES, Piece};
use crate::domain::segments::Segment;
use crate::domain::upload::Upload;
use crate::domain::user::Actor;

/// Shorter runs between what must be sent are sent with it: a request costs more.
const LEAST_RUN_BYTES: u64 = 64 * 1024;
/// So much is put in before it is recorded, so that a caller who asks again finds it.
const RECORDED_EVERY: u64 = 256 << 20;

/// Which runs of a source the caller may read.
type Readable = HashMap<Digest, Vec<Range<u64>>>;

impl Service {
    /// As [`Service::create_upload`]; and of `offered`, pieces of the file and their sha256, what the caller may read
    /// elsewhere has been received when this returns.
    pub async fn create_upload_of(&self, actor: &Actor, digest: Digest, size_bytes: u64, offered: Vec<Piece>) -> Result<Upload> {
        check(&offered, size_bytes)?;
        let upload = self.create_upload(actor, digest, size_bytes).await?;
        if upload.complete || offered.is_empty() || size_bytes < LEAST_FILE_BYTES {
            return Ok(upload);
        }
        let upload = self.fill(actor, upload, offered).await?;
        if upload.complete || !upload.is_whole() { Ok(upload) } else { self.finish_upload(upload).await }
    }

    async fn fill(&self, actor: &Actor, upload: Upload, offered: Vec<Piece>) -> Result<Upload> {
        // One that was announced twice is filled once.
        let _turn = self.blobs.turn(&upload.id).await;
        let mut upload = self.find_upload(&upload.account, &upload.id).await?;
        let (places, readable) = self.readable_places(actor, &upload.account, &offered).await?;
        let mut sources = Sources { service: self, open: HashMap::new() };
        let mut refused = HashSet::new();
        loop {
            let allowed = |places: &Vec<Place>| places.iter().filter(|place| !refused.contains(&place.source)).copied().collect();
            let mut plan = Plan::choose(offered.clone(), &places.iter().map(allowed).collect::<Vec<Vec<Place>>>());
            sources.try_guesses(&mut plan, &readable, &refused).await?;
            let left = self.allowance(&upload).await?;
            let Some(batch) = next_batch(&plan, &upload, left) else { return Ok(upload) };
            let (mut runs, damaged) = (Vec::with_capacity(batch.len()), Arc::new(OnceLock::new()));
            for (piece, place) in batch {
                match sources.open(&place.source).await? {
                    Some(source) => runs.push((piece.offset, proved_bytes(&source, piece, place, &damaged))),
                    None => drop(refused.insert(place.source)),
                }
            }
            match (self.fill_upload(upload.clone(), runs).await, damaged.get()) {
                (Ok(filled), _) => upload = filled,
                (Err(_), Some(source)) => {
                    tracing::error!(%source, "a stored blob is gone or damaged; nothing is shared with it");
                    refused.insert(*source);
                }
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// Where each piece lies that the caller may read there.
    async fn readable_places(&self, actor: &Actor, account: &AccountId, offered: &[Piece]) -> Result<(Vec<Vec<Place>>, Readable)> {
        let (asker, account, offered) = (actor.clone(), account.clone(), offered.to_vec());
        self.db
            .read(move |tx| {
                let visible = access::visible_to(tx, &asker)?;
                let mut readable = Readable::new();
                let mut all = Vec::with_capacity(offered.len());
                for piece in &offered {
                    let mut places = if piece.size_bytes < LEAST_BYTES { Vec::new() } else { segments::places(tx, piece)? };
                    for place in &places {
                        if let Entry::Vacant(unknown) = readable.entry(place.source) {
                            unknown.insert(segments::readable(tx, &place.source, Some(&account), &visible)?);
                        }
                    }
                    places.retain(|place| may_read(&readable, place, piece.size_bytes));
                    all.push(places);
                }
                Ok((all, readable))
            })
            .await
    }

    /// Bytes this server may still put into the account's unfinished uploads: an announcement costs its sender
    /// nothing, so all of them together hold no more than one file may.
    async fn allowance(&self, upload: &Upload) -> Result<u64> {
        let account = upload.account.clone();
        let held = self.db.read(move |tx| Ok::<_, Error>(uploads::open_bytes(tx, &account)?)).await?;
        Ok(self.policy.max_file_bytes.saturating_sub(held))
    }
}

fn check(offered: &[Piece], size_bytes: u64) -> Result<()> {
    let refused = |problem: String| Err(Error::invalid("bad_tensors", problem, "list the file's tensors in the order of their bytes"));
    if offered.len() > MOST_PIECES {
        return refused(format!("{} tensors were offered, at most {MOST_PIECES} at once", offered.len()));
    }
    let mut at = 0;
    for piece in offered {
        if piece.size_bytes == 0 || piece.offset < at || piece.offset.checked_add(piece.size_bytes).is_none_or(|end| end > size_bytes) {
            return refused(format!("the tensor at byte {} is empty, out of order, or ends behind the file", piece.offset));
        }
        at = piece.end();
    }
    Ok(())
}

fn may_read(readable: &Readable, place: &Place, size_bytes: u64) -> bool {
    let Some(end) = place.offset.checked_add(size_bytes) else { return false };
    readable.get(&place.source).is_some_and(|runs| runs.iter().any(|run| run.start <= place.offset && end <= run.end))
}

/// What is to be put in next: pieces of runs that are worth it and not here yet, as many as may be.
fn next_batch(plan: &Plan, upload: &Upload, allowed: u64) -> Option<Vec<(Piece, Place)>> {
    let runs: Vec<Segment> = plan.runs().into_iter().filter(|run| run.size_bytes >= LEAST_RUN_BYTES).collect();
    let in_a_run = |piece: &Piece| {
        let at = runs.partition_point(|run| run.end() <= piece.offset);
        runs.get(at).is_some_and(|run| run.offset <= piece.offset)
    };
    let wanted = plan.placed().filter(|(piece, _)| in_a_run(piece) && !upload.received.covers(&(piece.offset..piece.end())));
    let mut bytes = 0;
    let mut batch = Vec::new();
    for (piece, place) in wanted {
        if bytes + piece.size_bytes > allowed || (bytes > 0 && bytes + piece.size_bytes > RECORDED_EVERY) {
            break;
        }
        bytes += piece.size_bytes;
        batch.push((*piece, place));
    }
    (!batch.is_empty()).then_some(batch)
}

/// The bytes of a piece from where they lie; an error in the end if they are not those of its sha256. Then `damaged`
/// says whose bytes they were.
fn proved_bytes(source: &Reader, piece: Piece, place: Place, damaged: &Arc<OnceLock<Digest>>) -> BoxStream<'static, blob::Result<Bytes>> {
    let damaged = damaged.clone();
    let ended = stream::once(async { Ok(Bytes::new()) });
    let checked = source.stream(place.offset..place.offset + piece.size_bytes).chain(ended).scan(Sha256::new(), move |hash, block| {
        let checked = match block {
            Ok(block) if block.is_empty() && Digest::from_bytes(hash.clone().finalize().into()) != piece.sha256 => {
                Err(blob::Error::Corrupt { digest: place.source, problem: format!("the tensor at byte {} has changed", place.offset) })
            }
            Ok(block) => {
                hash.update(&block);
                Ok(block)
            }
            Err(error) => Err(error),
        };
        if let Err(blob::Error::Corrupt { .. } | blob::Error::NotFound(_)) = &checked {
            let _ = damaged.set(place.source);
        }
        std::future::ready(Some(checked))
    });
    checked.boxed()
}

/// The blobs that are read from, each opened once.
struct Sources<'a> {
    service: &'a Service,
    open: HashMap<Digest, Option<Reader>>,
}

impl Sources<'_> {
    async fn open(&mut self, source: &Digest) -> Result<Option<Reader>> {
        if let Some(known) = self.open.get(source) {
            return Ok(known.clone());
        }
        let found = self.service.blobs.find_source(source).await?;
        self.open.insert(*source, found.clone());
        Ok(found)
    }

    /// Small pieces beside others: theirs is the hash that says whether the guess is right.
    async fn try_guesses(&mut self, plan: &mut Plan, readable: &Readable, refused: &HashSet<Digest>) -> Result<()> {
        for (at, place) in plan.guesses() {
            let (piece, placed) = plan.piece(at);
            if placed || refused.contains(&place.source) || !may_read(readable, &place, piece.size_bytes) {
                continue;
            }
            let Some(source) = self.open(&place.source).await? else { continue };
            let bytes: blob::Result<Vec<Bytes>> = source.stream(place.offset..place.offset + piece.size_bytes).try_collect().await;
            if bytes.is_ok_and(|bytes| Digest::of(&bytes.concat()) == piece.sha256) {
                plan.take(at, place);
            }
        }
        Ok(())
    }
}
