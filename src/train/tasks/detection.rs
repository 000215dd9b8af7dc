//! Objects in boxes: what each row of the outputs is to find, and how good the boxes are that come of it, as COCO counts. Rows of an image lie one
//! behind the other; what they mean is known to [`crate::train::detection`].

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Value as Json, json};

use super::multi_label::THRESHOLDS;
use super::{Answerer, Partition, TASK, Tally, Task, Told, Weighed, labels_of, nothing};
use crate::data::image::answered::Overlay;
use crate::data::{Boxed, Boxes, Target, counted};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation, LabelScore, More};
use crate::domain::prediction::{Answer, Boxes as Said, FoundBox};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::loss;
use crate::train::detection::{Finder, Losses, finder};
use crate::train::error::Result;
use crate::train::measures::detection::{Detection as Found, Scores, Seen, Truth, confusion, measure};

/// Answers of a class are as sure as this at least, where nothing was chosen.
const USUAL: f64 = 0.3;
/// Objects and answers kept for measures that take all of them at once.
const MOST_KEPT: usize = 4 << 20;
/// Digits of a curve behind the point.
const FINENESS: f64 = 1e4;

#[derive(Clone)]
pub struct Detection {
    names: Vec<String>,
    /// Who reads the rows of the head that makes them.
    finder: &'static dyn Finder,
    /// One for each class, once they were chosen.
    thresholds: Option<Vec<f64>>,
}

impl Detection {
    /// Of these classes, in the order of the outputs, by the head of this name.
    pub fn new(names: &[String], head: Option<&str>) -> Detection {
        Detection { names: names.to_vec(), finder: finder(head), thresholds: None }
    }

    fn threshold(&self, class: usize) -> f64 {
        self.thresholds.as_ref().and_then(|all| all.get(class)).copied().unwrap_or(USUAL)
    }

    fn sure(&self, found: &Found) -> bool {
        found.score >= self.threshold(found.class as usize)
    }

    /// What is there and what an image's rows say, in pixels of the image.
    fn seen(&self, rows: &[f32], boxes: &Boxes) -> Seen {
        let [across, down] = boxes.scale().map(f64::from);
        let truth = |object: &crate::data::Boxed| {
            let [x, y, w, h] = object.bbox.map(f64::from);
            let bbox = [x * across, y * down, w * across, h * down];
            Truth { class: object.class, bbox, area: f64::from(object.area), crowd: object.crowd }
        };
        Seen {
            truths: boxes.list.iter().map(truth).collect(),
            found: self.finder.found(rows, self.names.len(), boxes.view, (boxes.image, boxes.scale())),
        }
    }

    /// The loss of a batch of views of one size, and its gradient.
    fn losses(&self, rows: &[f32], boxes: &[&Boxes]) -> Losses {
        let view = boxes.first().map_or([0, 0], |first| first.view);
        let objects: Vec<&[Boxed]> = boxes.iter().map(|boxes| &*boxes.list).collect();
        self.finder.losses(rows, self.names.len(), view, &objects)
    }
}

/// The boxes of each target.
fn boxes(targets: &[Target]) -> Vec<&Boxes> {
    targets.iter().filter_map(|target| if let Target::Boxes(boxes) = target { Some(boxes) } else { None }).collect()
}

impl Task for Detection {
    fn name(&self) -> Name {
        Name::ObjectDetection
    }

    fn outputs(&self) -> usize {
        self.names.len() + self.finder.beside()
    }

    fn rows(&self, target: &Target) -> usize {
        if let Target::Boxes(boxes) = target { self.finder.rows(boxes.view) } else { 0 }
    }

    fn decoder(&self, recipe: &Recipe) -> Option<&'static str> {
        recipe.decoder_of(self.name())
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        let rows = outputs.detach().flatten_all()?.to_vec1::<f32>()?;
        let all = self.losses(&rows, &boxes(targets));
        Ok(loss::given(outputs, all.sum(), all.gradient)?)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Answers { task: self, settled, images: Vec::new(), samples: 0, kept: 0, loss: 0.0 })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        if partition.train.iter().all(|sample| sample.target.labels().is_empty()) {
            return Err(nothing("nothing is marked in the images that are trained on; add some with boxes"));
        }
        Ok(())
    }

    /// Of never finding anything.
    fn baseline(&self, _partition: &Partition) -> f64 {
        0.0
    }

    fn simplest(&self, _partition: &Partition) -> Option<Vec<f32>> {
        Some(self.finder.nothing(self.names.len()))
    }

    fn weighed(&self, rows: &[&[f32]], targets: &[&Target]) -> Option<Weighed> {
        let seen = |(rows, target): (&&[f32], &&Target)| match target {
            Target::Boxes(boxes) => self.seen(rows, boxes),
            _ => Seen::default(),
        };
        let (images, classes): (Vec<Seen>, usize) = (rows.iter().zip(targets).map(seen).collect(), self.names.len());
        Some(Box::new(move |weights: &[f32]| {
            let drawn = images.iter().zip(weights).flat_map(|(image, weight)| std::iter::repeat_n(image, *weight as usize));
            known(measure(&drawn.cloned().collect::<Vec<_>>(), classes).map)
        }))
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = None;
        config.num_classes = Some(self.names.len());
        config.pretrained_cfg.num_classes = Some(self.names.len());
        config.label_names = Some(self.names.clone());
        config.extra.insert(TASK.into(), Json::from(self.name().as_str()));
        let thresholds: Vec<f64> = (0..self.names.len()).map(|class| self.threshold(class)).collect();
        config.extra.insert(THRESHOLDS.into(), json!(thresholds));
    }

    /// The score is the F1 of the image's boxes, of which half of the union must be shared.
    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let Target::Boxes(boxes) = target else { return None };
        let seen = self.seen(row, boxes);
        let found: Vec<Found> = seen.found.iter().filter(|found| self.sure(found)).copied().collect();
        let scores = measure(&[Seen { found: found.clone(), ..seen }], self.names.len());
        let sum = |of: fn(&crate::train::measures::detection::Chosen) -> f64| scores.chosen.iter().map(of).sum::<f64>();
        let (there, right) = (sum(|class| class.support as f64), sum(|class| class.recall * class.support as f64));
        let crowds = boxes.list.iter().any(|object| object.crowd);
        let all = there + found.len() as f64;
        let score = if all > 0.0 { 2.0 * right / all } else { 1.0 };
        Some(Told {
            score,
            loss: self.losses(row, &[boxes]).sum(),
            answer: counted(found.iter().map(|found| found.class), &self.names),
            // What is found in a crowd is not counted against it.
            right: Some(if crowds { right == there } else { score == 1.0 }),
            ..Told::default()
        })
    }

    fn drawn(&self, row: &[f32], target: &Target) -> Option<[Overlay; 2]> {
        let Target::Boxes(boxes) = target else { return None };
        let found = self.seen(row, boxes).found;
        let sure = found.iter().filter(|found| self.sure(found)).map(|found| (found.class, found.bbox.map(|value| value as f32)));
        Some([Overlay::of_boxes(boxes), Overlay::frames(sure)])
    }

    /// Answers of all images are ranked together.
    fn scores_items(&self) -> bool {
        false
    }

    fn calibrated(&self, validation: &Evaluation) -> Option<Arc<dyn Task>> {
        let thresholds: Vec<f64> = validation.more.labels.iter().map(|label| label.threshold).collect();
        let fits = thresholds.len() == self.names.len();
        fits.then(|| Arc::new(Detection { thresholds: Some(thresholds), ..self.clone() }) as Arc<dyn Task>)
    }

    fn published(&self, config: &ModelConfig) -> Option<Arc<dyn Task>> {
        let finder = finder_of(config);
        Some(Arc::new(Detection { thresholds: thresholds_of(config, self.names.len()), finder, ..self.clone() }))
    }
}

/// Every answer.
struct Answers<'a> {
    task: &'a Detection,
    settled: bool,
    images: Vec<Seen>,
    samples: u64,
    /// Objects and answers in them.
    kept: usize,
    loss: f64,
}

impl Answers<'_> {
    fn scores(&self) -> Scores {
        measure(&self.images, self.task.names.len())
    }

    /// From which score on an answer counts: those chosen before; of the published weights, where F1 of the class is best.
    fn threshold(&self, class: usize, scores: &Scores) -> f64 {
        match self.settled && self.task.thresholds.is_none() {
            true => scores.chosen[class].threshold,
            false => self.task.threshold(class),
        }
    }
}

/// What there was nothing to measure by counts as nothing.
fn known(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// Precision and recall of each class at these thresholds, of boxes that share half of their union.
fn per_class(images: &[Seen], names: &[String], thresholds: &[f64]) -> Vec<ClassScore> {
    let sure = |seen: &Seen| Seen {
        truths: seen.truths.clone(),
        found: seen
            .found
            .iter()
            .filter(|found| found.score >= thresholds[found.class as usize])
            .map(|found| Found { score: 1.0, ..*found })
            .collect(),
    };
    let scores = measure(&images.iter().map(sure).collect::<Vec<_>>(), names.len());
    let score = |(name, chosen): (&String, &crate::train::measures::detection::Chosen)| {
        let (precision, recall, f1) = (chosen.precision, chosen.recall, chosen.f1);
        ClassScore { class: name.clone(), support: chosen.support, precision, recall, f1 }
    };
    names.iter().zip(&scores.chosen).map(score).collect()
}

impl Tally for Answers<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let all = boxes(targets);
        self.loss += self.task.losses(outputs, &all).sum() * all.len() as f64;
        let mut rest = outputs;
        for boxes in all {
            let (own, others) = rest.split_at((self.task.finder.rows(boxes.view) * self.task.outputs()).min(rest.len()));
            rest = others;
            self.samples += 1;
            if self.kept < MOST_KEPT {
                let seen = self.task.seen(own, boxes);
                self.kept += seen.truths.len() + seen.found.len();
                self.images.push(seen);
            }
        }
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    fn primary(&self) -> f64 {
        known(self.scores().map)
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let scores = self.scores();
        let thresholds: Vec<f64> = (0..self.task.names.len()).map(|class| self.threshold(class, &scores)).collect();
        let mut more = More::default();
        if self.settled {
            let [small, medium, large] = scores.map_of_sizes;
            let measured =
                [("box_map_small", small), ("box_map_medium", medium), ("box_map_large", large), ("box_recall", scores.recall[2])];
            more.measures.extend(measured.into_iter().filter(|(_, value)| value.is_finite()).map(|(key, value)| (key.to_owned(), value)));
            let label = |class: usize| LabelScore {
                threshold: thresholds[class],
                average_precision: known(scores.per_class[class]),
                average_precision_50: Some(known(scores.per_class_50[class])),
            };
            more.labels = (0..self.task.names.len()).map(label).collect();
            let rounded = |curve: &Vec<f64>| curve.iter().map(|value| (value * FINENESS).round() / FINENESS).collect();
            more.curves = scores.curves.iter().map(rounded).collect();
        }
        Evaluation {
            task: self.task.name(),
            samples: self.samples,
            loss: Tally::loss(&*self),
            values: [scores.map, scores.map_50, scores.map_75].map(known).into(),
            per_class: per_class(&self.images, &self.task.names, &thresholds),
            confusion: confusion(&self.images, &thresholds),
            more,
        }
    }
}

/// From which score on objects of each class are there, by a published config.
fn thresholds_of(config: &ModelConfig, classes: usize) -> Option<Vec<f64>> {
    let all = config.extra.get(THRESHOLDS)?.as_array()?.iter().map(Json::as_f64).collect::<Option<Vec<f64>>>()?;
    (all.len() == classes).then_some(all)
}

/// Who reads the rows of a published model.
fn finder_of(config: &ModelConfig) -> &'static dyn Finder {
    finder(config.decoder().map(|(name, _)| name))
}

/// What a published model's rows of an image say: boxes in its pixels, those that are as sure as its config asks marked so.
pub fn said(rows: &[f32], config: &ModelConfig, outputs: usize, (image, view): ([u32; 2], [u32; 2])) -> Said {
    let finder = finder_of(config);
    let names = labels_of(config, outputs.saturating_sub(finder.beside()));
    let thresholds = thresholds_of(config, names.len());
    let scale = [0, 1].map(|side| image[side] as f32 / view[side].max(1) as f32);
    let told = |found: &Found| {
        let index = found.class as usize;
        let least = thresholds.as_ref().map_or(USUAL, |all| all[index]);
        FoundBox {
            index,
            label: names[index].clone(),
            score: found.score as f32,
            bbox: found.bbox.map(|value| value as f32),
            present: found.score >= least,
        }
    };
    let found = finder.found(rows, names.len(), view, (image, scale)).iter().map(told).collect();
    Said { width: image[0], height: image[1], found }
}

/// Boxes lie in an image, of which nothing is known here.
pub fn answerer() -> Answerer {
    Box::new(|_row, _top| Answer::Boxes(Said::default()))
}

#[cfg(test)]
mod tests;
