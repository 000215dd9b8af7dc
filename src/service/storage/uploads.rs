//! Announcing bytes by digest: what need not be sent, and sessions in which the rest is (`parts.rs`).
//!
//! Whoever may read a blob already, or has sent it before, need not send it again. For all others it does not
//! exist, whatever the store holds: knowing a digest never yields bytes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;

use super::super::people::quotas::{one_more, room_to_send};
use super::super::upkeep::expire::delete_expired;
use super::super::work::Whose;
use super::super::{Error, Policy, Result, Service, access};
use crate::catalog::reservations;
use crate::catalog::{Visibility, blobs, uploads};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::{AccountId, UploadId};
use crate::domain::ranges::Ranges;
use crate::domain::upload::{KEPT_MS, Upload};
use crate::domain::user::{Actor, Role};

/// Digests asked about in one request.
const MOST_ASKED: usize = 10_000;
/// Expired uploads cleared away by one announcement.
const SWEPT_WITH_OTHERS: usize = 20;
/// Existence checks in flight.
const CHECKS: usize = 16;

/// What an announcement found.
enum Told {
    /// The caller need not send it, if the store still has it.
    Held,
    Open(Upload),
}

impl Service {
    /// May the caller send bytes at all? Asked before anything else of a request is looked at.
    pub fn may_upload(&self, actor: &Actor) -> Result<()> {
        uploader(actor).map(drop)
    }

    /// Which of these blobs must the caller send before naming them in a commit?
    pub async fn missing_blobs(&self, actor: &Actor, digests: Vec<Digest>) -> Result<Vec<Digest>> {
        let account = uploader(actor)?;
        if digests.len() > MOST_ASKED {
            let message = format!("{} digests were asked about, at most {MOST_ASKED} at a time", digests.len());
            return Err(Error::too_large("too_many_digests", message, "ask in several requests"));
        }
        let asker = actor.clone();
        let turn = self.work.turn(&Whose::of(actor)).await?;
        let asked = self
            .db
            .read(move |tx| {
                let visible = access::visible_to(tx, &asker)?;
                let (mut known, mut asked) = (HashMap::new(), Vec::with_capacity(digests.len()));
                for digest in digests {
                    // Each is looked for once, however often it is asked about.
                    let size = match known.entry(digest) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(unknown) => *unknown.insert(entitlement(tx, &digest, Some(&account), &visible)?),
                    };
                    asked.push((digest, size));
                }
                Ok::<_, Error>(asked)
            })
            .await?;
        let asked = self.renew_grants(actor, asked).await?;
        drop(turn);
        // A blob the store has lost is asked for again: that repairs it.
        let held: Vec<(Digest, u64)> = asked.iter().filter_map(|(digest, size)| Some((*digest, (*size)?))).collect();
        let held = futures_util::stream::iter(held).map(|(digest, size)| async move {
            let is_there = self.blobs.find_size(&digest).await? == Some(size);
            Ok::<_, Error>((digest, is_there))
        });
        let there: Vec<Result<(Digest, bool)>> = held.buffered(CHECKS).collect().await;
        let there: HashSet<Digest> =
            there.into_iter().filter_map(|found| found.map(|(digest, is)| is.then_some(digest)).transpose()).collect::<Result<_>>()?;
        Ok(asked.into_iter().map(|(digest, _)| digest).filter(|digest| !there.contains(digest)).collect())
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
        let now = self.now();
        let fresh = Upload {
            id: UploadId::new(now, self.random()?),
            account,
            digest,
            size_bytes,
            received: Ranges::default(),
            complete: false,
            created: now,
            expires: now.plus_ms(KEPT_MS),
        };
        let upload = self.announce(actor, fresh).await?;
        // Nothing is complete at once; and a server that was stopped before it had finished does so now.
        if upload.complete || !upload.is_whole() { Ok(upload) } else { self.finish_upload(upload).await }
    }

    pub async fn get_upload(&self, actor: &Actor, id: &UploadId) -> Result<Upload> {
        let account = uploader(actor)?;
        self.find_upload(&account, id).await
    }

    /// Forgets an upload and what was sent of it.
    pub async fn cancel_upload(&self, actor: &Actor, id: &UploadId) -> Result<()> {
        let account = uploader(actor)?;
        let upload = self.find_upload(&account, id).await?;
        self.forget_upload(&upload.id).await
    }

    pub(in crate::service) async fn find_upload(&self, account: &AccountId, id: &UploadId) -> Result<Upload> {
        let (account, wanted) = (account.clone(), id.clone());
        let found = self.db.read(move |tx| Ok::<_, Error>(uploads::find(tx, &account, &wanted)?)).await?;
        let now = self.now();
        found.filter(|upload| upload.expires > now).ok_or_else(|| no_upload(id))
    }

    /// Row first, file second: whoever is still sending finds no upload, and announces anew.
    pub(super) async fn forget_upload(&self, id: &UploadId) -> Result<()> {
        let gone = id.clone();
        self.db.write(move |tx| Ok::<_, Error>(uploads::delete(tx, &gone)?)).await?;
        Ok(self.blobs.discard(id).await?)
    }

    /// Some of what was recorded is nowhere: it was at a machine that has not come to putting it into the store.
    async fn go_on_with(&self, upload: Upload, there: Ranges) -> Result<Upload> {
        let (lost, id, account) = (upload.received.without(&there), upload.id.clone(), upload.account.clone());
        let names = vec![format!("upload {id}")];
        let story = move |tx: &mut Tx<'_>| {
            let upload = uploads::find(tx, &account, &id)?.ok_or_else(|| no_upload(&id))?;
            let received = if upload.complete { upload.received.clone() } else { upload.received.without(&lost) };
            if !upload.complete {
                uploads::set_received(tx, &id, &received, upload.expires)?;
            }
            Ok::<_, Error>(Upload { received, ..upload })
        };
        self.db.write_beside(names, story).await
    }

    /// The account's upload of these bytes: complete where it need not send them, else the one that is open, or `fresh`.
    async fn announce(&self, actor: &Actor, fresh: Upload) -> Result<Upload> {
        let mut lost = false;
        loop {
            let announced = || {
                let (asker, wanted, policy) = (actor.clone(), fresh.clone(), self.policy.clone());
                let names = vec![format!("sender {}", wanted.account)];
                self.db.write_beside(names, move |tx| announce(tx, &policy, &asker, wanted, lost))
            };
            let (told, gone) = self.patiently(announced).await?;
            for id in &gone {
                self.blobs.discard(id).await?;
            }
            match told {
                Told::Open(upload) => {
                    let there = self.blobs.staged_of(&upload.id, &upload.received).await?;
                    if there == upload.received {
                        return Ok(upload);
                    }
                    if !there.is_empty() {
                        return self.go_on_with(upload, there).await;
                    }
                    // The staging folder was emptied, or the catalog is older than it: what is recorded is not there.
                    self.forget_upload(&upload.id).await?;
                }
                Told::Held if self.blobs.find_size(&fresh.digest).await? == Some(fresh.size_bytes) => {
                    return Ok(Upload { complete: true, received: Ranges::from(0..fresh.size_bytes), ..fresh });
                }
                Told::Held => {
                    // The store has lost the blob; sending it again repairs that.
                    let (digest, owner) = (fresh.digest, fresh.account.clone());
                    self.db.write(move |tx| Ok::<_, Error>(blobs::revoke(tx, &digest, &owner)?)).await?;
                    lost = true;
                }
            }
        }
    }
}

/// Continues the account's upload of this digest, or begins one; an old one of another size is replaced. Also the ids
/// of uploads that are no more: that one, and some whose time is over.
fn announce(tx: &mut Tx<'_>, policy: &Policy, actor: &Actor, fresh: Upload, lost: bool) -> Result<(Told, Vec<UploadId>)> {
    let visible = access::visible_to(tx, actor)?;
    let held = if lost { None } else { entitlement(tx, &fresh.digest, Some(&fresh.account), &visible)? };
    match held {
        Some(size) if size == fresh.size_bytes => {
            // Told that it need not send them, the caller relies on these bytes until it has named them.
            blobs::renew(tx, &fresh.digest, &fresh.account, fresh.created)?;
            return Ok((Told::Held, Vec::new()));
        }
        Some(size) => {
            let message = format!("the bytes with sha256 {} are {size}, not {}", fresh.digest, fresh.size_bytes);
            return Err(Error::invalid("size_mismatch", message, "announce the file's true size"));
        }
        None => {}
    }
    reservations::claim(tx, &fresh.digest)?;
    let (mut gone, _) = delete_expired(tx, fresh.created, SWEPT_WITH_OTHERS)?;
    if let Some(old) = uploads::find_of_digest(tx, &fresh.account, &fresh.digest)? {
        if old.size_bytes == fresh.size_bytes && !old.complete {
            uploads::set_received(tx, &old.id, &old.received, fresh.expires)?;
            return Ok((Told::Open(Upload { expires: fresh.expires, ..old }), gone));
        }
        uploads::delete(tx, &old.id)?;
        gone.push(old.id);
    }
    let (open, hint) = (uploads::count_open(tx, &fresh.account)?, "finish or cancel some; they expire a day after their last byte");
    one_more("too_many_uploads", "your unfinished uploads", open, policy.quotas.uploads, hint)?;
    room_to_send(tx, policy, &fresh.account, fresh.size_bytes)?;
    uploads::insert(tx, &fresh)?;
    Ok((Told::Open(fresh), gone))
}

/// The size of a blob the caller may name without sending it: sent before, or readable in a repo.
pub(in crate::service) fn entitlement(
    tx: &mut Tx<'_>,
    digest: &Digest,
    account: Option<&AccountId>,
    visible: &Visibility,
) -> Result<Option<u64>> {
    Ok(blobs::find_usable_size(tx, digest, account, visible)?)
}

/// Anybody with an account and a token that may write.
pub(in crate::service) fn uploader(actor: &Actor) -> Result<AccountId> {
    access::scope(actor, Role::Write)?;
    access::known(actor).cloned()
}

pub(super) fn no_upload(id: &UploadId) -> Error {
    Error::not_found("upload_not_found", format!("there is no upload '{id}'"), "announce the file again")
}
