//! What workers elsewhere and the hub say to each other: claims, news, what a job reads, what it leaves; and the tokens of workers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::files::File;
use crate::domain::data_limits::DataLimits;
use crate::domain::time::Timestamp;
use crate::domain::user as domain;
use crate::domain::worker::Worker;

/// A claim: any job that is ready, the one that is named, or the one that follows one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerClaim {
    /// What this claim is made by: letters, digits, `-`, `_` and `.`. The same claim again gives the same job.
    pub worker: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The job that follows this one by itself: the fine-tune after a race of bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long to wait for one, at most 20.
    #[serde(default)]
    pub wait_seconds: u64,
    #[serde(default)]
    pub machine: Machine,
}

/// The machine a worker runs on; its job's log says so.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    pub cpus: u32,
    pub memory_bytes: u64,
    /// `cpu`, `cuda` ...
    pub device: String,
    /// Of the program.
    pub release: String,
}

/// A job and the lease on it, which every request about it names: `Hub-Lease: <number> <worker>`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerJob {
    pub job: String,
    pub lease: u64,
    pub attempt: u32,
    /// An opaque word for whose it is: what jobs of one owner leave each other is kept apart from others'.
    pub owner: String,
    pub kind: String,
    #[schema(value_type = Object)]
    pub spec: Value,
    /// What data sets may ask.
    #[schema(value_type = Object)]
    pub limits: DataLimits,
}

/// What a job reads. Bytes are at `inputs/{role}/files/{path}`, `given/{path}` and `checkpoint` below the job's address.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerMaterials {
    pub inputs: Vec<WorkerInput>,
    pub given: Vec<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<File>,
    #[schema(value_type = Object)]
    pub notes: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerInput {
    pub role: String,
    /// The work can be done without it.
    #[serde(default)]
    pub spare: bool,
    pub files: Vec<File>,
}

/// A sign of life, at least every 30 seconds, with what happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerBeat {
    /// At most 1,000.
    pub news: Vec<WorkerNews>,
}

/// Something that happened. Numbers rise within a lease; what was heard before is not written again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerNews {
    pub number: u64,
    /// log, progress or epoch
    pub kind: String,
    #[schema(value_type = Object)]
    pub body: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerHeard {
    /// `go_on`, `cancel` (its owner wants it to stop) or `pause` (give it back as it is)
    pub say: String,
}

/// A worker of this token that died, by the beginning of the names it claimed by (`<name>.`), and how.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerDeath {
    pub worker: String,
    #[serde(default)]
    pub out_of_memory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
}

/// What a job leaves. Every file was sent before, by `blobs` and `uploads` below the job's address.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerResult {
    /// What is to be published, of work that publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Vec<File>>,
    /// Why nothing is, of a result that is not worth it: the job ends as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What is kept with the job.
    #[serde(default)]
    pub kept: Vec<File>,
    #[schema(value_type = Object)]
    pub headline: Value,
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerEnded {
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// A job that this worker does not finish.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerEnd {
    /// `failed`, `cancelled` (as its owner asked), `retry` (another may finish it) or `released` (this worker ends)
    pub how: String,
    #[serde(default)]
    pub why: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkerToken {
    /// Which machine, or which cluster.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerToken {
    pub id: String,
    pub name: String,
    pub created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// A worker that was heard of within the hour.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KnownWorker {
    pub name: String,
    /// The machine it runs on.
    pub node: String,
    /// `idle`, `working`, or `silent`: not heard of for a minute
    pub state: String,
    /// The job in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The name of its token, of one that works over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// `cpu`, `cuda` ...
    pub device: String,
    /// Of the program.
    pub release: String,
    pub started: String,
    pub seen: String,
}

impl KnownWorker {
    pub fn of(worker: Worker, now: Timestamp) -> KnownWorker {
        KnownWorker {
            state: worker.state(now).to_owned(),
            name: worker.name,
            node: worker.node,
            job: worker.job,
            token: worker.token,
            cpus: worker.cpus,
            memory_bytes: worker.memory_bytes,
            device: worker.device,
            release: worker.release,
            started: worker.started.to_string(),
            seen: worker.seen.to_string(),
        }
    }
}

/// Shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedWorkerToken {
    pub token: WorkerToken,
    pub secret: String,
}

impl From<domain::WorkerToken> for WorkerToken {
    fn from(token: domain::WorkerToken) -> WorkerToken {
        let (expires, last_used) = (token.expires.map(|at| at.to_string()), token.last_used.map(|at| at.to_string()));
        WorkerToken { id: token.id.to_string(), name: token.name, created: token.created.to_string(), expires, last_used }
    }
}

/// What a dispatcher is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EngineQueue {
    pub jobs: Vec<EngineJob>,
}

/// A job that is ready, or lies with the engine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EngineJob {
    pub job: String,
    pub kind: String,
    pub state: String,
    /// A worker may start it now.
    pub ready: bool,
    /// The sweep it is a trial of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// 0: as many as are given.
    #[serde(default)]
    pub cpus: u32,
    /// Where they are known: by the estimate the job was admitted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// If the machine were an old one with one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<EngineHanded>,
    /// What becomes ready by itself once it has ended, and the other trials of its sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<EngineNext>,
}

/// The job that follows one: the fine-tune after a race of bases, the sweep that publishes the best of its trials.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EngineNext {
    /// Where it is there yet, and nobody has it: a worker claims the other one by `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// 0: as many as are given.
    #[serde(default)]
    pub cpus: u32,
    /// The most that it may need, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EngineHanded {
    /// What the engine calls it.
    pub number: String,
    /// submitted, lost or ended
    pub state: String,
    pub seconds_ago: u64,
    /// How often it was handed over.
    pub times: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineNote {
    pub engine: String,
    pub place: String,
    pub number: String,
    /// submitted, lost or ended
    pub state: String,
}
