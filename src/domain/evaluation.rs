//! How good a model's answers are: the numbers over one set of items, and what a training reached. One record and one
//! JSON form, for `metrics.json`, events, pages and the command line.

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod more;

pub use more::{LabelScore, More};

use more::CURVES;

use super::copies::Leak;
use super::task::{Task, Unit};

/// Confusion matrices of more classes are written as a list of the pairs that happened.
const LARGEST_MATRIX: usize = 256;

/// Where no object is: of one that is not found the answer, of an answer where nothing is the truth.
const GROUND: &str = "nothing";

/// Numbers over one set of items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    pub task: Task,
    /// Items measured.
    pub samples: u64,
    /// The mean loss: of classes cross entropy in nats without label smoothing, of numbers the squared error in units of
    /// the targets' variance.
    pub loss: f64,
    /// One value per measure of the task, in its order. Shares are 0 to 1.
    pub values: Vec<f64>,
    /// Of classes, in the order of the model's outputs.
    pub per_class: Vec<ClassScore>,
    /// (true class, predicted class, items), sorted; pairs that never happened are left out.
    pub confusion: Vec<(u32, u32, u64)>,
    /// Further measures, intervals, and the numbers of each label, value or head.
    pub more: More,
}

/// Precision, recall and F1 (their harmonic mean) of one class; 0 where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    pub class: String,
    /// Items of this class.
    pub support: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl Evaluation {
    /// The measure that decides.
    pub fn primary(&self) -> f64 {
        self.values[0]
    }

    /// A measure by its key; NaN where the task has none of that name.
    pub fn get(&self, key: &str) -> f64 {
        let further = || self.more.measures.get(key).copied().unwrap_or(f64::NAN);
        self.task.measure(key).map_or_else(further, |at| self.values[at])
    }

    /// What the rows and columns of [`Self::confusion_matrix`] stand for: the classes, and of objects what is none of them.
    pub fn confused(&self) -> Vec<&str> {
        let ground = self.confusion.iter().any(|(truth, answer, _)| (*truth).max(*answer) as usize == self.per_class.len());
        self.per_class.iter().map(|score| score.class.as_str()).chain(ground.then_some(GROUND)).collect()
    }

    /// Rows are the true classes, columns the predicted ones.
    pub fn confusion_matrix(&self) -> Vec<Vec<u64>> {
        let classes = self.confused().len();
        let mut matrix = vec![vec![0; classes]; classes];
        for &(truth, predicted, count) in &self.confusion {
            if let Some(cell) = matrix.get_mut(truth as usize).and_then(|row| row.get_mut(predicted as usize)) {
                *cell = count;
            }
        }
        matrix
    }

    /// Where the first measure lies in 95 of 100 such measurements. Of a share it is Wilson's interval (1927), which holds for few
    /// items and near 0 and 1, where a standard error says nothing; of others what drawing the items anew gave, if that was done.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let primary = self.task.primary();
        let share = self.samples > 0 && primary.unit == Unit::Share;
        if share { Some(wilson(self.primary(), self.samples)) } else { self.more.intervals.get(primary.key).copied() }
    }

    /// Its numbers without those of single classes.
    fn head(&self) -> Map<String, Value> {
        let mut object = Map::from_iter([("images".to_owned(), json!(self.samples)), ("loss".to_owned(), json!(self.loss))]);
        object.extend(self.task.measures().iter().zip(&self.values).map(|(measure, value)| (measure.key.to_owned(), json!(value))));
        if let Some((low, high)) = self.interval() {
            object.insert("interval_95".to_owned(), json!([low, high]));
        }
        self.more.write(&mut object);
        if self.task != Task::default() {
            object.insert("task".into(), json!(self.task));
        }
        object
    }
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = self.head();
        if !self.per_class.is_empty() {
            object.insert("per_class".into(), json!(self.per_class));
        }
        if !self.confusion.is_empty() {
            let whole = self.per_class.len() <= LARGEST_MATRIX;
            object.insert("confusion".into(), if whole { json!(self.confusion_matrix()) } else { json!(self.confusion) });
        }
        if !self.more.curves.is_empty() {
            object.insert(CURVES.into(), json!(self.more.curves));
        }
        object.serialize(serializer)
    }
}

/// Of a share over so many items.
fn wilson(share: f64, count: u64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let (n, z2) = (count as f64, Z * Z);
    let middle = share + z2 / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let bound = |value: f64| (value / (1.0 + z2 / n)).clamp(0.0, 1.0);
    (bound(middle - reach), bound(middle + reach))
}

/// What is read back; `confusion` is a matrix or, of many classes, a list of (true, predicted, items).
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    task: Task,
    images: u64,
    loss: f64,
    #[serde(default)]
    per_class: Vec<ClassScore>,
    #[serde(default)]
    confusion: Vec<Vec<u64>>,
    #[serde(flatten)]
    measures: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Evaluation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Evaluation, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let confusion = if stored.per_class.len() <= LARGEST_MATRIX { pairs(&stored.confusion) } else { triples(&stored.confusion) };
        Ok(Evaluation {
            task: stored.task,
            more: More::read(stored.task, &stored.measures),
            samples: stored.images,
            loss: stored.loss,
            values: values(stored.task, |measure| measure.key, &stored.measures).map_err(D::Error::custom)?,
            per_class: stored.per_class,
            confusion,
        })
    }
}

/// The task's measures out of a JSON object, each under the key that `name` gives it.
pub(super) fn values(task: Task, name: impl Fn(&super::task::Measure) -> &str, found: &Map<String, Value>) -> Result<Vec<f64>, String> {
    let number = |measure: &super::task::Measure| match found.get(name(measure)) {
        // JSON has no number for what there was nothing to measure by.
        Some(Value::Null) => Ok(f64::NAN),
        value => value.and_then(Value::as_f64).ok_or_else(|| format!("the numbers of a {task} lack `{}`", name(measure))),
    };
    task.measures().iter().map(number).collect()
}

fn pairs(matrix: &[Vec<u64>]) -> Vec<(u32, u32, u64)> {
    let row = |(truth, row): (usize, &Vec<u64>)| {
        let seen: Vec<_> =
            row.iter().enumerate().filter(|(_, count)| **count > 0).map(|(p, count)| (truth as u32, p as u32, *count)).collect();
        seen
    };
    matrix.iter().enumerate().flat_map(row).collect()
}

fn triples(list: &[Vec<u64>]) -> Vec<(u32, u32, u64)> {
    let triple = |row: &Vec<u64>| match row.as_slice() {
        [truth, predicted, count] => Some((u32::try_from(*truth).ok()?, u32::try_from(*predicted).ok()?, *count)),
        _ => None,
    };
    list.iter().filter_map(triple).collect()
}

/// Where the validation numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The data set's own `val` split.
    #[default]
    ValSplit,
    /// A share of `train`, held out class by class.
    HeldOut,
    /// The training items themselves: there were too few to hold any out. The numbers flatter, and no epoch was
    /// chosen by them.
    Training,
}

/// Why training ended. (A cancelled or diverged run has no outcome.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// After the last epoch of the recipe.
    #[default]
    Finished,
    /// Validation had not improved for as many epochs as the recipe's patience.
    Early,
}

/// What a training reached. Its JSON is the head of `metrics.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// From 1.
    pub best_epoch: u32,
    pub stopped: Stopped,
    /// Spent on training, over all attempts.
    pub seconds: f64,
    /// What always giving the same answer would reach on the validation items, by the task's first measure.
    pub baseline: f64,
    pub validated_on: Held,
    /// Of the published weights.
    pub validation: Evaluation,
    /// On the data set's `test` split, if it has one; looked at once, at the end.
    pub test: Option<Evaluation>,
    /// What of the items measured on is also in the training items, or in those that chose the epoch.
    pub leaks: Vec<Leak>,
}

impl Outcome {
    pub fn task(&self) -> Task {
        self.validation.task
    }

    /// The split with the honest numbers and the numbers: on a test split nothing was chosen by them.
    pub fn measured(&self) -> (&'static str, &Evaluation) {
        self.test.as_ref().map_or(("validation", &self.validation), |test| ("test", test))
    }

    /// The numbers people ask for first.
    pub fn headline(&self) -> Value {
        let (split, measured) = self.measured();
        let mut object = Map::from_iter([("split".to_owned(), json!(split))]);
        object.extend(measured.head());
        object.insert(self.task().about().baseline.0.into(), json!(self.baseline));
        if !self.leaks.is_empty() {
            object.insert("leaks".into(), json!(self.leaks));
        }
        object.extend([("best_epoch".to_owned(), json!(self.best_epoch)), ("stopped".to_owned(), json!(self.stopped))]);
        object.insert("seconds".into(), json!(self.seconds));
        Value::Object(object)
    }

    /// Reads what `metrics.json` says of it; nothing where the file is not ours.
    pub fn read(metrics: &[u8]) -> Option<Outcome> {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(default)]
            best_epoch: u32,
            #[serde(default)]
            stopped: Stopped,
            #[serde(default)]
            seconds: f64,
            #[serde(default)]
            validated_on: Held,
            validation: Evaluation,
            #[serde(default)]
            test: Option<Evaluation>,
            #[serde(default)]
            leaks: Vec<Leak>,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        let Stored { best_epoch, stopped, seconds, validated_on, validation, test, leaks, rest } = serde_json::from_slice(metrics).ok()?;
        let baseline = rest.get(validation.task.about().baseline.0).and_then(Value::as_f64).unwrap_or(0.0);
        Some(Outcome { best_epoch, stopped, seconds, baseline, validated_on, validation, test, leaks })
    }
}

/// What a headline says first: `top-1 96.67 % (88.64 % to 99.08 %, 95 % interval) on 60 items of validation`.
pub fn headline_sentence(headline: &Value) -> Option<String> {
    let task = headline.get("task").map_or(Some(Task::default()), |task| Task::deserialize(task).ok())?;
    let measured = |value: &Value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
    let (primary, number) = (task.primary(), |key: &str| headline.get(key).and_then(measured));
    let bounds = headline.get("interval_95").and_then(|pair| Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?)));
    let interval = bounds.map(|(low, high)| format!(" ({} to {}, 95 % interval)", primary.show(low, 3), primary.show(high, 3)));
    let (value, split) = (primary.show(number(primary.key)?, 3), headline.get("split")?.as_str()?);
    Some(format!("{} {value}{} on {} items of {split}", primary.title, interval.unwrap_or_default(), number("images")?))
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
