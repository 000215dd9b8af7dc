//! Labelled places held against the images they are on, when a data set is checked: sizes that differ, boxes over the edge, and how much
//! there is of each class.

use super::dataset::Dataset;
use super::error::{Refusal, Result};
use super::image::{decode, draw, thumbnail};
use super::modality::{Picture, Seen};
use super::sample::Sample;
use super::targets::{Misplaced, Object, Target, UNSAID};
use crate::domain::annotation_facts::{self, AnnotationFacts, Fault, MOST_FAULTS};
use crate::domain::dataset_report::Spread;
use crate::domain::human;

/// Images that are shown with what is said about them, and their longer side.
pub const PREVIEWS: usize = 12;
const PREVIEW_SIDE: u32 = 224;
/// Sides under which an object is small, and under which it is of middle size.
const SMALL: f32 = 32.0;
const MEDIUM: f32 = 96.0;

const CLIPPED: &str = "boxes over the edge of their image were cut at it";
const OUTSIDE: &str = "boxes outside of their image were left out";
const EMPTY: &str = "boxes of zero area were left out";

/// What is said about the places of one image.
#[derive(Debug, Default)]
pub struct Placed {
    /// Classes with how many objects or pixels they have.
    counts: Vec<(u32, u64)>,
    objects: Vec<Object>,
    /// Objects that are counted, in boxes or by a raster.
    counted: Option<usize>,
    empty: bool,
    faults: Vec<Fault>,
}

/// Holds what is said against the image.
///
/// # Errors
/// They do not belong together: it was said about an image of another size.
pub fn examine(dataset: &Dataset, sample: &Sample, seen: &Seen) -> std::result::Result<Placed, Refusal> {
    let side = |name: &str| seen.sizes.iter().find(|(known, _)| *known == name).map_or(0, |(_, size)| *size);
    let (width, height) = (side("width"), side("height"));
    let differs = |what: &str, [w, h]: [u32; 2]| {
        let turned = if [w, h] == [height, width] && w != h { ", turned as its camera says" } else { "" };
        Err(Refusal(format!("its {what} for {w} x {h} pixels, and it has {width} x {height}{turned}")))
    };
    match &sample.target {
        Target::Objects(objects) => {
            if let Some(size) = objects.size.filter(|size| *size != [width, height]) {
                return differs("annotations are", size);
            }
            let (kept, wrong) = objects.on(width, height);
            let fault = |(at, why): (usize, Misplaced)| {
                let problem = match why {
                    Misplaced::Clipped => CLIPPED,
                    Misplaced::Outside => OUTSIDE,
                    Misplaced::Empty => EMPTY,
                };
                let Object { class, bbox: [x, y, w, h], .. } = &objects.list[at];
                let name = dataset.classes().get(*class as usize).map_or("?", String::as_str);
                Fault::new(&sample.path, problem, format!("{name} at {x}, {y}, {w} wide and {h} high"))
            };
            let of = |kind: &u32| (*kind, kept.iter().filter(|object| object.class == *kind).count() as u64);
            Ok(Placed {
                counts: objects.kinds.iter().map(of).collect(),
                counted: Some(kept.len()),
                empty: kept.is_empty(),
                faults: wrong.into_iter().map(fault).collect(),
                objects: kept,
            })
        }
        Target::Mask(mask) if [mask.width, mask.height] != [width, height] => differs("mask is", [mask.width, mask.height]),
        Target::Mask(mask) => Ok(Placed {
            counts: mask.kinds.iter().copied().zip(mask.pixels.iter().copied()).collect(),
            counted: mask.instances,
            empty: mask.kinds.iter().all(|kind| *kind == 0),
            ..Placed::default()
        }),
        _ => Ok(Placed::default()),
    }
}

/// A small picture of an image with what is said about it drawn over it; `None` where that cannot be done.
///
/// # Errors
/// Those of reading a mask's bytes.
pub fn preview(dataset: &Dataset, sample: &Sample, bytes: &[u8]) -> Result<Option<Picture>> {
    let limits = dataset.limits();
    let Ok(mut image) = decode::decode(bytes, limits) else { return Ok(None) };
    let (width, height) = image.dimensions();
    match &sample.target {
        Target::Objects(objects) => {
            let thick = (width.max(height) / PREVIEW_SIDE).max(1) * 2;
            let (kept, _) = objects.on(width, height);
            for object in &kept {
                if let Some(outline) = &object.outline {
                    let raster = outline.raster(width, height);
                    draw::tint(&mut image, |at| raster[at].then_some(object.class));
                }
            }
            kept.iter().for_each(|object| draw::frame(&mut image, object.bbox, object.class, thick));
        }
        Target::Mask(mask) => {
            let Ok(labels) = mask.labels(limits)? else { return Ok(None) };
            if [labels.width, labels.height] != [width, height] {
                return Ok(None);
            }
            // The first class is what is left where there is nothing.
            let shown = |at: usize| Some(labels.values[at]).filter(|value| *value != 0 && *value != UNSAID).map(u32::from);
            draw::tint(&mut image, shown);
        }
        _ => return Ok(None),
    }
    Ok(thumbnail::of_image(&image, PREVIEW_SIDE).ok())
}

/// What is there on all images.
#[derive(Debug, Default)]
pub struct Tally {
    facts: AnnotationFacts,
    counted: Vec<u32>,
    faults: Vec<Fault>,
}

impl Tally {
    pub fn add(&mut self, placed: Option<Placed>) {
        let Some(placed) = placed else { return };
        let facts = &mut self.facts;
        for (class, count) in placed.counts {
            let class = class as usize;
            if facts.per_class.len() <= class {
                facts.per_class.resize(class + 1, 0);
            }
            facts.per_class[class] += count;
        }
        for object in &placed.objects {
            let [_, _, w, h] = object.bbox;
            let area = object.area.unwrap_or(w * h);
            facts.sizes[usize::from(area >= SMALL * SMALL) + usize::from(area >= MEDIUM * MEDIUM)] += 1;
            facts.objects += 1;
            facts.crowds += usize::from(object.crowd);
            facts.outlines += usize::from(object.outline.is_some());
        }
        facts.empty += usize::from(placed.empty);
        self.counted.extend(placed.counted.map(|count| count as u32));
        self.faults.extend(placed.faults);
    }

    /// All of it, and sentences on what was found only now; `None` where items are labelled as wholes.
    pub fn into_facts(self, dataset: &Dataset) -> Option<(AnnotationFacts, Vec<String>)> {
        if !dataset.targets.are_of_places() {
            return None;
        }
        let Tally { mut facts, counted, faults } = self;
        let mut sentences = annotation_facts::sentences(&faults);
        facts.per_class.resize(dataset.classes().len().max(facts.per_class.len()), 0);
        facts.per_image = (!counted.is_empty()).then(|| Spread::of(counted));
        if facts.empty > 0 {
            sentences.push(human::of_one_or_many(facts.empty, "image has nothing in it", "images have nothing in them"));
        }
        facts.faults = dataset.faults.iter().cloned().chain(faults).collect();
        facts.found = facts.faults.len();
        facts.faults.truncate(MOST_FAULTS);
        Some((facts, sentences))
    }
}
