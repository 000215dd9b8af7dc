//! Large files as git-lfs knows them: objects of a repo, named by their sha256. Sent ones are uploads like all others;
//! fetched ones are files of the repo's versions.

use std::ops::Range;

use bytes::Bytes;
use futures_util::Stream;

use super::super::repos::fetch::OpenFile;
use super::super::{Error, Result, Service, access};
use crate::catalog::versions;
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::upload::Upload;
use crate::domain::user::Actor;

impl Service {
    /// Which of these objects must the caller send?
    pub async fn lacking_objects(&self, actor: &Actor, kind: RepoKind, id: &RepoId, asked: Vec<Digest>) -> Result<Vec<Digest>> {
        self.may_propose(actor, kind, id).await?;
        self.missing_blobs(actor, asked).await
    }

    /// The sizes of those of these objects that a version of the repo has.
    pub async fn held_objects(&self, actor: &Actor, kind: RepoKind, id: &RepoId, asked: Vec<Digest>) -> Result<Vec<(Digest, u64)>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let mut held = Vec::new();
                for digest in asked {
                    held.extend(versions::find_holder(tx, &repo.key, &digest)?.map(|(_, file)| (digest, file.size_bytes)));
                }
                Ok(held)
            })
            .await
    }

    pub async fn open_object(&self, actor: &Actor, kind: RepoKind, id: &RepoId, digest: Digest) -> Result<OpenFile> {
        let (asker, name) = (actor.clone(), id.clone());
        let (repo, version, entry) = self
            .db
            .read(move |tx| {
                let repo = access::see_repo(tx, &asker, kind, &name)?;
                let held = versions::find_holder(tx, &repo.key, &digest)?.ok_or_else(|| no_object(&name, &digest))?;
                let version = versions::find(tx, &repo.key, held.0)?.ok_or_else(|| no_object(&name, &digest))?;
                Ok::<_, Error>((repo.key, version, held.1))
            })
            .await?;
        self.open_entry(repo, version, entry).await
    }

    /// Takes a part of an object, as [`Service::put_part`]; the last one that comes proves it.
    pub async fn store_object_part(
        &self,
        actor: &Actor,
        digest: Digest,
        (run, size_bytes): (Range<u64>, u64),
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Upload> {
        let upload = self.create_upload(actor, digest, size_bytes).await?;
        if upload.complete {
            return Ok(upload);
        }
        self.put_part(actor, &upload.id, (run, size_bytes), body).await
    }

    /// An object the caller says it has sent: it is here, all of it.
    pub async fn verify_object(&self, actor: &Actor, digest: Digest, size_bytes: u64) -> Result<()> {
        self.may_upload(actor)?;
        // Bytes that are here under another size are refused by that.
        let is_here = self.missing_blobs(actor, vec![digest]).await?.is_empty();
        if is_here && self.create_upload(actor, digest, size_bytes).await?.complete { Ok(()) } else { Err(not_sent(&digest)) }
    }
}

fn no_object(id: &RepoId, digest: &Digest) -> Error {
    Error::not_found("file_not_found", format!("no version of '{id}' has a file with sha256 {digest}"), "check the pointer file")
}

fn not_sent(digest: &Digest) -> Error {
    Error::not_found("blob_unknown", format!("the bytes with sha256 {digest} have not all arrived"), "send them again")
}
