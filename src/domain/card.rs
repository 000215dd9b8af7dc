//! A card: the README.md of a repo, YAML front matter in the Hugging Face vocabulary and Markdown below.
//!
//! People write cards by hand and tools write them in many dialects, so reading (`reading`) never refuses a card: what
//! cannot be read stays as it is, and is named.

mod reading;
mod yaml;

use serde_json::{Map, Value, json};

pub use reading::CardProblem;

/// As many bytes of a README.md as are read.
pub const MAX_CARD_BYTES: usize = 512 * 1024;
/// Between several licences in one text.
const LICENSES_APART: &str = ", ";

/// What a card says. What it does not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// SPDX-like identifier in lower case, such as `apache-2.0`, or `other`; several are set apart by `, `.
    pub license: Option<String>,
    pub license_name: Option<String>,
    pub license_link: Option<String>,
    pub language: Vec<String>,
    pub tags: Vec<String>,
    /// Source data sets, as written: `imagenet-1k` or `namespace/name`.
    pub datasets: Vec<String>,
    /// Models this one was made from, as written.
    pub base_model: Vec<String>,
    /// `finetune`, `adapter`, `quantized` or `merge`.
    pub base_model_relation: Option<String>,
    pub pipeline_tag: Option<String>,
    pub library_name: Option<String>,
    pub pretty_name: Option<String>,
    /// The `model-index`, flattened.
    pub metrics: Vec<Metric>,
    // Facts of a data set.
    pub task_categories: Vec<String>,
    pub size_categories: Vec<String>,
    pub homepage: Option<String>,
    /// How many samples the data set has.
    pub samples: Option<u64>,
    /// How many classes they fall into.
    pub classes: Option<u64>,
    /// Keys we do not read, kept so that writing the card back loses nothing.
    pub extra: Map<String, Value>,
    /// The Markdown below the front matter.
    pub body: String,
}

/// One measured result from a `model-index`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metric {
    /// The name the index gives the model; may be empty.
    pub model: String,
    /// Task type, such as `image-classification`.
    pub task: String,
    /// Name of the data set it was measured on.
    pub dataset: String,
    /// Metric type, such as `accuracy`.
    pub kind: String,
    pub value: f64,
}

impl Card {
    /// Writes the card back: front matter (if it says anything) and body. Reading the result gives the same
    /// card; comments and the order of keys in the original are not kept.
    pub fn to_markdown(&self) -> String {
        let front = self.front_matter();
        if front.is_empty() {
            return self.body.clone();
        }
        // A map of strings, numbers and lists always has a YAML form.
        let yaml = serde_saphyr::to_string(&Value::Object(front)).unwrap_or_default();
        let yaml = yaml.trim_end();
        format!("---\n{yaml}\n---\n{}", self.body)
    }

    /// Each of its licences.
    pub fn licenses(&self) -> impl Iterator<Item = &str> {
        self.license.iter().flat_map(|all| all.split(LICENSES_APART))
    }

    /// What the front matter says, as data.
    pub fn front_matter(&self) -> Map<String, Value> {
        let mut front = Map::new();
        match self.licenses().collect::<Vec<_>>()[..] {
            [] => {}
            [one] => drop(front.insert("license".into(), json!(one))),
            ref several => drop(front.insert("license".into(), json!(several))),
        }
        let mut word = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                front.insert(key.into(), json!(value));
            }
        };
        word("license_name", &self.license_name);
        word("license_link", &self.license_link);
        word("library_name", &self.library_name);
        word("pipeline_tag", &self.pipeline_tag);
        word("pretty_name", &self.pretty_name);
        word("base_model_relation", &self.base_model_relation);
        word("homepage", &self.homepage);
        for (key, list) in [
            ("language", &self.language),
            ("tags", &self.tags),
            ("base_model", &self.base_model),
            ("datasets", &self.datasets),
            ("task_categories", &self.task_categories),
            ("size_categories", &self.size_categories),
        ] {
            if !list.is_empty() {
                front.insert(key.into(), json!(list));
            }
        }
        for (key, count) in [("samples", self.samples), ("classes", self.classes)] {
            if let Some(count) = count {
                front.insert(key.into(), json!(count));
            }
        }
        if !self.metrics.is_empty() {
            front.insert("model-index".into(), model_index(&self.metrics));
        }
        front.extend(self.extra.clone());
        front
    }
}

/// The `model-index` that flattens to these metrics.
fn model_index(metrics: &[Metric]) -> Value {
    let mut models: Vec<Value> = Vec::new();
    for of_model in metrics.chunk_by(|a, b| a.model == b.model) {
        let mut results: Vec<Value> = Vec::new();
        for run in of_model.chunk_by(|a, b| a.task == b.task && a.dataset == b.dataset) {
            let values: Vec<Value> = run.iter().map(|metric| json!({"type": metric.kind, "value": metric.value})).collect();
            let dataset = json!({"name": run[0].dataset, "type": run[0].dataset});
            results.push(json!({"task": {"type": run[0].task}, "dataset": dataset, "metrics": values}));
        }
        models.push(json!({"name": of_model[0].model, "results": results}));
    }
    Value::Array(models)
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
