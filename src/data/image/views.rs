//! Encoded images to pixels a backbone takes.

use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;

use super::decode;
use super::transform::Preprocessor;
use crate::data::error::{Error, Refusal, Result};
use crate::data::limits::Limits;
use crate::data::modality::{Geometry, Input, View, ViewMaker, Views};
use crate::domain::config::Preprocessing;
use crate::domain::recipe::Augment;

/// Views of images, prepared as a model's config says.
#[derive(Debug, Clone)]
pub struct ImageViews {
    preprocessing: Preprocessing,
    of_places: bool,
}

impl ImageViews {
    /// # Errors
    /// [`crate::data::Error::BadPreprocessing`] names the setting that makes no sense.
    pub fn new(preprocessing: Preprocessing) -> Result<ImageViews> {
        Preprocessor::new(&preprocessing)?;
        Ok(ImageViews { preprocessing, of_places: false })
    }

    /// The same for a network that answers about each place.
    pub fn of_places(self, of_places: bool) -> ImageViews {
        ImageViews { of_places, ..self }
    }
}

impl Views for ImageViews {
    fn key(&self) -> String {
        format!("{:?}", self.preprocessing)
    }

    fn of_places(&self) -> bool {
        self.of_places
    }

    fn side(&self) -> Option<usize> {
        Some(self.preprocessing.height.min(self.preprocessing.width))
    }

    fn widened(&self, by: i64) -> Option<Arc<dyn Views>> {
        let side = |own: usize| usize::try_from(i64::try_from(own).ok()?.checked_add(by)?).ok().filter(|side| *side > 0);
        let (height, width) = (side(self.preprocessing.height)?, side(self.preprocessing.width)?);
        let preprocessing = Preprocessing { height, width, ..self.preprocessing.clone() };
        Some(Arc::new(ImageViews { preprocessing, ..self.clone() }))
    }

    fn maker(&self) -> Result<Box<dyn ViewMaker>> {
        let Preprocessing { height, width, .. } = self.preprocessing;
        Ok(Box::new(Maker { preprocessor: Preprocessor::new(&self.preprocessing)?, height, width }))
    }
}

struct Maker {
    preprocessor: Preprocessor,
    height: usize,
    width: usize,
}

impl ViewMaker for Maker {
    fn batch(&self, views: usize) -> Input {
        Input::Pixels { values: Vec::with_capacity(views * self.preprocessor.len()), height: self.height, width: self.width }
    }

    fn blank(&self) -> Input {
        Input::Pixels { values: vec![0.0; self.preprocessor.len()], height: self.height, width: self.width }
    }

    fn geometry(&self, item: &[u8], limits: &Limits, view: View<'_>) -> Option<Geometry> {
        let (width, height) = decode::sides(item, limits)?;
        match view {
            View::Plain | View::Clip(_) => self.preprocessor.geometry(width, height, None).ok(),
            View::Mirrored => self.preprocessor.geometry(width, height, None).ok().map(|plain| Geometry { mirrored: true, ..plain }),
            View::Random(augment, mut random) => self.preprocessor.geometry(width, height, Some((augment, &mut *random))).ok(),
        }
    }

    fn add_mosaic(
        &mut self,
        items: &[Bytes; 4],
        limits: &Limits,
        (augment, random): (&Augment, &mut ChaCha8Rng),
        batch: &mut Input,
    ) -> Result<Option<[Geometry; 4]>> {
        let Input::Pixels { values, .. } = batch else { return Ok(None) };
        let images = items.iter().map(|item| decode::decode(item, limits)).collect::<std::result::Result<Vec<_>, Refusal>>();
        let Ok(images) = images else { return Ok(None) };
        let at = values.len();
        values.resize(at + self.preprocessor.len(), 0.0);
        self.preprocessor.mosaic(&images, (augment, random), &mut values[at..]).map(Some)
    }

    fn add(&mut self, item: &[u8], limits: &Limits, view: View<'_>, batch: &mut Input) -> Result<std::result::Result<(), Refusal>> {
        let Input::Pixels { values, .. } = batch else {
            return Err(Error::BadPreprocessing { reason: "an image was to become a view of something else".into() });
        };
        let decoded = match decode::inspect(item, limits) {
            Ok(decoded) => decoded,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let at = values.len();
        values.resize(at + self.preprocessor.len(), 0.0);
        match view {
            View::Plain | View::Clip(_) => self.preprocessor.eval(&decoded.image, &mut values[at..])?,
            View::Mirrored => self.preprocessor.plain(&decoded.image, true, &mut values[at..])?,
            View::Random(augment, mut random) => self.preprocessor.train(&decoded.image, augment, &mut *random, &mut values[at..])?,
        }
        Ok(Ok(()))
    }
}
