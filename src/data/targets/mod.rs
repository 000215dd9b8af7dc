//! What is to be said about each item: its target. A data set has targets of one kind; a reader of each kind stands in a
//! file of its own and turns the text of a folder's name or a table's field into [`Target`]s.
//!
//! To add a kind: a variant of [`Target`] and [`Targets`], a file with its reader, a column in `COLUMNS`; the compiler names the
//! rest of this file.

mod anomalies;
mod boxes;
mod cells;
mod classes;
mod columns;
mod counting;
pub(super) mod form;
mod labels;
mod mask;
mod moved;
mod objects;
mod outline;
mod tags;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

pub use boxes::{Boxed, Boxes, counted};
pub use cells::Cells;
pub(super) use form::Form;
pub use mask::{Labels, Mask, Reading, UNSAID};
pub use objects::{Misplaced, Object, Objects};
pub use outline::Outline;
pub use tags::{OUTSIDE, Place, Tags, parse as parse_tag};

use super::error::Result;
use super::labelled::Labelled;
use super::limits::Limits;
use crate::domain::dataset_report::ValueSpread;
use crate::domain::task::Task;

/// Of one item. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Nothing is known of it: an item without a target, or a head that has none of this item.
    Unknown,
    /// An index into [`Targets::Classes`], [`Targets::Ranks`] or [`Targets::Anomalies`].
    Class(u32),
    /// Indexes into [`Targets::Labels`], rising; perhaps none.
    Labels(Arc<[u32]>),
    /// A number in the units of the data set.
    Value(f32),
    /// A number for each of the names in [`Targets::Values`].
    Values(Arc<[f32]>),
    /// One for each of [`Targets::Heads`].
    Heads(Arc<[Target]>),
    /// A tag for each word.
    Tags(Tags),
    /// Objects in boxes.
    Objects(Objects),
    /// A class for each pixel.
    Mask(Mask),
    /// The same as a network sees it.
    Cells(Cells),
    /// Objects as a network sees them.
    Boxes(Boxes),
}

/// What the targets of a data set are.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class names, sorted.
    Classes(Vec<String>),
    /// Class names from the lowest to the highest.
    Ranks(Vec<String>),
    /// Class names: that of the good items, then those of anomalies, sorted.
    Anomalies(Vec<String>),
    /// Names of labels, sorted; an item has any number of them.
    Labels(Vec<String>),
    /// The names of the numbers: one, or several.
    Values(Vec<String>),
    /// Several of the kinds above, each under a name.
    Heads(Vec<(String, Targets)>),
    /// Names of tags: that of words outside of entities, then the others, sorted.
    Tags(Vec<String>),
    /// Classes of objects, in the order of their numbers in the data set.
    Objects(Vec<String>),
    /// Classes of pixels, in the order of their values.
    Masks(Vec<String>),
}

/// What the number of pairs is called that have none: they belong together.
const TOGETHER: &str = "together";

/// The columns of a table that hold targets, and how they are read; the first that a table has is taken.
pub(super) const COLUMNS: [(&str, Form); 6] = [
    ("label", Form::One(Task::Classification)),
    ("class", Form::One(Task::Classification)),
    ("class_name", Form::One(Task::Classification)),
    ("category", Form::One(Task::Classification)),
    ("labels", Form::Labels),
    ("target", Form::One(Task::Regression)),
];

impl Target {
    /// `share` of a number and the rest of another; `None` where the two are not numbers.
    pub fn mixed(&self, other: &Target, share: f64) -> Option<Target> {
        let mix = |a: f32, b: f32| (f64::from(a) * share + f64::from(b) * (1.0 - share)) as f32;
        match (self, other) {
            (Target::Value(a), Target::Value(b)) => Some(Target::Value(mix(*a, *b))),
            (Target::Values(a), Target::Values(b)) => Some(Target::Values(a.iter().zip(b.iter()).map(|(a, b)| mix(*a, *b)).collect())),
            _ => None,
        }
    }

    /// The class; `None` of anything else.
    pub fn class(&self) -> Option<u32> {
        if let Target::Class(class) = self { Some(*class) } else { None }
    }

    /// The class, the labels, or what its words, objects or pixels are; none of anything else.
    pub fn labels(&self) -> &[u32] {
        match self {
            Target::Class(class) => std::slice::from_ref(class),
            Target::Labels(labels) => labels,
            Target::Tags(tags) => &tags.kinds,
            Target::Objects(objects) => &objects.kinds,
            Target::Mask(mask) => &mask.kinds,
            Target::Cells(cells) => &cells.kinds,
            Target::Boxes(boxes) => &boxes.kinds,
            _ => &[],
        }
    }

    /// The number; `None` of anything else.
    pub fn value(&self) -> Option<f32> {
        if let Target::Value(value) = self { Some(*value) } else { None }
    }

    /// The number or the numbers; none of anything else.
    pub fn values(&self) -> &[f32] {
        match self {
            Target::Value(value) => std::slice::from_ref(value),
            Target::Values(values) => values,
            _ => &[],
        }
    }

    /// The tag of each word; none of anything else.
    pub fn tags(&self) -> &[u32] {
        if let Target::Tags(tags) = self { &tags.each } else { &[] }
    }

    /// What is known of one head's target; of an item with a single target that is all there is.
    pub fn head(&self, at: usize) -> &Target {
        match self {
            Target::Heads(heads) => heads.get(at).unwrap_or(&Target::Unknown),
            one => one,
        }
    }
}

/// Whether a word is a tag of a scheme that is known.
pub(super) fn is_tag(word: &str) -> bool {
    parse_tag(word).is_some()
}

/// Refuses words for columns of targets that say nothing.
///
/// # Errors
/// What they should be.
pub fn check_declared(words: &[String]) -> std::result::Result<(), String> {
    form::declared(words).map(drop)
}

/// Refuses names that cannot be those of classes.
pub(super) fn check_names(names: &[String], limits: &Limits) -> Result<()> {
    classes::names(names, limits).map(drop)
}

/// What stands for each target where items are divided class by class: of several labels the rarest one, of several heads the first
/// that is a class.
pub(super) fn strata(targets: &[&Target]) -> Vec<Option<u32>> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    targets.iter().flat_map(|target| target.labels()).for_each(|label| *counts.entry(*label).or_default() += 1);
    let rarest = |labels: &[u32]| labels.iter().copied().min_by_key(|label| (counts.get(label).copied(), *label));
    let of = |target: &&Target| match target {
        Target::Heads(heads) => heads.iter().find_map(Target::class),
        other => rarest(other.labels()),
    };
    targets.iter().map(of).collect()
}

/// Reads the text of every sample; one target for each, in their order.
pub(super) fn read(form: &Form, samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    match form {
        Form::One(Task::Regression) => values::read(samples),
        Form::One(_) => match anomalies::recognised(samples) {
            Some(good) => anomalies::read(&good, samples, limits),
            None => classes::read(samples, limits),
        },
        Form::Anomalies(good) => anomalies::read(good, samples, limits),
        Form::Ranked(order) => classes::ranked(order, samples, limits),
        Form::Labels => labels::read(samples, limits),
        Form::Columns(columns) => columns::read(columns, samples, limits),
        Form::Tags => tags::read(samples, limits),
        Form::Together => Ok((Targets::Values(vec![TOGETHER.into()]), vec![Target::Value(1.0); samples.len()])),
        Form::Annotated(annotated) => Ok(annotated.of(samples)),
    }
}

/// A target as text, from a field of a JSON line.
///
/// # Errors
/// What such a field holds, where this one is nothing of that kind.
pub(super) fn text(form: &Form, field: &serde_json::Value) -> std::result::Result<String, &'static str> {
    match form {
        Form::One(Task::Regression) => values::text(field).ok_or(values::WANTED),
        Form::One(_) | Form::Ranked(_) | Form::Anomalies(_) => classes::text(field).ok_or(classes::WANTED),
        Form::Labels => labels::text(field).ok_or(labels::WANTED),
        Form::Columns(_) => labels::text(field).or_else(|| values::text(field)).ok_or("a string, a number or a list"),
        Form::Tags => tags::text(field).ok_or(tags::WANTED),
        Form::Together | Form::Annotated(_) => Ok(String::new()),
    }
}

impl Targets {
    /// The task they are for.
    pub fn task(&self) -> Task {
        match self {
            Targets::Classes(_) => Task::Classification,
            Targets::Ranks(_) => Task::Ordinal,
            Targets::Anomalies(_) => Task::Anomaly,
            Targets::Labels(_) => Task::MultiLabel,
            Targets::Values(names) if names.len() > 1 => Task::MultiRegression,
            Targets::Values(_) => Task::Regression,
            Targets::Heads(_) => Task::MultiTask,
            Targets::Tags(_) => Task::TokenClassification,
            Targets::Objects(_) => Task::ObjectDetection,
            Targets::Masks(_) => Task::SemanticSegmentation,
        }
    }

    /// Names of classes, labels or tags, in the order of their indexes; empty where there are none.
    pub fn classes(&self) -> &[String] {
        match self {
            Targets::Classes(names) | Targets::Ranks(names) | Targets::Anomalies(names) | Targets::Labels(names) | Targets::Tags(names) => {
                names
            }
            Targets::Objects(names) | Targets::Masks(names) => names,
            Targets::Values(_) | Targets::Heads(_) => &[],
        }
    }

    /// A target as it is written for people, and into the digest of a data set.
    pub fn word(&self, target: &Target) -> String {
        let name = |index: u32| self.classes().get(index as usize).cloned().unwrap_or_else(|| index.to_string());
        let listed = |words: Vec<String>| words.join(", ");
        match (self, target) {
            (_, Target::Unknown) => String::new(),
            (_, Target::Class(class)) => name(*class),
            (_, Target::Labels(labels)) => listed(labels.iter().map(|label| name(*label)).collect()),
            (_, Target::Value(value)) => value.to_string(),
            (_, Target::Values(values)) => listed(values.iter().map(f32::to_string).collect()),
            (Targets::Heads(heads), Target::Heads(found)) => {
                let known = heads.iter().zip(found.iter()).filter(|(_, target)| **target != Target::Unknown);
                listed(known.map(|((name, kind), target)| format!("{name}: {}", kind.word(target))).collect())
            }
            (_, Target::Heads(found)) => format!("{} targets", found.len()),
            (_, Target::Tags(tags)) => tags.each.iter().map(|tag| name(*tag)).collect::<Vec<_>>().join(" "),
            (_, Target::Objects(objects)) => format!("{} [{}]", objects.told(self.classes()), objects.digest(self.classes())),
            (_, Target::Mask(mask)) => format!("{} [{}]", mask.told(self.classes()), mask.digest()),
            (_, Target::Cells(cells)) => cells.pixels.told(self.classes()),
            (_, Target::Boxes(boxes)) => boxes.told(self.classes()),
        }
    }

    /// A target as previews have it: [`Self::word`] without what only tells it from others.
    pub fn caption(&self, target: &Target) -> String {
        match target {
            Target::Objects(objects) => objects.told(self.classes()),
            Target::Mask(mask) => mask.told(self.classes()),
            other => self.word(other),
        }
    }

    /// Whether places of an item are labelled, and not the item.
    pub fn are_of_places(&self) -> bool {
        matches!(self, Targets::Objects(_) | Targets::Masks(_))
    }

    /// Whether nothing is said but that the two texts of each item belong together.
    pub fn are_partners(&self) -> bool {
        matches!(self, Targets::Values(names) if names.len() == 1 && names[0] == TOGETHER)
    }

    /// How numbers spread, where there is one an item; `None` of anything else.
    pub fn spread<'a>(&self, targets: impl Iterator<Item = &'a Target>) -> Option<ValueSpread> {
        let single = matches!(self, Targets::Values(names) if names.len() == 1) && !self.are_partners();
        single.then(|| ValueSpread::of(&targets.filter_map(Target::value).map(f64::from).collect::<Vec<_>>()))
    }
}
