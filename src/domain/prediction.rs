//! What a model says about an item.

use serde::{Deserialize, Serialize};

/// In the form of the model's task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The likeliest classes, likeliest first.
    Classes(Vec<Class>),
    /// Numbers in the units of the data set.
    Values(Vec<Value>),
}

/// A class and how sure the model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Row of the head.
    pub index: usize,
    pub label: String,
    /// Softmax, 0 to 1.
    pub probability: f32,
}

/// A number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    pub name: String,
    pub value: f32,
}

impl Answer {
    /// The likeliest classes; none where the answer is numbers.
    pub fn classes(&self) -> &[Class] {
        match self {
            Answer::Classes(classes) => classes,
            Answer::Values(_) => &[],
        }
    }

    /// The numbers; none where the answer is classes.
    pub fn values(&self) -> &[Value] {
        match self {
            Answer::Classes(_) => &[],
            Answer::Values(values) => values,
        }
    }
}
