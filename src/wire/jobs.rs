//! Jobs, their events, logs and files.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::name::RepoKind;
use crate::domain::recipe::{Asked, Recipe};
use crate::domain::sweep::Sweep;
use crate::domain::trial::{TrialRun, standing};
use crate::domain::{job as domain, job_event};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFineTune {
    /// A model, `namespace/name` with an optional `@revision`; or `auto`: a job chooses it and then queues the fine-tune.
    pub base: String,
    /// With the base `auto`: let the best three race before one is chosen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub race: bool,
    /// A data set, `namespace/name` with an optional `@revision`.
    pub dataset: String,
    /// Where the result is published.
    pub name: String,
    #[serde(default)]
    pub private: bool,
    /// Keys left out take their defaults, which are other ones for texts than for images.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub recipe: Asked,
    /// Settings to try, of which the best is published: `{"settings": {"lr": [1e-4, 3e-4], "epochs": {"from": 5, "to": 20}},
    /// "samples": 8, "halving": true}`. Without `samples` every combination is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub sweep: Option<Sweep>,
}

/// The recipe of a published fine-tune, run again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayFineTune {
    /// What was published, `namespace/name@version`.
    pub model: String,
    /// Where what comes of it is published.
    pub name: String,
}

/// What a fine-tune is expected to cost, on the safe side.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Expected {
    /// More than one for a sweep.
    pub trials: u64,
    /// Jobs that train: with halving a trial that goes on is run again with more epochs.
    #[serde(default)]
    pub runs: u64,
    /// Optimiser steps of all trials.
    pub steps: u64,
    /// The most that one run takes.
    pub memory_bytes: u64,
    pub scratch_bytes: u64,
    /// If this machine were an old one, of all runs one after the other.
    pub seconds_at_most: f64,
    /// All of it in words.
    #[serde(default)]
    pub sentence: String,
}

/// The same job once more.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CloneJob {
    /// Where a fine-tune is to be published, if elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceJob {
    /// From -100 to 100; 0 is everybody's, more comes first. An administrator's is among all jobs, an owner's among their own.
    pub priority: i64,
}

/// The features of every item of a data set, as a job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEmbedding {
    /// A model, `namespace/name` with an optional `@revision`.
    pub model: String,
    /// A data set, `namespace/name` with an optional `@revision`.
    pub dataset: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: String,
    pub owner: String,
    /// The sweep that it is a trial of
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Of a sweep that is asked for by its id: the jobs of its trials
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Trial>,
    /// `fine-tune`, `embed` ...
    #[serde(default = "fine_tune")]
    pub kind: String,
    /// What a list calls it.
    #[serde(default)]
    pub title: String,
    /// `namespace/name@version` of the model it starts from or works with, if there is one
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// `namespace/name@version` of the data set, if there is one
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset: String,
    /// Where the result is published, if it is
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of a fine-tune
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub recipe: Option<Recipe>,
    /// All that was asked for, in the form of its kind
    #[serde(default)]
    pub asked: Value,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`
    pub state: String,
    pub attempt: u32,
    pub cancel_requested: bool,
    /// An administrator's, and its owner's among their own: more comes first
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub urgency: i64,
    /// Not started, or gone on with, until it is resumed
    #[serde(default)]
    pub paused: bool,
    pub step: u64,
    pub total_steps: u64,
    /// What it is doing, for people.
    pub stage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_version: Option<u32>,
    pub created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

/// A run of one of a sweep's trials, which is a job of its own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    pub job: String,
    /// From 1, in the order of the sweep.
    pub trial: u32,
    /// What it tries, for people: `epochs=5, lr=0.001`
    pub settings: String,
    /// Of a halving, from 1: each rung gives its trials more epochs.
    pub rung: u32,
    pub epochs: u32,
    pub state: String,
    /// What trials are compared by
    pub measure: String,
    /// On the validation items, once it has come to its end
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Of those that have ended
    #[serde(default)]
    pub best: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Job {
    /// With the runs of a sweep's trials.
    pub fn with_trials(job: domain::Job, runs: Vec<TrialRun>) -> Job {
        let measure = job.measure();
        let best = standing(&runs, measure.rises).first().map(|run| run.job.clone());
        let trial = |run: TrialRun| Trial {
            best: best.as_ref() == Some(&run.job),
            job: run.job.to_string(),
            trial: run.number,
            settings: run.settings,
            rung: run.rung + 1,
            epochs: run.epochs,
            state: run.state.to_string(),
            measure: measure.key.into(),
            reached: run.reached,
            loss: run.loss,
            error: run.error,
        };
        Job { children: runs.into_iter().map(trial).collect(), ..Job::from(job) }
    }
}

fn fine_tune() -> String {
    "fine-tune".into()
}

/// A file a job has left.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobFile {
    pub name: String,
    pub size_bytes: u64,
    pub sha256: String,
}

impl From<domain::JobFile> for JobFile {
    fn from(file: domain::JobFile) -> JobFile {
        JobFile { name: file.name, size_bytes: file.size_bytes, sha256: file.digest.to_hex() }
    }
}

/// One event of a job. As SSE: `id: <number>`, `event: <kind>`, `data: <this object>`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobEvent {
    pub number: u64,
    pub time: String,
    /// `state`, `progress`, `epoch`, `log` or `result`
    pub kind: String,
    /// `state`: {state, error?}; `progress`: {stage, step, total_steps, images_per_second, eta_seconds};
    /// `epoch`: {epoch, epochs, train_loss, val_loss, lr, images_per_second, seconds, eta_seconds, best} and the measures of
    /// the task (classification: train_top1, val_top1, val_top5, macro_f1; regression: train_rmse, val_rmse, val_mae, val_r2
    /// and `task`), shares from 0 to 1; `log`: {level, message}; `result`: {name?, version?, metrics, files?}.
    pub body: Value,
}

impl From<domain::Job> for Job {
    fn from(j: domain::Job) -> Job {
        let (kind, asked) = j.work.write();
        let first = |kind: RepoKind| {
            let input = j.work.inputs().into_iter().find(|input| input.kind == kind);
            input.map(|input| format!("{}@{}", input.id, input.version)).unwrap_or_default()
        };
        Job {
            id: j.id.to_string(),
            owner: j.owner_name,
            parent: j.parent.map(|parent| parent.to_string()),
            children: Vec::new(),
            kind,
            title: j.work.title(),
            base: first(RepoKind::Model),
            dataset: first(RepoKind::Dataset),
            name: j.work.publishes().map(ToString::to_string).unwrap_or_default(),
            recipe: j.work.fine_tune().map(|task| task.recipe.clone()),
            asked,
            state: j.state.to_string(),
            attempt: j.attempt,
            cancel_requested: j.cancel_requested,
            priority: j.priority,
            urgency: j.urgency,
            paused: j.paused,
            step: j.step,
            total_steps: j.total_steps,
            stage: j.stage,
            error: j.error,
            result_version: j.result_version,
            created: j.created.to_string(),
            started: j.started.map(|at| at.to_string()),
            finished: j.finished.map(|at| at.to_string()),
        }
    }
}

impl From<job_event::JobEvent> for JobEvent {
    fn from(e: job_event::JobEvent) -> JobEvent {
        JobEvent { number: e.number, time: e.time.to_string(), kind: e.event.kind().into(), body: e.event.body() }
    }
}

impl JobEvent {
    /// What happened.
    pub fn event(&self) -> job_event::Event {
        job_event::Event::read(&self.kind, self.body.clone())
    }
}
