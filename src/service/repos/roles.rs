//! What a caller may do with a repo, for those who offer it to them: each act asks again.

use super::super::{Result, Service, access};
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::user::{Actor, Role};

impl Service {
    /// The caller's role where the repo lies, their token's scope considered; the repo must be theirs to see.
    pub async fn role_on(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Option<Role>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                access::role_in(tx, &actor, repo.id.namespace())
            })
            .await
    }

    /// The caller's role in a namespace; none for strangers, and where nobody knows it.
    pub async fn role_in_namespace(&self, actor: &Actor, namespace: &Name) -> Result<Option<Role>> {
        let (actor, namespace) = (actor.clone(), namespace.clone());
        self.db.read(move |tx| access::role_in(tx, &actor, &namespace)).await
    }
}
