//! Asking for the features of a whole data set, as a job.

use super::super::{Result, Service};
use super::admit::{WEIGHTS, need, nothing_in};
use crate::domain::job::Job;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::domain::work::{EmbedDataset, Work};

impl Service {
    /// Puts it in the queue, once both are readable and the model is one we know.
    pub async fn create_embedding(
        &self,
        actor: &Actor,
        (model, model_revision): (RepoId, Revision),
        (dataset, dataset_revision): (RepoId, Revision),
    ) -> Result<Job> {
        let (version, manifest) = self.manifest(actor, RepoKind::Model, &model, &model_revision).await?;
        self.model_config(&model, &version, &manifest).await?;
        need(&manifest, WEIGHTS, &model, &version)?;
        let found = self.get_repo_at(actor, RepoKind::Dataset, &dataset, &dataset_revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(&dataset)) };
        let work = EmbedDataset { model, model_version: version.number, dataset, dataset_version: pinned.number };
        self.queue_work(actor, Work::Embed(work), Vec::new()).await
    }
}
