//! From a trained folder to a version: published with the rights its owner has now, and in the same
//! transaction that ends the job. A worker killed at any moment leaves either no version and a job to take up
//! again, or one version and a job that is done; one that lost its lease publishes nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::super::repos::publish_folder::FolderCommit;
use super::super::{Result, Service};
use super::leases::hold;
use super::state::{note_end, state_event};
use crate::catalog::jobs::{self, Ending};
use crate::db::Tx;
use crate::domain::card::Card;
use crate::domain::id::JobId;
use crate::domain::job::{FineTune, Job, JobState, Lease};
use crate::domain::job_event::Event;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::train::Lineage;

/// A card says under which licence it is in its first lines.
const MAX_CARD_BYTES: u64 = 512 << 10;

impl Service {
    /// What the result's card says about where it comes from.
    pub async fn lineage(&self, owner: &Actor, task: &FineTune) -> Result<Lineage> {
        let revision = Revision::Number(task.base_version);
        let (_, manifest) = self.manifest(owner, RepoKind::Model, &task.base, &revision).await?;
        let card = match manifest.find("README.md") {
            Some(entry) => self.blobs.read_range(&entry.digest, 0..MAX_CARD_BYTES).await?,
            None => bytes::Bytes::new(),
        };
        let (card, _) = Card::read(&String::from_utf8_lossy(&card));
        Ok(Lineage {
            name: task.name.to_string(),
            base: at(&task.base, task.base_version),
            dataset: at(&task.dataset, task.dataset_version),
            license: card.license,
            license_name: card.license_name,
            license_link: card.license_link,
        })
    }

    /// Publishes the folder under the job's name and ends the job, both or neither.
    pub async fn publish_result(&self, lease: &Lease, job: &Job, folder: &Path, metrics: Value) -> Result<Version> {
        let owner = self.job_owner(job).await?;
        let task = &job.fine_tune;
        let base = at(&task.base, task.base_version);
        let commit = FolderCommit {
            message: format!("Fine-tune of {base} on {}", at(&task.dataset, task.dataset_version)),
            private: task.private,
            bases: vec![(task.base.clone(), task.base_version)],
            ..FolderCommit::default()
        };
        let (lease, name, now) = (lease.clone(), task.name.clone(), self.now());
        let also = move |tx: &mut Tx<'_>, version: &Version| {
            hold(tx, &lease)?;
            succeed(tx, &lease.job, now, Event::Result { name: name.to_string(), version: version.number, metrics: metrics.clone() })
        };
        Ok(self.publish_folder_and(&owner, RepoKind::Model, &task.name, folder, commit, Some(Arc::new(also))).await?.version)
    }
}

fn succeed(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, result: Event) -> Result<()> {
    let Event::Result { version, .. } = result else { return Ok(()) };
    jobs::append_event(tx, job, now, &result)?;
    jobs::finish(tx, job, &Ending { state: JobState::Succeeded, error: None, result_version: Some(version) }, now)?;
    note_end(tx, job, now, JobState::Succeeded)?;
    state_event(tx, job, now, JobState::Succeeded, None)
}

fn at(id: &RepoId, version: u32) -> String {
    format!("{id}@{version}")
}
