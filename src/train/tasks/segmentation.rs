//! A class for each pixel: cross entropy over the cells of a grid, and intersections over unions of pixels. Each row of the outputs is a cell's;
//! those of an image lie one behind the other, row by row. Between the middles of cells, outputs are interpolated.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde_json::Value as Json;

use super::{Partition, TASK, Tally, Task, Told, Weighed, labels_of, nothing, pixels};
use crate::data::image::answered::Overlay;
use crate::data::{Cells, Labels, Sample, Target, UNSAID};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation, More};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::loss;
use crate::train::error::Result;
use crate::train::measures::segmentation::{Pixels, boundary_f1};
use crate::train::probe::{Part, Wanted};

/// Images whose boundaries and objects are measured.
const MOST_LOOKED_AT: usize = 4_096;

pub struct Segmentation {
    names: Vec<String>,
    /// Pixels of each class in the masks that are trained on.
    counts: Vec<u64>,
}

impl Segmentation {
    /// Of these classes, in the order of the outputs.
    pub fn new(names: &[String], train: &[Sample]) -> Segmentation {
        Segmentation { names: names.to_vec(), counts: pixels::counted(train, names.len()) }
    }

    /// The class of each pixel by the outputs of an image's cells.
    fn answer(&self, outputs: &[f32], target: &Target) -> Vec<u8> {
        match target {
            Target::Cells(cells) => {
                let view = (cells.pixels.width as usize, cells.pixels.height as usize);
                upsampled(outputs, self.names.len(), (cells.rows, cells.columns), view)
            }
            _ => Vec::new(),
        }
    }
}

/// Known classes of an image's cells.
fn known(target: &Target) -> impl Iterator<Item = Option<u32>> + '_ {
    let each: &[u8] = if let Target::Cells(cells) = target { &cells.each } else { &[] };
    each.iter().map(|class| Some(u32::from(*class)).filter(|_| *class != UNSAID))
}

/// The pixels of a view with their classes.
fn truth(target: &Target) -> &[u8] {
    if let Target::Cells(cells) = target { &cells.pixels.values } else { &[] }
}

/// The likeliest class of each pixel of a view `(width, height)`, row by row: `outputs (rows x columns, classes)` interpolated between the
/// middles of cells.
pub fn upsampled(outputs: &[f32], classes: usize, (rows, columns): (usize, usize), (width, height): (usize, usize)) -> Vec<u8> {
    if classes == 0 || outputs.len() < rows * columns * classes || rows == 0 || columns == 0 {
        return vec![0; width * height];
    }
    let place = |at: usize, to: usize, from: usize| {
        let place = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        (place as usize, (place as usize + 1).min(from - 1), place.fract())
    };
    let across: Vec<_> = (0..width).map(|x| place(x, width, columns)).collect();
    let mut answer = Vec::with_capacity(width * height);
    let mut line = vec![0f32; columns * classes];
    for y in 0..height {
        let (above, below, part) = place(y, height, rows);
        let of = |row: usize| &outputs[row * columns * classes..(row + 1) * columns * classes];
        line.iter_mut().zip(of(above).iter().zip(of(below))).for_each(|(out, (above, below))| *out = above + (below - above) * part);
        for (left, right, part) in &across {
            let value = |class: usize| {
                let (left, right) = (line[left * classes + class], line[right * classes + class]);
                left + (right - left) * part
            };
            let (mut best, mut most) = (0, value(0));
            for class in 1..classes {
                let value = value(class);
                if value > most {
                    (best, most) = (class, value);
                }
            }
            answer.push(best as u8);
        }
    }
    answer
}

/// In nats.
fn cross_entropy(row: &[f32], class: u32) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
    sum.ln() + largest - row.get(class as usize).map_or(f64::NAN, |own| f64::from(*own))
}

impl Task for Segmentation {
    fn name(&self) -> Name {
        Name::SemanticSegmentation
    }

    fn outputs(&self) -> usize {
        self.names.len()
    }

    fn rows(&self, target: &Target) -> usize {
        if let Target::Cells(cells) = target { cells.each.len() } else { 0 }
    }

    fn decoder(&self, recipe: &Recipe) -> Option<&'static str> {
        recipe.decoder_of(self.name())
    }

    /// Of a linear head the mean over the cells of which something is said.
    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        if self.decoder(recipe).is_some() {
            return pixels::loss(outputs, targets, recipe, &self.counts);
        }
        let each: Vec<Option<u32>> = targets.iter().flat_map(known).collect();
        let (places, classes): (Vec<u32>, Vec<u32>) = (0..).zip(&each).filter_map(|(at, class)| Some((at, (*class)?))).unzip();
        let count = classes.len();
        if count == 0 {
            return Ok((outputs.sum_all()? * 0.0)?);
        }
        let places = Tensor::from_vec(places, count, outputs.device())?;
        Ok(loss::cross_entropy(&outputs.index_select(&places, 0)?, &Tensor::from_vec(classes, count, &Device::Cpu)?, 0.0)?)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        let pixels = Pixels::new(self.names.len());
        Box::new(Seen { task: self, settled, pixels, images: 0, loss: 0.0, cells: 0, answers: Vec::new() })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let mut there: Vec<u32> = partition.train.iter().flat_map(|sample| sample.target.labels()).copied().collect();
        there.sort_unstable();
        there.dedup();
        if there.len() < 2 {
            return Err(nothing("the masks of the training images have one class alone; add some that show another"));
        }
        Ok(())
    }

    /// Of the class that most pixels of the training images have.
    fn baseline(&self, partition: &Partition) -> f64 {
        let Some(class) = self.commonest(partition) else { return 0.0 };
        let mut pixels = Pixels::new(self.names.len());
        for sample in &partition.val {
            let truth = truth(&sample.target);
            pixels.add(truth, &vec![class as u8; truth.len()]);
        }
        Some(pixels.mean_iou()).filter(|value| value.is_finite()).unwrap_or(0.0)
    }

    fn convex(&self, targets: &[Target], _recipe: &Recipe) -> Option<Vec<Part>> {
        let labels = targets.iter().flat_map(known).collect();
        Some(vec![Part { outputs: self.outputs(), wanted: Wanted::Class { labels, smoothing: 0.0 } }])
    }

    fn simplest(&self, partition: &Partition) -> Option<Vec<f32>> {
        let commonest = self.commonest(partition)?;
        Some((0..self.outputs()).map(|class| f32::from(u8::from(class == commonest))).collect())
    }

    fn weighed(&self, rows: &[&[f32]], targets: &[&Target]) -> Option<Weighed> {
        let classes = self.names.len();
        let counted = |(rows, target): (&&[f32], &&Target)| {
            let mut pixels = Pixels::new(classes);
            pixels.add(truth(target), &self.answer(rows, target));
            pixels
        };
        let images: Vec<Pixels> = rows.iter().zip(targets).map(counted).collect();
        Some(Box::new(move |weights: &[f32]| {
            let mut all = Pixels::new(classes);
            images.iter().zip(weights).for_each(|(image, weight)| all.add_times(image, *weight as u64));
            Some(all.mean_iou()).filter(|value| value.is_finite()).unwrap_or(0.0)
        }))
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = None;
        config.num_classes = Some(self.outputs());
        config.pretrained_cfg.num_classes = Some(self.outputs());
        config.label_names = Some(self.names.clone());
        config.extra.insert(TASK.into(), Json::from(self.name().as_str()));
    }

    /// The score is the share of pixels that are right.
    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let (answer, truth) = (self.answer(row, target), truth(target));
        let mut pixels = Pixels::new(self.names.len());
        pixels.add(truth, &answer);
        let losses = row.chunks_exact(self.outputs().max(1)).zip(known(target)).filter_map(|(row, class)| Some(cross_entropy(row, class?)));
        let accuracy = pixels.accuracy();
        Some(Told {
            score: if accuracy.is_finite() { accuracy } else { 0.0 },
            loss: super::sums::mean(losses),
            answer: shares(&answer, &self.names),
            right: Some(accuracy == 1.0),
            ..Told::default()
        })
    }

    fn drawn(&self, row: &[f32], target: &Target) -> Option<[Overlay; 2]> {
        let Target::Cells(cells) = target else { return None };
        let truth = Labels::clone(&cells.pixels);
        let answer = Labels { values: self.answer(row, target), ..truth.clone() };
        Some([Overlay::Labels(truth), Overlay::Labels(answer)])
    }

    /// Pixels of all images are counted together.
    fn scores_items(&self) -> bool {
        false
    }
}

impl Segmentation {
    fn commonest(&self, partition: &Partition) -> Option<usize> {
        let mut counts = vec![0u64; self.names.len()];
        let all = partition.train.iter().flat_map(|sample| truth(&sample.target));
        all.map(|class| usize::from(*class)).filter(|class| *class < self.names.len()).for_each(|class| counts[class] += 1);
        (0..counts.len()).rev().max_by_key(|class| counts[*class]).filter(|class| counts[*class] > 0)
    }
}

/// How much of an image each class has, the most first: `background 80 %, cell 20 %`.
fn shares(answer: &[u8], names: &[String]) -> String {
    let mut counts: Vec<(usize, &String)> =
        names.iter().enumerate().map(|(class, name)| (answer.iter().filter(|own| usize::from(**own) == class).count(), name)).collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let there = counts.iter().filter(|(count, _)| *count > 0);
    there.map(|(count, name)| format!("{name} {:.0} %", 100.0 * *count as f64 / answer.len().max(1) as f64)).collect::<Vec<_>>().join(", ")
}

struct Seen<'a> {
    task: &'a Segmentation,
    settled: bool,
    pixels: Pixels,
    images: u64,
    /// Over all cells of which something is said.
    loss: f64,
    cells: u64,
    /// Of images whose boundaries and objects are measured at the end.
    answers: Vec<(Vec<u8>, Cells)>,
}

impl Seen<'_> {
    /// What is measured image by image.
    fn more(&self) -> More {
        let classes = self.task.outputs();
        let measured = |(answer, cells): &(Vec<u8>, Cells)| {
            let (width, height) = (cells.pixels.width, cells.pixels.height);
            let boundaries = boundary_f1(&cells.pixels.values, answer, width as usize, classes);
            let found = cells.instances.map(|there| {
                let labels = Labels { width, height, values: answer.clone() };
                (there as f64, (1..classes).map(|class| labels.count(class as u8)).sum::<usize>() as f64)
            });
            (boundaries, found)
        };
        let (boundaries, counts): (Vec<_>, Vec<_>) = self.answers.par_iter().map(measured).unzip();
        let boundaries: Vec<f64> = boundaries.into_iter().flatten().collect();
        let counts: Vec<(f64, f64)> = counts.into_iter().flatten().collect();
        let mut more = More::default();
        if !boundaries.is_empty() {
            more.measures.insert("boundary_f1".into(), super::sums::mean(boundaries.into_iter()));
        }
        more.measures.extend(explained(&counts).map(|r2| ("count_r2".to_owned(), r2)));
        more
    }
}

impl Tally for Seen<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let width = self.task.outputs();
        let mut rest = outputs;
        for target in targets {
            let (own, others) = rest.split_at((self.task.rows(target) * width).min(rest.len()));
            rest = others;
            self.images += 1;
            for (row, class) in own.chunks_exact(width.max(1)).zip(known(target)) {
                if let Some(class) = class {
                    self.cells += 1;
                    self.loss += cross_entropy(row, class);
                }
            }
            let (answer, truth) = (self.task.answer(own, target), truth(target));
            self.pixels.add(truth, &answer);
            if let (true, Target::Cells(cells)) = (self.settled && self.answers.len() < MOST_LOOKED_AT, target) {
                self.answers.push((answer, cells.clone()));
            }
        }
    }

    fn samples(&self) -> u64 {
        self.images
    }

    fn loss(&self) -> f64 {
        self.loss / self.cells.max(1) as f64
    }

    fn primary(&self) -> f64 {
        self.pixels.mean_iou()
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let score = |(class, name): (usize, &String)| {
            let [truth, said, both] = self.pixels.of_class(class);
            let share = |of: u64| if of > 0 { both as f64 / of as f64 } else { 0.0 };
            let f1 = self.pixels.dice(class).unwrap_or(0.0);
            ClassScore { class: name.clone(), support: truth, precision: share(said), recall: share(truth), f1 }
        };
        let more = self.more();
        Evaluation {
            task: self.task.name(),
            samples: self.images,
            loss: Tally::loss(&*self),
            values: vec![self.pixels.mean_iou(), self.pixels.mean_dice(), self.pixels.accuracy()],
            per_class: self.task.names.iter().enumerate().map(score).collect(),
            confusion: self.pixels.confusion(),
            more,
        }
    }
}

/// R² of pairs of what is there and what was counted; `None` where all have equally many.
fn explained(counts: &[(f64, f64)]) -> Option<f64> {
    let mean = super::sums::mean(counts.iter().map(|(there, _)| *there));
    let all: f64 = counts.iter().map(|(there, _)| (there - mean).powi(2)).sum();
    let left: f64 = counts.iter().map(|(there, counted)| (there - counted).powi(2)).sum();
    (all > 0.0).then(|| 1.0 - left / all)
}

/// What it says lies over the image, which is told where the image is: here there is nothing.
pub fn answerer(config: &ModelConfig, outputs: usize) -> super::Answerer {
    let names = labels_of(config, outputs);
    Box::new(move |_row, _top| crate::domain::prediction::Answer::Mask(crate::domain::prediction::Mask::empty(&names)))
}

#[cfg(test)]
mod tests;
