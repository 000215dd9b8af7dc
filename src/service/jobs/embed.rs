//! Asking for the features of a whole data set, as a job.

use std::sync::Arc;

use super::super::{Result, Service};
use super::admit::{WEIGHTS, need, nothing_in};
use super::kinds::Record;
use crate::catalog::measurements;
use crate::db::Tx;
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

    /// From now on neighbours are looked for among what this job has left.
    pub(super) async fn record_embedding(&self, job: &Job, work: &EmbedDataset) -> Result<Record> {
        let owner = self.job_owner(job).await?;
        let (pair, _) = self.pair(&owner, (&work.model, work.model_version), (&work.dataset, work.dataset_version)).await?;
        let id = job.id.clone();
        Ok(Arc::new(move |tx: &mut Tx<'_>| Ok(measurements::set_embedding(tx, &pair, &id)?)))
    }
}
