//! How alike the two texts of an item are: the cosine of their features, which is all the head there is. Scores of the data set are brought
//! to 0 to 1 by the training items' smallest and largest; correlations do not ask for their unit.

use candle_core::{Device, Tensor};
use serde_json::Value as Json;

use super::sums::mean;
use super::{Partition, TASK, Tally, Task, Told, nothing};
use crate::data::{Sample, Target};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, More};
use crate::domain::prediction::{Answer, Value};
use crate::domain::recipe::Recipe;
use crate::domain::task::{Loss, Task as Name};
use crate::nn::{Cosine, Head, loss};
use crate::train::error::Result;
use crate::train::measures;

/// What cosines are multiplied by before they are told apart: 20 (Reimers and Gurevych's sentence-transformers).
const SHARPNESS: f64 = 20.0;
/// From here on, of 0 to 1, two texts belong together.
const TOGETHER: f64 = 0.5;

pub struct Similarity {
    low: f64,
    high: f64,
    /// Whether partners are told from those of other pairs.
    ranks: bool,
}

impl Similarity {
    /// Of pairs with these scores.
    pub fn new(train: &[Sample], recipe: &Recipe) -> Similarity {
        let scores = || train.iter().filter_map(|sample| sample.target.values().first()).map(|score| f64::from(*score));
        let (low, high) = scores().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
        Similarity { low, high, ranks: recipe.loss_of(Name::Similarity) == Loss::Ranking }
    }

    /// The same of pairs that have no score and belong together: partners are told from those of others, unless another loss is asked for.
    pub fn of_partners(self, recipe: &Recipe) -> Similarity {
        Similarity { ranks: self.ranks || recipe.loss.is_none(), ..self }
    }

    /// From 0 to 1; pairs that all have one score belong together.
    fn scaled(&self, target: &Target) -> f64 {
        let score = target.values().first().map_or(self.high, |score| f64::from(*score));
        if self.high > self.low { ((score - self.low) / (self.high - self.low)).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// Each pair's first text is to find its own second one among all of the step.
    fn ranked(&self, outputs: &Tensor, targets: &[Target]) -> Result<Tensor> {
        let count = targets.len();
        let together: Vec<bool> = targets.iter().map(|target| self.scaled(target) >= TOGETHER).collect();
        let share = count as f32 / together.iter().filter(|together| **together).count().max(1) as f32;
        let mut wanted = vec![0f32; count * count];
        together.iter().enumerate().filter(|(_, together)| **together).for_each(|(at, _)| wanted[at * count + at] = share);
        let wanted = Tensor::from_vec(wanted, (count, count), &Device::Cpu)?;
        Ok(loss::soft_cross_entropy(&(outputs * SHARPNESS)?, &wanted)?)
    }
}

impl Task for Similarity {
    fn name(&self) -> Name {
        Name::Similarity
    }

    fn outputs(&self) -> usize {
        1
    }

    fn head(&self, width: usize) -> Option<Head> {
        Some(Head::Cosine(Cosine { width, crosses: self.ranks }))
    }

    fn is_of_pairs(&self) -> bool {
        true
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        if self.ranks && outputs.dim(1)? == targets.len() {
            return self.ranked(outputs, targets);
        }
        let wanted: Vec<f32> = targets.iter().map(|target| self.scaled(target) as f32).collect();
        let wanted = Tensor::from_vec(wanted, (targets.len(), 1), &Device::Cpu)?.to_device(outputs.device())?;
        Ok((outputs - wanted)?.sqr()?.mean_all()?)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Pairs { task: self, settled, pairs: Vec::new() })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        if partition.train.is_empty() {
            return Err(nothing("there are no pairs to train on; add some to `train`"));
        }
        if self.high <= self.low && !self.ranks {
            let what = "the training pairs all have the same score; add some with others to `train`, or set loss to ranking, for which pairs that belong together are enough";
            return Err(nothing(what));
        }
        Ok(())
    }

    fn baseline(&self, _partition: &Partition) -> f64 {
        0.0
    }

    fn configure(&self, config: &mut ModelConfig) {
        super::without_classes(config);
        config.extra.insert(TASK.into(), Json::from(self.name().as_str()));
    }

    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let cosine = f64::from(*row.first()?);
        let squared = (cosine - self.scaled(target)).powi(2);
        Some(Told { score: -squared, loss: squared, answer: format!("{cosine:.4}"), ..Told::default() })
    }

    fn scores_items(&self) -> bool {
        false
    }
}

/// Scores from 0 to 1 beside cosines.
struct Pairs<'a> {
    task: &'a Similarity,
    settled: bool,
    pairs: Vec<(f64, f64)>,
}

impl Pairs<'_> {
    fn values(&self, weights: &[f32]) -> Vec<f64> {
        vec![measures::spearman(&self.pairs, weights), measures::pearson(&self.pairs, weights)]
    }
}

impl Tally for Pairs<'_> {
    /// A row that has a number for each pair of its step has its own on the diagonal.
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let width = outputs.len() / targets.len().max(1);
        for (at, (row, target)) in outputs.chunks_exact(width.max(1)).zip(targets).enumerate() {
            let own = if width > 1 { row[at] } else { row[0] };
            self.pairs.push((self.task.scaled(target), f64::from(own)));
        }
    }

    fn samples(&self) -> u64 {
        self.pairs.len() as u64
    }

    fn loss(&self) -> f64 {
        mean(self.pairs.iter().map(|(score, cosine)| (cosine - score).powi(2)))
    }

    fn primary(&self) -> f64 {
        measures::spearman(&self.pairs, &measures::even(self.pairs.len()))
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let mut more = More::default();
        if self.settled {
            let found = measures::intervals(self.pairs.len(), self.pairs.len() as u64 * 64, |weights| self.values(weights));
            let keys = self.task.name().measures().iter().map(|measure| measure.key.to_owned());
            more.intervals.extend(keys.zip(found.into_iter().flatten()));
        }
        let values = self.values(&measures::even(self.pairs.len()));
        Evaluation { task: self.task.name(), samples: self.samples(), loss: self.loss(), values, more, ..Evaluation::default() }
    }
}

/// The cosine of a published model.
pub fn answerer() -> super::Answerer {
    Box::new(|row, _top| {
        let value = row.first().copied().unwrap_or_default();
        Answer::Values(vec![Value { name: Name::Similarity.as_str().into(), value }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    fn samples(scores: &[f32]) -> Vec<Sample> {
        let sample =
            |(id, score): (usize, &f32)| Sample { id: id as u32, target: Target::Value(*score), split: Split::Train, path: id.to_string() };
        scores.iter().enumerate().map(sample).collect()
    }

    fn task(loss: Option<Loss>) -> Similarity {
        Similarity::new(&samples(&[0.0, 5.0, 2.5]), &Recipe { loss, ..Recipe::default() })
    }

    #[test]
    fn cosines_are_held_against_scores_between_nothing_and_one() {
        let (task, recipe) = (task(None), Recipe::default());
        let outputs = Tensor::new(&[[0.5f32], [0.5]], &Device::Cpu).unwrap();
        let targets = [5.0, 2.5].map(Target::Value);
        let loss = task.loss(&outputs, &targets, &recipe).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 0.125).abs() < 1e-6, "{loss}");
        let mut tally = task.tally(true);
        tally.add(&[0.1, 0.4, 0.9], &[0.0, 2.5, 5.0].map(Target::Value));
        let found = tally.finish();
        assert!((found.primary() - 1.0).abs() < 1e-12 && found.get("pearson") > 0.98, "{found:?}");
        let partition = |train: Vec<Sample>| Partition { train, ..Partition::default() };
        let equal = samples(&[1.0, 1.0]);
        assert!(Similarity::new(&equal, &recipe).check(&partition(equal.clone())).is_err());
        Similarity::new(&equal, &recipe).of_partners(&recipe).check(&partition(equal.clone())).unwrap();
        let ranking = Recipe { loss: Some(Loss::Ranking), ..recipe };
        Similarity::new(&equal, &ranking).check(&partition(equal)).unwrap();
    }

    #[test]
    fn partners_are_told_from_those_of_other_pairs() {
        let task = task(Some(Loss::Ranking));
        let recipe = Recipe { loss: Some(Loss::Ranking), ..Recipe::default() };
        let of = |rows: [[f32; 2]; 2], targets: [f32; 2]| {
            let outputs = Tensor::new(&rows, &Device::Cpu).unwrap();
            task.loss(&outputs, &targets.map(Target::Value), &recipe).unwrap().to_scalar::<f32>().unwrap()
        };
        let (right, wrong) = (of([[0.9, 0.1], [0.1, 0.9]], [5.0, 5.0]), of([[0.1, 0.9], [0.9, 0.1]], [5.0, 5.0]));
        // ln(1 + e^-16) and 16 more.
        assert!(right < 1e-6 && (wrong - 16.0).abs() < 1e-4, "{right} {wrong}");
        let half = of([[0.9, 0.1], [0.9, 0.1]], [5.0, 0.0]);
        assert!(half < 1e-6, "a pair that does not belong together is no partner: {half}");
        let mut tally = task.tally(false);
        tally.add(&[0.9, 0.1, 0.2, 0.3], &[5.0, 0.0].map(Target::Value));
        assert!((tally.loss() - (0.01 + 0.09) / 2.0).abs() < 1e-6, "{}", tally.loss());
    }
}
