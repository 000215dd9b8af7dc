//! Asking for a fine-tune. What a worker does with the queue is in `leases.rs`, and what people do with any job in `queue.rs`.

use super::super::{Result, Service};
use crate::domain::job::Job;
use crate::domain::name::RepoId;
use crate::domain::recipe::Recipe;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::domain::work::Work;

/// A fine-tune as it is asked for; admission pins its revisions to version numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFineTune {
    pub base: RepoId,
    pub base_revision: Revision,
    pub dataset: RepoId,
    pub dataset_revision: Revision,
    /// Where the result is published.
    pub name: RepoId,
    pub private: bool,
    pub recipe: Recipe,
}

impl Service {
    /// Admits a fine-tune and puts it in the queue. Whatever is wrong with it is said now, not after hours.
    pub async fn create_finetune(&self, actor: &Actor, asked: NewFineTune) -> Result<Job> {
        let task = self.admit(actor, asked).await?;
        self.queue_work(actor, Work::FineTune(task), Vec::new()).await
    }
}
