//! How the texts of a layout are to be read as targets.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Target, Targets};
use crate::data::labelled::Labelled;
use crate::domain::annotation_facts::Fault;
use crate::domain::task::Task;

/// What stands in [`crate::data::labelled::Labelled::text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One class, or one number.
    One(Task),
    /// One class, of these, which come in their order.
    Ranked(Vec<String>),
    /// One class, of which this is that of the good items and all others are anomalies.
    Anomalies(String),
    /// Labels: a JSON list, or one text for all of them.
    Labels,
    /// A JSON list with a text (or null) for each column.
    Columns(Vec<Column>),
    /// A tag for each word, with spaces between.
    Tags,
    /// Nothing: the two texts of each item belong together.
    Together,
    /// Nothing: the targets are there already.
    Annotated(Annotated),
}

/// Targets that were read of files beside the items.
#[derive(Debug, Clone)]
pub struct Annotated(Arc<Ready>);

#[derive(Debug)]
struct Ready {
    targets: Targets,
    /// By the entry of the item.
    of: HashMap<usize, Target>,
    faults: Vec<Fault>,
}

impl Annotated {
    pub fn new(targets: Targets, of: HashMap<usize, Target>, faults: Vec<Fault>) -> Annotated {
        Annotated(Arc::new(Ready { targets, of, faults }))
    }

    /// One target for each sample, in their order.
    pub fn of(&self, samples: &[Labelled]) -> (Targets, Vec<Target>) {
        let target = |sample: &Labelled| self.0.of.get(&sample.entry).cloned().unwrap_or(Target::Unknown);
        (self.0.targets.clone(), samples.iter().map(target).collect())
    }

    /// What was wrong with the files.
    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }
}

/// Two readings are one if they are the same reading.
impl PartialEq for Annotated {
    fn eq(&self, other: &Annotated) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Annotated {}

impl Default for Form {
    fn default() -> Form {
        Form::One(Task::default())
    }
}

impl Form {
    /// One number.
    pub fn number() -> Form {
        Form::One(Task::Regression)
    }
}

/// A column of targets beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// What is said of it; `None` where its content tells.
    pub kind: Option<Kind>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Class,
    Labels,
    Number,
}

impl Kind {
    pub fn parse(word: &str) -> Option<Kind> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "class" | "classification" | "label" => Kind::Class,
            "labels" | "multi-label" => Kind::Labels,
            "number" | "value" | "regression" | "target" => Kind::Number,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Class => "class",
            Kind::Labels => "labels",
            Kind::Number => "number",
        }
    }
}

/// What a card declares, such as `colour` or `size=number`.
pub fn declared(words: &[String]) -> Result<Vec<Column>, String> {
    let column = |written: &String| {
        let (name, kind) = written.split_once('=').map_or((written.as_str(), None), |(name, kind)| (name, Some(kind)));
        let kind = match kind.map(Kind::parse) {
            None => None,
            Some(Some(kind)) => Some(kind),
            Some(None) => return Err(format!("`{written}` is not COLUMN=class, COLUMN=labels or COLUMN=number")),
        };
        Ok(Column { name: name.trim().to_owned(), kind })
    };
    words.iter().map(column).collect()
}

/// The column by which it is known what a name says: `label_colour` is a class, `target_size` a number.
pub fn of_name(name: &str) -> Option<Column> {
    let kind = match name.split_once('_') {
        Some(("label" | "class", rest)) if !rest.is_empty() && rest != "name" => Kind::Class,
        Some(("labels", rest)) if !rest.is_empty() => Kind::Labels,
        Some(("target", rest)) if !rest.is_empty() => Kind::Number,
        _ => return None,
    };
    Some(Column { name: name.to_owned(), kind: Some(kind) })
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "`{}` ({})", self.name, kind.word()),
            None => write!(f, "`{}`", self.name),
        }
    }
}
