//! Answers of `embed` and `predict`. The request body is one image file (PNG, JPEG, WebP, GIF, BMP).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::prediction::Answer;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Embedding {
    /// `namespace/name@version`
    pub model: String,
    /// The pooled features.
    pub features: Vec<f32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Prediction {
    /// `namespace/name@version`
    pub model: String,
    /// Of a classifier, best first; else empty.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
    /// Of a model that answers numbers; left out by others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<NamedValue>,
}

/// A number that a model answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedValue {
    pub name: String,
    /// In the units of the data set it was trained on.
    pub value: f32,
}

impl Prediction {
    /// What `model` answered.
    pub fn new(model: String, answer: &Answer) -> Prediction {
        let class =
            |c: &crate::domain::prediction::Class| ClassScore { index: c.index, label: c.label.clone(), probability: c.probability };
        let value = |v: &crate::domain::prediction::Value| NamedValue { name: v.name.clone(), value: v.value };
        Prediction { model, classes: answer.classes().iter().map(class).collect(), values: answer.values().iter().map(value).collect() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClassScore {
    pub index: usize,
    pub label: String,
    /// Softmax, 0 to 1.
    pub probability: f32,
}
