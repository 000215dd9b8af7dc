//! What happens in a job, as it is stored, sent and shown: one record, one JSON form.
//!
//! ```text
//! state     {state, error?}
//! progress  {stage, step, total_steps, images_per_second, eta_seconds}
//! epoch     {epoch, epochs, train_loss, train_<primary>, val_loss, val_<measure> ..., lr, images_per_second, seconds,
//!            eta_seconds, best, task?}
//! log       {level, message}
//! result    {name?, version?, metrics, files?}
//! ```

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::evaluation::values;
use super::job::JobState;
use super::task::Task;
use super::time::Timestamp;

/// Something that happened in a job, numbered from 1 within it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    pub number: u64,
    pub time: Timestamp,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    State {
        state: JobState,
        error: Option<String>,
    },
    Progress(Progress),
    Epoch(EpochNumbers),
    Log {
        level: Level,
        message: String,
    },
    /// The numbers people ask for first ([`super::evaluation::Outcome::headline`]), what was published, and the files left.
    Result {
        published: Option<(String, u32)>,
        metrics: Value,
        files: Vec<String>,
    },
    /// What another release wrote: passed on as it is.
    Other {
        kind: String,
        body: Value,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warn,
}
super::user::words!(Level, Info = "info", Warn = "warn");

/// How far a job is. `step` counts batches over the whole run: those of the feature pass and of all epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What a person reads: `caching features`, `epoch 3 of 10`.
    pub stage: String,
    pub step: u64,
    pub total_steps: u64,
    #[serde(rename = "images_per_second")]
    pub samples_per_second: f64,
    pub eta_seconds: f64,
}

/// Numbers after one epoch. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochNumbers {
    pub task: Task,
    /// From 1.
    pub epoch: u32,
    pub epochs: u32,
    /// As it was minimised, measured while the weights moved.
    pub train_loss: f64,
    /// By the task's first measure, likewise.
    pub train_primary: f64,
    pub val_loss: f64,
    /// One value per measure of the task, in its order.
    pub val: Vec<f64>,
    /// Learning rate of the head at the end of the epoch.
    pub lr: f64,
    /// Items (head only: cached views) trained on, per second.
    pub samples_per_second: f64,
    pub seconds: f64,
    pub eta_seconds: f64,
    /// The best by validation so far.
    pub best: bool,
}

impl EpochNumbers {
    /// The measure that decides, on the validation items.
    pub fn val_primary(&self) -> f64 {
        self.val[0]
    }
}

fn train_key(task: Task) -> String {
    format!("train_{}", task.primary().key)
}

impl Serialize for EpochNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        put("epoch", json!(self.epoch));
        put("epochs", json!(self.epochs));
        put("train_loss", json!(self.train_loss));
        put(&train_key(self.task), json!(self.train_primary));
        put("val_loss", json!(self.val_loss));
        for (measure, value) in self.task.measures().iter().zip(&self.val) {
            put(measure.epoch_key, json!(value));
        }
        put("lr", json!(self.lr));
        put("images_per_second", json!(self.samples_per_second));
        put("seconds", json!(self.seconds));
        put("eta_seconds", json!(self.eta_seconds));
        put("best", json!(self.best));
        if self.task != Task::default() {
            put("task", json!(self.task));
        }
        object.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct StoredEpoch {
    #[serde(default)]
    task: Task,
    epoch: u32,
    epochs: u32,
    train_loss: f64,
    val_loss: f64,
    lr: f64,
    images_per_second: f64,
    seconds: f64,
    eta_seconds: f64,
    best: bool,
    #[serde(flatten)]
    measures: Map<String, Value>,
}

impl<'de> Deserialize<'de> for EpochNumbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EpochNumbers, D::Error> {
        let stored = StoredEpoch::deserialize(deserializer)?;
        let measured = |value: &Value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
        let train = stored.measures.get(&train_key(stored.task)).and_then(measured);
        Ok(EpochNumbers {
            task: stored.task,
            epoch: stored.epoch,
            epochs: stored.epochs,
            train_loss: stored.train_loss,
            train_primary: train.ok_or_else(|| D::Error::missing_field("train_<measure>"))?,
            val_loss: stored.val_loss,
            val: values(stored.task, |measure| measure.epoch_key, &stored.measures).map_err(D::Error::custom)?,
            lr: stored.lr,
            samples_per_second: stored.images_per_second,
            seconds: stored.seconds,
            eta_seconds: stored.eta_seconds,
            best: stored.best,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StateBody {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct LogBody {
    level: Level,
    message: String,
}

#[derive(Serialize, Deserialize)]
struct ResultBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    metrics: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

impl Event {
    pub fn log(level: Level, message: impl Into<String>) -> Event {
        Event::Log { level, message: message.into() }
    }

    /// `state`, `progress`, `epoch`, `log`, `result`, or another release's word.
    pub fn kind(&self) -> &str {
        match self {
            Event::State { .. } => "state",
            Event::Progress(_) => "progress",
            Event::Epoch(_) => "epoch",
            Event::Log { .. } => "log",
            Event::Result { .. } => "result",
            Event::Other { kind, .. } => kind,
        }
    }

    pub fn body(&self) -> Value {
        match self {
            Event::State { state, error } => json!(StateBody { state: state.to_string(), error: error.clone() }),
            Event::Progress(progress) => json!(progress),
            Event::Epoch(numbers) => json!(numbers),
            Event::Log { level, message } => json!(LogBody { level: *level, message: message.clone() }),
            Event::Result { published, metrics, files } => {
                let (name, version) = published.clone().unzip();
                json!(ResultBody { name, version, metrics: metrics.clone(), files: files.clone() })
            }
            Event::Other { body, .. } => body.clone(),
        }
    }

    /// What a worker or a training may tell of itself: lines, progress and epochs, with texts of bounded length. `None` for all else.
    pub fn told(kind: &str, body: Value) -> Option<Event> {
        match Event::read(kind, body) {
            Event::Log { level, message } => Some(Event::Log { level, message: short(&message) }),
            Event::Progress(mut progress) => {
                progress.stage = short(&progress.stage);
                Some(Event::Progress(progress))
            }
            Event::Epoch(numbers) => Some(Event::Epoch(numbers)),
            Event::State { .. } | Event::Result { .. } | Event::Other { .. } => None,
        }
    }

    /// From its kind and body. What does not read as the kind says is kept as it is.
    pub fn read(kind: &str, body: Value) -> Event {
        fn of<T: for<'de> Deserialize<'de>>(body: &Value) -> Option<T> {
            T::deserialize(body).ok()
        }
        let known = match kind {
            "state" => of(&body).and_then(|StateBody { state, error }| Some(Event::State { state: JobState::parse(&state)?, error })),
            "progress" => of(&body).map(Event::Progress),
            "epoch" => of(&body).map(Event::Epoch),
            "log" => of(&body).map(|LogBody { level, message }| Event::Log { level, message }),
            "result" => {
                of(&body).map(|ResultBody { name, version, metrics, files }| Event::Result { published: name.zip(version), metrics, files })
            }
            _ => None,
        };
        known.unwrap_or_else(|| Event::Other { kind: kind.to_owned(), body })
    }
}

/// The longest text of an event that is told from outside.
pub const LONGEST_MESSAGE: usize = 4_000;

/// A sentence of bounded length, without what a terminal would obey.
pub fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(kind: &str, body: Value) -> Event {
        let event = Event::read(kind, body.clone());
        assert_eq!((event.kind(), event.body()), (kind, body), "what is read is written again as it was");
        event
    }

    #[test]
    fn events_that_earlier_releases_stored_are_read() {
        let epoch = json!({
            "epoch": 2, "epochs": 10, "train_loss": 0.5, "train_top1": 0.75, "val_loss": 0.25, "val_top1": 0.9, "val_top5": 1.0,
            "macro_f1": 0.8, "lr": 0.01, "images_per_second": 120.5, "seconds": 1.5, "eta_seconds": 12.0, "best": true,
        });
        let Event::Epoch(numbers) = back("epoch", epoch) else { panic!("no epoch") };
        assert_eq!((numbers.task, numbers.train_primary, numbers.val_primary()), (Task::Classification, 0.75, 0.9));
        assert_eq!(numbers.val, [0.9, 1.0, 0.8]);
        let progress = json!({"stage": "epoch 1 of 2", "step": 3, "total_steps": 9, "images_per_second": 4.0, "eta_seconds": 5.5});
        assert!(matches!(back("progress", progress), Event::Progress(progress) if progress.step == 3));
        let failed = json!({"state": "failed", "error": "no room"});
        assert_eq!(back("state", failed), Event::State { state: JobState::Failed, error: Some("no room".into()) });
        assert!(matches!(back("state", json!({"state": "queued"})), Event::State { error: None, .. }));
        assert_eq!(back("log", json!({"level": "warn", "message": "m"})), Event::log(Level::Warn, "m"));
        let result = json!({"name": "ada/net", "version": 3, "metrics": {"top1": 0.5}});
        assert!(matches!(back("result", result), Event::Result { published: Some((_, 3)), .. }));
        let files = json!({"metrics": {}, "files": ["features.npy"]});
        assert!(matches!(back("result", files), Event::Result { published: None, .. }));
    }

    #[test]
    fn what_is_not_understood_is_passed_on() {
        assert!(matches!(back("sweep", json!({"trial": 1})), Event::Other { .. }));
        assert!(matches!(back("epoch", json!({"epoch": 1})), Event::Other { .. }), "numbers of a task that is not known here");
        assert!(matches!(back("log", json!(null)), Event::Other { .. }));
    }

    #[test]
    fn an_epoch_of_numbers_names_its_measures() {
        let numbers = EpochNumbers {
            task: Task::Regression,
            epoch: 1,
            epochs: 2,
            train_loss: 0.5,
            train_primary: 3.0,
            val_loss: 0.75,
            val: vec![2.5, 2.0, 0.875],
            lr: 0.01,
            samples_per_second: 10.0,
            seconds: 1.0,
            eta_seconds: 1.0,
            best: false,
        };
        let body = json!(numbers);
        let named = ["train_rmse", "val_rmse", "val_mae", "val_r2"].map(|key| body[key].as_f64());
        assert_eq!(named, [3.0, 2.5, 2.0, 0.875].map(Some), "{body}");
        assert_eq!(back("epoch", body), Event::Epoch(numbers));
    }
}
