//! Answers of `embed` and `predict`. The request body is one image file (PNG, JPEG, WebP, GIF, BMP).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Best first.
    pub classes: Vec<ClassScore>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClassScore {
    pub index: usize,
    pub label: String,
    /// Softmax, 0 to 1.
    pub probability: f32,
}
