//! Films whose shots are asked about: all frames, small, window by window, and where the picture changes.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::error::{Error, Result};
use super::predict::Predictor;
use crate::data::Refusal;
use crate::data::video::Clip;
use crate::domain::config::Preprocessing;
use crate::domain::prediction::{Answer, Answered, Shot, Shots};
use crate::domain::shot_config::ShotSettings;

/// Frames that are decoded in one go: two minutes of a film, whatever it was decoded from.
const RUN: usize = 3_000;
/// Windows that a card works on at once; a processor is busy with one.
const WINDOWS: usize = 16;

/// What is said of a frame: whether a shot ends with it, and whether it is part of a change; 0 to 1.
type Scores = [f32; 2];

impl Predictor {
    /// The shots of films; `None` where something else is asked about.
    pub(super) fn shots_of<B: AsRef<[u8]> + Sync>(&self, films: &[B]) -> Option<Result<Vec<Result<Answered>>>> {
        // With classes of a support set there is a head.
        let settings = self.config.shots().filter(|_| self.head.is_none())?;
        let said = |(at, film): (usize, &B)| {
            let unreadable = |refusal| Error::Data(self.modality.unreadable(format!("{} {}", self.modality.name(), at + 1), refusal));
            let clip = Clip::open(film.as_ref(), &self.limits).map_err(unreadable)?;
            let shots = self.shots(&clip, settings, &unreadable)?;
            Ok(Answered { answer: Answer::Shots(shots), familiarity: None })
        };
        // One after the other: each keeps all cores busy.
        Some(Ok(films.iter().enumerate().map(said).collect()))
    }

    fn shots(&self, clip: &Clip<'_>, settings: ShotSettings, unreadable: &dyn Fn(Refusal) -> Error) -> Result<Shots> {
        let mut scores: Vec<Scores> = Vec::with_capacity(clip.frames);
        let run = RUN.next_multiple_of(settings.kept());
        for first in (0..clip.frames).step_by(run) {
            let (run, margin) = (first..(first + run).min(clip.frames), settings.margin);
            let seen = first.saturating_sub(margin)..(first + run.len().next_multiple_of(settings.kept()) + margin).min(clip.frames);
            let Preprocessing { height, width, .. } = self.config.preprocessing();
            let pixels = clip.small(seen.clone(), [height, width], &self.limits).map_err(unreadable)?;
            scores.extend(self.frame_scores(&pixels, seen, run, settings)?);
        }
        Ok(Shots {
            frames: clip.frames,
            threshold: settings.threshold,
            found: between(&scores, settings.threshold).into_iter().map(|shot| told(shot, &scores, settings.threshold, clip)).collect(),
        })
    }

    /// Of a run of frames; `pixels` are those of the frames that its windows see.
    fn frame_scores(&self, pixels: &[u8], seen: Range<usize>, run: Range<usize>, settings: ShotSettings) -> Result<Vec<Scores>> {
        let ShotSettings { window, margin, .. } = settings;
        let starts: Vec<usize> = run.clone().step_by(settings.kept()).collect();
        let at_once = if self.device().is_cpu() { 1 } else { WINDOWS };
        let mut scores = Vec::with_capacity(run.len());
        for some in starts.chunks(at_once) {
            // A window begins a margin earlier. Before the film its first frame is seen, behind it the last.
            let frame = |at: usize| at.saturating_sub(margin).clamp(seen.start, seen.end - 1) - seen.start;
            let wanted: Vec<usize> = some.iter().flat_map(|start| (*start..*start + window).map(frame)).collect();
            let clips = self.planes(pixels, &wanted, (some.len(), window))?;
            let _turn = self.turn();
            let logits =
                self.backbone.shot_logits(&clips.to_device(self.device())?)?.ok_or_else(|| Error::Unsupported(FINDS_NONE.into()))?;
            for rows in logits.to_vec3::<f32>()? {
                let kept = rows.iter().skip(margin).take(settings.kept());
                scores.extend(kept.map(|row| [row.first(), row.last()].map(|logit| sigmoid(logit.copied().unwrap_or(f32::NEG_INFINITY)))));
            }
        }
        scores.truncate(run.len());
        Ok(scores)
    }

    /// These frames as clips `(B, 3, T, H, W)`, prepared as the config says.
    fn planes(&self, pixels: &[u8], frames: &[usize], (clips, window): (usize, usize)) -> Result<Tensor> {
        let Preprocessing { height, width, mean, std, .. } = self.config.preprocessing();
        let each = 3 * height * width;
        let mut values = vec![0f32; frames.len() * each];
        values.par_chunks_mut(each).zip(frames).for_each(|(values, frame)| {
            let bytes = &pixels[frame * each..(frame + 1) * each];
            for (at, (value, byte)) in values.iter_mut().zip(bytes).enumerate() {
                *value = (f32::from(*byte) / 255.0 - mean[at % 3]) / std[at % 3];
            }
        });
        let clips = Tensor::from_vec(values, (clips, window, height, width, 3), &candle_core::Device::Cpu)?;
        Ok(clips.permute(vec![0, 4, 1, 2, 3])?)
    }
}

const FINDS_NONE: &str = "this network finds no shots of films, though its config.json says so";

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// First and last frame of each shot: a shot goes on to the first frame that a shot ends with, and the next begins behind the last of these
/// that follow it.
fn between(scores: &[Scores], threshold: f32) -> Vec<[usize; 2]> {
    let (mut found, mut start, mut changing) = (Vec::new(), 0, false);
    for (at, [ends, _]) in scores.iter().enumerate() {
        match (changing, *ends > threshold) {
            (true, false) => start = at,
            (false, true) if at > 0 => found.push([start, at]),
            _ => {}
        }
        changing = *ends > threshold;
    }
    let last = scores.len().saturating_sub(1);
    // The rest; or all of it where every frame is a change.
    if !changing || found.is_empty() {
        found.push([if changing { 0 } else { start }, last]);
    }
    found
}

fn told([start, end]: [usize; 2], scores: &[Scores], threshold: f32, clip: &Clip<'_>) -> Shot {
    let is_part = |score: &&Scores| score[1] > threshold;
    let (before, after) = scores.split_at((end + 1).min(scores.len()));
    let parts = before.iter().rev().take_while(is_part).count() + after.iter().take_while(is_part).count();
    let ends = scores.get(end).is_some_and(|score| score[0] > threshold);
    Shot {
        start_frame: start,
        end_frame: end,
        start_seconds: clip.seconds_at(start),
        end_seconds: clip.seconds_at(end),
        probability: before[start.min(before.len())..].iter().map(|score| score[0]).fold(0.0, f32::max),
        change_frames: if ends { parts.max(1) } else { 0 },
    }
}

/// What is answered of no film.
pub(super) fn none(settings: ShotSettings) -> Answer {
    Answer::Shots(Shots { frames: 0, threshold: settings.threshold, found: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shots(ends: &[f32]) -> Vec<[usize; 2]> {
        between(&ends.iter().map(|end| [*end, 0.0]).collect::<Vec<_>>(), 0.5)
    }

    #[test]
    fn shots_lie_between_changes() {
        assert_eq!(shots(&[0.0, 0.0, 0.9, 0.0, 0.0]), [[0, 2], [3, 4]]);
        assert_eq!(shots(&[0.0, 0.9, 0.8, 0.7, 0.0]), [[0, 1], [4, 4]], "a long change belongs to no shot but by its first frame");
        assert_eq!(shots(&[0.9, 0.0, 0.0]), [[1, 2]], "a film that begins with a change");
        assert_eq!(shots(&[0.0, 0.0, 0.9]), [[0, 2]], "and one that ends with it");
        assert_eq!(shots(&[0.9, 0.9]), [[0, 1]], "nothing but changes");
        assert_eq!((shots(&[0.5, 0.2]), shots(&[0.1])), (vec![[0, 1]], vec![[0, 0]]));
    }
}
