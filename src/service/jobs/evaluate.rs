//! Measuring a model on a data set, as a job, whose findings this hub signs.

use std::sync::Arc;

use super::super::{Error, Result, Service};
use super::admit::{WEIGHTS, need, nothing_in};
use super::kinds::Record;
use super::result::Left;
use super::support::{check_names, no_classes};
use crate::catalog::measurements::{self, Pair};
use crate::db::Tx;
use crate::domain::answers::Format;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::job::Job;
use crate::domain::measurement::{Findings, Measurement};
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::timeline::Every;
use crate::domain::user::Actor;
use crate::domain::work::{AskDataset, Evaluate, Work};

/// What is measured of a model.
#[derive(Debug, Clone)]
pub enum By {
    /// What its own head says.
    Head,
    /// Its features, by the examples of a data set.
    Support(RepoId, Revision),
    /// The same by the names of the data set's classes, read in a text with `{}`; in the usual one where none is given.
    Names(Option<String>),
}

/// Which items of a data set are asked about: those of one split, or all; whole, or piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Which {
    pub split: Option<String>,
    pub every: Option<Every>,
}

impl Service {
    /// Puts it in the queue, once both are readable.
    pub async fn create_evaluation(
        &self,
        actor: &Actor,
        (model, model_revision): (RepoId, Revision),
        (dataset, dataset_revision): (RepoId, Revision),
        (split, by): (Option<String>, By),
    ) -> Result<Job> {
        let asked = (&model, &model_revision, &dataset, &dataset_revision);
        let (model_version, dataset_version) = self.pin_both(actor, asked, split.as_deref()).await?;
        let (support, names) = match by {
            By::Head => (None, None),
            By::Support(id, revision) => (self.pin_support(actor, Some((id, revision))).await?, None),
            By::Names(template) => {
                // Its own names are what is asked for.
                self.pin_support(actor, Some((dataset.clone(), Revision::Number(dataset_version)))).await?;
                let template = self.template(actor, (&model, &Revision::Number(model_version)), template.as_deref()).await?;
                (None, Some(template.to_string()))
            }
        };
        let work = Evaluate { model, model_version, dataset, dataset_version, split, support, names };
        self.queue_work(actor, Work::Evaluate(work), Vec::new()).await
    }

    /// Puts a question about all items of a data set, or of one split, in the queue; with `top` for the likeliest classes, else for features.
    pub async fn ask_about_dataset(
        &self,
        actor: &Actor,
        (model, model_revision): (RepoId, Revision),
        (dataset, dataset_revision): (RepoId, Revision),
        (which, support): (Which, Option<(RepoId, Revision)>),
        (top, format): (Option<usize>, Format),
    ) -> Result<Job> {
        let asked = (&model, &model_revision, &dataset, &dataset_revision);
        let (model_version, dataset_version) = self.pin_both(actor, asked, which.split.as_deref()).await?;
        self.check_pieces(actor, (&dataset, dataset_version), which.every).await?;
        let (support, names) = (self.pin_support(actor, support).await?, None);
        let Which { split, every } = which;
        let work = AskDataset { model, model_version, dataset, dataset_version, split, every, support, names, top, format };
        self.queue_work(actor, Work::Ask(work), Vec::new()).await
    }

    /// Puts a question about all items of a data set, or of one split, in the queue: which of these classes each is, by their names alone,
    /// read in a text.
    pub async fn ask_about_dataset_by_names(
        &self,
        actor: &Actor,
        (model, model_revision): (RepoId, Revision),
        (dataset, dataset_revision): (RepoId, Revision),
        (which, names, template): (Which, Vec<String>, Option<String>),
        (top, format): (usize, Format),
    ) -> Result<Job> {
        let asked = (&model, &model_revision, &dataset, &dataset_revision);
        let (model_version, dataset_version) = self.pin_both(actor, asked, which.split.as_deref()).await?;
        self.check_pieces(actor, (&dataset, dataset_version), which.every).await?;
        check_names(&names)?;
        let template = self.template(actor, (&model, &Revision::Number(model_version)), template.as_deref()).await?;
        let (names, top) = (Some((names, template.to_string())), Some(top));
        let Which { split, every } = which;
        let work = AskDataset { model, model_version, dataset, dataset_version, split, every, support: None, names, top, format };
        self.queue_work(actor, Work::Ask(work), Vec::new()).await
    }

    /// The numbers of both versions, of a model that can be run and a data set that holds something.
    async fn pin_both(
        &self,
        actor: &Actor,
        (model, model_revision, dataset, dataset_revision): (&RepoId, &Revision, &RepoId, &Revision),
        split: Option<&str>,
    ) -> Result<(u32, u32)> {
        let (version, manifest) = self.manifest(actor, RepoKind::Model, model, model_revision).await?;
        self.model_config(model, &version, &manifest).await?;
        need(&manifest, WEIGHTS, model, &version)?;
        check_split(split)?;
        let found = self.get_repo_at(actor, RepoKind::Dataset, dataset, dataset_revision).await?;
        found.head.map(|pinned| (version.number, pinned.number)).ok_or_else(|| nothing_in(dataset))
    }

    /// Only what goes on for a time has pieces.
    async fn check_pieces(&self, actor: &Actor, (dataset, version): (&RepoId, u32), every: Option<Every>) -> Result<()> {
        if every.is_none() {
            return Ok(());
        }
        let found = self.get_repo_at(actor, RepoKind::Dataset, dataset, &Revision::Number(version)).await?;
        match Modality::parse(&found.facts.modality).filter(|modality| !modality.has_frames()) {
            Some(modality) => {
                let message = format!("{dataset} holds {}, which have no pieces of so many seconds", modality.items());
                Err(Error::invalid("bad_every", message, "leave `every` out"))
            }
            None => Ok(()),
        }
    }

    /// The version of a data set of examples.
    async fn pin_support(&self, actor: &Actor, support: Option<(RepoId, Revision)>) -> Result<Option<(RepoId, u32)>> {
        let Some((id, revision)) = support else { return Ok(None) };
        let found = self.get_repo_at(actor, RepoKind::Dataset, &id, &revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(&id)) };
        let report = DatasetReport::read(&found.facts.dataset_report).filter(|report| report.task.about().one_class);
        report.map(|_| Some((id.clone(), pinned.number))).ok_or_else(|| no_classes(&id, pinned.number))
    }

    /// Signs what was found, and writes it down with the end of the job.
    pub(super) async fn record_evaluation(&self, job: &Job, work: &Evaluate, left: &Left) -> Result<Record> {
        let found = serde_json::from_value::<Findings>(left.headline.clone()).ok().filter(Findings::is_sound);
        let unsound = || Error::invalid("bad_findings", "what was measured does not hold together", "report this as a bug");
        let findings = found.ok_or_else(unsound)?;
        let owner = self.job_owner(job).await?;
        let (pair, commits) = self.pair(&owner, (&work.model, work.model_version), (&work.dataset, work.dataset_version)).await?;
        let now = self.now();
        let measurement = Measurement {
            model: work.model.to_string(),
            model_version: work.model_version,
            model_commit: commits.0,
            dataset: work.dataset.to_string(),
            dataset_version: work.dataset_version,
            dataset_commit: commits.1,
            support: work.support.as_ref().map(|(id, version)| format!("{id}@{version}")),
            names: work.names.clone(),
            findings,
            asked_by: job.owner_name.clone(),
            job: job.id.to_string(),
            measured_at: now.to_string(),
            hub: env!("CARGO_PKG_VERSION").into(),
        };
        let signed = self.signer()?.sign(&measurement.payload());
        let id = job.id.clone();
        Ok(Arc::new(move |tx: &mut Tx<'_>| Ok(measurements::insert(tx, &id, &pair, now, &signed)?)))
    }

    /// The keys of both repos, and the commits of the versions.
    pub(super) async fn pair(
        &self,
        actor: &Actor,
        (model, model_version): (&RepoId, u32),
        (dataset, dataset_version): (&RepoId, u32),
    ) -> Result<(Pair, (String, String))> {
        let model = self.get_repo_at(actor, RepoKind::Model, model, &Revision::Number(model_version)).await?;
        let dataset = self.get_repo_at(actor, RepoKind::Dataset, dataset, &Revision::Number(dataset_version)).await?;
        let commit = |found: &RepoSummary| found.head.as_ref().map(|head| head.commit.to_string()).unwrap_or_default();
        let commits = (commit(&model), commit(&dataset));
        Ok((Pair { model: (model.repo.key, model_version), dataset: (dataset.repo.key, dataset_version) }, commits))
    }
}

fn check_split(split: Option<&str>) -> Result<()> {
    match split.filter(|split| !["train", "val", "test"].contains(split)) {
        Some(split) => Err(Error::invalid("bad_split", format!("'{split}' is no split"), "ask for train, val or test, or leave it out")),
        None => Ok(()),
    }
}
