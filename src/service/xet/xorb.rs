//! Taking a xorb: unpacked while it arrives, proved by its hash, and stored as what its chunks are together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::super::people::quotas::room_to_send;
use super::super::storage::uploads::uploader;
use super::super::work::Whose;
use super::super::{Error, Result, Service};
use crate::blob::Proved;
use crate::catalog::reservations::Keeper;
use crate::catalog::{blobs, xorbs};
use crate::db::Tx;
use crate::domain::id::{AccountId, UploadId};
use crate::domain::ranges::Ranges;
use crate::domain::user::Actor;
use crate::domain::xet::XetHash;
use crate::domain::xet::xorb::{MOST_XORB_BYTES, XorbError, XorbReader};

/// Bytes of a xorb that are unpacked together.
const UNPACKED_AT_ONCE: usize = 256 << 10;

impl Service {
    /// Stores a xorb. False: it was here already.
    pub async fn store_xorb(&self, actor: &Actor, hash: XetHash, body: impl Stream<Item = Result<Bytes>> + Unpin) -> Result<bool> {
        let account = uploader(actor)?;
        if self.renew_xorb(&account, hash).await? {
            return Ok(false);
        }
        // Before anything is unpacked; what it is worth is asked once more where it is noted.
        let (owner, policy) = (account.clone(), self.policy.clone());
        self.db.read(move |tx| room_to_send(tx, &policy, &owner, 1)).await?;
        let holder = UploadId::new(self.now(), self.random()?);
        let stored = self.store_xorb_as(&account, hash, body, &holder).await;
        if stored.is_err() {
            self.blobs.discard(&holder).await?;
        }
        self.release(&holder).await;
        stored.map(|()| true)
    }

    /// Is the xorb here, with all its bytes? Then it is kept as if it had just come.
    async fn renew_xorb(&self, account: &AccountId, hash: XetHash) -> Result<bool> {
        let (account, now) = (account.clone(), self.now());
        let known = self.db.write(move |tx| {
            let Some(xorb) = xorbs::find(tx, &account, &hash)? else { return Ok(None) };
            for place in &xorb.places {
                blobs::renew(tx, &place.digest, &account, now)?;
            }
            Ok::<_, Error>(Some(xorb))
        });
        let Some(mut xorb) = known.await? else { return Ok(false) };
        let mut there = Vec::with_capacity(xorb.places.len());
        for place in xorb.places {
            // What the store has lost is taken again: that repairs it.
            if self.blobs.find_size(&place.digest).await?.is_some() {
                there.push(place);
            }
        }
        xorb.places = there;
        Ok(xorb.is_whole())
    }

    async fn store_xorb_as(
        &self,
        account: &AccountId,
        hash: XetHash,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
        holder: &UploadId,
    ) -> Result<()> {
        let (proved, lengths) = self.stage_xorb(account, hash, body, holder).await?;
        self.reserve(*proved.digest(), holder).await?;
        let (account, digest, now) = (account.clone(), *proved.digest(), self.now());
        let (policy, size_bytes) = (self.policy.clone(), proved.size_bytes());
        let noted = move |tx: &mut Tx<'_>| {
            if !blobs::has_grant(tx, &digest, &account)? {
                room_to_send(tx, &policy, &account, size_bytes)?;
            }
            blobs::grant(tx, &digest, &account, now)?;
            Ok(xorbs::insert(tx, &account, &hash, &lengths, &digest, now)?)
        };
        self.keep(proved, Keeper::Holder(holder.clone()), Arc::new(noted)).await
    }

    /// In the sender's turn: a few bytes may be a lot of work.
    async fn unpack(&self, account: &AccountId, mut reader: XorbReader, bytes: Bytes) -> Result<(XorbReader, Vec<Bytes>)> {
        let turn = self.work.next_turn(&Whose::Account(account.clone())).await?;
        let unpacked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let chunks = reader.push(&bytes);
            (reader, chunks)
        });
        let (reader, chunks) = unpacked.await.map_err(|e| Error::Internal(format!("a xorb was not unpacked: {e}")))?;
        Ok((reader, chunks.map_err(bad_xorb)?))
    }

    async fn stage_xorb(
        &self,
        account: &AccountId,
        hash: XetHash,
        mut body: impl Stream<Item = Result<Bytes>> + Unpin,
        holder: &UploadId,
    ) -> Result<(Proved, Vec<u32>)> {
        let mut part = self.blobs.part(holder, MOST_XORB_BYTES, &Ranges::default()).await?;
        let (mut reader, mut arrived) = (XorbReader::default(), BytesMut::new());
        loop {
            let bytes = body.next().await.transpose()?;
            let ended = bytes.is_none();
            arrived.extend_from_slice(&bytes.unwrap_or_default());
            if arrived.len() >= UNPACKED_AT_ONCE || ended {
                let chunks;
                (reader, chunks) = self.unpack(account, reader, std::mem::take(&mut arrived).freeze()).await?;
                for chunk in chunks {
                    part.write(chunk).await?;
                }
            }
            if ended {
                break;
            }
        }
        let (got, lengths) = reader.finish().map_err(bad_xorb)?;
        if got != hash {
            let message = format!("the xorb's chunks hash to {got}, not to {hash}");
            return Err(Error::invalid("digest_mismatch", message, "send it again"));
        }
        part.settle().await?;
        let size_bytes = part.offset();
        drop(part);
        Ok((self.blobs.prove(holder, size_bytes, None).await?, lengths))
    }
}

fn bad_xorb(error: XorbError) -> Error {
    match error {
        XorbError::Swollen(..) => Error::too_large("swollen", error.to_string(), "set HF_HUB_DISABLE_XET=1 and send the file whole"),
        XorbError::TooLarge => Error::too_large("xorb_too_large", error.to_string(), "send smaller xorbs"),
        _ => Error::invalid("bad_xorb", error.to_string(), "this client and this server do not understand each other; update the client"),
    }
}
