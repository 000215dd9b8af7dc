//! What a model said about many items: a row for each, in the order they were asked about, and the forms such rows are
//! handed over in.

mod csv;
mod format;
mod npy;
mod parquet;
mod safetensors;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use self::format::Format;
use super::prediction::{Answer, Answered, Familiarity, Head};

/// Items of one request that is waited for, and their bytes all together, unpacked. More is a job's work.
pub const MOST_ITEMS: usize = 1_024;
pub const MOST_BYTES: usize = 64 << 20;

/// Columns of a matrix; whoever answers may be a stranger's hub.
const MOST_COLUMNS: usize = 1 << 16;

/// All rows of one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// `namespace/name@version`
    pub model: String,
    pub items: Vec<Said>,
}

/// About one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// What whoever asked calls the item.
    pub name: String,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// The item takes no answer from the others.
    Unanswered {
        error: Reason,
    },
    Features {
        features: Vec<f32>,
    },
    Answer(Answered),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub message: String,
}

/// The answers as numbers, row by row; NaN where there is none.
#[derive(Debug, Clone, PartialEq)]
struct Matrix {
    /// What the numbers are.
    name: &'static str,
    width: usize,
    values: Vec<f32>,
    /// Names of the columns, as far as the answers tell them.
    columns: Vec<String>,
}

impl Said {
    pub fn unanswered(name: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Said {
        Said { name: name.into(), content: Content::Unanswered { error: Reason { code: code.into(), message: message.into() } } }
    }

    pub fn reason(&self) -> Option<&Reason> {
        match &self.content {
            Content::Unanswered { error } => Some(error),
            _ => None,
        }
    }
}

impl Content {
    fn features(&self) -> Option<&[f32]> {
        match self {
            Content::Features { features } => Some(features),
            _ => None,
        }
    }

    fn familiarity(&self) -> Option<Familiarity> {
        match self {
            Content::Answer(answered) => answered.familiarity,
            _ => None,
        }
    }

    fn answer(&self) -> Option<&Answer> {
        match self {
            Content::Answer(answered) => Some(&answered.answer),
            _ => None,
        }
    }
}

impl Answers {
    /// Items without an answer.
    pub fn failed(&self) -> usize {
        self.items.iter().filter(|item| item.reason().is_some()).count()
    }

    /// The rows in that form.
    ///
    /// # Errors
    /// In words, what the form cannot hold.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, String> {
        match format {
            Format::Json => serde_json::to_vec(self).map_err(|e| e.to_string()),
            Format::Csv => csv::write(self),
            Format::Npy => Ok(npy::write(self)),
            Format::Safetensors => safetensors::write(self),
            Format::Parquet => parquet::write(self),
        }
    }

    /// Features, else the scores of the classes in the order of the head's rows, else the numbers of the answers. Of classes
    /// that were left out of an answer nothing is known.
    fn matrix(&self) -> Matrix {
        let answers = || self.items.iter().filter_map(|item| item.content.answer());
        if answers().any(|answer| !answer.classes().is_empty()) {
            let columns = class_columns(answers());
            let row = |item: &Said, row: &mut [f32]| {
                for class in item.content.answer().map_or(&[][..], Answer::classes) {
                    if let Some(cell) = row.get_mut(class.index) {
                        *cell = class.probability;
                    }
                }
            };
            return self.filled("probabilities", columns.len(), columns, row);
        }
        if answers().any(|answer| !answer.values().is_empty()) {
            let widest = answers().map(Answer::values).max_by_key(|values| values.len()).unwrap_or_default();
            let columns: Vec<String> = widest.iter().map(|value| value.name.clone()).collect();
            let row = |item: &Said, row: &mut [f32]| {
                let values = item.content.answer().map_or(&[][..], Answer::values);
                row.iter_mut().zip(values).for_each(|(cell, value)| *cell = value.value);
            };
            return self.filled("values", columns.len(), columns, row);
        }
        if answers().any(|answer| !answer.heads().is_empty()) {
            let mut columns: Vec<String> = Vec::new();
            for (name, _) in answers().flat_map(of_heads) {
                if columns.len() < MOST_COLUMNS && !columns.contains(&name) {
                    columns.push(name);
                }
            }
            let places: HashMap<String, usize> = columns.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
            let row = |item: &Said, row: &mut [f32]| {
                let found = item.content.answer().map(of_heads).unwrap_or_default();
                found.into_iter().for_each(|(name, value)| {
                    if let Some(at) = places.get(&name) {
                        row[*at] = value
                    }
                });
            };
            return self.filled("values", columns.len(), columns, row);
        }
        let width = self.items.iter().filter_map(|item| item.content.features()).map(<[f32]>::len).max().unwrap_or(0);
        let row = |item: &Said, row: &mut [f32]| {
            row.iter_mut().zip(item.content.features().unwrap_or_default()).for_each(|(cell, value)| *cell = *value);
        };
        self.filled("features", width, Vec::new(), row)
    }

    fn filled(&self, name: &'static str, width: usize, columns: Vec<String>, fill: impl Fn(&Said, &mut [f32])) -> Matrix {
        let mut values = vec![f32::NAN; width * self.items.len()];
        if width > 0 {
            self.items.iter().zip(values.chunks_exact_mut(width)).for_each(|(item, row)| fill(item, row));
        }
        Matrix { name, width, values, columns }
    }
}

/// Numbers of several heads under names of their own: `colour: red` for the probability of a class, `size` for a number.
fn of_heads(answer: &Answer) -> Vec<(String, f32)> {
    let of = |head: &Head| {
        let classes = head.answer.classes().iter().map(|class| (format!("{}: {}", head.name, class.label), class.probability));
        let values = head.answer.values().iter().map(|value| (head.name.clone(), value.value));
        classes.chain(values).collect::<Vec<_>>()
    };
    answer.heads().iter().flat_map(of).collect()
}

/// The label of each row of the head; empty for those that no answer names.
fn class_columns<'a>(answers: impl Iterator<Item = &'a Answer>) -> Vec<String> {
    let mut columns = Vec::new();
    for class in answers.flat_map(Answer::classes).filter(|class| class.index < MOST_COLUMNS) {
        if columns.len() <= class.index {
            columns.resize(class.index + 1, String::new());
        }
        if columns[class.index].is_empty() {
            columns[class.index].clone_from(&class.label);
        }
    }
    columns
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
