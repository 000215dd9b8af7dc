//! Fine-tune jobs, their events and logs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::job as domain;
use crate::domain::recipe::Recipe;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFineTune {
    /// A model, `namespace/name` with an optional `@revision`.
    pub base: String,
    /// A data set, `namespace/name` with an optional `@revision`.
    pub dataset: String,
    /// Where the result is published.
    pub name: String,
    #[serde(default)]
    pub private: bool,
    /// Keys left out take their defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub recipe: Recipe,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: String,
    pub owner: String,
    /// `namespace/name@version`
    pub base: String,
    /// `namespace/name@version`
    pub dataset: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub recipe: Recipe,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`
    pub state: String,
    pub attempt: u32,
    pub cancel_requested: bool,
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

/// One event of a job. As SSE: `id: <number>`, `event: <kind>`, `data: <this object>`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobEvent {
    pub number: u64,
    pub time: String,
    /// `state`, `progress`, `epoch`, `log` or `result`
    pub kind: String,
    /// `state`: {state, error?}; `progress`: {stage, step, total_steps, images_per_second, eta_seconds};
    /// `epoch`: an `Epoch`; `log`: {level, message}; `result`: {name, version, metrics}.
    pub body: Value,
}

/// Numbers after one epoch. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    pub epochs: u32,
    pub train_loss: f64,
    pub train_top1: f64,
    pub val_loss: f64,
    pub val_top1: f64,
    pub val_top5: f64,
    pub macro_f1: f64,
    /// Learning rate of the head at the end of the epoch.
    pub lr: f64,
    pub images_per_second: f64,
    pub seconds: f64,
    pub eta_seconds: f64,
    /// The best validation top-1 so far.
    pub best: bool,
}

impl From<domain::Job> for Job {
    fn from(j: domain::Job) -> Job {
        let f = j.fine_tune;
        Job {
            id: j.id.to_string(),
            owner: j.owner_name,
            base: format!("{}@{}", f.base, f.base_version),
            dataset: format!("{}@{}", f.dataset, f.dataset_version),
            name: f.name.to_string(),
            recipe: f.recipe,
            state: j.state.to_string(),
            attempt: j.attempt,
            cancel_requested: j.cancel_requested,
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

impl From<domain::JobEvent> for JobEvent {
    fn from(e: domain::JobEvent) -> JobEvent {
        JobEvent { number: e.number, time: e.time.to_string(), kind: e.kind, body: serde_json::from_str(&e.body).unwrap_or(Value::Null) }
    }
}
