//! One class an item: cross entropy; top-1, top-5, precision, recall and F1 per class, the confusion matrix.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};

use super::sums::share;
use super::{Partition, Task, Told, close, nothing};
use crate::data::{Sample, Target};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation};
use crate::domain::prediction::{Answer, Class};
use crate::domain::recipe::{ClassWeights, Recipe};
use crate::domain::task::Task as Name;
use crate::nn::loss;
use crate::train::error::Result;
use crate::train::probe::{Part, Wanted};

/// Probabilities kept for measures that take all of them at once, 4 bytes each.
const KEPT: usize = 32 << 20;

pub struct Classification {
    names: Vec<String>,
    /// Training items of each class; none of it where nobody counted.
    counts: Vec<u64>,
}

impl Classification {
    /// Of these classes, in the order of the outputs.
    pub fn new(names: &[String]) -> Classification {
        Classification { names: names.to_vec(), counts: Vec::new() }
    }

    /// The same, with how many there are of each to train on.
    pub fn counted(names: &[String], train: &[Sample]) -> Classification {
        let mut counts = vec![0; names.len()];
        for label in train.iter().filter_map(|sample| sample.target.class()) {
            counts[label as usize] += 1;
        }
        Classification { names: names.to_vec(), counts }
    }

    /// How much an item of each class counts: one on average over the training items.
    fn class_weights(&self, kind: ClassWeights) -> Option<Vec<f64>> {
        let power = match kind {
            ClassWeights::None => return None,
            ClassWeights::Balanced => 1.0,
            ClassWeights::Sqrt => 0.5,
        };
        let raw: Vec<f64> = self.counts.iter().map(|count| (*count.max(&1) as f64).powf(-power)).collect();
        let items = self.counts.iter().sum::<u64>() as f64;
        let total: f64 = raw.iter().zip(&self.counts).map(|(weight, count)| weight * *count as f64).sum();
        (total > 0.0).then(|| raw.iter().map(|weight| weight * items / total).collect())
    }
}

/// The class of a sample of classes.
fn class(target: &Target) -> u32 {
    target.class().unwrap_or_default()
}

/// The class with the most samples; of equals the first.
fn most_frequent(samples: &[Sample]) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    samples.iter().for_each(|sample| *counts.entry(class(&sample.target)).or_default() += 1);
    counts.into_iter().max_by_key(|(label, count)| (*count, std::cmp::Reverse(*label))).map(|(label, _)| label)
}

impl Task for Classification {
    fn name(&self) -> Name {
        Name::Classification
    }

    fn outputs(&self) -> usize {
        self.names.len()
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        let labels: Vec<u32> = targets.iter().map(class).collect();
        let mut wanted = loss::targets(&labels, self.names.len(), recipe.label_smoothing)?;
        if let Some(weights) = self.class_weights(recipe.class_weights) {
            let own: Vec<f32> = labels.iter().map(|label| weights[*label as usize] as f32).collect();
            wanted = wanted.broadcast_mul(&Tensor::from_vec(own, (labels.len(), 1), &Device::Cpu)?)?;
        }
        Ok(loss::soft_cross_entropy(outputs, &wanted)?)
    }

    fn tally(&self, settled: bool) -> Box<dyn super::Tally + '_> {
        Box::new(Tally { kept: settled.then(Vec::new), ..Tally::new(&self.names) })
    }

    fn convex(&self, targets: &[Target], recipe: &Recipe) -> Option<Vec<Part>> {
        let labels = targets.iter().map(Target::class).collect();
        Some(vec![Part { outputs: self.names.len(), wanted: Wanted::Class { labels, smoothing: recipe.label_smoothing } }])
    }

    fn sure(&self, row: &[f32]) -> Option<(Target, f32)> {
        let class = argmax(row);
        Some((Target::Class(class as u32), softmax(row).get(class).copied()?))
    }

    fn item_weights(&self, targets: &[Target], recipe: &Recipe) -> Vec<f32> {
        let Some(weights) = self.class_weights(recipe.class_weights) else { return Vec::new() };
        targets.iter().map(|target| weights[class(target) as usize] as f32).collect()
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let classes: BTreeSet<u32> = partition.train.iter().map(|sample| class(&sample.target)).collect();
        if classes.len() < 2 {
            return Err(nothing("the training items belong to fewer than two classes; add some of other classes to `train`"));
        }
        Ok(())
    }

    /// Top-1 of always answering the most frequent training class: what any model should beat.
    fn baseline(&self, partition: &Partition) -> f64 {
        let among = |label| partition.val.iter().filter(|sample| class(&sample.target) == label).count();
        most_frequent(&partition.train).map_or(0.0, |label| among(label) as f64 / partition.val.len().max(1) as f64)
    }

    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let (answer, truth) = (argmax(row), class(target) as usize);
        Some(Told {
            score: f64::from(u8::from(answer == truth)),
            loss: cross_entropy(row, truth),
            answer: self.names.get(answer).cloned().unwrap_or_default(),
            confidence: softmax(row).get(answer).copied().map(f64::from),
            right: Some(answer == truth),
            truth: Some(truth as u32),
        })
    }

    /// The most frequent training class.
    fn simplest(&self, partition: &Partition) -> Option<Vec<f32>> {
        let most = most_frequent(&partition.train)? as usize;
        Some((0..self.names.len()).map(|class| f32::from(u8::from(class == most))).collect())
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = None;
        config.num_classes = Some(self.names.len());
        config.pretrained_cfg.num_classes = Some(self.names.len());
        config.label_names = Some(self.names.clone());
    }
}

/// Collects answers batch by batch.
#[derive(Debug, Clone)]
struct Tally<'a> {
    names: &'a [String],
    samples: u64,
    loss: f64,
    top1: u64,
    top5: u64,
    confusion: BTreeMap<(u32, u32), u64>,
    /// Of published weights: probabilities row by row, and the true classes.
    kept: Option<Vec<f32>>,
    truths: Vec<u32>,
}

impl<'a> Tally<'a> {
    fn new(names: &'a [String]) -> Tally<'a> {
        Tally { names, samples: 0, loss: 0.0, top1: 0, top5: 0, confusion: BTreeMap::new(), kept: None, truths: Vec::new() }
    }

    fn add_row(&mut self, row: &[f32], label: u32) {
        let own = row[label as usize];
        // Among equals the smaller index wins, as argmax has it. A NaN is never right.
        let ahead = |(index, value): (usize, &f32)| *value > own || (*value == own && index < label as usize) || value.is_nan();
        let rank = row.iter().enumerate().filter(|(index, value)| ahead((*index, value))).count();
        self.samples += 1;
        self.loss += cross_entropy(row, label as usize);
        self.top1 += u64::from(rank == 0);
        self.top5 += u64::from(rank < 5);
        *self.confusion.entry((label, argmax(row) as u32)).or_default() += 1;
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.len() + row.len() <= KEPT) {
            kept.extend(softmax(row));
            self.truths.push(label);
        }
    }
}

impl super::Tally for Tally<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        for (row, target) in outputs.chunks_exact(self.names.len()).zip(targets) {
            self.add_row(row, class(target));
        }
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    /// Mean cross entropy in nats, without label smoothing.
    fn loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    fn primary(&self) -> f64 {
        self.top1 as f64 / self.samples.max(1) as f64
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let mut sums = vec![(0u64, 0u64, 0u64); self.names.len()];
        for (&(truth, predicted), &count) in &self.confusion {
            sums[truth as usize].0 += count;
            sums[predicted as usize].1 += count;
            if truth == predicted {
                sums[truth as usize].2 += count;
            }
        }
        let score = |(name, &(support, predicted, right)): (&String, &(u64, u64, u64))| ClassScore {
            class: name.clone(),
            support,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
        };
        let per_class: Vec<ClassScore> = self.names.iter().zip(&sums).map(score).collect();
        let seen: Vec<f64> = per_class.iter().zip(&sums).filter(|(_, s)| s.0 + s.1 > 0).map(|(score, _)| score.f1).collect();
        // Mean F1 over the classes that occur or are predicted.
        let macro_f1 = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
        Evaluation {
            task: Name::Classification,
            samples: self.samples,
            loss: self.loss(),
            values: vec![self.primary(), self.top5 as f64 / self.samples.max(1) as f64, macro_f1],
            per_class,
            more: self.kept.as_ref().map(|kept| close::of_classes(kept, &self.truths, self.names.len())).unwrap_or_default(),
            confusion: self.confusion.into_iter().map(|((truth, predicted), count)| (truth, predicted, count)).collect(),
        }
    }
}

/// The index of the largest value; the first among equals.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// Shares that sum to 1, computed so that large logits do not overflow.
pub fn softmax(row: &[f32]) -> Vec<f32> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|value| f64::from(value - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

fn cross_entropy(row: &[f32], label: usize) -> f64 {
    if row.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
    largest + sum.ln() - f64::from(row[label])
}

/// The likeliest classes of a published model, under the names in its config.
pub fn answerer(config: &ModelConfig, outputs: usize) -> super::Answerer {
    let labels = super::labels_of(config, outputs);
    Box::new(move |row, top| Answer::Classes(likeliest(row, &labels, top)))
}

pub(super) fn likeliest(logits: &[f32], labels: &[String], top: usize) -> Vec<Class> {
    let shares = softmax(logits);
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // The sort is stable, so among equals the smaller row comes first.
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
    order.truncate(top);
    order.into_iter().map(|row| Class { index: row, label: labels[row].clone(), probability: shares[row], ..Class::default() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Tally as _;
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("c{i}")).collect()
    }

    #[test]
    fn the_numbers_are_those_of_a_worked_example() {
        // Truths 0 0 0 1 1 2, answers 0 0 1 1 2 2 of 3 classes and one that never occurs.
        let names = names(4);
        let mut tally = Box::new(Tally::new(&names));
        let answer = |class: usize| -> Vec<f32> { (0..4).map(|i| if i == class { 2.0 } else { 0.0 }).collect() };
        tally.add(&[answer(0), answer(0), answer(1), answer(1)].concat(), &[0, 0, 0, 1].map(Target::Class));
        tally.add(&[answer(2), answer(2)].concat(), &[1, 2].map(Target::Class));
        let found = tally.finish();
        assert_eq!(found.samples, 6);
        assert!((found.get("top1") - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(found.get("top5"), 1.0, "with four classes everything is in the first five");
        let scores: Vec<_> = found.per_class.iter().map(|s| (s.support, s.precision, s.recall)).collect();
        assert_eq!(scores, [(3, 1.0, 2.0 / 3.0), (2, 0.5, 0.5), (1, 0.5, 1.0), (0, 0.0, 0.0)]);
        assert!((found.per_class[0].f1 - 0.8).abs() < 1e-12);
        assert!((found.get("macro_f1") - (0.8 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12, "the absent class does not count");
        assert_eq!(found.confusion_matrix(), [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]);
        let (right, wrong) = (2f64 - (2f64.exp() + 3.0).ln(), -(2f64.exp() + 3.0).ln());
        assert!((found.loss - -(4.0 * right + 2.0 * wrong) / 6.0).abs() < 1e-9);
    }

    #[test]
    fn top5_counts_the_first_five_and_ties_go_to_the_smaller_index() {
        let names = names(7);
        let mut tally = Box::new(Tally::new(&names));
        let falling: Vec<f32> = (0..7).map(|i| -(i as f32)).collect();
        for label in 0..7 {
            tally.add(&falling, &[Target::Class(label)]);
        }
        tally.add(&[1.0; 7], &[Target::Class(0)]);
        tally.add(&[1.0; 7], &[Target::Class(5)]);
        let found = tally.finish();
        assert!((found.get("top1") - 2.0 / 9.0).abs() < 1e-12);
        assert!((found.get("top5") - 6.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn not_a_number_is_never_right_and_shows_in_the_loss() {
        let names = names(2);
        let mut tally = Tally::new(&names);
        tally.add(&[f32::NAN, f32::NAN], &[Target::Class(0)]);
        assert_eq!(tally.primary(), 0.0);
        assert!(tally.loss().is_nan());
        assert!(Tally::new(&names).loss() == 0.0, "no images, no loss");
    }

    #[test]
    fn weights_even_classes_out_and_are_one_on_average() {
        let counts = vec![100, 25, 0];
        let task = Classification { names: names(3), counts };
        let balanced = task.class_weights(ClassWeights::Balanced).unwrap();
        assert!((balanced[0] - 0.625).abs() < 1e-12 && (balanced[1] - 2.5).abs() < 1e-12, "{balanced:?}");
        let sqrt = task.class_weights(ClassWeights::Sqrt).unwrap();
        assert!((sqrt[1] / sqrt[0] - 2.0).abs() < 1e-12 && (100.0 * sqrt[0] + 25.0 * sqrt[1] - 125.0).abs() < 1e-9);
        assert_eq!(task.class_weights(ClassWeights::None), None);
        let recipe = Recipe { class_weights: ClassWeights::Balanced, ..Recipe::default() };
        let targets = [Target::Class(0), Target::Class(1)];
        assert_eq!(task.item_weights(&targets, &recipe), [0.625, 2.5]);
        let outputs = Tensor::new(&[[0f32, 0.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let loss = |recipe: &Recipe| task.loss(&outputs, &targets, recipe).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss(&recipe) - 1.5625 * 3f32.ln()).abs() < 1e-5 && (loss(&Recipe::default()) - 3f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn softmax_survives_large_logits() {
        let shares = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((shares[0] - 0.731_058_6).abs() < 1e-6 && shares[2] == 0.0);
    }
}
