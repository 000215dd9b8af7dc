//! Images whose objects are answered about: where they are in the network's view, and the boxes that a published model finds.

use rayon::prelude::*;

use super::error::{Error, Result};
use super::predict::Predictor;
use super::tasks::boxes_said;
use crate::data::modality::Modality;
use crate::data::{Boxes, Dataset, Limits, Objects, Refusal, Sample, Target};
use crate::domain::prediction::{Answer, Answered};

/// Width and height of an encoded image.
///
/// # Errors
/// It cannot be read.
pub(super) fn sides(modality: &dyn Modality, item: &[u8], limits: &Limits) -> std::result::Result<[u32; 2], Refusal> {
    let seen = modality.inspect(item, limits, false)?;
    let side = |name: &str| seen.sizes.iter().find(|(known, _)| *known == name).map_or(0, |(_, size)| *size);
    Ok([side("width"), side("height")])
}

/// A sample with its objects as they are in a view of these sides; or why it is left out.
///
/// # Errors
/// Those of reading.
pub(super) fn seen(objects: &Objects, dataset: &Dataset, sample: &Sample, view: [u32; 2]) -> Result<std::result::Result<Sample, String>> {
    let image = match sides(dataset.modality, &dataset.encoded(sample)?, dataset.limits()) {
        Ok(image) => image,
        Err(refusal) => return Ok(Err(format!("{}: {}", sample.path, refusal.0))),
    };
    if objects.size.is_some_and(|size| size != image) {
        return Ok(Err(format!("{}: its annotations are of another size and are not learned from", sample.path)));
    }
    Ok(Ok(Sample { target: Target::Boxes(Boxes::of(objects, image, view)), ..sample.clone() }))
}

impl Predictor {
    /// The objects in each image.
    pub(super) fn boxes_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Answered>>> {
        let rows = self.rows_of_places(items)?;
        let prepared = self.config.preprocessing();
        let view = [prepared.width as u32, prepared.height as u32];
        let said = |(item, row): (&B, Result<Vec<f32>>)| {
            let row = row?;
            let image = sides(self.modality, item.as_ref(), &self.limits).map_err(|refusal| Error::Data(refusal.into()))?;
            Ok(Answered { answer: Answer::Boxes(boxes_said(&row, &self.config, self.outputs(), (image, view))), familiarity: None })
        };
        Ok(items.par_iter().zip(rows).map(said).collect())
    }
}
