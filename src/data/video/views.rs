//! Encoded videos to clips a network takes: the frames are chosen, each is prepared as an image is, and what is random about one is the same in all
//! of a clip.

use super::clip::Clip;
use super::sampling;
use crate::data::error::{Error, Refusal, Result};
use crate::data::image::transform::Preprocessor;
use crate::data::limits::Limits;
use crate::data::modality::{Input, View, ViewMaker, Views};
use crate::domain::config::Preprocessing;
use crate::domain::temporal_config::Temporal;

/// Views of videos, prepared as a model's config says.
#[derive(Debug, Clone)]
pub struct VideoViews {
    preprocessing: Preprocessing,
    temporal: Temporal,
}

impl VideoViews {
    /// # Errors
    /// [`crate::data::Error::BadPreprocessing`] names the setting that makes no sense.
    pub fn new(preprocessing: Preprocessing, temporal: Temporal) -> Result<VideoViews> {
        Preprocessor::new(&preprocessing)?;
        Ok(VideoViews { preprocessing, temporal })
    }
}

impl Views for VideoViews {
    fn key(&self) -> String {
        format!("{:?} {}", self.preprocessing, self.temporal.key())
    }

    fn clips(&self) -> u32 {
        self.temporal.clips as u32
    }

    fn maker(&self) -> Result<Box<dyn ViewMaker>> {
        Ok(Box::new(Maker { preprocessor: Preprocessor::new(&self.preprocessing)?, views: self.clone() }))
    }
}

struct Maker {
    preprocessor: Preprocessor,
    views: VideoViews,
}

impl Maker {
    fn with(&self, values: Vec<f32>) -> Input {
        let Preprocessing { height, width, .. } = self.views.preprocessing;
        Input::Clips { values, frames: self.views.temporal.frames, height, width }
    }

    /// Values of a clip.
    fn len(&self) -> usize {
        self.views.temporal.frames * self.preprocessor.len()
    }
}

impl ViewMaker for Maker {
    fn batch(&self, views: usize) -> Input {
        self.with(Vec::with_capacity(views * self.len()))
    }

    fn blank(&self) -> Input {
        self.with(vec![0.0; self.len()])
    }

    fn add(&mut self, item: &[u8], limits: &Limits, view: View<'_>, batch: &mut Input) -> Result<std::result::Result<(), Refusal>> {
        let Input::Clips { values, .. } = batch else {
            return Err(Error::BadPreprocessing { reason: "a video was to become a view of something else".into() });
        };
        let clip = match Clip::open(item, limits) {
            Ok(clip) => clip,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (temporal, mut view) = (&self.views.temporal, view);
        let chosen = match &mut view {
            View::Plain | View::Mirrored => sampling::plain(temporal, clip.frames, 0),
            View::Clip(number) => sampling::plain(temporal, clip.frames, *number),
            View::Random(_, random) => sampling::random(temporal, clip.frames, &mut **random),
        };
        let frames = match clip.take(&chosen, limits) {
            Ok(frames) => frames,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for frame in &frames {
            let at = values.len();
            values.resize(at + self.preprocessor.len(), 0.0);
            let out = &mut values[at..];
            match &view {
                View::Plain | View::Clip(_) => self.preprocessor.eval(frame, out)?,
                View::Mirrored => self.preprocessor.plain(frame, true, out)?,
                // Each frame draws the same numbers.
                View::Random(augment, random) => self.preprocessor.train(frame, augment, &mut (**random).clone(), out)?,
            }
        }
        Ok(Ok(()))
    }
}
