//! Passes: what a client shows where it cannot show its token, such as in a signed link. Bound to the token it was made
//! with, to one repo and one purpose; what its holder may do is asked anew each time.

use super::super::{Error, Result, Service, access};
use crate::catalog::{passes, repos};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::secret;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

/// A client that sends for longer asks for another.
const LASTS_MS: i64 = 3_600_000;
/// Links are followed one after the other, and the last of a large push after hours.
const LINK_LASTS_MS: i64 = 24 * 3_600_000;

/// What a pass is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    LfsUpload,
    LfsDownload,
    Xet,
}
crate::domain::user::words!(Purpose, LfsUpload = "lfs-upload", LfsDownload = "lfs-download", Xet = "xet");

/// A new pass; its secret is in no other answer.
#[derive(Clone)]
pub struct Pass {
    pub secret: String,
    pub expires: Timestamp,
}

impl Service {
    /// A pass for a repo: to send what a commit or a pull request will name, or to read it where the purpose is a download.
    pub async fn create_pass(&self, actor: &Actor, kind: RepoKind, id: &RepoId, purpose: Purpose) -> Result<Pass> {
        let (asker, name, secret) = (actor.clone(), id.clone(), hex::encode(self.random::<32>()?));
        let lasts_ms = if purpose == Purpose::Xet { LASTS_MS } else { LINK_LASTS_MS };
        let (hash, expires) = (secret::hash(&secret), self.now().plus_ms(lasts_ms));
        self.db
            .write(move |tx| {
                let repo = reach(tx, &asker, kind, &name, purpose)?;
                access::known(&asker)?;
                let Actor::User { token, .. } = &asker else { return Err(Error::Internal("a pass stands on a token".into())) };
                Ok(passes::insert(tx, &hash, token, &repo.key, purpose.as_str(), expires)?)
            })
            .await?;
        Ok(Pass { secret, expires })
    }

    /// Who shows this pass, for a purpose; they may still do in its repo what it is for.
    pub async fn redeem_pass(&self, secret: &str, purpose: Purpose) -> Result<(Actor, Repo)> {
        let (hash, now, service) = (secret::hash(secret), self.now(), self.clone());
        self.db
            .read(move |tx| {
                let found = passes::find(tx, &hash)?.filter(|pass| pass.expires > now && pass.purpose == purpose.as_str());
                let found = found.ok_or_else(bad_pass)?;
                let actor = service.actor_of(&found.token, &found.owner)?;
                let repo = repos::find_by_key(tx, &found.repo)?.ok_or_else(bad_pass)?;
                let repo = reach(tx, &actor, repo.kind, &repo.id, purpose)?;
                Ok((actor, repo))
            })
            .await
    }

    /// As [`Service::redeem_pass`], at the address of a repo: it must be that of the pass.
    pub async fn redeem_pass_at(&self, secret: &str, purpose: Purpose, kind: RepoKind, id: &RepoId) -> Result<Actor> {
        let (actor, repo) = self.redeem_pass(secret, purpose).await?;
        if repo.kind == kind && repo.id.folded() == id.folded() { Ok(actor) } else { Err(bad_pass()) }
    }
}

fn reach(tx: &mut crate::db::Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId, purpose: Purpose) -> Result<Repo> {
    match purpose {
        Purpose::LfsDownload => access::see_repo(tx, actor, kind, id),
        Purpose::LfsUpload | Purpose::Xet => access::propose_to_repo(tx, actor, kind, id),
    }
}

fn bad_pass() -> Error {
    Error::unauthorized("bad_pass", "this link or upload token has expired, or is not for this", "begin the upload or download again")
}
