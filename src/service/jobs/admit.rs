//! Whether a fine-tune can work at all, decided before it waits in the queue: what it names exists and is
//! readable by its owner, the base is a network we know, the data set has classes, and neither memory nor
//! time run away.

use super::super::{Error, Result, Service};
pub use super::cost::Expected;
use super::finetune::NewFineTune;
use crate::catalog::{former_names, repos};
use crate::data::modalities;
use crate::db::Tx;
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig};
use crate::domain::dataset_report::DatasetReport;
use crate::domain::id::RepoKey;
use crate::domain::manifest::Manifest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::recipe::{Recipe, RecipeError};
use crate::domain::repo::Version;
use crate::domain::user::Actor;
use crate::domain::work::FineTune;
use crate::train;

/// The files a model folder must have to be worked with.
pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";

impl Service {
    /// Pins the revisions to numbers and refuses what could not end well.
    /// With it comes what it is expected to cost.
    pub(super) async fn admit(&self, actor: &Actor, asked: NewFineTune) -> Result<(FineTune, Expected)> {
        self.check_target(actor, &asked.name).await?;
        let asked = NewFineTune { base: self.present_name(actor, RepoKind::Model, &asked.base).await?, ..asked };
        self.check_apart(&asked.name, &asked.base).await?;
        let (base, manifest) = self.manifest(actor, RepoKind::Model, &asked.base, &asked.base_revision).await?;
        let config = self.model_config(&asked.base, &base, &manifest).await?;
        need(&manifest, WEIGHTS, &asked.base, &base)?;
        self.check_rows(&asked.base, &base, &manifest, &config).await?;
        let dataset = self.get_repo_at(actor, RepoKind::Dataset, &asked.dataset, &asked.dataset_revision).await?;
        let Some(pinned) = dataset.head else { return Err(nothing_in(&asked.dataset)) };
        let Some(report) = DatasetReport::read(&dataset.facts.dataset_report).filter(DatasetReport::can_be_learned) else {
            return Err(unlearnable(&asked.dataset, pinned.number, &dataset.facts.dataset_report));
        };
        check_items(&config, &report, (&asked.base, &asked.dataset))?;
        if let Some(file) = modalities::find(report.modality).and_then(|modality| modality.needs()) {
            need(&manifest, file, &asked.base, &base)?;
        }
        let recipe = asked.recipe.over_targets(report.modality, report.task).map_err(bad_recipe)?;
        let recipe = Recipe { task: recipe.task.or(Some(report.usual_task())), ..recipe };
        let task = recipe.check_task(report.task).map_err(bad_recipe)?;
        train::tasks::check_classes(task, report.task, &report.classes)
            .map_err(|e| bad_recipe(RecipeError { setting: "task", problem: e.to_string() }))?;
        let expected = Expected::of((&recipe, asked.sweep.as_ref()), &config, &report, self.policy())?;
        let work = FineTune {
            base: asked.base,
            base_version: base.number,
            dataset: asked.dataset,
            dataset_version: pinned.number,
            name: asked.name,
            private: asked.private,
            // Written down, so that the job says what it is.
            recipe: Recipe { task: Some(task), ..recipe },
            sweep: asked.sweep,
            replays: None,
            chosen: None,
            trial: None,
        };
        Ok((work, expected))
    }

    /// The result needs a place its owner may write to.
    pub(super) async fn check_target(&self, actor: &Actor, name: &RepoId) -> Result<()> {
        let (actor, name) = (actor.clone(), name.clone());
        self.db.read(move |tx| super::super::access::write_namespace(tx, &actor, name.namespace())).await
    }

    /// A result is no version of what it was made from: who pulls the base would get it.
    pub(super) async fn check_apart(&self, name: &RepoId, base: &RepoId) -> Result<()> {
        if !self.is_same_model(name, base).await? {
            return Ok(());
        }
        let message = format!("name: '{name}' is the base itself, and a result would become its next version");
        Err(Error::invalid("result_is_base", message, "give the result a name of its own"))
    }

    /// Whether two names are one model's, now or formerly.
    pub(super) async fn is_same_model(&self, one: &RepoId, other: &RepoId) -> Result<bool> {
        let (one, other) = (one.clone(), other.clone());
        if one.folded() == other.folded() {
            return Ok(true);
        }
        self.db
            .read(move |tx| {
                let (one, other) = (key_of(tx, RepoKind::Model, &one)?, key_of(tx, RepoKind::Model, &other)?);
                Ok(one.is_some() && one == other)
            })
            .await
    }

    /// The classifier in the weights is the one that the config counts.
    async fn check_rows(&self, id: &RepoId, version: &Version, manifest: &Manifest, config: &ModelConfig) -> Result<()> {
        let Some(weights) = manifest.find(WEIGHTS) else { return Ok(()) };
        let header = self.read_header(weights).await?;
        let tensors = header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        match train::rows_differ(config, tensors) {
            Some(problem) => Err(unusable(id, version, &problem)),
            None => Ok(()),
        }
    }

    /// The `config.json` of a model version.
    pub(super) async fn model_config(&self, id: &RepoId, version: &Version, manifest: &Manifest) -> Result<ModelConfig> {
        let digest = need(manifest, CONFIG, id, version)?;
        let bytes = self.blobs.read_all(&digest, MAX_CONFIG_BYTES as u64 + 1).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable(id, version, "config.json is not UTF-8"))?;
        let config = ModelConfig::read(text).map_err(|e| unusable(id, version, &e.to_string()))?;
        let config = config.with_papers(&self.sentence_papers(manifest).await?);
        match train::unobeyed_in(&config).into_iter().next() {
            Some(problem) => Err(unusable(id, version, &problem)),
            None => Ok(config),
        }
    }
}

/// What the base takes is what the data set holds.
fn check_items(config: &ModelConfig, report: &DatasetReport, (base, dataset): (&RepoId, &RepoId)) -> Result<()> {
    let (takes, given) = (train::modality_of(config), report.modality);
    if takes == given {
        return Ok(());
    }
    let message = format!("{base} takes {}, and {dataset} holds {}", takes.items(), given.items());
    let hint = "choose a base for the items of the data set; `hub recommend --dataset` names some";
    Err(Error::invalid("modality_differs", message, hint))
}

/// The repo that has a name, or had it before it was moved.
fn key_of(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<RepoKey>> {
    match repos::find(tx, kind, id)? {
        Some(repo) => Ok(Some(repo.key)),
        None => Ok(former_names::find(tx, kind, id)?),
    }
}

fn unusable(id: &RepoId, version: &Version, problem: &str) -> Error {
    let hint = "publish the model again with a config.json in timm's form (`hub import` writes one)";
    Error::invalid("model_unusable", format!("{id}@{}: {problem}", version.number), hint)
}

/// The digest of a file the version must have.
pub(super) fn need(manifest: &Manifest, path: &str, id: &RepoId, version: &Version) -> Result<crate::domain::digest::Digest> {
    let missing = || {
        let message = format!("{id}@{} has no {path}", version.number);
        Error::invalid("model_unusable", message, "choose a model with config.json and model.safetensors in timm's form")
    };
    manifest.find(path).map(|entry| entry.digest).ok_or_else(missing)
}

pub(super) fn bad_recipe(error: crate::domain::recipe::RecipeError) -> Error {
    let hint = "correct that setting; settings left out take their defaults";
    Error::invalid("bad_recipe", format!("the recipe cannot be used: {error}"), hint)
}

pub(super) fn unlearnable(id: &RepoId, version: u32, report: &str) -> Error {
    let task = DatasetReport::read(report).map(|report| report.task).unwrap_or_default();
    if task.is_of_places() {
        let message = format!("{id}@{version} is for {task}, and nothing is marked in its images that could be learned");
        let hint = "publish it again with its annotations; its page names what was wrong with them";
        return Error::invalid("dataset_unusable", message, hint);
    }
    let message = format!("{id}@{version} has no images in two classes or more to learn from");
    let hint = "publish the images as a folder per class, or with a metadata.csv that has a column `label` or `target`";
    Error::invalid("dataset_unusable", message, hint)
}

pub(super) fn nothing_in(id: &RepoId) -> Error {
    Error::invalid("dataset_unusable", format!("nothing is published in {id}"), "publish the data set first")
}

/// What the training room refuses, in the service's words.
pub(super) fn unfit(error: train::Error) -> Error {
    let hint = match &error {
        train::Error::Data(data) => data.hint(),
        train::Error::Unsupported(_) => "ask for what this model can do; its page shows it",
        train::Error::Model(_) => &train::known_architectures(),
        train::Error::Recipe(_) => "correct that setting; settings left out take their defaults",
        _ => "change what the message names and try again",
    };
    Error::invalid(error.code(), error.to_string(), hint)
}
