//! Which job made a version of a model.

use super::super::{Error, Result, Service, access};
use crate::catalog::jobs;
use crate::domain::id::JobId;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;

impl Service {
    /// The job that published a version; none where no job did, or the caller may not look at it.
    pub async fn job_that_made(&self, actor: &Actor, model: &RepoId, number: u32) -> Result<Option<JobId>> {
        let (asker, model) = (actor.clone(), model.clone());
        let found = self
            .db
            .read(move |tx| {
                let repo = access::see_repo(tx, &asker, RepoKind::Model, &model)?;
                Ok::<_, Error>(jobs::find_that_published(tx, &repo.id, number)?.map(|job| job.id))
            })
            .await?;
        match found {
            Some(job) if self.job_files(actor, &job).await.is_ok() => Ok(Some(job)),
            _ => Ok(None),
        }
    }
}
