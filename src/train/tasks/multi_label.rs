//! Any number of labels an item: binary cross entropy of each; mean average precision, F1 per label, over labels and over all, and
//! how often the whole set is right. From which probability on a label counts as there is chosen on the validation items.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde_json::json;

use super::sums::{mean, share};
use super::{Answerer, Partition, Tally, Task, Told, nothing};
use crate::data::Target;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation, LabelScore, More};
use crate::domain::prediction::{Answer, Class};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::loss;
use crate::train::error::Result;
use crate::train::measures::{self, Ranked, mean_of};
use crate::train::probe::{Part, Wanted};

/// The key of `config.json` that lists from which probability on each label counts as there.
pub(super) const THRESHOLDS: &str = "thresholds";
/// Where nothing was chosen.
const EVEN: f64 = 0.5;
/// Outputs kept for measures that take all of them at once, 4 bytes each.
const KEPT: usize = 32 << 20;
/// Labels learn apart from each other, so their losses are added; of more than these the mean of that many.
const ADDED: usize = 16;

#[derive(Clone)]
pub struct MultiLabel {
    names: Vec<String>,
    /// One for each label, once they were chosen.
    thresholds: Option<Vec<f64>>,
}

impl MultiLabel {
    pub fn new(names: &[String]) -> MultiLabel {
        MultiLabel { names: names.to_vec(), thresholds: None }
    }

    fn threshold(&self, label: usize) -> f64 {
        self.thresholds.as_ref().and_then(|all| all.get(label)).copied().unwrap_or(EVEN)
    }
}

impl Task for MultiLabel {
    fn name(&self) -> Name {
        Name::MultiLabel
    }

    fn outputs(&self) -> usize {
        self.names.len()
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        let width = self.names.len();
        let mut wanted = vec![0f32; targets.len() * width];
        for (row, target) in wanted.chunks_exact_mut(width).zip(targets) {
            target.labels().iter().for_each(|label| row[*label as usize] = 1.0);
        }
        let wanted = Tensor::from_vec(wanted, (targets.len(), width), &Device::Cpu)?;
        Ok((loss::binary_cross_entropy(outputs, &wanted)?.mean_all()? * width.min(ADDED) as f64)?)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Labels { task: self, settled, outputs: Vec::new(), truths: Vec::new(), samples: 0, loss: 0.0 })
    }

    fn convex(&self, targets: &[Target], _recipe: &Recipe) -> Option<Vec<Part>> {
        let width = self.names.len();
        let share = |target: &Target, label: u32| match target {
            Target::Unknown => f32::NAN,
            known => f32::from(u8::from(known.labels().contains(&label))),
        };
        let shares = targets.iter().flat_map(|target| (0..width as u32).map(move |label| share(target, label))).collect();
        Some(vec![Part { outputs: width, wanted: Wanted::Shares(shares) }])
    }

    /// The score is the share of labels that are right.
    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let present = |label: usize| f64::from(sigmoid(row[label])) >= self.threshold(label);
        let given: Vec<usize> = (0..row.len().min(self.names.len())).filter(|label| present(*label)).collect();
        let had = |label: usize| target.labels().contains(&(label as u32));
        let right = (0..self.names.len()).filter(|label| given.contains(label) == had(*label)).count();
        let answer = given.iter().map(|label| self.names[*label].as_str()).collect::<Vec<_>>().join(", ");
        let (score, right) = (right as f64 / self.names.len().max(1) as f64, Some(right == self.names.len()));
        Some(Told { score, loss: entropy(row, target), answer, right, ..Told::default() })
    }

    /// A ranking is of all items together.
    fn scores_items(&self) -> bool {
        false
    }

    fn simplest(&self, _partition: &Partition) -> Option<Vec<f32>> {
        Some(vec![0.0; self.names.len()])
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let with = |label: u32| partition.train.iter().filter(|sample| sample.target.labels().contains(&label)).count();
        let told = (0..self.names.len() as u32).any(|label| (1..partition.train.len()).contains(&with(label)));
        if !told {
            return Err(nothing("no label is on some of the training items and not on others; add some that differ in their labels"));
        }
        Ok(())
    }

    /// The mean average precision of scores that are the same for every item: the mean share of items that have a label.
    fn baseline(&self, partition: &Partition) -> f64 {
        let all = partition.val.len().max(1) as f64;
        let with = |label: u32| partition.val.iter().filter(|sample| sample.target.labels().contains(&label)).count();
        mean((0..self.names.len() as u32).map(with).filter(|count| *count > 0).map(|count| count as f64 / all))
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = Name::MultiLabel.about().problem_type.map(String::from);
        config.num_classes = Some(self.names.len());
        config.pretrained_cfg.num_classes = Some(self.names.len());
        config.label_names = Some(self.names.clone());
        let thresholds: Vec<f64> = (0..self.names.len()).map(|label| self.threshold(label)).collect();
        config.extra.insert(THRESHOLDS.into(), json!(thresholds));
    }

    fn calibrated(&self, validation: &Evaluation) -> Option<Arc<dyn Task>> {
        let thresholds: Vec<f64> = validation.more.labels.iter().map(|label| label.threshold).collect();
        let fits = thresholds.len() == self.names.len();
        fits.then(|| Arc::new(MultiLabel { thresholds: Some(thresholds), ..self.clone() }) as Arc<dyn Task>)
    }
}

/// Every answer.
struct Labels<'a> {
    task: &'a MultiLabel,
    settled: bool,
    /// Probabilities, row by row.
    outputs: Vec<f32>,
    truths: Vec<Target>,
    samples: u64,
    loss: f64,
}

pub(super) fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// The mean over labels of the binary cross entropy.
fn entropy(row: &[f32], target: &Target) -> f64 {
    let one = |(label, x): (usize, &f32)| {
        let (x, y) = (f64::from(*x), f64::from(u8::from(target.labels().contains(&(label as u32)))));
        x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()
    };
    row.iter().enumerate().map(one).sum::<f64>() / row.len().max(1) as f64
}

impl Labels<'_> {
    fn width(&self) -> usize {
        self.task.names.len()
    }

    fn has(&self, item: usize, label: usize) -> bool {
        self.truths[item].labels().contains(&(label as u32))
    }

    fn ranked(&self) -> Vec<Ranked> {
        let width = self.width();
        let truths = |label: usize| (0..self.truths.len()).map(|item| self.has(item, label)).collect();
        (0..width).map(|label| Ranked::new(self.outputs.iter().skip(label).step_by(width).copied(), truths(label))).collect()
    }

    /// From which probability on a label counts as there: those chosen before; of the published weights, where its F1 is best.
    fn thresholds(&self, ranked: &[Ranked]) -> Vec<f64> {
        let chosen = |(label, ranked): (usize, &Ranked)| match self.settled && self.task.thresholds.is_none() {
            true => self.best_threshold(label, ranked),
            false => self.task.threshold(label),
        };
        ranked.iter().enumerate().map(chosen).collect()
    }

    /// In the middle between the last item taken and the first one left.
    fn best_threshold(&self, label: usize, ranked: &Ranked) -> f64 {
        let at = |item: Option<u32>, none: f64| item.map_or(none, |item| f64::from(self.outputs[item as usize * self.width() + label]));
        let Some(taken) = ranked.best_f1() else { return EVEN };
        let (above, below) = ranked.around(taken);
        let middle = (at(above, 1.0) + at(below, 0.0)) / 2.0;
        if middle.is_finite() { middle.clamp(1e-6, 1.0 - 1e-6) } else { EVEN }
    }

    /// Of each label: items that have it, that were given it, both; by the items' weights.
    fn counts(&self, thresholds: &[f64], weights: &[f32]) -> Vec<(f64, f64, f64)> {
        let mut counts = vec![(0.0, 0.0, 0.0); self.width()];
        for ((row, truth), weight) in self.outputs.chunks_exact(self.width()).zip(&self.truths).zip(weights) {
            let weight = f64::from(*weight);
            truth.labels().iter().for_each(|label| counts[*label as usize].0 += weight);
            for (label, probability) in row.iter().enumerate().filter(|(label, p)| f64::from(**p) >= thresholds[*label]) {
                counts[label].1 += weight;
                if *probability >= 0.0 && truth.labels().contains(&(label as u32)) {
                    counts[label].2 += weight;
                }
            }
        }
        counts
    }

    fn matches(&self, thresholds: &[f64], item: usize) -> bool {
        let row = &self.outputs[item * self.width()..(item + 1) * self.width()];
        row.iter().enumerate().all(|(label, p)| (f64::from(*p) >= thresholds[label]) == self.has(item, label))
    }

    /// The task's measures in their order, then the area.
    fn values(&self, ranked: &[Ranked], thresholds: &[f64], exact: &[bool], weights: &[f32]) -> Vec<f64> {
        let counts = self.counts(thresholds, weights);
        let f1 = |(had, given, both): &(f64, f64, f64)| (had + given > 0.0).then(|| 2.0 * both / (had + given));
        let (had, given, both) = counts.iter().fold((0.0, 0.0, 0.0), |sum, c| (sum.0 + c.0, sum.1 + c.1, sum.2 + c.2));
        vec![
            mean_of(ranked.iter().map(|ranked| ranked.average_precision(weights))),
            mean_of(counts.iter().map(f1)),
            f1(&(had, given, both)).unwrap_or(0.0),
            measures::weighted_mean(exact.iter().map(|exact| f64::from(u8::from(*exact))), weights),
            mean_of(ranked.iter().map(|ranked| ranked.area(weights))),
        ]
    }

    fn more(&self, ranked: &[Ranked], thresholds: &[f64], exact: &[bool]) -> More {
        let mut more = More::default();
        if !self.settled {
            return more;
        }
        let (even, items) = (measures::even(self.truths.len()), self.truths.len());
        let said = |at: usize| (self.outputs[at], self.has(at / self.width(), at % self.width()));
        let said: Vec<(f32, bool)> = (0..self.outputs.len()).map(said).collect();
        more.measures.insert("ece".into(), measures::calibration_error(&said, &measures::even(said.len())));
        if ranked.iter().any(Ranked::has_both) {
            more.measures.insert("auroc".into(), mean_of(ranked.iter().map(|ranked| ranked.area(&even))));
        }
        let intervals =
            measures::intervals(items, 4 * self.outputs.len() as u64, |weights| self.values(ranked, thresholds, exact, weights));
        let keys = Name::MultiLabel.measures().iter().map(|measure| measure.key).chain(["auroc"]);
        more.intervals.extend(keys.zip(intervals.into_iter().flatten()).map(|(key, pair)| (key.to_owned(), pair)));
        let precision = |ranked: &Ranked| ranked.average_precision(&even).unwrap_or(0.0);
        let label = |(ranked, threshold): (&Ranked, &f64)| LabelScore {
            threshold: *threshold,
            average_precision: precision(ranked),
            average_precision_50: None,
        };
        more.labels = ranked.iter().zip(thresholds).map(label).collect();
        more
    }
}

impl Tally for Labels<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let width = self.width();
        for (row, target) in outputs.chunks_exact(width).zip(targets) {
            self.loss += entropy(row, target);
            self.samples += 1;
            if self.outputs.len() + width <= KEPT {
                self.outputs.extend(row.iter().map(|x| sigmoid(*x)));
                self.truths.push(target.clone());
            }
        }
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    /// The mean over items and labels.
    fn loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    fn primary(&self) -> f64 {
        let even = measures::even(self.truths.len());
        mean_of(self.ranked().iter().map(|ranked| ranked.average_precision(&even)))
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let ranked = self.ranked();
        let thresholds = self.thresholds(&ranked);
        let exact: Vec<bool> = (0..self.truths.len()).map(|item| self.matches(&thresholds, item)).collect();
        let even = measures::even(self.truths.len());
        let counts = self.counts(&thresholds, &even);
        let score = |(name, &(had, given, both)): (&String, &(f64, f64, f64))| ClassScore {
            class: name.clone(),
            support: had as u64,
            precision: share(both as u64, given as u64),
            recall: share(both as u64, had as u64),
            f1: share(2 * both as u64, (had + given) as u64),
        };
        let mut values = self.values(&ranked, &thresholds, &exact, &even);
        values.truncate(Name::MultiLabel.measures().len());
        Evaluation {
            task: Name::MultiLabel,
            samples: self.samples,
            loss: self.loss(),
            values,
            per_class: self.task.names.iter().zip(&counts).map(score).collect(),
            more: self.more(&ranked, &thresholds, &exact),
            ..Evaluation::default()
        }
    }
}

/// Every label of a published model with its probability, whatever number of them was asked for.
pub fn answerer(config: &ModelConfig, outputs: usize) -> Answerer {
    let labels = super::labels_of(config, outputs);
    let told = config.extra.get(THRESHOLDS).and_then(serde_json::Value::as_array);
    let threshold = |row: usize| told.and_then(|all| all.get(row)?.as_f64()).filter(|t| (0.0..=1.0).contains(t)).unwrap_or(EVEN) as f32;
    let thresholds: Vec<f32> = (0..outputs).map(threshold).collect();
    Box::new(move |row, _| {
        let class = |(index, x): (usize, &f32)| {
            let (probability, threshold) = (sigmoid(*x), thresholds[index]);
            Class { index, label: labels[index].clone(), probability, threshold: Some(threshold), present: Some(probability >= threshold) }
        };
        let mut classes: Vec<Class> = row.iter().enumerate().map(class).collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.index.cmp(&b.index)));
        Answer::Classes(classes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[u32]) -> Target {
        Target::Labels(of.into())
    }

    fn task() -> MultiLabel {
        MultiLabel::new(&["a".into(), "b".into()])
    }

    #[test]
    fn the_numbers_are_those_of_a_worked_example() {
        let task = task();
        let mut tally = task.tally(false);
        tally.add(&[2.0, -1.0, 1.0, 1.0], &[labels(&[0]), labels(&[1])]);
        tally.add(&[-1.0, 2.0, -2.0, -2.0], &[labels(&[0, 1]), labels(&[])]);
        let found = tally.finish();
        // Of a: scores 2 + 1 - -1 + -2 - : precision at its two is 1 and 2/3. Of b: 2 + 1 + -1 - -2 -: 1.
        assert!((found.get("map") - ((1.0 + 2.0 / 3.0) / 2.0 + 1.0) / 2.0).abs() < 1e-9, "{found:?}");
        // At 0.5 a has 1 of 2 right with 2 given, b 2 of 2.
        assert!((found.get("macro_f1") - 0.75).abs() < 1e-9 && (found.get("micro_f1") - 6.0 / 8.0).abs() < 1e-9);
        assert_eq!(found.get("subset_accuracy"), 0.5);
        assert_eq!(found.per_class.iter().map(|score| score.support).collect::<Vec<_>>(), [2, 2]);
        assert!(found.confusion.is_empty() && found.more == More::default());
    }

    #[test]
    fn thresholds_are_chosen_where_f1_is_best_and_kept() {
        let task = task();
        let mut tally = task.tally(true);
        // All scores of b are low, and its order is right.
        let targets = [labels(&[0, 1]), labels(&[0]), labels(&[1]), labels(&[])];
        tally.add(&[3.0, -2.0, 3.0, -4.0, -3.0, -2.0, -3.0, -4.0], &targets);
        let found = tally.finish();
        assert_eq!((found.get("macro_f1"), found.get("subset_accuracy"), found.get("auroc")), (1.0, 1.0, 1.0));
        let b = found.more.labels[1];
        assert!((b.threshold - f64::from(sigmoid(-2.0) + sigmoid(-4.0)) / 2.0).abs() < 1e-6 && b.average_precision == 1.0);
        let calibrated = task.calibrated(&found).unwrap();
        let mut config = ModelConfig::default();
        calibrated.configure(&mut config);
        assert_eq!(config.problem_type.as_deref(), Some("multi_label_classification"));
        let said = answerer(&config, 2)(&[-1.0, -2.0], 1);
        let present: Vec<(&str, Option<bool>)> = said.classes().iter().map(|class| (class.label.as_str(), class.present)).collect();
        assert_eq!(present, [("a", Some(false)), ("b", Some(true))], "all of them, whatever the number asked for");
        let json = serde_json::to_string(&found).unwrap();
        let again: Evaluation = serde_json::from_str(&json).unwrap();
        assert!(again.more.labels.len() == found.more.labels.len() && (again.primary() - found.primary()).abs() < 1e-12, "{again:?}");
    }

    #[test]
    fn the_loss_is_that_of_pytorch_added_over_labels() {
        let outputs = Tensor::new(&[[0.5f32, -2.0]], &Device::Cpu).unwrap();
        let loss = task().loss(&outputs, &[labels(&[0])], &Recipe::default()).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - (0.474_077 + 0.126_928)).abs() < 1e-5, "{loss}");
    }
}
