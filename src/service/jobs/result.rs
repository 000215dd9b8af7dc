//! From what a job leaves to its end: a trained folder becomes a version, published with the rights its owner has now, and in the same
//! transaction that ends the job. A worker killed at any moment leaves either no version and a job to take up
//! again, or one version and a job that is done; one that lost its lease publishes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::super::repos::publish_folder::FolderCommit;
use super::super::{Error, Result, Service};
use super::kinds::Record;
use super::leases::hold;
use super::state::{note_end, state_event};
use super::sweeps;
use crate::catalog::job_files::{self, Way};
use crate::catalog::jobs::{self, Ending};
use crate::db::Tx;
use crate::domain::card::Card;
use crate::domain::id::UploadId;
use crate::domain::job::{Job, JobFile, JobState, Lease};
use crate::domain::job_event::Event;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::domain::work::{FineTune, Work};
use crate::train::Lineage;

/// A card says under which licence it is in its first lines.
const MAX_CARD_BYTES: u64 = 512 << 10;

impl Service {
    /// What the result's card says about where it comes from.
    pub async fn lineage(&self, owner: &Actor, task: &FineTune) -> Result<Lineage> {
        let revision = Revision::Number(task.base_version);
        let (base, dataset) = (self.base_now(task).await?, self.name_now(RepoKind::Dataset, &task.dataset).await?);
        let (_, manifest) = self.manifest(owner, RepoKind::Model, &base, &revision).await?;
        let card = match manifest.find("README.md") {
            Some(entry) => self.blobs.read_range(&entry.digest, 0..MAX_CARD_BYTES).await?,
            None => bytes::Bytes::new(),
        };
        let (card, _) = Card::read(&String::from_utf8_lossy(&card));
        Ok(Lineage {
            name: task.name.to_string(),
            base: at(&base, task.base_version),
            dataset: at(&dataset, task.dataset_version),
            license: card.license,
            license_name: card.license_name,
            license_link: card.license_link,
            chosen: task.chosen.clone(),
        })
    }

    async fn base_now(&self, task: &FineTune) -> Result<RepoId> {
        self.name_now(RepoKind::Model, &task.base).await
    }

    /// Ends a job with what it has left: publishes its folder, keeps its files and writes what its kind records, all or nothing.
    /// The version, of work that publishes one.
    pub async fn complete_job(&self, lease: &Lease, job: &Job, left: Left) -> Result<Option<u32>> {
        let owner = self.job_owner(job).await?;
        let holder = UploadId::new(self.now(), self.random()?);
        let done = self.store_and_complete(&owner, lease, job, left, &holder).await;
        self.release(&holder).await;
        done
    }

    async fn store_and_complete(&self, owner: &Actor, lease: &Lease, job: &Job, mut left: Left, holder: &UploadId) -> Result<Option<u32>> {
        let record = self.record_of(owner, job, &mut left).await?;
        let files = self.store_job_files(left.files.clone(), holder).await?;
        let end = End { lease: lease.clone(), now: self.now(), files, headline: left.headline, refused: left.refused, record };
        let Some(listed) = left.publish else {
            self.db.write(move |tx| end.write(tx, None)).await?;
            return Ok(None);
        };
        let wrong = |e| Error::invalid("bad_path", format!("the result has a file of an impossible name: {e}"), "please report it");
        let path = |(name, file): (String, PathBuf)| Ok::<_, Error>((RepoPath::parse(&name).map_err(wrong)?, file));
        let listed = listed.into_iter().map(path).collect::<Result<Vec<_>>>()?;
        let (id, commit) = self.commit_of(&job.work).await?;
        let name = id.to_string();
        let also = move |tx: &mut Tx<'_>, version: &Version| end.write(tx, Some((name.clone(), version.number)));
        let published = self.publish_files_and(owner, RepoKind::Model, &id, listed, commit, Some(Arc::new(also))).await?;
        Ok(Some(published.version.number))
    }

    /// Where a job's folder is published, and what is said of it.
    async fn commit_of(&self, work: &Work) -> Result<(RepoId, FolderCommit)> {
        match work {
            Work::FineTune(task) => {
                // The base may have taken the name meanwhile.
                self.check_apart(&task.name, &task.base).await?;
                let commit = FolderCommit {
                    message: format!("Fine-tune of {} on {}", at(&task.base, task.base_version), at(&task.dataset, task.dataset_version)),
                    private: task.private,
                    bases: vec![(self.base_now(task).await?, task.base_version)],
                    ..FolderCommit::default()
                };
                Ok((task.name.clone(), commit))
            }
            Work::Word2vec(task) => {
                let mut bases = Vec::new();
                if let Some((base, version)) = &task.from {
                    self.check_apart(&task.name, base).await?;
                    bases.push((self.name_now(RepoKind::Model, base).await?, *version));
                }
                let message = format!("Word2Vec on {}", at(&task.dataset, task.dataset_version));
                Ok((task.name.clone(), FolderCommit { message, private: task.private, bases, ..FolderCommit::default() }))
            }
            _ => Err(Error::Internal("work of this kind publishes no folder".into())),
        }
    }
}

/// What a job has left on this machine, looked at already.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// The files to publish, each with its path in the repo; of work that publishes.
    pub publish: Option<Vec<(String, PathBuf)>>,
    /// Why there is none, of work whose result is not worth publishing: the job ends as failed, and its files are kept.
    pub refused: Option<String>,
    /// Files to keep with the job, each with its name.
    pub files: Vec<(String, PathBuf)>,
    /// The numbers people ask for first.
    pub headline: Value,
}

impl Left {
    /// A file that is to be published.
    pub(super) fn published(&self, name: &str) -> Option<&Path> {
        self.publish.iter().flatten().find(|(known, _)| known == name).map(|(_, file)| file.as_path())
    }
}

/// The end of a job that did its work, as one transaction writes it.
struct End {
    lease: Lease,
    now: Timestamp,
    files: Vec<JobFile>,
    headline: Value,
    refused: Option<String>,
    record: Record,
}

impl End {
    fn write(&self, tx: &mut Tx<'_>, published: Option<(String, u32)>) -> Result<()> {
        hold(tx, &self.lease)?;
        let (job, now) = (&self.lease.job, self.now);
        for file in &self.files {
            job_files::insert(tx, job, Way::Left, file)?;
        }
        (self.record)(tx)?;
        let result_version = published.as_ref().map(|(_, version)| *version);
        let files = self.files.iter().map(|file| file.name.clone()).collect();
        jobs::append_event(tx, job, now, &Event::Result { published, metrics: self.headline.clone(), files })?;
        let state = if self.refused.is_some() { JobState::Failed } else { JobState::Succeeded };
        jobs::finish(tx, job, &Ending { state, error: self.refused.clone(), result_version }, now)?;
        note_end(tx, job, now, state)?;
        state_event(tx, job, now, state, self.refused.as_deref())?;
        sweeps::note_end(tx, job, now)
    }
}

fn at(id: &RepoId, version: u32) -> String {
    format!("{id}@{version}")
}
