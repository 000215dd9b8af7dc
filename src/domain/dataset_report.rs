//! What a check of a data set found out. Stored as JSON beside the version and shown on the data set's page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::annotation_facts::AnnotationFacts;
use super::copies::Copies;
use super::dataset_health::Health;
use super::modality::Modality;
use super::task::Task;

/// What items are called that are two texts.
pub const PAIRS: &str = "pair of texts";

/// The judge's findings. Only readable items are counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetReport {
    /// Of classes, sorted by name; `per_class` counts are in this order.
    pub classes: Vec<String>,
    /// The splits that have items, in the order train, val, test.
    pub splits: Vec<SplitCount>,
    #[serde(rename = "images")]
    pub samples: usize,
    /// All files after decompression.
    pub total_bytes: u64,
    /// By what is measured of an item: of images `width` and `height` in pixels, after the camera's rotation.
    pub sizes: BTreeMap<String, Spread>,
    /// How many images are `gray`, `gray+alpha`, `rgb`, `rgba` or `cmyk`.
    pub channels: BTreeMap<String, usize>,
    /// How many items are `jpeg`, `png`, ...
    pub formats: BTreeMap<String, usize>,
    /// How many texts are in which language, by a guess; those of which nothing tells are in none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub languages: BTreeMap<String, usize>,
    pub unreadable: Vec<Problem>,
    /// Pairs of equal files in different splits (the first 1,000): what was trained on must not be tested on.
    pub duplicates_across_splits: Vec<(String, String)>,
    /// Pairs of equal files in the same split (the first 1,000).
    pub duplicates_within_split: Vec<(String, String)>,
    /// How much is there more than once.
    #[serde(skip_serializing_if = "Copies::is_empty")]
    pub copies: Copies,
    /// How even it is, how its items spread, and which of them are odd.
    #[serde(skip_serializing_if = "Health::is_empty")]
    pub health: Health,
    /// Sentences for people: imbalance, classes without items, files left out.
    pub warnings: Vec<String>,
    /// A few small pictures of each class.
    pub previews: Vec<Preview>,
    /// What finds its items again in other data sets; kept apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prints: String,
    /// Names the content of the readable items, whatever they are packed in.
    pub digest: String,
    /// What its targets are for.
    #[serde(skip_serializing_if = "is_default")]
    pub task: Task,
    #[serde(skip_serializing_if = "is_default")]
    pub modality: Modality,
    /// What the card said of the files' layout when they were checked, by [`super::dataset_layout::Declared::key`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub declared: String,
    /// Of numbers: how they spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValueSpread>,
    /// Where several things are to be said about each item: what each of them is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<HeadFacts>,
    /// Where places of items are labelled: what is there of each class, and what was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<AnnotationFacts>,
    /// Items without a target that may be learned from too.
    #[serde(skip_serializing_if = "is_default")]
    pub unlabelled: usize,
}

/// One of several things that are to be said about each item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadFacts {
    pub name: String,
    pub task: Task,
    /// Of classes or labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Of how many items it is known.
    pub known: usize,
    /// Of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValueSpread>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitCount {
    /// `train`, `val` or `test`.
    pub name: String,
    #[serde(rename = "images")]
    pub samples: usize,
    /// Of classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    pub min: u32,
    pub median: u32,
    pub max: u32,
}

impl Spread {
    pub fn of(mut values: Vec<u32>) -> Spread {
        values.sort_unstable();
        match values.as_slice() {
            [] => Spread::default(),
            all => Spread { min: all[0], median: all[all.len() / 2], max: all[all.len() - 1] },
        }
    }
}

/// Numbers that are to be predicted, over all items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueSpread {
    pub min: f64,
    pub mean: f64,
    pub max: f64,
    /// The standard deviation.
    pub deviation: f64,
}

impl ValueSpread {
    pub fn of(values: &[f64]) -> ValueSpread {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let bound = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(0.0);
        ValueSpread { min: bound(f64::min), mean, max: bound(f64::max), deviation: variance.sqrt() }
    }
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub path: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The class, or the number.
    pub class: String,
    pub path: String,
    /// `image/png`, `image/jpeg` or `text/plain`.
    pub media_type: String,
    /// The small picture, or the beginning of the text, in standard base64.
    pub base64: String,
}

/// Whether a head can learn from a data set of these facts.
pub fn can_be_learned(facts: &super::repo::Facts) -> bool {
    DatasetReport::read(&facts.dataset_report).is_some_and(|report| report.can_be_learned())
}

impl DatasetReport {
    /// Reads what is stored; nothing for a version that was not checked.
    pub fn read(json: &str) -> Option<DatasetReport> {
        if json.is_empty() { None } else { serde_json::from_str(json).ok() }
    }

    /// The languages of its texts, the commonest first: `English (guess)`, or `English 61 %, German 39 % (guess)`. Those with less than a
    /// fiftieth are not told.
    pub fn language(&self) -> String {
        let total = self.languages.values().sum::<usize>() as f64;
        let mut told: Vec<(&String, f64)> = self.languages.iter().map(|(name, count)| (name, *count as f64 / total)).collect();
        told.sort_by(|a, b| b.1.total_cmp(&a.1));
        told.retain(|(_, share)| *share >= 0.02);
        match told.as_slice() {
            [] => String::new(),
            [(only, _)] => format!("{only} (guess)"),
            all => format!(
                "{} (guess)",
                all.iter().map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// What a person should know where its texts are in several languages.
    pub fn languages_sentence(&self) -> Option<String> {
        let language = self.language();
        language.contains(',').then(|| {
            format!(
                "its texts are in several languages: {language}; measure each by itself, or take a model that was trained on all of them"
            )
        })
    }

    /// What is trained for unless something else is asked: of pairs of texts with a score, how alike they are.
    pub fn usual_task(&self) -> Task {
        if self.formats.contains_key(PAIRS) { self.task.of_pairs() } else { self.task }
    }

    /// Numbers that a head gives for each item.
    pub fn outputs(&self) -> usize {
        let of_heads = self.heads.iter().map(|head| head.classes.len().max(1)).sum();
        self.classes.len().max(of_heads).max(1)
    }

    /// Whether a head can learn from it.
    pub fn can_be_learned(&self) -> bool {
        self.samples > 0 && self.classes.len() >= self.task.about().least_classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.1 wrote it.
    const BEFORE: &str = r#"{"classes":["cat","dog"],"splits":[{"name":"train","images":3,"per_class":[2,1]}],"images":3,"total_bytes":900,
        "sizes":{"width":{"min":8,"median":8,"max":9},"height":{"min":7,"median":7,"max":7}},"channels":{"rgb":3},"formats":{"png":3},
        "unreadable":[{"path":"x.png","reason":"it is empty"}],"duplicates_across_splits":[["a","b"]],"duplicates_within_split":[],
        "warnings":["w"],"previews":[],"digest":"00"}"#;

    #[test]
    fn a_report_of_before_is_read_and_written_as_it_was() {
        let report = DatasetReport::read(BEFORE).unwrap();
        assert_eq!((report.samples, report.sizes["width"].max, report.task), (3, 9, Task::Classification));
        assert!(report.can_be_learned());
        let before: serde_json::Value = serde_json::from_str(BEFORE).unwrap();
        assert_eq!(serde_json::json!(report), before);
        assert_eq!(DatasetReport::read("").map(|_| ()), None);
        assert!(!DatasetReport::read("{}").unwrap().can_be_learned());
    }

    #[test]
    fn languages_are_told_as_guesses() {
        let report = |of: &[(&str, usize)]| DatasetReport {
            languages: of.iter().map(|(name, count)| ((*name).into(), *count)).collect(),
            ..DatasetReport::default()
        };
        assert_eq!(report(&[("English", 990), ("Czech", 10)]).language(), "English (guess)");
        let two = report(&[("English", 390), ("German", 610)]);
        assert_eq!(two.language(), "German 61 %, English 39 % (guess)");
        assert!(two.languages_sentence().is_some() && report(&[("English", 1)]).languages_sentence().is_none());
        assert_eq!(report(&[]).language(), "");
    }

    #[test]
    fn values_spread() {
        let spread = ValueSpread::of(&[1.0, 2.0, 6.0]);
        assert_eq!((spread.min, spread.mean, spread.max), (1.0, 3.0, 6.0));
        assert!((spread.deviation - (14f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(ValueSpread::of(&[]), ValueSpread::default());
    }
}
