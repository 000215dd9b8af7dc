//! README.md -> [`Card`], whatever it holds. What has another shape than ours stays among the keys we do not read and is
//! named; the rest is read.

use serde_json::{Map, Value};

use super::{Card, LICENSES_APART, MAX_CARD_BYTES, Metric, yaml};

/// Most entries read of one list of the front matter.
const MAX_LIST: usize = 1_000;
/// Longest single value in bytes.
const MAX_VALUE_BYTES: usize = 2_000;
/// More problems of one card are not told.
const MOST_PROBLEMS: usize = 12;

/// What of a card could not be read; each says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardProblem {
    #[error("README.md has {bytes} bytes; only the first {MAX_CARD_BYTES} are read and shown")]
    TooLarge { bytes: u64 },
    #[error("README.md is not UTF-8 text (byte {byte}): what is not is shown as `\u{fffd}`; save it as UTF-8")]
    NotUtf8 { byte: usize },
    #[error("README.md begins with a rule (`---`) that opens no `key: value` lines, or is never closed: all of it is read as text")]
    OnlyText,
    #[error("README.md line {line} was not read: {problem}")]
    Yaml { line: u64, problem: String },
    #[error("README.md front matter, `{field}` was not read: {problem}")]
    Field { field: String, problem: String },
}

impl Card {
    /// Reads a README.md, and says what of it was not read.
    pub fn read(text: &str) -> (Card, Vec<CardProblem>) {
        let mut problems = Vec::new();
        if text.len() > MAX_CARD_BYTES {
            problems.push(CardProblem::TooLarge { bytes: text.len() as u64 });
        }
        let whole = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = shortened(whole);
        let (front, body) = match split_front_matter(text) {
            Front::Absent => (Map::new(), text),
            // Its end may be in what is not read.
            Front::Unclosed(front) if text.len() < whole.len() => match yaml::read(front, &mut problems) {
                Some(map) => (map, ""),
                None => (Map::new(), text),
            },
            Front::Unclosed(_) => {
                problems.push(CardProblem::OnlyText);
                (Map::new(), text)
            }
            Front::Between(front, body) => match yaml::read(front, &mut problems) {
                Some(map) => (map, body),
                None => {
                    problems.insert(0, CardProblem::OnlyText);
                    (Map::new(), text)
                }
            },
        };
        let card = of_front_matter(front, body, &mut problems);
        problems.truncate(MOST_PROBLEMS);
        (card, problems)
    }

    /// As [`Card::read`], of the first bytes of a file of `size_bytes`.
    pub fn read_bytes(bytes: &[u8], size_bytes: u64) -> (Card, Vec<CardProblem>) {
        let text = String::from_utf8_lossy(bytes);
        let (card, mut problems) = Card::read(&text);
        if size_bytes > bytes.len() as u64 && !problems.iter().any(|problem| matches!(problem, CardProblem::TooLarge { .. })) {
            problems.insert(0, CardProblem::TooLarge { bytes: size_bytes });
        }
        // The end of what was read may cut a character in two.
        match std::str::from_utf8(bytes) {
            Err(wrong) if wrong.error_len().is_some() || bytes.len() as u64 == size_bytes => {
                problems.insert(0, CardProblem::NotUtf8 { byte: wrong.valid_up_to() });
            }
            _ => {}
        }
        (card, problems)
    }
}

fn of_front_matter(front: Map<String, Value>, body: &str, problems: &mut Vec<CardProblem>) -> Card {
    let mut fields = Fields { map: front, problems };
    Card {
        license: fields.licenses(),
        license_name: fields.word("license_name"),
        license_link: fields.word("license_link"),
        language: fields.list("language"),
        tags: fields.list("tags"),
        datasets: fields.list("datasets"),
        base_model: fields.list("base_model"),
        base_model_relation: fields.word("base_model_relation"),
        pipeline_tag: fields.word("pipeline_tag"),
        library_name: fields.word("library_name"),
        pretty_name: fields.word("pretty_name"),
        metrics: fields.metrics(),
        task_categories: fields.list("task_categories"),
        size_categories: fields.list("size_categories"),
        homepage: fields.word("homepage"),
        samples: fields.count("samples"),
        classes: fields.count("classes"),
        extra: fields.map,
        body: body.to_owned(),
    }
}

/// At most [`MAX_CARD_BYTES`], cut between lines where that is near.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_CARD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text[..end].rfind('\n') {
        Some(line) if end < text.len() && end - line < 4_096 => &text[..=line],
        _ => &text[..end],
    }
}

enum Front<'a> {
    Absent,
    Unclosed(&'a str),
    /// The text between the first two lines of `---`, and what follows.
    Between(&'a str, &'a str),
}

fn split_front_matter(text: &str) -> Front<'_> {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else {
        return Front::Absent;
    };
    let mut end = first.len();
    for line in lines {
        if line.trim_end() == "---" {
            return Front::Between(&text[first.len()..end], &text[end + line.len()..]);
        }
        end += line.len();
    }
    Front::Unclosed(&text[first.len()..])
}

/// The front matter while it is being read: what was read is taken out, the rest is `extra`.
struct Fields<'a> {
    map: Map<String, Value>,
    problems: &'a mut Vec<CardProblem>,
}

impl Fields<'_> {
    /// One word or line of text; a list of exactly one is the same thing.
    fn word(&mut self, key: &str) -> Option<String> {
        if self.map.get(key).and_then(Value::as_array).is_some_and(|values| values.len() > 1) {
            self.wrong(key, "one value belongs here, not a list");
            return None;
        }
        self.list(key).pop()
    }

    /// Some are under several at once.
    fn licenses(&mut self) -> Option<String> {
        let all = self.list("license");
        (!all.is_empty()).then(|| all.join(LICENSES_APART).to_lowercase())
    }

    /// The texts of a list. Entries that are none cost themselves only.
    fn list(&mut self, key: &str) -> Vec<String> {
        let values = match self.map.remove(key) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        if values.len() > MAX_LIST {
            self.wrong(key, &format!("of its {} entries only the first {MAX_LIST} are", values.len()));
        }
        let mut words: Vec<String> = Vec::with_capacity(values.len().min(MAX_LIST));
        let mut known = std::collections::HashSet::new();
        let mut problem = None;
        for value in values.iter().take(MAX_LIST) {
            match text_of(value) {
                None => problem = Some("text belongs here, or a list of texts".to_owned()),
                Some(word) if word.len() > MAX_VALUE_BYTES => {
                    problem = Some(format!("a value of {} bytes is longer than {MAX_VALUE_BYTES}", word.len()));
                }
                // Lists with a word twice are common and mean nothing.
                Some(word) if !word.is_empty() && known.insert(word.clone()) => words.push(word),
                Some(_) => {}
            }
        }
        if let Some(problem) = problem {
            self.wrong(key, &problem);
            if words.is_empty() {
                self.map.insert(key.to_owned(), if values.len() == 1 { values[0].clone() } else { Value::Array(values) });
            }
        }
        words
    }

    fn count(&mut self, key: &str) -> Option<u64> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        let count = value.as_u64();
        match count {
            Some(_) => drop(self.map.remove(key)),
            None => self.wrong(key, "a whole number belongs here, such as 60000"),
        }
        count
    }

    fn wrong(&mut self, key: &str, problem: &str) {
        self.problems.push(CardProblem::Field { field: key.to_owned(), problem: problem.to_owned() });
    }

    fn metrics(&mut self) -> Vec<Metric> {
        const KEY: &str = "model-index";
        let mut metrics = Vec::new();
        let Some(index) = self.map.remove(KEY) else { return metrics };
        for model in entries(&index) {
            for result in model.get("results").map_or(&[][..], entries) {
                for measured in result.get("metrics").map_or(&[][..], entries) {
                    // Some cards carry tables or texts as values; only numbers can be compared.
                    let Some(value) = measured.get("value").and_then(number_of) else { continue };
                    if metrics.len() == MAX_LIST {
                        self.wrong(KEY, &format!("only the first {MAX_LIST} metrics are"));
                        return metrics;
                    }
                    metrics.push(Metric {
                        model: named(model, &["name"]),
                        task: result.get("task").map(|task| named(task, &["type", "name"])).unwrap_or_default(),
                        dataset: result.get("dataset").map(|set| named(set, &["name", "type"])).unwrap_or_default(),
                        kind: named(measured, &["type", "name"]),
                        value,
                    });
                }
            }
        }
        metrics
    }
}

fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// The first of `keys` that names something of a sensible length.
fn named(value: &Value, keys: &[&str]) -> String {
    let short = |text: &String| text.len() <= MAX_VALUE_BYTES;
    keys.iter().find_map(|key| value.get(key).and_then(text_of).filter(short)).unwrap_or_default()
}

/// YAML reads `no`, `1.0` or `2024-01-01` as other things than text; in a list of words they are words.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => Some(one_line(text)),
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn number_of(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}
