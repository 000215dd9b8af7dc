//! Objects that a model finds in an image, as `predict` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::prediction::Boxes;

/// What was found in an image, the surest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BoxesAnswer {
    /// Of the image, in pixels.
    pub width: u32,
    pub height: u32,
    pub found: Vec<BoxScore>,
}

/// An object in a box.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BoxScore {
    /// Of its class.
    pub index: usize,
    pub label: String,
    /// 0 to 1.
    pub score: f32,
    /// Left, top, width and height, in pixels of the image.
    pub bbox: [f32; 4],
    /// Whether it is as sure as objects of its class have to be, which is where F1 was best on the validation items.
    pub present: bool,
}

impl BoxesAnswer {
    pub(super) fn of(boxes: &Boxes) -> BoxesAnswer {
        let found = boxes.found.iter().map(|found| BoxScore {
            index: found.index,
            label: found.label.clone(),
            score: found.score,
            bbox: found.bbox,
            present: found.present,
        });
        BoxesAnswer { width: boxes.width, height: boxes.height, found: found.collect() }
    }
}
