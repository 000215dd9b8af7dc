//! What is to be said about each item: its target. A data set has targets of one kind; a reader of each kind stands in a
//! file of its own and turns the text of a folder's name or a table's field into [`Target`]s.
//!
//! To add a kind: a variant of [`Target`] and [`Targets`], a file with its reader, a column in `COLUMNS`; the compiler names the
//! rest of this file.

mod classes;
mod values;

use super::error::Result;
use super::labelled::Labelled;
use super::limits::Limits;
use crate::domain::dataset_report::ValueSpread;
use crate::domain::task::Task;

/// Of one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// An index into [`Targets::Classes`].
    Class(u32),
    /// A number in the units of the data set.
    Value(f32),
}

/// What the targets of a data set are.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class names, sorted.
    Classes(Vec<String>),
    Values,
}

/// The columns of a table that hold targets, and what they are for; the first that a table has is taken.
pub(super) const COLUMNS: [(&str, Task); 5] = [
    ("label", Task::Classification),
    ("class", Task::Classification),
    ("class_name", Task::Classification),
    ("category", Task::Classification),
    ("target", Task::Regression),
];

impl Target {
    /// The class; `None` of anything else.
    pub fn class(self) -> Option<u32> {
        match self {
            Target::Class(class) => Some(class),
            Target::Value(_) => None,
        }
    }

    /// The number; `None` of anything else.
    pub fn value(self) -> Option<f32> {
        match self {
            Target::Class(_) => None,
            Target::Value(value) => Some(value),
        }
    }
}

/// Reads the text of every sample; one target for each, in their order.
pub(super) fn read(task: Task, samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    match task {
        Task::Classification => classes::read(samples, limits),
        Task::Regression => values::read(samples),
    }
}

/// A target as text, from a field of a JSON line.
///
/// # Errors
/// [`wanted`], where the field is nothing of that kind.
pub(super) fn text(task: Task, field: &serde_json::Value) -> std::result::Result<String, &'static str> {
    match task {
        Task::Classification => classes::text(field),
        Task::Regression => values::text(field),
    }
    .ok_or(wanted(task))
}

/// What such a field holds.
pub(super) fn wanted(task: Task) -> &'static str {
    match task {
        Task::Classification => classes::WANTED,
        Task::Regression => values::WANTED,
    }
}

impl Targets {
    /// The task they are for.
    pub fn task(&self) -> Task {
        match self {
            Targets::Classes(_) => Task::Classification,
            Targets::Values => Task::Regression,
        }
    }

    /// Class names, sorted; empty where there are none.
    pub fn classes(&self) -> &[String] {
        match self {
            Targets::Classes(classes) => classes,
            Targets::Values => &[],
        }
    }

    /// A target as it is written for people, and into the digest of a data set.
    pub fn word(&self, target: Target) -> String {
        match (self, target) {
            (Targets::Classes(classes), Target::Class(class)) => classes.get(class as usize).cloned().unwrap_or_default(),
            (_, Target::Class(class)) => class.to_string(),
            (_, Target::Value(value)) => value.to_string(),
        }
    }

    /// How numbers spread; `None` of anything else.
    pub fn spread(&self, targets: impl Iterator<Item = Target>) -> Option<ValueSpread> {
        (*self == Targets::Values).then(|| ValueSpread::of(&targets.filter_map(Target::value).map(f64::from).collect::<Vec<_>>()))
    }
}
