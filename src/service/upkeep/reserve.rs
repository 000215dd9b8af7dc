//! Storing bytes on this side of the wire, with the collector kept away from them; and telling senders that they
//! need not send something, which must stay true until they have named it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::error::OVERTAKEN;
use super::super::{Error, Result, Service, access};
use crate::blob::Proved;
use crate::catalog::blobs;
use crate::catalog::gc::IN_FLIGHT_MS;
use crate::catalog::reservations::{self, Keeper};
use crate::domain::digest::Digest;
use crate::domain::id::{AccountId, UploadId};
use crate::domain::user::Actor;

/// The collector removes a batch of blobs in less than this; then it is a writer's turn again.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// A grant older than this is renewed when its owner is told that the bytes are here.
const FRESH_MS: i64 = IN_FLIGHT_MS / 2;

impl Service {
    /// Stores a file of this machine and makes it usable; its digest and size. What of it lies here already is
    /// shared. It is safe from the collector until `holder` is released or has stored nothing for an hour.
    pub(in crate::service) async fn store_file(&self, path: &Path, holder: &UploadId) -> Result<(Digest, u64)> {
        let (proved, keeper) = self.prove_reserved(path, holder).await?;
        let stored = (*proved.digest(), proved.size_bytes());
        self.keep(proved, keeper, Arc::new(|_| Ok(()))).await?;
        Ok(stored)
    }

    /// The same for what will soon be gone again: nothing is made of its bytes, since that would keep all of it.
    pub(in crate::service) async fn store_passing_file(&self, path: &Path, holder: &UploadId) -> Result<(Digest, u64)> {
        let (proved, keeper) = self.prove_reserved(path, holder).await?;
        let stored = (*proved.digest(), proved.size_bytes());
        self.keep_whole(proved, Vec::new(), keeper, Arc::new(|_| Ok(()))).await?;
        Ok(stored)
    }

    async fn prove_reserved(&self, path: &Path, holder: &UploadId) -> Result<(Proved, Keeper)> {
        let proved = self.blobs.prove_file(path, holder).await?;
        self.reserve(*proved.digest(), holder).await?;
        Ok((proved, Keeper::Holder(holder.clone())))
    }

    /// Keeps the collector away from a digest, and waits where it is just removing those very bytes.
    pub(in crate::service) async fn reserve(&self, digest: Digest, holder: &UploadId) -> Result<()> {
        self.patiently(|| {
            let (holder, now) = (holder.clone(), self.now());
            let until = now.plus_ms(IN_FLIGHT_MS);
            self.db.write_beside(Vec::new(), move |tx| Ok::<_, Error>(reservations::reserve(tx, &digest, &holder, now, until)?))
        })
        .await
    }

    /// Ends what `holder` has reserved. Failing to is no harm: reservations run out.
    pub(in crate::service) async fn release(&self, holder: &UploadId) {
        let holder = holder.clone();
        if let Err(error) = self.db.write_beside(Vec::new(), move |tx| Ok::<_, Error>(reservations::release(tx, &holder)?)).await {
            tracing::warn!(%error, "reserved bytes were not released; they are in an hour");
        }
    }

    /// Tells the story again while the collector is removing the very bytes it is about.
    pub(in crate::service) async fn patiently<T, F: Future<Output = Result<T>>>(&self, story: impl Fn() -> F) -> Result<T> {
        let mut waited = Duration::ZERO;
        loop {
            match story().await {
                Err(Error::Busy(problem)) if problem.code == OVERTAKEN && waited < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    waited += PAUSE;
                }
                told => return told,
            }
        }
    }

    /// Of blobs and the sizes the caller may use them at: those that only an old grant keeps get a new one, and
    /// those the collector took just now are no longer the caller's to use.
    pub(in crate::service) async fn renew_grants(
        &self,
        actor: &Actor,
        asked: Vec<(Digest, Option<u64>)>,
    ) -> Result<Vec<(Digest, Option<u64>)>> {
        let account: AccountId = access::known(actor)?.clone();
        let (asker, now) = (actor.clone(), self.now());
        let (of, held) = (account.clone(), asked.iter().filter(|(_, size)| size.is_some()).map(|(digest, _)| *digest).collect::<Vec<_>>());
        let old = now.plus_ms(-FRESH_MS);
        let old: Vec<Digest> = self
            .db
            .read(move |tx| {
                let visible = access::visible_to(tx, &asker)?;
                let mut only = Vec::new();
                for digest in held {
                    let granted = blobs::find_granted(tx, &digest, &of)?;
                    if granted.is_some_and(|at| at <= old) && !blobs::is_readable(tx, &digest, &visible)? {
                        only.push(digest);
                    }
                }
                Ok::<_, Error>(only)
            })
            .await?;
        if old.is_empty() {
            return Ok(asked);
        }
        self.db
            .write(move |tx| {
                let mut answer = asked;
                for (digest, size) in &mut answer {
                    if old.contains(digest) && !blobs::renew(tx, digest, &account, now)? {
                        *size = None;
                    }
                }
                Ok(answer)
            })
            .await
    }
}
