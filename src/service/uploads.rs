//! Sending bytes: announced by digest, resumed by offset, proved before they count.
//!
//! Whoever may read a blob already, or has sent it before, need not send it again. For all others it does not
//! exist, whatever the store holds: knowing a digest never yields bytes.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{Error, Result, Service, access};
use crate::blob;
use crate::catalog::{Visibility, blobs, uploads};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::{AccountId, UploadId};
use crate::domain::upload::Upload;
use crate::domain::user::{Actor, Role};

/// An unfinished upload is kept this long after its last byte.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Unfinished uploads of one account.
const MOST_OPEN: u64 = 1_000;
/// Digests asked about in one request.
const MOST_ASKED: usize = 10_000;
/// Expired uploads cleared away by one announcement.
const SWEPT_AT_ONCE: usize = 20;
/// Existence checks in flight.
const CHECKS: usize = 16;

impl Service {
    /// Which of these blobs must the caller send before naming them in a commit?
    pub async fn missing_blobs(&self, actor: &Actor, digests: Vec<Digest>) -> Result<Vec<Digest>> {
        let account = uploader(actor)?;
        if digests.len() > MOST_ASKED {
            let message = format!("{} digests were asked about, at most {MOST_ASKED} at a time", digests.len());
            return Err(Error::too_large("too_many_digests", message, "ask in several requests"));
        }
        let asker = actor.clone();
        let asked = self
            .db
            .read(move |tx| {
                let visible = access::visible_to(tx, &asker)?;
                let entitled = |digest: Digest| Ok((digest, entitlement(tx, &digest, Some(&account), &visible)?));
                digests.into_iter().map(entitled).collect::<Result<Vec<_>>>()
            })
            .await?;
        let held = futures_util::stream::iter(asked).map(|(digest, size)| async move {
            let missing = match size {
                // A blob the store has lost is asked for again: that repairs it.
                Some(size) => self.blobs.find_size(&digest).await? != Some(size),
                None => true,
            };
            Ok::<_, Error>(missing.then_some(digest))
        });
        let answers: Vec<Result<Option<Digest>>> = held.buffered(CHECKS).collect().await;
        answers.into_iter().filter_map(Result::transpose).collect()
    }

    /// Announces bytes; the same announcement again continues the same upload.
    pub async fn create_upload(&self, actor: &Actor, digest: Digest, size_bytes: u64) -> Result<Upload> {
        let account = uploader(actor)?;
        if size_bytes > self.policy.max_file_bytes {
            let message = format!("{size_bytes} bytes are more than the {} one file may have here", self.policy.max_file_bytes);
            return Err(Error::too_large(
                "file_too_large",
                message,
                "split the file, or ask the server's administrator to raise the limit",
            ));
        }
        self.sweep_uploads().await?;
        let held = self.is_held(actor, &account, digest, size_bytes).await?;
        let now = self.now();
        let fresh = Upload {
            id: UploadId::new(now, self.random()?),
            account: account.clone(),
            digest,
            size_bytes,
            offset: if held { size_bytes } else { 0 },
            complete: held,
            created: now,
            expires: now.plus_ms(KEPT_MS),
        };
        if held {
            return Ok(fresh);
        }
        let (upload, replaced) = self.db.write(move |tx| announce(tx, fresh)).await?;
        if let Some(old) = replaced {
            self.blobs.discard(&old).await?;
        }
        if size_bytes == 0 {
            return self.finish_upload(actor, &upload.id).await;
        }
        Ok(self.as_staged(upload))
    }

    pub async fn get_upload(&self, actor: &Actor, id: &UploadId) -> Result<Upload> {
        let account = uploader(actor)?;
        Ok(self.as_staged(self.find_upload(&account, id).await?))
    }

    /// Takes bytes from `offset` on. When the last is in, they are proved and stored; else they are on the
    /// disk when this returns, even if the body breaks off.
    pub async fn append_upload(
        &self,
        actor: &Actor,
        id: &UploadId,
        offset: u64,
        mut body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        let account = uploader(actor)?;
        let upload = self.as_staged(self.find_upload(&account, id).await?);
        if upload.complete {
            // The answer to the last request was lost; the client may say it again.
            return if offset == upload.size_bytes { Ok(upload) } else { Err(wrong_offset(upload.size_bytes, offset)) };
        }
        let mut stage = self.blobs.stage(id, upload.size_bytes).await?;
        if stage.offset() != offset {
            return Err(wrong_offset(stage.offset(), offset));
        }
        let mut broken = None;
        while let Some(part) = body.next().await {
            let written = match part {
                Ok(bytes) => stage.write(bytes).await.map_err(Error::from),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                broken = Some(error);
                break;
            }
        }
        match broken {
            None if stage.offset() == upload.size_bytes => self.promote(upload, stage).await,
            broken => {
                let received = stage.sync().await?;
                let upload = self.note_received(upload, received).await?;
                broken.map_or(Ok(upload), Err)
            }
        }
    }

    /// Proves and stores an upload whose bytes are all here.
    pub async fn finish_upload(&self, actor: &Actor, id: &UploadId) -> Result<Upload> {
        let account = uploader(actor)?;
        let upload = self.find_upload(&account, id).await?;
        if upload.complete {
            return Ok(self.as_staged(upload));
        }
        let stage = self.blobs.stage(id, upload.size_bytes).await?;
        self.promote(upload, stage).await
    }

    /// Forgets an upload and what was sent of it.
    pub async fn cancel_upload(&self, actor: &Actor, id: &UploadId) -> Result<()> {
        let account = uploader(actor)?;
        let upload = self.find_upload(&account, id).await?;
        let gone = upload.id.clone();
        self.db.write(move |tx| Ok::<_, Error>(uploads::delete(tx, &gone)?)).await?;
        Ok(self.blobs.discard(&upload.id).await?)
    }

    /// Clears away some of the uploads whose time is over.
    pub async fn sweep_uploads(&self) -> Result<()> {
        let now = self.now();
        let expired = self.db.read(move |tx| Ok::<_, Error>(uploads::expired(tx, now, SWEPT_AT_ONCE)?)).await?;
        for id in expired {
            let gone = id.clone();
            self.db.write(move |tx| Ok::<_, Error>(uploads::delete(tx, &gone)?)).await?;
            self.blobs.discard(&id).await?;
        }
        Ok(())
    }

    async fn find_upload(&self, account: &AccountId, id: &UploadId) -> Result<Upload> {
        let (account, wanted) = (account.clone(), id.clone());
        let found = self.db.read(move |tx| Ok::<_, Error>(uploads::find(tx, &account, &wanted)?)).await?;
        found.ok_or_else(|| Error::not_found("upload_not_found", format!("there is no upload '{id}'"), "announce the file again"))
    }

    fn as_staged(&self, upload: Upload) -> Upload {
        let offset = if upload.complete { upload.size_bytes } else { self.blobs.staged_bytes(&upload.id) };
        Upload { offset, ..upload }
    }

    /// May the caller use this blob without sending it, and does the store really have it?
    async fn is_held(&self, actor: &Actor, account: &AccountId, digest: Digest, size_bytes: u64) -> Result<bool> {
        let (asker, owner) = (actor.clone(), account.clone());
        let size = self
            .db
            .read(move |tx| {
                let visible = access::visible_to(tx, &asker)?;
                entitlement(tx, &digest, Some(&owner), &visible)
            })
            .await?;
        let Some(size) = size else { return Ok(false) };
        if size != size_bytes {
            let message = format!("the bytes with sha256 {digest} are {size}, not {size_bytes}");
            return Err(Error::invalid("size_mismatch", message, "announce the file's true size"));
        }
        if self.blobs.find_size(&digest).await? == Some(size) {
            return Ok(true);
        }
        let owner = account.clone();
        self.db.write(move |tx| Ok::<_, Error>(blobs::revoke(tx, &digest, &owner)?)).await?;
        Ok(false)
    }

    async fn promote(&self, upload: Upload, stage: blob::Stage) -> Result<Upload> {
        stage.finish(&upload.digest).await?;
        let now = self.now();
        self.db
            .write(move |tx| {
                blobs::insert(tx, &upload.digest, upload.size_bytes, now)?;
                blobs::grant(tx, &upload.digest, &upload.account, now)?;
                uploads::set_received(tx, &upload.id, upload.size_bytes, now.plus_ms(KEPT_MS))?;
                Ok(Upload { offset: upload.size_bytes, complete: true, ..upload })
            })
            .await
    }

    async fn note_received(&self, upload: Upload, received: u64) -> Result<Upload> {
        let expires = self.now().plus_ms(KEPT_MS);
        self.db
            .write(move |tx| {
                uploads::set_received(tx, &upload.id, received, expires)?;
                Ok(Upload { offset: received, expires, ..upload })
            })
            .await
    }
}

/// Continues the account's upload of this digest, or begins one. An old one of another size is replaced.
fn announce(tx: &mut Tx<'_>, fresh: Upload) -> Result<(Upload, Option<UploadId>)> {
    let old = uploads::find_of_digest(tx, &fresh.account, &fresh.digest)?;
    if let Some(old) = old {
        if old.size_bytes == fresh.size_bytes && !old.complete {
            uploads::set_received(tx, &old.id, old.offset, fresh.expires)?;
            return Ok((Upload { expires: fresh.expires, ..old }, None));
        }
        uploads::delete(tx, &old.id)?;
        uploads::insert(tx, &fresh)?;
        return Ok((fresh, Some(old.id)));
    }
    if uploads::count_open(tx, &fresh.account)? >= MOST_OPEN {
        let message = format!("you have {MOST_OPEN} unfinished uploads");
        return Err(Error::busy("too_many_uploads", message, "finish or cancel some; they expire a day after their last byte"));
    }
    uploads::insert(tx, &fresh)?;
    Ok((fresh, None))
}

/// The size of a blob the caller may name without sending it: sent before, or readable in a repo.
pub(super) fn entitlement(tx: &mut Tx<'_>, digest: &Digest, account: Option<&AccountId>, visible: &Visibility) -> Result<Option<u64>> {
    let Some(size) = blobs::find_size(tx, digest)? else { return Ok(None) };
    let sent = match account {
        Some(account) => blobs::has_grant(tx, digest, account)?,
        None => false,
    };
    Ok((sent || blobs::is_readable(tx, digest, visible)?).then_some(size))
}

/// Anybody with an account and a token that may write.
fn uploader(actor: &Actor) -> Result<AccountId> {
    access::scope(actor, Role::Write)?;
    access::known(actor).cloned()
}

fn wrong_offset(expected: u64, got: u64) -> Error {
    blob::Error::Offset { expected, got }.into()
}
