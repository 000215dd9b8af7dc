//! Bytes of announced uploads: parts in any order and several at once, recorded when they are on the disk, proved
//! when all are here.
//!
//! A recorded run is one the catalog names after its bytes were synced; after a crash the upload goes on from those.
//! The part that makes an upload whole is not recorded by itself: it is synced with the rest when that is proved,
//! and the transaction that completes the upload records all.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::super::{Error, Result, Service};
use super::uploads::{no_upload, uploader};
use crate::blob;
use crate::catalog::reservations::{self, Keeper};
use crate::catalog::{blobs, uploads};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;
use crate::domain::upload::{KEPT_MS, Upload};
use crate::domain::user::Actor;

/// Most bytes of one part, and of a file that is sent in one request.
pub const MAX_PART_BYTES: u64 = 64 << 20;
/// A body without an end in sight is recorded each time so many bytes of it have arrived.
const RECORDED_EVERY: u64 = 64 << 20;
/// Separate runs of one upload: who sends parts of a file needs few, and each is a line in the catalog.
const MOST_RUNS: usize = 4_096;

/// With less than this left, an upload is given its time again before its bytes get their final name.
const ENOUGH_MS: i64 = 3_600_000;

/// Why a body was not taken to its end.
enum Broken {
    Sender(Error),
    Store(blob::Error),
}

impl Service {
    /// Takes the bytes of `run`, of a file of `size_bytes`. They are on the disk when this returns, even if the body
    /// breaks off: then those before the break. The part that makes the upload whole also proves and stores it.
    pub async fn put_part(
        &self,
        actor: &Actor,
        id: &UploadId,
        (run, size_bytes): (Range<u64>, u64),
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        let account = uploader(actor)?;
        let upload = self.find_upload(&account, id).await?;
        if size_bytes != upload.size_bytes {
            let message = format!("the upload was announced with {} bytes, not {size_bytes}", upload.size_bytes);
            return Err(Error::invalid("size_mismatch", message, "announce the file's true size"));
        }
        check_part(run.end - run.start)?;
        self.take(upload, run, true, body).await
    }

    /// Takes bytes from `offset` on, where the upload must stand, as many as come.
    pub async fn append_upload(
        &self,
        actor: &Actor,
        id: &UploadId,
        offset: u64,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        let account = uploader(actor)?;
        let upload = self.find_upload(&account, id).await?;
        if upload.offset() != offset {
            return Err(blob::Error::Offset { expected: upload.offset(), got: offset }.into());
        }
        let run = offset..upload.size_bytes;
        self.take(upload, run, false, body).await
    }

    /// Takes a whole small file in one request.
    pub async fn store_blob(
        &self,
        actor: &Actor,
        digest: Digest,
        size_bytes: u64,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        uploader(actor)?;
        check_part(size_bytes)?;
        self.store_object(actor, digest, size_bytes, body).await
    }

    /// Takes a whole file of any size in one request.
    pub async fn store_object(
        &self,
        actor: &Actor,
        digest: Digest,
        size_bytes: u64,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        let upload = self.create_upload(actor, digest, size_bytes).await?;
        self.take(upload, 0..size_bytes, true, body).await
    }

    /// Puts bytes this server has itself into an upload, each run at its offset, and records them as parts.
    pub async fn fill_upload<S>(&self, upload: Upload, runs: Vec<(u64, S)>) -> Result<Upload>
    where
        S: Stream<Item = blob::Result<Bytes>> + Unpin,
    {
        match self.blobs.fill_staged(&upload.id, upload.size_bytes, &upload.received, runs).await {
            Ok(filled) => self.record(&upload, filled).await,
            Err(error) => self.after_loss(&upload, error).await,
        }
    }

    async fn take(
        &self,
        upload: Upload,
        run: Range<u64>,
        to_its_end: bool,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        if upload.complete {
            // The answer to the last request was lost, or another sent the same.
            return Ok(upload);
        }
        let mut part = match self.blobs.part(&upload.id, upload.size_bytes, &upload.received).await {
            Err(blob::Error::Vanished) => return self.after_vanishing(&upload).await,
            opened => opened?,
        };
        part.go_to(run.clone()).await?;
        let broken = match self.pump(&upload, &mut part, body).await {
            Ok(()) if to_its_end && part.offset() < run.end => Some(Broken::Sender(part_incomplete(part.offset(), run.end))),
            poured => poured.err(),
        };
        // On its own: a caller that hangs up now must not leave half of what follows undone.
        let service = self.clone();
        let settled = tokio::spawn(async move { service.settle(upload, part, broken).await });
        settled.await.map_err(|stopped| Error::Internal(format!("an upload was stopped: {stopped}")))?
    }

    async fn pump(
        &self,
        upload: &Upload,
        part: &mut blob::Part,
        mut body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> std::result::Result<(), Broken> {
        let mut unrecorded = 0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(Broken::Sender)?;
            unrecorded += bytes.len() as u64;
            part.write(bytes).await.map_err(Broken::Store)?;
            if unrecorded >= RECORDED_EVERY && part.offset() < upload.size_bytes {
                part.settle().await.map_err(Broken::Store)?;
                let written = part.sync().await.map_err(Broken::Store)?;
                self.record(upload, written).await.map_err(Broken::Sender)?;
                unrecorded = 0;
            }
        }
        Ok(())
    }

    /// Records what has arrived, and finishes the upload if that was all.
    async fn settle(&self, upload: Upload, mut part: blob::Part, broken: Option<Broken>) -> Result<Upload> {
        let broken = match part.settle().await {
            Err(error) if broken.is_none() => Some(Broken::Store(error)),
            _ => broken,
        };
        let broken = match broken {
            Some(Broken::Store(blob::Error::Vanished)) => return self.after_vanishing(&upload).await,
            Some(Broken::Store(lost @ blob::Error::Unsynced(_))) => return self.after_loss(&upload, lost).await,
            other => other,
        };
        let mut all = upload.received.clone();
        all.extend(part.written());
        if broken.is_none() && all.covers(&(0..upload.size_bytes)) {
            drop(part);
            return self.finish_upload(upload).await;
        }
        let written = match part.sync().await {
            Err(error) => return self.after_loss(&upload, error).await,
            Ok(written) => written,
        };
        drop(part);
        let upload = self.record(&upload, written).await?;
        match broken {
            _ if upload.complete => Ok(upload),
            _ if upload.is_whole() => self.finish_upload(upload).await,
            None => Ok(upload),
            Some(Broken::Sender(error)) => Err(error),
            Some(Broken::Store(error)) => Err(error.into()),
        }
    }

    /// Notes in the catalog that these runs are on the disk.
    async fn record(&self, upload: &Upload, written: Ranges) -> Result<Upload> {
        let (account, id, expires) = (upload.account.clone(), upload.id.clone(), self.now().plus_ms(KEPT_MS));
        let names = vec![format!("upload {id}")];
        let recorded = self.db.write_beside(names, move |tx| {
            let Some(mut upload) = uploads::find(tx, &account, &id)? else { return Err(no_upload(&id)) };
            if upload.complete {
                return Ok(upload);
            }
            // Its time may have been over for a moment, and the collector may have passed by.
            reservations::claim(tx, &upload.digest)?;
            upload.received.extend(&written);
            upload.expires = expires;
            if upload.received.runs().len() > MOST_RUNS {
                let message = format!("an upload may have {MOST_RUNS} separate runs of bytes, and this part makes one more");
                return Err(Error::invalid("too_scattered", message, "send the parts between those that are here first, or larger ones"));
            }
            uploads::set_received(tx, &upload.id, &upload.received, expires)?;
            Ok(upload)
        });
        let recorded = recorded.await?;
        if !recorded.complete && !recorded.is_whole() && recorded.received.frontier() > upload.received.frontier() {
            self.blobs.follow(&recorded.id, recorded.received.frontier());
        }
        Ok(recorded)
    }

    /// Proves and stores an upload whose bytes are all here. Of several requests that come to this, one does it.
    pub(in crate::service) async fn finish_upload(&self, upload: Upload) -> Result<Upload> {
        let _turn = self.blobs.turn(&upload.id).await;
        let upload = self.find_upload(&upload.account, &upload.id).await?;
        if upload.complete {
            // What this request may have staged once more is nobody's.
            self.blobs.discard(&upload.id).await?;
            return Ok(upload);
        }
        if upload.expires <= self.now().plus_ms(ENOUGH_MS) {
            self.record(&upload, Ranges::default()).await?;
        }
        let proved = match self.blobs.prove(&upload.id, upload.size_bytes, Some(upload.digest)).await {
            Ok(proved) => proved,
            Err(error) => return self.after_loss(&upload, error).await,
        };
        let (whole, now, noted) = (Ranges::from(0..upload.size_bytes), self.now(), upload.clone());
        let received = whole.clone();
        let noted = move |tx: &mut Tx<'_>| {
            blobs::grant(tx, &noted.digest, &noted.account, now)?;
            Ok(uploads::set_received(tx, &noted.id, &received, now.plus_ms(KEPT_MS))?)
        };
        if let Err(error) = self.keep(proved, Keeper::Upload(upload.id.clone()), Arc::new(noted)).await {
            // A store elsewhere may be away; what was proved is on this disk and need not be sent again.
            if self.blobs.has_staged(&upload.id, &whole) {
                self.record(&upload, whole).await?;
            }
            return Err(error);
        }
        if !upload.received.is_empty()
            && let Err(error) = self.blobs.drop_pieces(&upload.id).await
        {
            tracing::warn!(%error, upload = %upload.id, "the parts of a finished upload are cleared away when its time is over");
        }
        Ok(Upload { received: whole, complete: true, ..upload })
    }

    /// The staging file went away under a part: another request has finished the upload, or it is lost.
    async fn after_vanishing(&self, upload: &Upload) -> Result<Upload> {
        // Whoever promotes it has its turn until the catalog says so.
        let _turn = self.blobs.turn(&upload.id).await;
        let now = self.find_upload(&upload.account, &upload.id).await?;
        if now.complete {
            return Ok(now);
        }
        self.forget_upload(&upload.id).await?;
        Err(no_upload(&upload.id))
    }

    /// Bytes that are wrong, or were lost by the disk, end the upload: a new one starts from nothing.
    async fn after_loss(&self, upload: &Upload, error: blob::Error) -> Result<Upload> {
        use blob::Error as Blob;
        if matches!(error, Blob::Vanished)
            && let Ok(now) = self.find_upload(&upload.account, &upload.id).await
            && now.complete
        {
            // Another node had all parts at the same time, and was first.
            return Ok(now);
        }
        if matches!(error, Blob::Mismatch { .. } | Blob::Unsynced(_) | Blob::Vanished) {
            self.forget_upload(&upload.id).await?;
        }
        match error {
            Blob::Vanished => Err(no_upload(&upload.id)),
            error => Err(error.into()),
        }
    }
}

fn check_part(bytes: u64) -> Result<()> {
    if bytes <= MAX_PART_BYTES {
        return Ok(());
    }
    let message = format!("{bytes} bytes at once are more than the {MAX_PART_BYTES} a part may have");
    Err(Error::too_large("part_too_large", message, "announce the file with POST /api/v1/uploads and send it in parts"))
}

fn part_incomplete(at: u64, end: u64) -> Error {
    let message = format!("the body ended at byte {at} of the file, not at {end}");
    Error::invalid("body_broke_off", message, "ask the upload what it has received and go on from there")
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
