//! Asking which backbones suit a data set: which ones are there for the caller, and what is known of them.

use std::collections::HashMap;

use super::super::{Error, Result, Service};
use super::admit::{WEIGHTS, bad_recipe, need, nothing_in, unfit, unlearnable};
use super::result::Left;
use crate::data::modalities;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::digest::Digest;
use crate::domain::job::Job;
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::recipe::Recipe;
use crate::domain::recommendation::{Accuracy, Backbone, FILE, Known, MOST_BACKBONES, Recommendation, is_imagenet, share};
use crate::domain::repo::{Facts, RepoSummary};
use crate::domain::revision::Revision;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::task::Task;
use crate::domain::user::Actor;
use crate::domain::work::{Contender, Recommend, Then, Work};
use crate::train;

/// Models that are looked through for backbones.
const MOST_MODELS: usize = 500;
/// Of an answer that a job has left.
const LARGEST_ANSWER: u64 = 8 << 20;
pub const SECONDS: std::ops::RangeInclusive<u32> = 5..=86_400;

/// A question for backbones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewRecommendation {
    /// Only these models; of none all that the caller may read.
    pub among: Vec<(RepoId, Revision)>,
    pub task: Option<Task>,
    pub max_parameters: Option<u64>,
    /// Any of these licences; of none every one.
    pub licenses: Vec<String>,
    /// Also models that were made from others.
    pub fine_tunes: bool,
    pub seconds: Option<u32>,
    pub race: bool,
    /// The fine-tune that is to follow.
    pub then: Option<Then>,
}

impl NewRecommendation {
    /// What chooses the base of a fine-tune, after a race of the best three if that is asked for.
    pub fn before(then: Then, race: bool) -> NewRecommendation {
        NewRecommendation { race, then: Some(then), ..NewRecommendation::default() }
    }
}

impl Service {
    /// Puts it in the queue, once there is something to choose by and to choose from.
    pub async fn create_recommendation(
        &self,
        actor: &Actor,
        (dataset, revision): (RepoId, Revision),
        asked: NewRecommendation,
    ) -> Result<Job> {
        if let Some(seconds) = asked.seconds.filter(|seconds| !SECONDS.contains(seconds)) {
            let message = format!("seconds: {seconds} is not between {} and {}", SECONDS.start(), SECONDS.end());
            return Err(Error::invalid("bad_seconds", message, "allow more or fewer seconds, or leave them out"));
        }
        if let Some(then) = &asked.then {
            self.check_target(actor, &then.name).await?;
        }
        let found = self.get_repo_at(actor, RepoKind::Dataset, &dataset, &revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(&dataset)) };
        let Some(report) = DatasetReport::read(&found.facts.dataset_report).filter(DatasetReport::can_be_learned) else {
            return Err(unlearnable(&dataset, pinned.number, &found.facts.dataset_report));
        };
        if let Some(then) = &asked.then {
            then.recipe.over(report.modality).map_err(bad_recipe)?;
        }
        if report.task.is_of_places() {
            return Err(of_places(&dataset, &report));
        }
        let task = asked.task.or(asked.then.as_ref().and_then(|then| then.recipe.task()));
        let of_task = Recipe { task, ..Recipe::default() }.check_task(report.task).map_err(bad_recipe)?;
        if of_task.about().good_only && asked.race {
            return Err(no_race(&dataset));
        }
        let (mut contenders, passed_over) = self.contenders(actor, &dataset, &report, &asked).await?;
        self.add_evidence(actor, (&dataset, &report, of_task), &mut contenders).await?;
        if contenders.is_empty() {
            return Err(none_fits(&passed_over));
        }
        let NewRecommendation { seconds, race, then, .. } = asked;
        let work = Recommend { dataset, dataset_version: pinned.number, contenders, passed_over, seconds, race, then };
        self.queue_work(actor, Work::Recommend(work), Vec::new()).await
    }

    /// Those that are tried, and those that are not with their reasons.
    async fn contenders(
        &self,
        actor: &Actor,
        dataset: &RepoId,
        report: &DatasetReport,
        asked: &NewRecommendation,
    ) -> Result<(Vec<Contender>, Vec<Backbone>)> {
        let mut models = match asked.among.as_slice() {
            [] => self.all_models(actor, report).await?,
            among => {
                let mut named = Vec::new();
                for (id, revision) in among.iter().take(MOST_MODELS) {
                    named.push(self.get_repo_at(actor, RepoKind::Model, id, revision).await?);
                }
                named
            }
        };
        if asked.among.is_empty() {
            models.retain(|model| asked.fine_tunes || model.facts.base_models.is_empty());
            models.retain(|model| fits(&model.facts, asked));
            // What is known to be good first: where time ends, the rest is not tried.
            let accuracy = |model: &RepoSummary| claimed(&model.facts).map_or(0.0, |accuracy| accuracy.top1);
            models.sort_by(|a, b| accuracy(b).total_cmp(&accuracy(a)).then(a.facts.parameters.cmp(&b.facts.parameters)));
        }
        let (mut contenders, mut passed_over) = (Vec::new(), Vec::new());
        let mut seen: HashMap<(Digest, String), String> = HashMap::new();
        for model in models {
            let Some(head) = &model.head else { continue };
            let known = known(&model, head.number);
            match self.objection(actor, &model, (dataset, asked), (&mut seen, &known.model, contenders.len()), report.modality).await {
                Ok(None) => contenders.push(Contender { id: model.repo.id.clone(), version: head.number, known }),
                Ok(Some(reason)) => passed_over.push(not_tried(known, reason)),
                Err(Error::Invalid(problem)) => passed_over.push(not_tried(known, problem.message)),
                Err(error) => return Err(error),
            }
        }
        passed_over.truncate(4 * MOST_BACKBONES);
        Ok((contenders, passed_over))
    }

    /// Models that this build runs and that can be used on items of the data set's modality, as far as their facts go: those of that modality,
    /// then those that serve it.
    async fn all_models(&self, actor: &Actor, report: &DatasetReport) -> Result<Vec<RepoSummary>> {
        let mut found = Vec::new();
        for modality in report.modality.served_by() {
            self.models_taking(actor, modality, &mut found).await?;
        }
        Ok(found)
    }

    async fn models_taking(&self, actor: &Actor, modality: Modality, found: &mut Vec<RepoSummary>) -> Result<()> {
        let query = SearchQuery {
            kind: Some(RepoKind::Model),
            modality: modality.to_string(),
            sort: Sort::Downloads,
            here: true,
            plain: true,
            ..SearchQuery::default()
        };
        let mut cursor = None;
        while found.len() < MOST_MODELS {
            let page = self.search(actor, query.clone(), PageRequest { limit: PageRequest::MAX_LIMIT, cursor }).await?.page;
            found.extend(page.items.into_iter().filter(|model| model.facts.can_be_run()));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Why a model is not tried, if so.
    async fn objection(
        &self,
        actor: &Actor,
        model: &RepoSummary,
        (dataset, asked): (&RepoId, &NewRecommendation),
        (seen, name, contenders): (&mut HashMap<(Digest, String), String>, &str, usize),
        modality: Modality,
    ) -> Result<Option<String>> {
        let facts = &model.facts;
        if !asked.among.is_empty() && !fits(facts, asked) {
            return Ok(Some("it is beyond the limits that were asked for".into()));
        }
        if facts.source_datasets.iter().any(|source| is_same(source, dataset)) {
            return Ok(Some("it was trained on this very data set: its features know the answers".into()));
        }
        if let Some(then) = &asked.then
            && self.is_same_model(&then.name, &model.repo.id).await?
        {
            return Ok(Some(format!("the result is to be published as {}, which is this model", then.name)));
        }
        if contenders >= MOST_BACKBONES {
            return Ok(Some(format!("{MOST_BACKBONES} others come before it; name it to have it tried")));
        }
        let (id, Some(head)) = (&model.repo.id, &model.head) else { return Ok(None) };
        let (version, manifest) = self.manifest(actor, RepoKind::Model, id, &Revision::Number(head.number)).await?;
        let config = self.model_config(id, &version, &manifest).await?;
        let takes = train::modality_of(&config);
        if !train::takes(&config, modality) {
            return Ok(Some(format!("it takes {}, and the data set holds {}", takes.items(), modality.items())));
        }
        if let Some(file) = modalities::find(modality).and_then(|modality| modality.needs()) {
            need(&manifest, file, id, &version)?;
        }
        let weights = need(&manifest, WEIGHTS, id, &version)?;
        let memory = train::estimate(&Recipe::usual(modality), &config, 1, 1).map_err(unfit)?.memory_bytes;
        if memory > self.policy().max_job_bytes {
            return Ok(Some(format!("it would need about {} MiB of memory, more than a job may take", memory >> 20)));
        }
        let preparation = format!("{:?} {:?} {:?} {:?}", config.preprocessing(), config.global_pool, config.model_args, config.sentence);
        Ok(match seen.entry((weights, preparation)) {
            std::collections::hash_map::Entry::Occupied(first) => Some(format!("its weights are those of {}", first.get())),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(name.to_owned());
                None
            }
        })
    }
}

/// How quick the backbones were that were tried, in items a second. What the process says is untrusted: only what it was given counts, and
/// nothing that no machine could do.
pub(super) fn speeds(work: &Recommend, left: &Left) -> Vec<(RepoId, f64)> {
    const QUICKEST: f64 = 1e6;
    let Ok(answer) = read_answer(left) else { return Vec::new() };
    let speed = |contender: &Contender| {
        let tried = answer.backbones.iter().find(|one| one.known.model == contender.known.model)?;
        let speed = 1e3 / tried.milliseconds_per_item?;
        (speed.is_finite() && speed > 0.0 && speed < QUICKEST).then(|| (contender.id.clone(), speed))
    };
    work.contenders.iter().filter_map(speed).collect()
}

pub(super) fn read_answer(left: &Left) -> Result<Recommendation> {
    let file = left.files.iter().find(|(name, _)| name == FILE).map(|(_, path)| path).ok_or_else(unreadable)?;
    let size = std::fs::metadata(file).map_err(|e| Error::of_file("cannot read an answer", &e))?.len();
    if size > LARGEST_ANSWER {
        return Err(unreadable());
    }
    let bytes = std::fs::read(file).map_err(|e| Error::of_file("cannot read an answer", &e))?;
    serde_json::from_slice(&bytes).map_err(|_| unreadable())
}

pub(super) fn unreadable() -> Error {
    Error::invalid(
        "recommendation_unreadable",
        "the recommendation that was left cannot be read",
        "ask for it again, and report this if it stays so",
    )
}

fn known(model: &RepoSummary, version: u32) -> Known {
    let facts = &model.facts;
    Known {
        model: format!("{}@{version}", model.repo.id),
        architecture: facts.architecture.clone(),
        parameters: facts.parameters,
        license: facts.license.clone(),
        source_datasets: facts.source_datasets.iter().take(20).cloned().collect(),
        accuracy: claimed(facts),
        evidence: None,
    }
}

/// The best that its card claims of ImageNet's thousand classes.
fn claimed(facts: &Facts) -> Option<Accuracy> {
    let is_top1 = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.contains("acc") && !name.contains('5') || matches!(name.as_str(), "top1" | "top-1" | "top_1")
    };
    let claims = facts.metrics.iter().filter(|metric| is_imagenet(&metric.dataset) && is_top1(&metric.name));
    let top1 = claims
        .filter_map(|metric| share(metric.value))
        .fold(None, |best: Option<f64>, top1| Some(best.map_or(top1, |best| best.max(top1))));
    top1.map(|top1| Accuracy { top1, measured: false })
}

fn fits(facts: &Facts, asked: &NewRecommendation) -> bool {
    let small = asked.max_parameters.is_none_or(|most| facts.parameters <= most);
    let licensed =
        asked.licenses.is_empty() || facts.license.split(", ").any(|own| asked.licenses.iter().any(|one| one.eq_ignore_ascii_case(own)));
    small && licensed
}

/// Whether a card's name of a data set is this one, whatever version it says.
fn is_same(written: &str, dataset: &RepoId) -> bool {
    let bare = written.split('@').next().unwrap_or_default();
    RepoId::parse(bare).is_ok_and(|named| named.folded() == dataset.folded())
}

fn not_tried(known: Known, reason: String) -> Backbone {
    Backbone {
        known,
        place: None,
        reason: Some(reason),
        gmacs: None,
        milliseconds_per_item: None,
        scores: None,
        auroc: None,
        standing: None,
    }
}

/// Distances are measured on features as they are: there is nothing that could learn for longer.
/// Bases are ranked by features of whole items.
fn of_places(dataset: &RepoId, report: &DatasetReport) -> Error {
    let message = format!("{dataset} is for {}, and bases are ranked by what they say of whole items", report.task);
    Error::invalid("dataset_unusable", message, "name a base; docs/TASKS.md says which ones learn from it")
}

fn no_race(dataset: &RepoId) -> Error {
    let message = format!("race: {dataset} is for anomalies, where nothing learns by descent, so that no backbone can be ahead of another");
    Error::invalid("no_race", message, "ask without a race: backbones are ranked by the distances of their features")
}

fn none_fits(passed_over: &[Backbone]) -> Error {
    let reasons: Vec<String> =
        passed_over.iter().take(3).map(|one| format!("{}: {}", one.known.model, one.reason.clone().unwrap_or_default())).collect();
    let message = match reasons.as_slice() {
        [] => "there is no backbone here that you may read, this build runs and your filters let pass".to_owned(),
        _ => format!("no backbone is left to choose from ({})", reasons.join("; ")),
    };
    Error::invalid("no_backbones", message, "ask for more parameters or other licences, or import a model with `hub import`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::repo::Metric;

    #[test]
    fn claims_of_cards_are_found_whatever_they_are_called() {
        let facts = |metrics: &[(&str, &str, f64)]| Facts {
            metrics: metrics
                .iter()
                .map(|(dataset, name, value)| Metric { dataset: (*dataset).into(), name: (*name).into(), value: *value })
                .collect(),
            ..Facts::default()
        };
        let top1 = |metrics: &[(&str, &str, f64)]| claimed(&facts(metrics)).map(|accuracy| accuracy.top1);
        assert_eq!(top1(&[("imagenet-1k", "accuracy", 0.719)]), Some(0.719));
        assert_eq!(top1(&[("ImageNet", "top-1 accuracy", 71.9), ("ImageNet", "top-5 accuracy", 91.0)]), Some(0.719));
        assert_eq!(top1(&[("imagenet-1k", "Acc@5", 0.9), ("cifar10", "accuracy", 0.99), ("imagenet-1k", "f1", 0.7)]), None);
    }

    #[test]
    fn filters_hold_and_a_models_own_data_set_is_known_by_any_version() {
        let facts = Facts { parameters: 3_000, license: "mit, apache-2.0".into(), ..Facts::default() };
        let asked = |max_parameters: Option<u64>, licenses: &[&str]| NewRecommendation {
            max_parameters,
            licenses: licenses.iter().map(|one| (*one).to_owned()).collect(),
            ..NewRecommendation::default()
        };
        assert!(fits(&facts, &asked(None, &[])) && fits(&facts, &asked(Some(3_000), &["Apache-2.0"])));
        assert!(!fits(&facts, &asked(Some(2_999), &[])) && !fits(&facts, &asked(None, &["gpl-3.0"])));
        let cats = RepoId::parse("acme/cats").unwrap();
        assert!(is_same("acme/Cats@3", &cats) && is_same("acme/cats", &cats) && !is_same("cats", &cats) && !is_same("", &cats));
    }
}
