//! Shots of a film, as `predict` answers them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::prediction::{Shot, Shots};

/// All shots of a film, in its order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ShotsAnswer {
    /// Frames of the film.
    pub frames: usize,
    /// Frames that are likelier than this to be the end of a shot are.
    pub threshold: f32,
    pub found: Vec<ShotFound>,
}

/// A shot. Frames are counted from 0.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ShotFound {
    pub start_frame: usize,
    /// Its last.
    pub end_frame: usize,
    /// When these frames are shown, in seconds; left out where frames have no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_seconds: Option<f64>,
    /// How likely the likeliest of its frames is to be the end of a shot.
    pub probability: f32,
    /// Frames of the change that it ends with: 1 or 2 of a cut, more of a dissolve, 0 where the film ends.
    pub change_frames: usize,
}

impl ShotsAnswer {
    pub(super) fn of(shots: &Shots) -> ShotsAnswer {
        let found = |shot: &Shot| {
            let Shot { start_frame, end_frame, start_seconds, end_seconds, probability, change_frames } = *shot;
            ShotFound { start_frame, end_frame, start_seconds, end_seconds, probability, change_frames }
        };
        ShotsAnswer { frames: shots.frames, threshold: shots.threshold, found: shots.found.iter().map(found).collect() }
    }
}
