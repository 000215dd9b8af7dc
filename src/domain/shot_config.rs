//! What a config says of a network that finds shots of films: `shots`, beside timm's keys.

use serde::{Deserialize, Serialize};

use super::config::ModelConfig;

/// The key of `config.json`.
pub const SHOTS: &str = "shots";

/// Frames of a window, at most.
const LONGEST: usize = 1_000;

/// How a film is looked at, window by window, and what counts as the end of a shot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShotSettings {
    /// Frames that the network sees at a time.
    pub window: usize,
    /// Of these as many at each end as are only there to be seen: what is said of them is left to other windows.
    pub margin: usize,
    /// Frames that are likelier than this to be the end of a shot are.
    pub threshold: f32,
}

impl ShotSettings {
    /// Within what is built here.
    fn is_sound(&self) -> bool {
        (1..=LONGEST).contains(&self.window) && self.margin < self.window.div_ceil(2) && self.threshold > 0.0 && self.threshold < 1.0
    }

    /// Frames that a window says something about.
    pub fn kept(&self) -> usize {
        self.window.saturating_sub(2 * self.margin).max(1)
    }
}

impl ModelConfig {
    /// How it finds shots, where that is what it answers.
    pub fn shots(&self) -> Option<ShotSettings> {
        serde_json::from_value(self.extra.get(SHOTS)?.clone()).ok().filter(ShotSettings::is_sound)
    }

    /// What it says of shots that is not understood, in words.
    pub fn odd_shots(&self) -> Option<String> {
        let said = self.extra.get(SHOTS).filter(|value| !value.is_null())?;
        if self.shots().is_some() {
            return None;
        }
        let shown: String = said.to_string().chars().take(80).collect();
        Some(format!(
            "config.json says `{SHOTS}`: {shown}, which is not obeyed here: a window has 1 to {LONGEST} frames, twice the margin fits into it, and the threshold lies between 0 and 1"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told() {
        let config = |shots: &str| ModelConfig::read(&format!(r#"{{"architecture": "x", "shots": {shots}}}"#)).unwrap();
        let sound = config(r#"{"window": 100, "margin": 25, "threshold": 0.5}"#);
        assert_eq!(sound.shots().map(|shots| shots.kept()), Some(50));
        assert!(sound.odd_shots().is_none() && config("null").odd_shots().is_none());
        for odd in [
            r#"{"window": 100, "margin": 50, "threshold": 0.5}"#,
            r#"{"window": 0, "margin": 0, "threshold": 0.5}"#,
            r#"{"window": 100, "margin": 25, "threshold": 1}"#,
            r#"{"window": 100}"#,
            "true",
        ] {
            assert!(config(odd).shots().is_none() && config(odd).odd_shots().unwrap().contains("not obeyed"), "{odd}");
        }
    }
}
