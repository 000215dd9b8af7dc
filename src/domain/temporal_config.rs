//! What a config says of clips: `temporal`, beside timm's keys.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::ModelConfig;
use super::recipe::{FramePool, FrameSampling, MOST_CLIPS, MOST_FRAMES, Video};

/// The key of `config.json`.
pub const TEMPORAL: &str = "temporal";

/// Frames of a clip where nobody says how many.
const FRAMES: usize = 8;
/// From frame to frame of a dense clip, likewise.
const STRIDE: usize = 2;

/// How a network sees videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Temporal {
    /// Of a clip.
    pub frames: usize,
    pub sampling: FrameSampling,
    /// Of dense clips: from frame to frame.
    pub stride: usize,
    /// Clips of a video whose answers are averaged.
    pub clips: usize,
    /// Of a network of images: how what it says of each frame becomes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<FramePool>,
}

impl Default for Temporal {
    fn default() -> Temporal {
        Temporal { frames: FRAMES, sampling: FrameSampling::Uniform, stride: STRIDE, clips: 1, pool: None }
    }
}

impl Temporal {
    /// Names everything that a clip's frames depend on.
    pub fn key(&self) -> String {
        format!("{} {} {}", self.frames, self.sampling, self.stride)
    }

    /// Within what is built here.
    fn is_sound(&self) -> bool {
        (1..=MOST_FRAMES).contains(&self.frames) && (1..=64).contains(&self.stride) && (1..=MOST_CLIPS).contains(&self.clips)
    }
}

impl ModelConfig {
    /// How it sees videos, where it says so in a way that is understood.
    pub fn temporal(&self) -> Option<Temporal> {
        let said = self.extra.get(TEMPORAL).filter(|value| value.is_object())?;
        serde_json::from_value(said.clone()).ok().filter(Temporal::is_sound)
    }

    /// What it says of videos that is not understood, in words.
    pub fn odd_temporal(&self) -> Option<String> {
        let said = self.extra.get(TEMPORAL).filter(|value| !value.is_null())?;
        if self.temporal().is_some() {
            return None;
        }
        let shown: String = said.to_string().chars().take(80).collect();
        Some(format!(
            "config.json says `{TEMPORAL}`: {shown}, which is not obeyed here: frames are 1 to {MOST_FRAMES}, sampling is uniform or dense, clips are 1 to {MOST_CLIPS}"
        ))
    }

    /// The same for videos, seen as a recipe wants it; `usual` are the frames of a network that takes clips itself, and `pools` says that it takes
    /// single images.
    pub fn seeing_videos(&self, asked: &Video, usual: Option<usize>, pools: bool) -> ModelConfig {
        let own = self.temporal().unwrap_or_else(|| Temporal { frames: usual.unwrap_or(FRAMES), ..Temporal::default() });
        let or = |asked: usize, own: usize| if asked > 0 { asked } else { own };
        let temporal = Temporal {
            frames: or(asked.frames, own.frames),
            sampling: asked.sampling.unwrap_or(own.sampling),
            stride: or(asked.stride, own.stride),
            clips: or(asked.clips, own.clips),
            pool: pools.then(|| asked.pool.or(own.pool).unwrap_or_default()),
        };
        let mut config = self.clone();
        config.extra.insert(TEMPORAL.into(), serde_json::to_value(temporal).unwrap_or(Value::Null));
        config
    }

    /// The same without a word of videos.
    pub fn seeing_images(&self) -> ModelConfig {
        let mut config = self.clone();
        config.extra.shift_remove(TEMPORAL);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(temporal: &str) -> ModelConfig {
        ModelConfig::read(&format!(r#"{{"architecture": "resnet18", "temporal": {temporal}}}"#)).unwrap()
    }

    #[test]
    fn what_a_recipe_names_stands_and_the_rest_is_the_bases_own() {
        let plain = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
        let usual = plain.seeing_videos(&Video::default(), None, true).temporal().unwrap();
        assert_eq!((usual.frames, usual.sampling, usual.pool, usual.clips), (8, FrameSampling::Uniform, Some(FramePool::Concat), 1));
        let own = config(r#"{"frames": 16, "sampling": "dense", "stride": 4, "clips": 3}"#);
        let asked = Video { frames: 4, ..Video::default() };
        let seen = own.seeing_videos(&asked, Some(32), false).temporal().unwrap();
        assert_eq!((seen.frames, seen.sampling, seen.stride, seen.clips, seen.pool), (4, FrameSampling::Dense, 4, 3, None));
        assert_eq!(plain.seeing_videos(&Video::default(), Some(16), false).temporal().unwrap().frames, 16);
        assert_eq!(own.seeing_images().temporal(), None);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for odd in [r#"{"frames": 0}"#, r#"{"frames": 100000}"#, r#"{"sampling": "sideways"}"#, "3", r#"{"clips": 99}"#] {
            let config = config(odd);
            assert!(config.temporal().is_none() && config.odd_temporal().unwrap().contains("not obeyed"), "{odd}");
        }
        assert_eq!(config("null").odd_temporal(), None);
        assert_eq!(config("{}").temporal(), Some(Temporal::default()));
    }
}
