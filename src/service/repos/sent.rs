//! A version made of files that somebody has just sent from a page: in the place of what is there, or beside it; in a repo of
//! before, or in a new one, which goes again if nothing could be published into it.

use super::super::{Error, Result, Service, access};
use super::check_dataset::is_paper;
use super::publish::{Commit, Committed};
use crate::catalog::repos;
use crate::domain::manifest::ManifestEntry;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::people::journal::note_act;

/// What becomes of the files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// All but the papers (card, licence) make room.
    #[default]
    Instead,
    /// They stay, but for those of the same paths.
    Beside,
}
crate::domain::user::words!(Place, Instead = "instead", Beside = "beside");

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    pub message: String,
    pub place: Place,
    pub files: Vec<ManifestEntry>,
    /// Into a repo that is made for it: private or public, and its summary.
    pub new: Option<(bool, String)>,
}

/// What a name stands for, as who wants to publish under it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Free,
    /// A repo the caller may publish into.
    Taken,
    /// Of a repo that was deleted: its name is not given again.
    Gone,
}

impl Service {
    /// What a name stands for; refused where the caller may not publish in its namespace.
    pub async fn look_at_name(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Standing> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                access::write_namespace(tx, &actor, id.namespace())?;
                match access::see_repo(tx, &actor, kind, &id) {
                    Ok(_) => Ok(Standing::Taken),
                    Err(Error::NotFound(_)) if repos::is_buried(tx, kind, &id)? => Ok(Standing::Gone),
                    Err(Error::NotFound(_)) => Ok(Standing::Free),
                    Err(other) => Err(other),
                }
            })
            .await
    }

    /// Makes the version, and before it the repo where a new one is wanted. A new one stays only with a version in it.
    pub async fn publish_sent(&self, actor: &Actor, kind: RepoKind, id: &RepoId, sent: Sent) -> Result<Committed> {
        match &sent.new {
            Some((private, summary)) => {
                self.create_repo(actor, kind, id, *private, summary.clone()).await?;
                let done = self.commit_sent(actor, kind, id, sent).await;
                if done.is_err() {
                    self.forget_unpublished(actor, kind, id).await?;
                }
                done
            }
            None => self.commit_sent(actor, kind, id, sent).await,
        }
    }

    async fn commit_sent(&self, actor: &Actor, kind: RepoKind, id: &RepoId, sent: Sent) -> Result<Committed> {
        self.may_commit(actor, kind, id).await?;
        let head = self.get_repo(actor, kind, id).await?.head;
        let (parent, mut files) = match &head {
            Some(head) => {
                let (version, manifest) = self.manifest(actor, kind, id, &Revision::Number(head.number)).await?;
                (Some(version.number), manifest.entries().to_vec())
            }
            None => (None, Vec::new()),
        };
        let again: std::collections::HashSet<&str> = sent.files.iter().map(|file| file.path.as_str()).collect();
        files.retain(|file| (sent.place == Place::Beside || is_paper(&file.path)) && !again.contains(file.path.as_str()));
        files.extend(sent.files.iter().cloned());
        self.commit(actor, kind, id, Commit { message: sent.message, parent, files, ..Commit::default() }).await
    }

    /// Takes a repo away in which nothing was ever published, and leaves its name free; another stays.
    pub async fn forget_unpublished(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<()> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                // Who may make a repo may take it back as long as nothing is in it.
                let repo = access::write_repo(tx, &actor, kind, &id)?;
                repos::erase_empty(tx, &repo.key)?;
                note_act(tx, now, note, &actor, "forget_repo", &format!("{kind} {id}"), "nothing was published in it")
            })
            .await
    }
}
