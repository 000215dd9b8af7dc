//! What an evaluation says beside its task's measures: further ones, how sure they are, and the numbers of each label, number or head.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::task::{Measure, Task};
use super::Evaluation;

/// Empty where nothing of it was measured, as in the evaluation of an epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct More {
    /// [`super::super::task::About::further`] measures by their keys.
    pub measures: BTreeMap<String, f64>,
    /// Where a measure lies in 95 of 100 such measurements, by its key: of shares Wilson's, else by drawing the items anew.
    pub intervals: BTreeMap<String, (f64, f64)>,
    /// Of labels, in the order of the model's outputs.
    pub labels: Vec<LabelScore>,
    /// Of classes of objects, in the order of the model's outputs: the precision at each of 101 recalls from 0 to 1, where boxes count as right
    /// that share half of their union with a true one; none of a class that is not there.
    pub curves: Vec<Vec<f64>>,
    /// The numbers of each value, or of each head, under its name.
    pub parts: Vec<(String, Evaluation)>,
}

/// One label by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelScore {
    /// From which probability on it counts as there.
    pub threshold: f64,
    /// The mean precision over the steps of recall; 0 where no item has the label.
    pub average_precision: f64,
    /// Of objects in boxes: the same where a box need share no more than half of its union with a true one to be right.
    pub average_precision_50: Option<f64>,
}

const INTERVALS: &str = "intervals_95";
const LABELS: &str = "labels";
pub(super) const CURVES: &str = "precision_by_recall";
const PARTS: &str = "parts";

impl More {
    /// Adds its keys to an evaluation's JSON.
    pub(super) fn write(&self, object: &mut Map<String, Value>) {
        object.extend(self.measures.iter().map(|(key, value)| (key.clone(), json!(value))));
        if !self.intervals.is_empty() {
            let pairs: Map<String, Value> = self.intervals.iter().map(|(key, (low, high))| (key.clone(), json!([low, high]))).collect();
            object.insert(INTERVALS.into(), Value::Object(pairs));
        }
        if !self.labels.is_empty() {
            let label = |score: &LabelScore| {
                let mut label = json!({"threshold": score.threshold, "average_precision": score.average_precision});
                if let Some(value) = score.average_precision_50 {
                    label["average_precision_50"] = json!(value);
                }
                label
            };
            object.insert(LABELS.into(), self.labels.iter().map(label).collect());
        }
        if !self.parts.is_empty() {
            let part = |(name, evaluation): &(String, Evaluation)| {
                let mut part = json!(evaluation);
                part["name"] = json!(name);
                part
            };
            object.insert(PARTS.into(), self.parts.iter().map(part).collect());
        }
    }

    /// Reads what of it there is.
    pub(super) fn read(task: Task, object: &Map<String, Value>) -> More {
        let number = |value: Option<&Value>| value.and_then(Value::as_f64);
        let further = |measure: &Measure| Some((measure.key.to_owned(), number(object.get(measure.key))?));
        let pair = |(key, pair): (&String, &Value)| Some((key.clone(), (number(pair.get(0))?, number(pair.get(1))?)));
        let label = |value: &Value| {
            Some(LabelScore {
                threshold: number(value.get("threshold"))?,
                average_precision: number(value.get("average_precision"))?,
                average_precision_50: number(value.get("average_precision_50")),
            })
        };
        let part = |value: &Value| {
            let name = value.get("name")?.as_str()?.to_owned();
            Some((name, serde_json::from_value(value.clone()).ok()?))
        };
        let list = |key: &str| object.get(key).and_then(Value::as_array).into_iter().flatten();
        let intervals = object.get(INTERVALS).and_then(Value::as_object).into_iter().flatten();
        More {
            measures: task.about().further.iter().filter_map(further).collect(),
            intervals: intervals.filter_map(pair).collect(),
            labels: list(LABELS).filter_map(label).collect(),
            curves: list(CURVES).map(|curve| curve.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()).collect(),
            parts: list(PARTS).filter_map(part).collect(),
        }
    }
}
