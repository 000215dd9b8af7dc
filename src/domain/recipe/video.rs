//! How a network sees videos: which frames, and how what is said of each becomes one.

use serde::{Deserialize, Serialize};

use super::{RecipeError, whole};

/// Most frames that are seen of a clip at once.
pub const MOST_FRAMES: usize = 64;
/// Most clips of a video whose answers are averaged.
pub const MOST_CLIPS: usize = 16;

/// How the frames of a clip are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameSampling {
    /// One of each of as many equally long parts of the whole video (Wang et al. 2016, TSN).
    #[default]
    Uniform,
    /// Every so many-th of a run (Carreira and Zisserman 2017).
    Dense,
}
crate::domain::user::words!(FrameSampling, Uniform = "uniform", Dense = "dense");

/// How the vectors that a network of images makes of each frame become one of the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FramePool {
    /// One behind the other: their order is kept.
    #[default]
    Concat,
    Mean,
    Max,
    /// Weighted means, whose weights are learned, by what is seen and when.
    Attention,
    /// Convolutions over time, which are learned.
    Conv,
    /// Their mean, over a network whose channels are shifted along the frames (Lin et al. 2019).
    Tsm,
}
crate::domain::user::words!(FramePool, Concat = "concat", Mean = "mean", Max = "max", Attention = "attention", Conv = "conv", Tsm = "tsm");

/// How videos are seen. What is not said is as the base's config has it, or as it is usual.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Video {
    /// Frames of a clip; 0: as many as the base takes, for a base of images 8 (TSN's experiments end there; twice as many cost twice as much).
    pub frames: usize,
    /// Left out: as the base was trained, for a base of images `uniform`: what happens may happen anywhere in a short video.
    pub sampling: Option<FrameSampling>,
    /// Of `dense`: from frame to frame; 0: as the base was trained, else 2.
    pub stride: usize,
    /// How frames become one vector over a base of images; left out, `concat`: it keeps their order, and its head has one optimum.
    pub pool: Option<FramePool>,
    /// Clips of each video that are measured and predicted on, whose answers are averaged; 0: as the base has it, else 1, since each costs as
    /// much as the first.
    pub clips: usize,
}

impl Video {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        whole("video.frames", self.frames as u64, 0, MOST_FRAMES as u64)?;
        whole("video.stride", self.stride as u64, 0, 64)?;
        whole("video.clips", self.clips as u64, 0, MOST_CLIPS as u64)
    }
}
