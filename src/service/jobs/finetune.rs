//! Asking for a fine-tune. What a worker does with the queue is in `leases.rs`, and what people do with any job in `queue.rs`.

use super::super::{Error, Result, Service, access};
use super::cost::Expected;
use crate::catalog::jobs;
use crate::domain::job::Job;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::recipe::{Asked, Recipe};
use crate::domain::revision::Revision;
use crate::domain::sweep::Sweep;
use crate::domain::user::Actor;
use crate::domain::work::{FineTune, Work};

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
    pub recipe: Asked,
    pub sweep: Option<Sweep>,
}

impl NewFineTune {
    /// What was asked for once, on the versions it was pinned to.
    pub(super) fn again(before: FineTune) -> NewFineTune {
        NewFineTune {
            base: before.base,
            base_revision: Revision::Number(before.base_version),
            dataset: before.dataset,
            dataset_revision: Revision::Number(before.dataset_version),
            name: before.name,
            private: before.private,
            recipe: Asked::whole(&before.recipe),
            sweep: before.sweep,
        }
    }
}

impl Service {
    /// Admits a fine-tune and puts it in the queue. Whatever is wrong with it is said now, not after hours.
    pub async fn create_finetune(&self, actor: &Actor, asked: NewFineTune) -> Result<Job> {
        let (task, _) = self.admit(actor, asked).await?;
        self.queue_work(actor, Work::FineTune(task), Vec::new()).await
    }

    /// What a fine-tune would cost; it is admitted and nothing is queued.
    pub async fn estimate_finetune(&self, actor: &Actor, asked: NewFineTune) -> Result<Expected> {
        access::known(actor)?;
        Ok(self.admit(actor, asked).await?.1)
    }

    /// Runs the recipe of a published fine-tune again, by who may read all that it names; the job says whether its weights are the same.
    pub async fn replay_finetune(&self, actor: &Actor, of: &RepoId, revision: &Revision, name: RepoId) -> Result<Job> {
        let found = self.get_repo_at(actor, RepoKind::Model, of, revision).await?;
        let nothing = || {
            let message = format!("'{of}' at {revision} is not what a fine-tune of this hub published");
            Error::not_found("no_recipe", message, "choose a version that a job published; its card shows the recipe")
        };
        let (id, version) = (found.repo.id.clone(), found.head.ok_or_else(nothing)?.number);
        let by = id.clone();
        let job = self.db.read(move |tx| Ok::<_, Error>(jobs::find_that_published(tx, &by, version)?)).await?;
        let before = job.and_then(|job| job.work.fine_tune().cloned()).ok_or_else(nothing)?;
        let task = before.recipe.task;
        let asked = NewFineTune { name, ..NewFineTune::again(before) };
        let (again, _) = self.admit(actor, asked).await?;
        // As it was admitted then.
        let again = FineTune { recipe: Recipe { task, ..again.recipe }, replays: Some((id, version)), ..again };
        self.queue_work(actor, Work::FineTune(again), Vec::new()).await
    }
}
