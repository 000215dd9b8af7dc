//! A card: the README.md of a repo, YAML front matter in the Hugging Face vocabulary and Markdown below.
//!
//! People write cards by hand and tools write them in many dialects, so reading is tolerant about what is
//! absent (no front matter, one string where a list could be, keys of other tools) and strict about what
//! would be misread (broken YAML, a list where one word belongs). Cards come from strangers: size, depth,
//! aliases and tags of the YAML are bounded.

use serde_json::{Map, Value, json};

/// Longest README.md in bytes.
pub const MAX_CARD_BYTES: usize = 512 * 1024;
/// Most entries in one list of the front matter.
const MAX_LIST: usize = 1_000;
/// Longest single value in bytes.
const MAX_VALUE_BYTES: usize = 2_000;

/// What a card says. What it does not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// SPDX-like identifier in lower case, such as `apache-2.0`, or `other`.
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

/// Why a card cannot be read; each says where and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    #[error("README.md has {bytes} bytes, more than the {MAX_CARD_BYTES} allowed; move the long parts into other files")]
    TooLarge { bytes: usize },
    #[error("README.md line 1: the front matter opened by `---` is never closed; end it with a line of three dashes")]
    Unclosed,
    #[error("README.md line {line}: the front matter is not valid YAML: {problem}; correct that line")]
    Yaml { line: u64, problem: String },
    #[error("README.md front matter, `{field}`: {problem}")]
    Field { field: String, problem: String },
}

impl Card {
    /// Reads a whole README.md.
    pub fn parse(text: &str) -> Result<Card, CardError> {
        if text.len() > MAX_CARD_BYTES {
            return Err(CardError::TooLarge { bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Some((front, body)) = split_front_matter(text)? else {
            return Ok(Card { body: text.to_owned(), ..Card::default() });
        };
        let mut fields = Fields(parse_yaml(front)?);
        let card = Card {
            license: fields.word("license")?.map(|id| id.to_lowercase()),
            license_name: fields.word("license_name")?,
            license_link: fields.word("license_link")?,
            language: fields.list("language")?,
            tags: fields.list("tags")?,
            datasets: fields.list("datasets")?,
            base_model: fields.list("base_model")?,
            base_model_relation: fields.word("base_model_relation")?,
            pipeline_tag: fields.word("pipeline_tag")?,
            library_name: fields.word("library_name")?,
            pretty_name: fields.word("pretty_name")?,
            metrics: fields.metrics()?,
            task_categories: fields.list("task_categories")?,
            size_categories: fields.list("size_categories")?,
            homepage: fields.word("homepage")?,
            samples: fields.count("samples")?,
            classes: fields.count("classes")?,
            extra: fields.0,
            body: body.to_owned(),
        };
        Ok(card)
    }

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

    /// What the front matter says, as data.
    pub fn front_matter(&self) -> Map<String, Value> {
        let mut front = Map::new();
        let mut word = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                front.insert(key.into(), json!(value));
            }
        };
        word("license", &self.license);
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

/// The text between the first two lines of `---`, and what follows. None when the card does not open one.
fn split_front_matter(text: &str) -> Result<Option<(&str, &str)>, CardError> {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else {
        return Ok(None);
    };
    let mut end = first.len();
    for line in lines {
        if line.trim_end() == "---" {
            return Ok(Some((&text[first.len()..end], &text[end + line.len()..])));
        }
        end += line.len();
    }
    Err(CardError::Unclosed)
}

fn parse_yaml(front: &str) -> Result<Map<String, Value>, CardError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 24,
            flow_nesting_limit: 24,
            max_documents: 1,
            max_anchors: 100,
            max_aliases: 1_000,
            max_merge_keys: 0,
            max_recorded_anchor_events: 20_000,
            max_total_scalar_bytes: MAX_CARD_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 200,
        },
        reject_unsupported_tags: true,
        // `language: no` is Norwegian.
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Value>>(front, options) {
        Ok(None | Some(Value::Null)) => Ok(Map::new()),
        Ok(Some(Value::Object(map))) => Ok(map),
        Ok(Some(_)) => Err(CardError::Yaml { line: 2, problem: "it is not a list of `key: value` lines".into() }),
        Err(error) => {
            // The first line of the YAML is the second of the file.
            let line = error.location().map_or(1, |location| location.line().max(1));
            let text = error.without_snippet().to_string();
            let problem: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
            Err(CardError::Yaml { line: line + 1, problem })
        }
    }
}

/// The front matter while it is being read: what was read is taken out, the rest is `extra`.
struct Fields(Map<String, Value>);

impl Fields {
    /// One word or line of text; a list of exactly one is the same thing.
    fn word(&mut self, key: &str) -> Result<Option<String>, CardError> {
        let mut words = self.list(key)?;
        if words.len() > 1 {
            return Err(field(key, "one value belongs here, not a list; keep the one that applies"));
        }
        Ok(words.pop())
    }

    fn list(&mut self, key: &str) -> Result<Vec<String>, CardError> {
        let values = match self.0.remove(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        if values.len() > MAX_LIST {
            return Err(field(key, &format!("{} entries are more than the {MAX_LIST} allowed; shorten the list", values.len())));
        }
        let mut words = Vec::with_capacity(values.len());
        for value in &values {
            let word = text_of(value).ok_or_else(|| field(key, "text belongs here, or a list of texts"))?;
            check_text(key, &word)?;
            // Lists with a word twice are common and mean nothing.
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(words)
    }

    fn count(&mut self, key: &str) -> Result<Option<u64>, CardError> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| field(key, "a whole number belongs here, such as 60000")),
        }
    }

    fn metrics(&mut self) -> Result<Vec<Metric>, CardError> {
        const KEY: &str = "model-index";
        let mut metrics = Vec::new();
        let Some(index) = self.0.remove(KEY) else { return Ok(metrics) };
        for model in entries(&index) {
            for result in model.get("results").map_or(&[][..], entries) {
                for measured in result.get("metrics").map_or(&[][..], entries) {
                    // Some cards carry tables or texts as values; only numbers can be compared.
                    let Some(value) = measured.get("value").and_then(number_of) else { continue };
                    let metric = Metric {
                        model: named(model, &["name"]),
                        task: result.get("task").map(|task| named(task, &["type", "name"])).unwrap_or_default(),
                        dataset: result.get("dataset").map(|set| named(set, &["name", "type"])).unwrap_or_default(),
                        kind: named(measured, &["type", "name"]),
                        value,
                    };
                    for text in [&metric.model, &metric.task, &metric.dataset, &metric.kind] {
                        check_text(KEY, text)?;
                    }
                    metrics.push(metric);
                    if metrics.len() > MAX_LIST {
                        return Err(field(KEY, &format!("more than {MAX_LIST} metrics; keep the ones people compare by")));
                    }
                }
            }
        }
        Ok(metrics)
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

fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// The first of `keys` that names something.
fn named(value: &Value, keys: &[&str]) -> String {
    keys.iter().find_map(|key| value.get(key).and_then(text_of)).unwrap_or_default()
}

/// YAML reads `no`, `1.0` or `2024-01-01` as other things than text; in a list of words they are words.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn number_of(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

fn check_text(key: &str, text: &str) -> Result<(), CardError> {
    if text.len() > MAX_VALUE_BYTES {
        return Err(field(key, &format!("a value of {} bytes is longer than the {MAX_VALUE_BYTES} allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(field(key, "a value holds line breaks or control characters; keep it on one line"));
    }
    Ok(())
}

fn field(key: &str, problem: &str) -> CardError {
    CardError::Field { field: key.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
