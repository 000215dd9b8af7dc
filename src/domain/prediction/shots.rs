//! Shots of a film: what lies between two changes of the picture.

use serde::{Deserialize, Serialize};

/// All of a film, in its order; at least one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shots {
    /// Frames of the film.
    pub frames: usize,
    /// Frames that are likelier than this to be the end of a shot are.
    pub threshold: f32,
    pub found: Vec<Shot>,
}

/// One of them. Frames are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shot {
    pub start_frame: usize,
    /// Its last: the first that is likelier than the threshold to be the end of a shot, or the last of the film.
    pub end_frame: usize,
    /// When these frames are shown, in seconds; absent where frames have no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_seconds: Option<f64>,
    /// How likely the likeliest of its frames is to be the end of a shot.
    pub probability: f32,
    /// Frames of the change that it ends with: 1 or 2 of a cut, more of a dissolve, 0 where the film ends.
    pub change_frames: usize,
}
