//! Fine-tune jobs, their events and logs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::recipe::Recipe;
use crate::domain::{job as domain, job_event};

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
    /// `epoch`: {epoch, epochs, train_loss, val_loss, lr, images_per_second, seconds, eta_seconds, best} and the measures of
    /// the task (classification: train_top1, val_top1, val_top5, macro_f1; regression: train_rmse, val_rmse, val_mae, val_r2
    /// and `task`), shares from 0 to 1; `log`: {level, message}; `result`: {name, version, metrics}.
    pub body: Value,
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
