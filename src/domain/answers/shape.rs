//! What the rows of answers hold: numbers under which names, how many classes are told of an item.

use std::collections::HashMap;

use super::{Content, Said};
use crate::domain::prediction::{Answer, Head};

/// Columns of a matrix; whoever answers may be a stranger's hub.
const MOST_COLUMNS: usize = 1 << 16;

/// Features, else the scores of the classes in the order of the head's rows, else the numbers of the answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    pub(super) kind: Kind,
    /// Numbers of an item.
    pub(super) width: usize,
    /// Their names, as far as the answers tell them; of features none.
    pub(super) columns: Vec<String>,
    /// Of classes, as many as are told of an item at most.
    pub(super) ranks: usize,
    /// Whether answers say if the item is of a kind that the model knows.
    pub(super) judged: bool,
    places: HashMap<String, usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Features,
    Probabilities,
    Values,
    /// Stretches of texts, which are no numbers.
    Entities,
    /// Objects in boxes likewise.
    Boxes,
    /// And shots of films.
    Shots,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Features => "features",
            Kind::Probabilities => "probabilities",
            Kind::Values => "values",
            Kind::Entities => "entities",
            Kind::Boxes => "boxes",
            Kind::Shots => "shots",
        }
    }
}

impl Shape {
    /// Of all answers there are; or of one that has every class and every number, which those to come are like.
    pub fn of<'a>(contents: impl Iterator<Item = &'a Content> + Clone) -> Shape {
        let judged = contents.clone().any(|content| content.familiarity().is_some());
        let answers = || contents.clone().filter_map(Content::answer);
        if answers().any(|answer| !answer.classes().is_empty()) {
            let columns = class_columns(answers());
            let ranks = answers().map(|answer| answer.classes().len()).max().unwrap_or(0);
            return Shape { kind: Kind::Probabilities, width: columns.len(), columns, ranks, judged, ..Shape::default() };
        }
        if answers().any(|answer| answer.entities().is_some()) {
            return Shape { kind: Kind::Entities, judged, ..Shape::default() };
        }
        if answers().any(|answer| answer.boxes().is_some()) {
            return Shape { kind: Kind::Boxes, judged, ..Shape::default() };
        }
        if answers().any(|answer| answer.shots().is_some()) {
            return Shape { kind: Kind::Shots, judged, ..Shape::default() };
        }
        let mut columns: Vec<String> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (name, _) in answers().flat_map(numbers) {
            if columns.len() < MOST_COLUMNS && !places.contains_key(&name) {
                places.insert(name.clone(), columns.len());
                columns.push(name);
            }
        }
        if !columns.is_empty() {
            return Shape { kind: Kind::Values, width: columns.len(), columns, places, judged, ..Shape::default() };
        }
        let width = contents.filter_map(Content::features).map(<[f32]>::len).max().unwrap_or(0);
        Shape { width, judged, ..Shape::default() }
    }

    /// The same where at most so many classes are told of an item.
    pub fn told(self, most: usize) -> Shape {
        Shape { ranks: self.ranks.min(most), ..self }
    }

    /// An item's numbers; NaN where nothing is known, as of classes that were left out of an answer.
    pub(super) fn row(&self, item: &Said) -> Vec<f32> {
        let mut row = vec![f32::NAN; self.width];
        let answer = item.content.answer();
        match self.kind {
            Kind::Features => {
                row.iter_mut().zip(item.content.features().unwrap_or_default()).for_each(|(cell, value)| *cell = *value);
            }
            Kind::Probabilities => {
                for class in answer.map_or(&[][..], Answer::classes) {
                    if let Some(cell) = row.get_mut(class.index) {
                        *cell = class.probability;
                    }
                }
            }
            Kind::Entities | Kind::Boxes | Kind::Shots => {}
            Kind::Values => {
                for (name, value) in answer.map(numbers).unwrap_or_default() {
                    if let Some(at) = self.places.get(&name) {
                        row[*at] = value;
                    }
                }
            }
        }
        row
    }
}

/// Numbers under names of their own: of several heads `colour: red` for the probability of a class, `size` for a number.
fn numbers(answer: &Answer) -> Vec<(String, f32)> {
    let of = |head: &Head| {
        let classes = head.answer.classes().iter().map(|class| (format!("{}: {}", head.name, class.label), class.probability));
        let values = head.answer.values().iter().map(|value| (head.name.clone(), value.value));
        classes.chain(values).collect::<Vec<_>>()
    };
    let own = answer.values().iter().map(|value| (value.name.clone(), value.value));
    let judged = answer.anomaly().into_iter().flat_map(|anomaly| anomaly.numbers().map(|(name, value)| (name.to_owned(), value)));
    let shares = answer.mask().into_iter().flat_map(|mask| mask.classes.iter().map(|area| (area.label.clone(), area.share)));
    own.chain(answer.heads().iter().flat_map(of)).chain(judged).chain(shares).collect()
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
