//! What a hub measured itself: how good a version of a model is on a version of a data set. It is signed as it stands, in the compact
//! form of JSON Web Signatures (RFC 7515), so that anybody with the hub's public key can tell that it has said so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::evaluation::Evaluation;
use super::task::Task;

/// Labels named in a statement; the rest is only counted.
const MOST_LABELS: usize = 100;
/// Of a label's name.
const LONGEST_LABEL: usize = 200;

/// What was found, as the process that measured tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub split: String,
    pub task: Task,
    /// Items measured.
    pub items: u64,
    /// By the names of the task's measures; shares are 0 to 1.
    pub measures: BTreeMap<String, f64>,
    /// Of the first measure, where it is a share: 95 of 100 such measurements lie within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_95: Option<(f64, f64)>,
    /// Items with labels that the head does not know, by label; they were left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown_labels: BTreeMap<String, u64>,
    /// All of those items.
    #[serde(default)]
    pub left_out: u64,
    /// Items that could not be read.
    #[serde(default)]
    pub unreadable: u64,
    /// sha256 over the sorted lines `split TAB target TAB sha256-of-bytes` of all items of the split.
    pub data_sha256: String,
}

/// The statement: who measured what, when, and what came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// `namespace/name` and version number, with the commit they stand for.
    pub model: String,
    pub model_version: u32,
    pub model_commit: String,
    pub dataset: String,
    pub dataset_version: u32,
    pub dataset_commit: String,
    /// The data set of examples whose classes were answered, `namespace/name@version`; without it the model's own head did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
    /// The text with `{}` in which the names of the data set's classes were read, by which alone they were answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    #[serde(flatten)]
    pub findings: Findings,
    /// Whose job it was; the hub ran it.
    pub asked_by: String,
    pub job: String,
    pub measured_at: String,
    /// The program's version.
    pub hub: String,
}

impl Measurement {
    /// Whether the model's own head was measured.
    pub fn by_its_head(&self) -> bool {
        self.support.is_none() && self.names.is_none()
    }
}

impl Findings {
    pub fn of(split: &str, evaluation: &Evaluation, unknown: &BTreeMap<String, u64>, unreadable: usize, digest: &str) -> Findings {
        let measures = evaluation.task.measures().iter().zip(&evaluation.values);
        let label = |(label, count): (&String, &u64)| (label.chars().take(LONGEST_LABEL).collect::<String>(), *count);
        Findings {
            split: split.into(),
            task: evaluation.task,
            items: evaluation.samples,
            measures: measures.filter(|(_, value)| value.is_finite()).map(|(measure, value)| (measure.key.to_owned(), *value)).collect(),
            interval_95: evaluation.interval(),
            unknown_labels: unknown.iter().take(MOST_LABELS).map(label).collect(),
            left_out: unknown.values().sum(),
            unreadable: unreadable as u64,
            data_sha256: digest.into(),
        }
    }

    /// What a process said that has read other people's files: is it what such a process may say?
    pub fn is_sound(&self) -> bool {
        let is_hex = self.data_sha256.len() == 64 && self.data_sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = self.measures.keys().all(|key| self.task.measure(key).is_some());
        let labels =
            self.unknown_labels.len() <= MOST_LABELS && self.unknown_labels.keys().all(|label| label.chars().count() <= LONGEST_LABEL);
        let split = ["train", "val", "test"].contains(&self.split.as_str());
        is_hex && known && labels && split && self.primary().is_some()
    }

    /// The measure that decides.
    pub fn primary(&self) -> Option<f64> {
        self.measures.get(self.task.primary().key).copied().filter(|value| value.is_finite())
    }

    /// Whether every item of the split was measured.
    pub fn is_whole(&self) -> bool {
        self.left_out == 0
    }

    /// `top-1 96.67 % (88.64 % to 99.08 %) on 60 items of test`.
    pub fn sentence(&self) -> String {
        let measure = self.task.primary();
        let value = self.primary().map_or("nothing".into(), |value| measure.show(value, 3));
        let interval = self.interval_95.map(|(low, high)| format!(" ({} to {})", measure.show(low, 3), measure.show(high, 3)));
        format!("{} {value}{} on {} items of {}{}", measure.title, interval.unwrap_or_default(), self.items, self.split, self.caveat())
    }

    /// What was left out, if anything was: `; 12 items were left out, whose labels the head does not know`.
    pub fn caveat(&self) -> String {
        let mut said = String::new();
        if self.left_out > 0 {
            let labels: Vec<&str> = self.unknown_labels.keys().take(3).map(String::as_str).collect();
            said = format!("; {} items were left out, whose labels the head does not know ({})", self.left_out, labels.join(", "));
        }
        if self.unreadable > 0 {
            said += &format!("; {} items cannot be read", self.unreadable);
        }
        said
    }
}

impl Measurement {
    /// Whether it goes before another on a leaderboard: what was measured on `test` before what was measured elsewhere, on all
    /// items before on some, then by the first measure.
    pub fn ranks_before(&self, other: &Measurement) -> std::cmp::Ordering {
        let place = |split: &str| ["test", "val", "train"].iter().position(|known| *known == split);
        let merit = |findings: &Findings| {
            let value = findings.primary().unwrap_or(f64::NAN);
            if findings.task.primary().rises { -value } else { value }
        };
        let (a, b) = (&self.findings, &other.findings);
        let order = place(&a.split).cmp(&place(&b.split)).then(b.is_whole().cmp(&a.is_whole()));
        order.then(merit(a).total_cmp(&merit(b))).then(self.measured_at.cmp(&other.measured_at))
    }

    /// The payload of its signed form.
    ///
    /// # Errors
    /// It is no statement of this kind.
    pub fn of_signed(signed: &str) -> Result<Measurement, String> {
        use base64::Engine as _;
        let payload = signed.split('.').nth(1).ok_or("it has no payload")?;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    }

    /// As JSON that is signed.
    pub fn payload(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(payload)) => payload,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(split: &str, top1: f64, left_out: u64) -> Measurement {
        let measures = BTreeMap::from([("top1".to_owned(), top1)]);
        let findings = Findings {
            split: split.into(),
            task: Task::default(),
            items: 10,
            measures,
            interval_95: Some((0.4, 0.8)),
            unknown_labels: BTreeMap::from([("newt".to_owned(), left_out)]).into_iter().filter(|(_, n)| *n > 0).collect(),
            left_out,
            unreadable: 0,
            data_sha256: "ab".repeat(32),
        };
        Measurement {
            model: "ada/net".into(),
            model_version: 2,
            model_commit: "c".repeat(40),
            dataset: "ada/cats".into(),
            dataset_version: 1,
            dataset_commit: "d".repeat(40),
            findings,
            support: None,
            names: None,
            asked_by: "ada".into(),
            job: "j".into(),
            measured_at: "2026-01-01T00:00:00Z".into(),
            hub: "0.1.0".into(),
        }
    }

    #[test]
    fn whole_measurements_on_test_come_first_then_the_better() {
        let mut all = [measurement("val", 0.99, 0), measurement("test", 0.9, 3), measurement("test", 0.5, 0), measurement("test", 0.6, 0)];
        all.sort_by(Measurement::ranks_before);
        let order: Vec<_> = all.iter().map(|m| (m.findings.split.as_str(), m.findings.primary().unwrap(), m.findings.left_out)).collect();
        assert_eq!(order, [("test", 0.6, 0), ("test", 0.5, 0), ("test", 0.9, 3), ("val", 0.99, 0)]);
    }

    #[test]
    fn what_was_left_out_is_said_and_nonsense_is_unsound() {
        let partial = measurement("test", 0.5, 3).findings;
        assert_eq!(
            partial.sentence(),
            "top-1 50.00 % (40.00 % to 80.00 %) on 10 items of test; 3 items were left out, whose labels the head does not know (newt)"
        );
        assert!(partial.is_sound());
        let wrong = |change: fn(&mut Findings)| {
            let mut findings = partial.clone();
            change(&mut findings);
            !findings.is_sound()
        };
        assert!(wrong(|f| f.data_sha256 = "zz".repeat(32)) && wrong(|f| f.split = "holdout".into()));
        assert!(wrong(|f| f.measures.clear()) && wrong(|f| f.measures.extend([("fame".into(), 1.0)])));
        assert!(wrong(|f| f.unknown_labels.extend([("x".repeat(300), 1)])));
    }
}
