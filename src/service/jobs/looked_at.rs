//! Which models have looked at a data set, and at which data sets a model has looked: where neighbours can be found at once.

use super::super::{Error, Result, Service, access};
use super::neighbors::{Neighbor, some_of};
use crate::catalog::measurements;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::work::Whose;

/// Models, or data sets, that a page offers.
const MOST_OFFERED: usize = 100;

/// Models or data sets with their versions, and a few items to begin with.
pub type LookedAt = (Vec<(RepoId, u32)>, Vec<Neighbor>);

impl Service {
    /// The models whose features of this version of a data set lie here, and a few of its items to begin with, by the first of them or
    /// the one that is named.
    pub async fn looked_at(
        &self,
        actor: &Actor,
        (dataset, revision): (&RepoId, &Revision),
        by: Option<(&RepoId, &Revision)>,
        count: usize,
    ) -> Result<LookedAt> {
        let found = self.get_repo_at(actor, RepoKind::Dataset, dataset, revision).await?;
        let Some(pinned) = found.head else { return Ok(LookedAt::default()) };
        let (key, number, who) = (found.repo.key.clone(), pinned.number, actor.clone());
        let models = self.db.read(move |tx| {
            let visible = access::visible_to(tx, &who)?;
            Ok::<_, Error>(measurements::that_looked_at(tx, (&key, number), &visible, MOST_OFFERED)?)
        });
        let models = models.await?;
        let some = match self.named_or_first(actor, RepoKind::Model, by, &models).await? {
            Some((model, version)) => self.items_of(actor, (&model, version), (dataset, number), count).await?,
            None => Vec::new(),
        };
        Ok((models, some))
    }

    /// The data sets whose features by this version of a model lie here, and a few items to begin with, of the first of them or the one
    /// that is named.
    pub async fn has_looked_at(
        &self,
        actor: &Actor,
        (model, revision): (&RepoId, &Revision),
        among: Option<(&RepoId, &Revision)>,
        count: usize,
    ) -> Result<LookedAt> {
        let found = self.get_repo_at(actor, RepoKind::Model, model, revision).await?;
        let Some(pinned) = found.head else { return Ok(LookedAt::default()) };
        let (key, number, who) = (found.repo.key.clone(), pinned.number, actor.clone());
        let datasets = self.db.read(move |tx| {
            let visible = access::visible_to(tx, &who)?;
            Ok::<_, Error>(measurements::looked_at_by(tx, (&key, number), &visible, MOST_OFFERED)?)
        });
        let datasets = datasets.await?;
        let some = match self.named_or_first(actor, RepoKind::Dataset, among, &datasets).await? {
            Some((dataset, version)) => self.items_of(actor, (model, number), (&dataset, version), count).await?,
            None => Vec::new(),
        };
        Ok((datasets, some))
    }

    /// The version that is named, or the first of those there are.
    async fn named_or_first(
        &self,
        actor: &Actor,
        kind: RepoKind,
        named: Option<(&RepoId, &Revision)>,
        all: &[(RepoId, u32)],
    ) -> Result<Option<(RepoId, u32)>> {
        let Some((id, revision)) = named else { return Ok(all.first().cloned()) };
        let version = self.get_repo_at(actor, kind, id, revision).await?.head;
        Ok(version.map(|version| (id.clone(), version.number)))
    }

    /// Items that stand evenly apart in a data set, where the model has looked at it.
    async fn items_of(&self, actor: &Actor, model: (&RepoId, u32), dataset: (&RepoId, u32), count: usize) -> Result<Vec<Neighbor>> {
        let (pair, _) = self.pair(actor, model, dataset).await?;
        let Some(looked) = self.embedding_of(&pair).await? else { return Ok(Vec::new()) };
        let some = self.work().run(&Whose::of(actor), move || some_of(&looked, count)).await?;
        some.map_err(|why| Error::Internal(format!("the items of a data set cannot be read: {why}")))
    }
}
