//! Asking for a look at a data set's labels, as a job; what it found is kept with the version.

use std::sync::Arc;

use super::super::{Error, Result, Service, access};
use super::admit::{WEIGHTS, need, nothing_in};
use super::kinds::Record;
use super::result::Left;
use crate::catalog::facts;
use crate::db::Tx;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::examination::{EXAMINATION, Examination};
use crate::domain::job::Job;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::revision::Revision;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::domain::work::{ExamineDataset, Work};

/// Models among which a small one is looked for.
const LOOKED_AT: usize = 50;
/// Of what is kept: some thousand names and two dozen small pictures.
const MAX_EXAMINATION_BYTES: usize = 4 << 20;

impl Service {
    /// Puts it in the queue. Without a base, the smallest pretrained one of the hub that this build runs is taken.
    pub async fn create_examination(
        &self,
        actor: &Actor,
        (dataset, revision): (RepoId, Revision),
        base: Option<(RepoId, Revision)>,
    ) -> Result<Job> {
        let found = self.get_repo_at(actor, RepoKind::Dataset, &dataset, &revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(&dataset)) };
        let report = DatasetReport::read(&found.facts.dataset_report)
            .filter(|report| report.can_be_learned() && !report.classes.is_empty() && !report.task.is_of_places());
        if report.is_none() {
            let message = format!("{dataset}@{} has no images in two classes or more, whose labels could be examined", pinned.number);
            return Err(Error::invalid("dataset_unusable", message, "labels are examined where each item has one class"));
        }
        let (base, base_revision) = match base {
            Some(base) => base,
            None => self.small_base(actor).await?,
        };
        let (version, manifest) = self.manifest(actor, RepoKind::Model, &base, &base_revision).await?;
        self.model_config(&base, &version, &manifest).await?;
        need(&manifest, WEIGHTS, &base, &version)?;
        let work = ExamineDataset { base, base_version: version.number, dataset, dataset_version: pinned.number };
        self.queue_work(actor, Work::Examine(work), Vec::new()).await
    }
}

impl Service {
    /// The smallest model that was trained on something and that this build runs, among those most downloaded.
    async fn small_base(&self, actor: &Actor) -> Result<(RepoId, Revision)> {
        let query = SearchQuery { kind: Some(RepoKind::Model), sort: Sort::Downloads, here: true, plain: true, ..SearchQuery::default() };
        let page = PageRequest { limit: LOOKED_AT, cursor: None };
        let found = self.search(actor, query, page).await?.page.items;
        let bases = found.into_iter().filter(|found| {
            let facts = &found.facts;
            facts.can_be_run() && facts.parameters > 0 && !facts.source_datasets.is_empty() && facts.base_models.is_empty()
        });
        let smallest = bases.min_by_key(|found| found.facts.parameters);
        let none = || {
            let message = "no pretrained model was found here whose features could be looked at";
            Error::invalid("no_base", message, "name a base, or publish one: `hub import` makes a model folder")
        };
        smallest.map(|found| (found.repo.id, Revision::main())).ok_or_else(none)
    }

    /// What is kept of an examination, where its owner may write to the data set. The file comes from a process that may lie.
    pub(super) async fn examination_of(&self, owner: &Actor, job: &Job, of: &ExamineDataset, left: &Left) -> Result<Record> {
        let file = left.files.iter().find(|(name, _)| name == EXAMINATION).map(|(_, file)| file.clone());
        let nothing: Record = Arc::new(|_: &mut Tx<'_>| Ok::<(), Error>(()));
        let Some(file) = file else { return Ok(nothing) };
        let read = tokio::task::spawn_blocking(move || std::fs::read(&file)).await;
        let bytes = read.map_err(|e| Error::Internal(e.to_string()))?.map_err(|e| Error::of_file("an examination cannot be read", &e))?;
        let Some(mut found) = serde_json::from_slice::<Examination>(&bytes).ok().filter(|_| bytes.len() <= MAX_EXAMINATION_BYTES) else {
            return Ok(nothing);
        };
        found.make_sound();
        (found.base, found.job) = (format!("{}@{}", of.base, of.base_version), job.id.to_string());
        let json = serde_json::to_string(&found).unwrap_or_default();
        let (owner, id, number) = (owner.clone(), of.dataset.clone(), of.dataset_version);
        Ok(Arc::new(move |tx: &mut Tx<'_>| {
            let repo = match access::see_repo(tx, &owner, RepoKind::Dataset, &id) {
                Ok(repo) => repo,
                Err(Error::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error),
            };
            if access::write_namespace(tx, &owner, repo.id.namespace()).is_ok() {
                facts::keep_examination(tx, &repo.key, number, &json)?;
            }
            Ok(())
        }))
    }
}
