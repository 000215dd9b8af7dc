//! What a model says about an item.

mod boxes;
mod shots;

use std::ops::Deref;

use serde::{Deserialize, Serialize};

pub use boxes::{Boxes, FoundBox};
pub use shots::{Shot, Shots};

/// In the form of the model's task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The likeliest classes, or all labels; likeliest first.
    Classes(Vec<Class>),
    /// Numbers in the units of the data set.
    Values(Vec<Value>),
    /// What each head says.
    Heads(Vec<Head>),
    /// How unlike the good items it is.
    Anomaly(Anomaly),
    /// What is named in a text, in its order; perhaps nothing.
    Entities(Vec<Entity>),
    /// A class for each pixel.
    Mask(Mask),
    /// Objects in boxes; perhaps none.
    Boxes(Boxes),
    /// Shots of a film.
    Shots(Shots),
}

/// Classes over an image, of its width and height.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mask {
    pub width: u32,
    pub height: u32,
    /// All classes, in the order of their indices.
    pub classes: Vec<Area>,
    /// The indices as a PNG with a palette, in standard base64.
    pub png: String,
}

/// What a class has of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Area {
    pub index: usize,
    pub label: String,
    /// Of all pixels, 0 to 1.
    pub share: f32,
    /// How many objects there are of it, told apart by the distance from their edges; not of the first class, nor of large images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
    /// Which pixels; nothing where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
}

/// Run lengths as COCO's tools pack them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// Height and width.
    pub size: [u32; 2],
    pub counts: String,
}

impl Mask {
    /// Over no image.
    pub fn empty(names: &[String]) -> Mask {
        let area = |(index, label): (usize, &String)| Area { index, label: label.clone(), share: 0.0, objects: None, runs: None };
        Mask { width: 0, height: 0, classes: names.iter().enumerate().map(area).collect(), png: String::new() }
    }
}

/// A stretch of a text that names something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// As it stands there.
    pub text: String,
    /// Its type, such as `PER`.
    pub label: String,
    /// Its first character and the one behind its last, counted in characters from 0.
    pub start: usize,
    pub end: usize,
    /// The mean probability of its words' tags.
    pub score: f32,
}

/// A distance from good items, and whether it is too far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// 0 is like a good item, 1 like none.
    pub score: f32,
    /// What all but the share of false alarms that was asked for of the good items stay below.
    pub threshold: f32,
    pub is_anomaly: bool,
}

impl Anomaly {
    /// Its numbers under their names, as tables have them; the last is 1 of an anomaly.
    pub fn numbers(&self) -> [(&'static str, f32); 3] {
        [("score", self.score), ("threshold", self.threshold), ("is_anomaly", f32::from(u8::from(self.is_anomaly)))]
    }
}

/// What one of several heads says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub name: String,
    #[serde(flatten)]
    pub answer: Answer,
}

/// An answer, and whether the item is one of a kind that the model was trained on, where it can tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    #[serde(flatten)]
    pub answer: Answer,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub familiarity: Option<Familiarity>,
}

/// How unlike an item is all that a model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Familiarity {
    /// Whether it lies within the bound that keeps 95 of 100 held-out items.
    pub known: bool,
    /// Its distance: 0 is like a training item, 1 like none.
    pub unknown_score: f32,
    /// The bound.
    pub unknown_threshold: f32,
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Answered {
        Answered { answer, familiarity: None }
    }
}

impl Deref for Answered {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.answer
    }
}

/// A class and how sure the model is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Row of the head.
    pub index: usize,
    pub label: String,
    /// 0 to 1: of classes they sum to 1, each label has its own.
    pub probability: f32,
    /// Of a label: from which probability on it counts as there, which is where F1 was best on the validation items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Of a label: whether the item has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// A number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    pub name: String,
    pub value: f32,
}

impl Answer {
    /// The likeliest classes or the labels; none where the answer is numbers.
    pub fn classes(&self) -> &[Class] {
        match self {
            Answer::Classes(classes) => classes,
            _ => &[],
        }
    }

    /// The numbers; none where the answer is classes.
    pub fn values(&self) -> &[Value] {
        match self {
            Answer::Values(values) => values,
            _ => &[],
        }
    }

    /// Whether the item is an anomaly; `None` where the answer is another.
    pub fn anomaly(&self) -> Option<Anomaly> {
        if let Answer::Anomaly(anomaly) = self { Some(*anomaly) } else { None }
    }

    /// What is named in a text; `None` where the answer is another.
    pub fn entities(&self) -> Option<&[Entity]> {
        if let Answer::Entities(entities) = self { Some(entities) } else { None }
    }

    /// The mask over an image; `None` where the answer is another.
    pub fn mask(&self) -> Option<&Mask> {
        if let Answer::Mask(mask) = self { Some(mask) } else { None }
    }

    /// What was found in an image; `None` where the answer is another.
    pub fn boxes(&self) -> Option<&Boxes> {
        if let Answer::Boxes(boxes) = self { Some(boxes) } else { None }
    }

    /// The shots of a film; `None` where the answer is another.
    pub fn shots(&self) -> Option<&Shots> {
        if let Answer::Shots(shots) = self { Some(shots) } else { None }
    }

    /// Entities, objects or shots as a JSON list.
    pub fn listed(&self) -> Option<String> {
        match self {
            Answer::Boxes(boxes) => serde_json::to_string(&boxes.found).ok(),
            Answer::Shots(shots) => serde_json::to_string(&shots.found).ok(),
            other => serde_json::to_string(other.entities()?).ok(),
        }
    }

    /// The answers of several heads; none where there is one.
    pub fn heads(&self) -> &[Head] {
        if let Answer::Heads(heads) = self { heads } else { &[] }
    }
}
