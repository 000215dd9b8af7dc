//! Files that come by Xet: xorbs first, each proved by its hash and stored as a blob of its own raw bytes; then shards,
//! which say what files are made of. A file is put together from where its chunks lie, and goes the way of every
//! upload: only its sha256 makes it a blob somebody may name.
//!
//! A xorb belongs to the account that sent it. Its blob is named by no version and so the collector's in time; the
//! chunks may then still lie in the files that were made of it (`catalog::xorbs`).

mod shard;
mod xorb;

pub use shard::{Assembly, room};

use super::people::passes::{Pass, Purpose};
use super::storage::uploads::uploader;
use super::{Error, Result, Service};
use crate::catalog::xorbs;
use crate::domain::id::AccountId;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;

/// What a client needs to send files by Xet.
#[derive(Clone)]
pub struct XetAccess {
    pub pass: Pass,
    pub account: AccountId,
    /// Clients forget what they have sent when this changes.
    pub epoch: u64,
}

impl Service {
    /// Lets the caller send files that they then commit, or ask in a pull request to take. Where Xet is off, only clients with no
    /// other way come in.
    pub async fn open_xet(&self, actor: &Actor, kind: RepoKind, id: &RepoId, no_other_way: bool) -> Result<XetAccess> {
        self.may_propose(actor, kind, id).await?;
        if !self.policy.xet && !no_other_way {
            let hint = "set HF_HUB_DISABLE_XET=1 and send again: the file then goes by LFS";
            return Err(Error::invalid("xet_off", "this hub takes no files by Xet", hint));
        }
        let pass = self.create_pass(actor, kind, id, Purpose::Xet).await?;
        let (account, epoch) = (uploader(actor)?, self.db.read(xorbs::epoch).await?);
        Ok(XetAccess { pass, account, epoch })
    }
}
