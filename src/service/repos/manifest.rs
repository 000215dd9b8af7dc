//! A list of files that came as a file itself: a version of many thousand has one that fits into no JSON body, and not
//! through every proxy either, while a file may come in parts.

use super::super::storage::uploads;
use super::super::work::Whose;
use super::super::{Error, Result, Service, access};
use crate::domain::digest::Digest;
use crate::domain::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;

impl Service {
    /// The files that an uploaded list names, for a commit to this repo.
    pub async fn uploaded_manifest(&self, actor: &Actor, kind: RepoKind, id: &RepoId, digest: Digest) -> Result<Vec<ManifestEntry>> {
        let (asker, name) = (actor.clone(), id.clone());
        let size = self
            .db
            .read(move |tx| {
                access::write_repo(tx, &asker, kind, &name)?;
                let visible = access::visible_to(tx, &asker)?;
                uploads::entitlement(tx, &digest, asker.account(), &visible)
            })
            .await?;
        let refused = |message: String, hint: &str| Error::invalid("bad_manifest", message, hint);
        match size {
            Some(size) if size > MAX_MANIFEST_BYTES => {
                let message = format!("the list of files has {size} bytes, more than {MAX_MANIFEST_BYTES}");
                return Err(Error::too_large("bad_manifest", message, "pack small files into an archive"));
            }
            Some(_) => {}
            None => return Err(refused(format!("the list of files (sha256 {digest}) was not sent"), "upload it first, then commit")),
        }
        let bytes = self.blobs.read_all(&digest, MAX_MANIFEST_BYTES).await?;
        let read = self.work.run(&Whose::of(actor), move || Manifest::parse(std::str::from_utf8(&bytes).ok()?)).await?;
        let hint = "write a line 'sha256 SP size SP path LF' for each file; paths differ in more than case";
        read.map(|manifest| manifest.entries().to_vec()).ok_or_else(|| refused("the uploaded list of files cannot be read".into(), hint))
    }
}
