//! Two models, or two jobs, on the items that both were measured on: is one better, or is it chance? From the tables that fine-tunes and
//! evaluations leave (`predictions.csv`), which belong to whoever may see the job.

mod items;

use futures_util::TryStreamExt as _;

use super::super::work::Whose;
use super::super::{Error, Result, Service, access};
use crate::catalog::jobs::{self, Narrow};
use crate::domain::findings::PREDICTIONS;
use crate::domain::id::JobId;
use crate::domain::job::{Family, Job, JobState};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo_ref::RepoRef;
use crate::domain::user::{Actor, Role};
use crate::domain::work::Work;

/// A larger table is not read.
const MAX_TABLE_BYTES: u64 = 64 << 20;
/// Jobs of each kind that are looked through for those of a model, newest first.
const LOOKED_THROUGH: usize = 500;

/// What is compared: a job by its id, or a version of a model, which stands for the newest job that measured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Job(JobId),
    Model(RepoRef),
}

impl Side {
    /// # Errors
    /// What is neither an id nor `namespace/name[@revision]`.
    pub fn parse(text: &str) -> Result<Side> {
        let text = text.trim();
        if let Ok(id) = JobId::parse(text) {
            return Ok(Side::Job(id));
        }
        let wrong = |e| Error::invalid("bad_name", format!("'{text}': {e}"), "name a model (namespace/name@version) or a job's id");
        RepoRef::parse(text).map(Side::Model).map_err(wrong)
    }
}

/// A side of a comparison, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub job: JobId,
    /// `namespace/name` and version, of a job that was about one.
    pub model: Option<(RepoId, u32)>,
    /// Its mean over the items in common.
    pub value: f64,
    /// Items that only this one was measured on.
    pub left_out: u64,
    /// Items that only this one has right; of numbers, none are counted.
    pub alone_right: u64,
}

/// How two differ on the same items.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub dataset: (RepoId, u32),
    pub a: Compared,
    pub b: Compared,
    pub items: u64,
    pub measure: Measure,
    /// The second's measure less the first's, and where it lies in 95 of 100 draws of the items (paired bootstrap).
    pub difference: f64,
    pub interval_95: (f64, f64),
    /// In what share of the draws the second is better.
    pub b_better: f64,
    /// How likely chance alone makes so many or more differ that way (McNemar's exact test); of right and wrong answers.
    pub p: Option<f64>,
}

/// What an item counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Right or wrong.
    ShareRight,
    /// Numbers: the root of the mean squared error, less is better.
    RootMeanSquare,
    /// Something between right and wrong.
    MeanScore,
}

impl Measure {
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::ShareRight => "share right",
            Measure::RootMeanSquare => "root mean squared error",
            Measure::MeanScore => "mean score",
        }
    }
}

/// The words of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    A,
    B,
    /// The interval holds 0.
    Neither,
}

impl Comparison {
    pub fn verdict(&self) -> Verdict {
        let sign = if self.measure == Measure::RootMeanSquare { -1.0 } else { 1.0 };
        let (low, high) = self.interval_95;
        match (low > 0.0 || high < 0.0, self.difference * sign > 0.0) {
            (false, _) => Verdict::Neither,
            (true, true) => Verdict::B,
            (true, false) => Verdict::A,
        }
    }

    /// The verdict in words.
    pub fn sentence(&self) -> String {
        let [a, b] = [&self.a, &self.b].map(|side| side.name());
        let shown = |value: f64| self.shown(value);
        let (low, high) = self.interval_95;
        let numbers = format!("{} against {}", shown(self.a.value), shown(self.b.value));
        let reach =
            format!("the difference lies between {} and {} in 95 of 100 draws of the {} items", shown(low), shown(high), self.items);
        match self.verdict() {
            Verdict::Neither => format!("No clear difference between {a} and {b}: {numbers} ({}); {reach}", self.measure.as_str()),
            Verdict::A => format!("{a} is better than {b}: {numbers} ({}); {reach}", self.measure.as_str()),
            Verdict::B => format!("{b} is better than {a}: {numbers} ({}); {reach}", self.measure.as_str()),
        }
    }

    /// A value of its measure, as people read it.
    pub fn shown(&self, value: f64) -> String {
        match self.measure {
            Measure::ShareRight => format!("{:.2} %", 100.0 * value),
            Measure::RootMeanSquare | Measure::MeanScore => format!("{value:.4}"),
        }
    }
}

impl Compared {
    /// The model, or the job where it was about none.
    pub fn name(&self) -> String {
        self.model.as_ref().map_or_else(|| format!("job {}", self.job), |(id, version)| format!("{id}@{version}"))
    }
}

/// A job that has measured something.
struct Found {
    job: Job,
    model: Option<(RepoId, u32)>,
    dataset: (RepoId, u32),
}

impl Service {
    /// Compares two on the items both were measured on; with `dataset` only what was measured on that.
    pub async fn compare(&self, actor: &Actor, a: &Side, b: &Side, dataset: Option<&RepoRef>) -> Result<Comparison> {
        access::scope(actor, Role::Read)?;
        let (of_a, of_b) = (self.measured_jobs(actor, a, dataset).await?, self.measured_jobs(actor, b, dataset).await?);
        let pair = of_a.iter().find_map(|one| of_b.iter().find(|other| other.dataset == one.dataset).map(|other| (one, other)));
        let Some((one, other)) = pair else { return Err(elsewhere(&of_a, &of_b)) };
        let (first, second) = (self.table(actor, &one.job.id).await?, self.table(actor, &other.job.id).await?);
        let turn = Whose::of(actor);
        let sides = [(one.job.id.clone(), one.model.clone()), (other.job.id.clone(), other.model.clone())];
        let on = one.dataset.clone();
        self.work.run(&turn, move || items::compare(sides, on, &first, &second)).await?
    }

    /// The jobs that measured this side, newest first, of those the caller may see.
    async fn measured_jobs(&self, actor: &Actor, side: &Side, dataset: Option<&RepoRef>) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = match side {
            Side::Job(id) => found(self.get_job(actor, id).await?).into_iter().collect(),
            Side::Model(model) => self.jobs_of_model(actor, model).await?,
        };
        if found.is_empty() {
            let message = match side {
                Side::Job(id) => format!("job {id} has measured nothing: it is no fine-tune and no evaluation, or did not succeed"),
                Side::Model(model) => format!("no job of yours has measured {model}"),
            };
            return Err(Error::invalid("not_measured", message, "measure it with `hub evaluate MODEL --dataset DATASET`"));
        }
        if let Some(wanted) = dataset {
            let version = self.get_repo_at(actor, RepoKind::Dataset, &wanted.id, &wanted.revision).await?.head.map(|head| head.number);
            found.retain(|one| one.dataset.0.folded() == wanted.id.folded() && Some(one.dataset.1) == version);
            if found.is_empty() {
                let what = match side {
                    Side::Job(id) => format!("job {id}"),
                    Side::Model(model) => model.to_string(),
                };
                let hint = format!("measure it with `hub evaluate MODEL --dataset {wanted}`");
                return Err(Error::invalid("not_measured", format!("{what} was not measured on {wanted}"), hint));
            }
        }
        Ok(found)
    }

    async fn jobs_of_model(&self, actor: &Actor, model: &RepoRef) -> Result<Vec<Found>> {
        let seen = self.get_repo_at(actor, RepoKind::Model, &model.id, &model.revision).await?;
        let Some(head) = seen.head else { return Ok(Vec::new()) };
        let (id, number) = (seen.repo.id, head.number);
        let owner = if access::sees_all_jobs(actor) { None } else { Some(access::known(actor)?.clone()) };
        let jobs = self.db.read(move |tx| {
            let mut jobs = Vec::new();
            for kind in ["fine-tune", "evaluate"] {
                let narrow = Narrow {
                    owner: owner.clone(),
                    state: Some(JobState::Succeeded),
                    kind: Some(kind.to_owned()),
                    family: Family::All,
                    ..Narrow::default()
                };
                jobs.extend(jobs::list(tx, &narrow, LOOKED_THROUGH, None)?.items);
            }
            Ok::<_, Error>(jobs)
        });
        let mut found: Vec<Found> = jobs.await?.into_iter().filter_map(found).collect();
        found.retain(|one| one.model.as_ref().is_some_and(|(name, version)| name.folded() == id.folded() && *version == number));
        found.sort_by(|a, b| b.job.id.cmp(&a.job.id));
        Ok(found)
    }

    /// The table a job has left.
    async fn table(&self, actor: &Actor, id: &JobId) -> Result<Vec<u8>> {
        let (file, reader) = self.open_job_file(actor, id, PREDICTIONS).await.map_err(|error| match error {
            Error::NotFound(problem) if problem.code == "file_not_found" => {
                let message = format!("job {id} has left no {PREDICTIONS}: an earlier release ran it");
                Error::invalid("not_measured", message, "measure the model again with `hub evaluate`")
            }
            other => other,
        })?;
        if file.size_bytes > MAX_TABLE_BYTES {
            return Err(Error::too_large(
                "table_too_large",
                format!("{PREDICTIONS} of job {id} is too large"),
                "compare smaller data sets",
            ));
        }
        let parts: Vec<bytes::Bytes> = reader.stream(0..file.size_bytes).try_collect().await?;
        Ok(parts.concat())
    }
}

fn found(job: Job) -> Option<Found> {
    if job.state != JobState::Succeeded {
        return None;
    }
    let (model, dataset) = match &job.work {
        Work::FineTune(work) => {
            (job.result_version.map(|version| (work.name.clone(), version)), (work.dataset.clone(), work.dataset_version))
        }
        Work::Evaluate(work) => (Some((work.model.clone(), work.model_version)), (work.dataset.clone(), work.dataset_version)),
        _ => return None,
    };
    Some(Found { job, model, dataset })
}

/// Why nothing can be compared: each was measured on something else.
fn elsewhere(a: &[Found], b: &[Found]) -> Error {
    let named = |found: &[Found]| {
        let mut names: Vec<String> = found.iter().map(|one| format!("{}@{}", one.dataset.0, one.dataset.1)).collect();
        names.dedup();
        names.truncate(5);
        names.join(", ")
    };
    let message = format!("they were measured on different items: the first on {}, the second on {}", named(a), named(b));
    Error::invalid("different_items", message, "measure both on one version of a data set with `hub evaluate MODEL --dataset DATASET`")
}
