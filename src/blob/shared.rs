//! Uploads that any node goes on with. Where several hubs stand on one catalog and one bucket, what the parts of an upload have brought lies
//! in the bucket as well, from before the catalog says that it is here until the upload is done or forgotten:
//!
//! ```text
//! staging/<upload id>/<first byte>-<end>      16 hex digits each, at most 8 MiB
//! ```
//!
//! The staging file of a machine is then a copy, which is filled up from these pieces before it is proved. Which bytes of it are there this
//! process remembers (`running`); after a restart it asks the store for all of them. Pieces may overlap: whose bytes count
//! decides the sha256 of the whole, as for every upload.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStore as _, ObjectStoreExt as _};
use tokio::task::spawn_blocking;

use super::list::Staged;
use super::multipart::read;
use super::running::Session;
use super::staged_file::wait_for;
use super::{Blobs, Error, Inner, Result};
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;
use crate::domain::time::Timestamp;

const FOLDER: &str = "staging";
const PIECE_BYTES: u64 = 8 << 20;
/// Pieces of one upload on their way.
const AT_ONCE: usize = 4;
/// An upload of more pieces begins again: they would be listed too long.
const MOST_PIECES: usize = 50_000;

/// A run of an upload that lies in the store.
struct Piece {
    run: Range<u64>,
    key: Key,
}

impl Blobs {
    /// Says that several nodes stand on this store: uploads lie in it while they are under way. Of a directory it changes nothing.
    pub fn shared_by_nodes(mut self) -> Blobs {
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.is_shared = inner.remote.is_some();
        }
        self
    }

    /// What of `received` is really there, in this machine's staging file or in the store.
    pub async fn staged_of(&self, id: &UploadId, received: &Ranges) -> Result<Ranges> {
        match self.inner.is_shared {
            true => Ok(received.without(&self.inner.lost(id, received).await?)),
            false if self.has_staged(id, received) => Ok(received.clone()),
            false => Ok(Ranges::default()),
        }
    }

    /// Removes what lies in the store of an upload that is done or forgotten.
    pub async fn drop_pieces(&self, id: &UploadId) -> Result<()> {
        if !self.inner.is_shared {
            return Ok(());
        }
        let pieces = self.inner.pieces(id).await?;
        let removed = stream::iter(pieces).map(|piece| async move {
            match self.inner.store.delete(&piece.key).await {
                Err(StoreError::NotFound { .. }) | Ok(()) => Ok::<_, Error>(()),
                Err(error) => Err(error.into()),
            }
        });
        removed.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Fills up the staging file of this machine. [`Error::Vanished`]: some bytes are nowhere.
    pub(super) async fn gather(&self, id: &UploadId, announced: u64) -> Result<()> {
        let inner = &self.inner;
        let away = inner.away(id, &Ranges::from(0..announced));
        if away.is_empty() {
            return Ok(());
        }
        let mut pieces = inner.pieces(id).await?;
        if !away.without(&runs_of(&pieces)).is_empty() {
            return Err(Error::Vanished);
        }
        pieces.retain(|piece| away.gaps(piece.run.clone()) != [piece.run.clone()]);
        let (session, path) = (inner.sessions.of(id), inner.staging_path(id));
        let made = session.clone();
        let file = Arc::new(spawn_blocking(move || made.open(&path)).await??);
        let mut fetched = stream::iter(pieces).map(|piece| self.fetch_piece(piece)).buffered(AT_ONCE);
        while let Some((run, bytes)) = fetched.try_next().await? {
            let (session, file) = (session.clone(), file.clone());
            spawn_blocking(move || fill(&session, &file, &run, &bytes)).await??;
        }
        Ok(())
    }

    async fn fetch_piece(&self, piece: Piece) -> Result<(Range<u64>, Bytes)> {
        let _room = self.inner.room_for_piece().await?;
        let got = match self.inner.store.get(&piece.key).await {
            // Another node has finished the upload meanwhile, or forgot it.
            Err(StoreError::NotFound { .. }) => return Err(Error::Vanished),
            got => got?.bytes().await?,
        };
        match got.len() as u64 == piece.run.end - piece.run.start {
            true => Ok((piece.run, got)),
            false => Err(Error::Vanished),
        }
    }

    /// What lies in the store of uploads, one line an upload.
    pub(super) async fn pieces_by_upload(&self) -> Result<Vec<Staged>> {
        let mut uploads: BTreeMap<String, Staged> = BTreeMap::new();
        if !self.inner.is_shared {
            return Ok(Vec::new());
        }
        let mut listed = self.inner.store.list(Some(&Key::from(FOLDER)));
        while let Some(meta) = listed.try_next().await? {
            let Some(name) = meta.location.as_ref().split('/').nth(1).map(str::to_owned) else { continue };
            let modified = Timestamp::from_unix_ms(meta.last_modified.timestamp_millis());
            let upload = uploads.entry(name.clone()).or_insert(Staged { name, size_bytes: 0, modified });
            upload.size_bytes += meta.size;
            upload.modified = upload.modified.max(modified);
        }
        Ok(uploads.into_values().collect())
    }
}

impl Inner {
    /// What of `wanted` is not in this machine's staging file.
    fn away(&self, id: &UploadId, wanted: &Ranges) -> Ranges {
        let is_there = self.staging_path(id).is_file();
        if is_there { wanted.without(&self.sessions.of(id).here()) } else { wanted.clone() }
    }

    /// What of `wanted` is neither here nor in the store.
    pub(super) async fn lost(&self, id: &UploadId, wanted: &Ranges) -> Result<Ranges> {
        let away = self.away(id, wanted);
        if away.is_empty() {
            return Ok(away);
        }
        Ok(away.without(&runs_of(&self.pieces(id).await?)))
    }

    /// By their first byte.
    async fn pieces(&self, id: &UploadId) -> Result<Vec<Piece>> {
        let prefix = Key::from(format!("{FOLDER}/{id}"));
        let listed = self.store.list(Some(&prefix)).take(MOST_PIECES + 1);
        let mut pieces: Vec<Piece> =
            listed.map_err(Error::from).try_filter_map(|meta| async move { Ok(piece(meta.location)) }).try_collect().await?;
        if pieces.len() > MOST_PIECES {
            return Err(Error::Vanished);
        }
        pieces.sort_by_key(|piece| piece.run.start);
        Ok(pieces)
    }

    async fn room_for_piece(&self) -> Result<Option<tokio::sync::OwnedSemaphorePermit>> {
        match &self.remote {
            Some(remote) => remote.room_of(PIECE_BYTES).await.map(Some),
            None => Ok(None),
        }
    }

    /// Puts runs of a staging file into the store, from where other nodes take them.
    pub(super) async fn hand_over(&self, id: &UploadId, file: Arc<File>, runs: &Ranges) -> Result<()> {
        let pieces: Vec<Range<u64>> = runs.runs().iter().cloned().flat_map(cut).collect();
        let put = stream::iter(pieces).map(|run| {
            let file = file.clone();
            async move {
                let _room = self.room_for_piece().await?;
                let bytes = read(file, run.clone()).await?;
                self.store.put(&key_of(id, &run), bytes.into()).await?;
                Ok::<_, Error>(())
            }
        });
        put.buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// Writes what of a piece is not here yet, under the lock that keeps finishers away.
fn fill(session: &Session, file: &File, run: &Range<u64>, bytes: &Bytes) -> Result<()> {
    wait_for(|| file.try_lock_shared())?;
    let gaps = session.here().gaps(run.clone());
    let written = gaps.into_iter().try_for_each(|gap| {
        let part = bytes.slice((gap.start - run.start) as usize..(gap.end - run.start) as usize);
        session.write(file, gap.start, &[part])
    });
    file.unlock()?;
    Ok(written?)
}

fn runs_of(pieces: &[Piece]) -> Ranges {
    let mut runs = Ranges::default();
    pieces.iter().for_each(|piece| runs.insert(piece.run.clone()));
    runs
}

/// Runs of at most [`PIECE_BYTES`].
fn cut(run: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = run.end;
    run.step_by(PIECE_BYTES as usize).map(move |start| start..end.min(start + PIECE_BYTES))
}

fn key_of(id: &UploadId, run: &Range<u64>) -> Key {
    Key::from(format!("{FOLDER}/{id}/{:016x}-{:016x}", run.start, run.end))
}

/// What is named as [`key_of`] names; other things are nobody's.
fn piece(key: Key) -> Option<Piece> {
    let (start, end) = key.filename()?.split_once('-')?;
    let number = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    let run = number(start)?..number(end)?;
    (!run.is_empty()).then_some(Piece { run, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_known_by_their_names() {
        let id = UploadId::new(Timestamp::from_unix_ms(1), [7; 10]);
        let runs: Vec<_> = cut(3..3 + 2 * PIECE_BYTES + 1).collect();
        assert_eq!(runs, [3..3 + PIECE_BYTES, 3 + PIECE_BYTES..3 + 2 * PIECE_BYTES, 3 + 2 * PIECE_BYTES..4 + 2 * PIECE_BYTES]);
        for run in runs {
            assert_eq!(piece(key_of(&id, &run)).unwrap().run, run);
        }
        for other in ["staging/x/1-2", "staging/x/0000000000000002-0000000000000002", "staging/x/note"] {
            assert!(piece(Key::from(other)).is_none(), "{other}");
        }
    }
}
