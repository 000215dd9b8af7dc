//! Images whose pixels are answered about: how a base is prepared for that, which class each cell of the network's grid has, and the mask that a
//! published model lays over an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candle_core::Tensor;
use rayon::prelude::*;

use super::error::{Error, Result, in_order};
use super::feed;
use super::predict::Predictor;
use super::progress::ProgressReporter;
use super::tasks::upsampled;
use super::{Training, boxes};
use crate::data::targets::{Cells, Labels, Mask, Outline};
use crate::data::{self, Boxes, Dataset, Refusal, Sample, Target};
use crate::domain::config::ModelConfig;
use crate::domain::prediction::{Answer, Answered, Area, Mask as Said, Runs};
use crate::domain::recipe::{Recipe, Strategy};
use crate::nn::architectures::CELL;
use crate::nn::heads::dense::{self, Below, Design};
use crate::nn::{Backbone, Dense, Head, Input, Mode, Weights};

/// Items between two words of progress.
const CHUNK: usize = 256;

/// Pixels of an image whose objects are counted.
const MOST_COUNTED: usize = 4 << 20;

const NO_VECTOR: &str =
    "this model says something about each place, and has no vector of a whole image; embed with the model it was made from";

/// The base's config and the recipe where pixels are to be answered about, and where they were and are not any more: the whole image is seen,
/// each side brought to the input's by itself, and a head learns on features that stay as they are.
///
/// # Errors
/// What the recipe asks for and cannot be had of pixels.
pub fn prepared(training: &Training) -> Result<Option<(ModelConfig, Recipe)>> {
    let task = training.dataset.targets.task();
    Ok(match (task.is_of_places(), training.config.labels_places()) {
        (true, _) => {
            training.recipe.check_task(task)?;
            let config = training.config.labelling_places(task);
            let recipe = training.recipe.clone();
            let linear = task.is_of_pixels() && recipe.decoder_of(task).is_none();
            Some((config, if linear { Recipe { strategy: Strategy::Head, ..recipe } } else { recipe }))
        }
        (false, true) => Some((training.config.unlabelling_places(), training.recipe.clone())),
        (false, false) => None,
    })
}

/// The mask of an image as the network sees it, of which cells of that side are answered about.
fn cells(mask: &Mask, dataset: &Dataset, view: (u32, u32), cell: usize) -> Result<std::result::Result<Cells, Refusal>> {
    Ok(mask.labels(dataset.limits())?.map(|labels| Cells::of(&labels, view, cell).with_instances(mask.instances)))
}

/// Whether a mask is as large as its image.
fn fits(mask: &Mask, dataset: &Dataset, item: &[u8]) -> bool {
    let Ok(seen) = dataset.modality.inspect(item, dataset.limits(), false) else { return true };
    let side = |name: &str| seen.sizes.iter().find(|(known, _)| *known == name).map(|(_, size)| *size);
    (side("width"), side("height")) == (Some(mask.width), Some(mask.height))
}

/// The samples with the classes of their cells, without those whose masks are none of theirs, which are told.
///
/// # Errors
/// Those of reading, and [`Error::Cancelled`].
pub fn seen(dataset: &Dataset, config: &ModelConfig, samples: &[Sample], reporter: &mut ProgressReporter) -> Result<Vec<Sample>> {
    let view = (config.preprocessing().width as u32, config.preprocessing().height as u32);
    let of = |sample: &Sample| -> Result<std::result::Result<Sample, String>> {
        let mask = match &sample.target {
            Target::Mask(mask) => mask,
            Target::Objects(objects) => return boxes::seen(objects, dataset, sample, [view.0, view.1]),
            _ => return Ok(Ok(sample.clone())),
        };
        if !fits(mask, dataset, &dataset.encoded(sample)?) {
            return Ok(Err(format!("{}: its mask is of another size and is not learned from", sample.path)));
        }
        Ok(match cells(mask, dataset, view, CELL)? {
            Ok(cells) => Ok(Sample { target: Target::Cells(cells), ..sample.clone() }),
            Err(refusal) => Err(format!("{}: {}", sample.path, refusal.0)),
        })
    };
    let mut found = Vec::with_capacity(samples.len());
    for chunk in samples.chunks(CHUNK) {
        for sample in chunk.par_iter().map(of).collect::<Result<Vec<_>>>()? {
            match sample {
                Ok(sample) => found.push(sample),
                Err(why) => reporter.warn(why)?,
            }
        }
        reporter.prepare("reading annotations", found.len() as u64, samples.len() as u64)?;
    }
    Ok(found)
}

/// The head over maps that a config names, in a model's tensors.
///
/// # Errors
/// There is none of this name, or tensors are missing.
pub(super) fn decoder(config: &ModelConfig, backbone: &dyn Backbone, weights: &Weights) -> Result<Head> {
    let Some((name, outputs)) = config.decoder() else { return Err(Error::Unsupported("config.json names no decoder".into())) };
    let prepared = config.preprocessing();
    let design = Design { scales: backbone.scales(), outputs, view: (prepared.height, prepared.width), shortcut: false };
    Ok(Head::Dense(Box::new(Dense::given(name, &design, weights)?)))
}

impl Predictor {
    /// What is said about the words or places of items; `None` where something is said about the items.
    pub(super) fn said_of_parts<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Option<Result<Vec<Result<Answered>>>> {
        match (self.config.tags_words(), self.config.labels_places()) {
            (true, _) => Some(self.entities_batch(items)),
            (_, true) if self.config.labels_pixels() => Some(self.masks_batch(items)),
            (_, true) => Some(self.boxes_batch(items)),
            _ => None,
        }
    }

    /// The head's numbers for the words or places of items; `None` likewise.
    pub(super) fn rows_of_parts<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Option<Result<Vec<Result<Vec<f32>>>>> {
        match (self.config.tags_words(), self.config.labels_places()) {
            (true, _) => Some(self.rows_of_words(items)),
            (_, true) => Some(self.rows_of_places(items)),
            _ => None,
        }
    }

    /// Refuses to make one vector of an image where each of its places is answered about.
    pub(super) fn need_whole(&self) -> Result<()> {
        if self.config.labels_places() { Err(Error::Unsupported(NO_VECTOR.into())) } else { Ok(()) }
    }

    /// The head's numbers for the cells of images, those of an image one behind the other.
    pub(super) fn rows_of_places<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Vec<f32>>>> {
        let (batch, unreadable) = self.read_all(items)?;
        let Some(batch) = batch.filter(|_| unreadable.iter().any(Option::is_none)) else { return Ok(in_order(unreadable, Vec::new())) };
        let views = feed::input(batch)?;
        self.need_head()?;
        let rows = {
            let _turn = self.turn();
            self.of_places(&views)?.flatten_all()?.to_vec1::<f32>()?
        };
        let readable = unreadable.iter().filter(|problem| problem.is_none()).count();
        let each = (rows.len() / readable.max(1)).max(1);
        Ok(in_order(unreadable, rows.chunks_exact(each).map(<[f32]>::to_vec).collect()))
    }

    /// What is said about the places of views, `(B x places, outputs)`: where that was measured so, the mean over the views and what a mirror
    /// shows of them.
    fn of_places(&self, views: &Input) -> Result<Tensor> {
        let Some(head) = self.head.as_ref().and_then(Head::dense) else {
            let Some(head) = &self.head else { return Err(Error::Unsupported(NO_VECTOR.into())) };
            return Ok(head.forward(&self.pooled(views)?, Mode::Eval, 0)?);
        };
        let stages = self.backbone.stages().len();
        let one = |views: &Input, mirrored: bool| -> Result<Tensor> {
            let below = Below::nothing(&views.to_device(self.device())?);
            Ok(dense::answers(&*self.backbone, head, below, stages, Mode::Eval, mirrored)?)
        };
        let plain = one(views, false)?;
        if !self.mirrors {
            return Ok(plain);
        }
        Ok(((plain + one(&views.mirrored()?, true)?)? * 0.5)?)
    }

    /// The same mask in the cells that the network answers about, the same objects in its view.
    ///
    /// # Errors
    /// The mask or the image cannot be read any more.
    pub(super) fn cells_seen(&self, dataset: &Dataset, sample: &Sample, target: &Target) -> Result<Target> {
        let view = (self.config.preprocessing().width as u32, self.config.preprocessing().height as u32);
        let unreadable = |refusal: Refusal| Error::Data(data::Error::Image { path: sample.path.clone(), reason: refusal.0 });
        let mask = match target {
            Target::Mask(mask) => mask,
            Target::Objects(objects) => {
                let item = dataset.encoded(sample)?;
                let image = boxes::sides(dataset.modality, &item, dataset.limits()).map_err(unreadable)?;
                return Ok(Target::Boxes(Boxes::of(objects, image, [view.0, view.1])));
            }
            _ => return Ok(target.clone()),
        };
        cells(mask, dataset, view, self.cell())?.map(Target::Cells).map_err(unreadable)
    }

    /// A mask for each image, of its size.
    pub(super) fn masks_batch<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Answered>>> {
        let rows = self.rows_of_places(items)?;
        let said = |(item, row): (&B, Result<Vec<f32>>)| row.and_then(|row| self.mask(item.as_ref(), &row));
        Ok(items.par_iter().zip(rows).map(said).collect())
    }

    /// Pixels of the view along a side of a cell that is answered about.
    fn cell(&self) -> usize {
        self.head.as_ref().and_then(Head::dense).map_or(CELL, Dense::cell)
    }

    fn mask(&self, item: &[u8], row: &[f32]) -> Result<Answered> {
        let seen = self.modality.inspect(item, &self.limits, false).map_err(|refusal| Error::Data(refusal.into()))?;
        let side = |name: &str| seen.sizes.iter().find(|(known, _)| *known == name).map_or(0, |(_, size)| *size);
        let (width, height) = (side("width"), side("height"));
        let preprocessing = self.config.preprocessing();
        let grid = (preprocessing.height.div_ceil(self.cell()), preprocessing.width.div_ceil(self.cell()));
        let names = self.config.label_names.clone().unwrap_or_default();
        let classes = self.outputs();
        let labels = match self.labels_by_windows(item, grid, (width, height))? {
            Some(labels) => labels,
            None => Labels { width, height, values: upsampled(row, classes, grid, (width as usize, height as usize)) },
        };
        Ok(Answered { answer: Answer::Mask(told(&labels, &names, classes)), familiarity: None })
    }
}

/// A mask in words: of each class how much of the image it has and where, and a picture of all of them.
fn told(labels: &Labels, names: &[String], classes: usize) -> Said {
    let all = labels.values.len().max(1) as f32;
    let area = |class: usize| {
        let here = labels.values.iter().filter(|value| usize::from(**value) == class).count();
        let runs = Outline::of_class(labels, class as u8).letters();
        Area {
            index: class,
            label: names.get(class).cloned().unwrap_or_else(|| format!("class {class}")),
            share: here as f32 / all,
            // The first class is what is left where there is nothing.
            objects: (class > 0 && labels.values.len() <= MOST_COUNTED).then(|| labels.count(class as u8)),
            runs: runs.filter(|_| here > 0).map(|counts| Runs { size: [labels.height, labels.width], counts }),
        }
    };
    Said {
        width: labels.width,
        height: labels.height,
        classes: (0..classes).map(area).collect(),
        png: labels.to_png().map(|png| STANDARD.encode(png)).unwrap_or_default(),
    }
}
