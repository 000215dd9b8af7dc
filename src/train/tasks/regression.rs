//! One number an item. The head learns targets brought to zero mean and unit variance over the training items, so that
//! one learning rate serves millimetres and millions; what is published answers in the data set's own units.

use candle_core::{Device, Tensor};

use super::sums::mean;
use super::{Partition, Tally, Task, nothing};
use crate::data::{Sample, Target};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::Evaluation;
use crate::domain::prediction::{Answer, Value};
use crate::domain::recipe::Recipe;
use crate::domain::task::{Loss, Task as Name};
use crate::train::error::Result;
use crate::train::probe::{Part, Wanted};

/// The name of the output in `label_names`: the column that the targets came from.
const OUTPUT: &str = "target";

/// As many features as the recipe's rate for the head serves as it is, see [`Regression::head_rate`].
const FEATURES: f64 = 32.0;

/// Where Huber's loss turns straight, in standard deviations of the targets.
const HUBER_DELTA: f64 = 1.0;

pub struct Regression {
    mean: f64,
    deviation: f64,
}

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> + Clone + '_ {
    samples.iter().filter_map(|sample| sample.target.value()).map(f64::from)
}

impl Regression {
    pub fn new(train: &[Sample]) -> Regression {
        let average = mean(values(train));
        let variance = mean(values(train).map(|value| (value - average).powi(2)));
        Regression { mean: average, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } }
    }

    fn standardised(&self, target: &Target) -> f64 {
        target.value().map_or(0.0, |value| (f64::from(value) - self.mean) / self.deviation)
    }
}

impl Task for Regression {
    fn name(&self) -> Name {
        Name::Regression
    }

    fn outputs(&self) -> usize {
        1
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        let wanted: Vec<f32> = targets.iter().map(|target| self.standardised(target) as f32).collect();
        let wanted = Tensor::from_vec(wanted, (targets.len(), 1), &Device::Cpu)?.to_device(outputs.device())?;
        let error = (outputs - wanted)?;
        Ok(match recipe.loss_of(Name::Regression) {
            Loss::Huber => {
                // |e| = min(|e|, d) + the rest: the square of the first and a straight line in the second.
                let far = error.abs()?;
                let near = far.minimum(HUBER_DELTA)?;
                ((near.sqr()? * 0.5)? + ((far - near)? * HUBER_DELTA)?)?.mean_all()?
            }
            _ => error.sqr()?.mean_all()?,
        })
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Errors { task: self, settled, squares: 0.0, distances: 0.0, truths: Vec::new() })
    }

    fn convex(&self, targets: &[Target], recipe: &Recipe) -> Option<Vec<Part>> {
        let known = |target: &Target| target.value().map_or(f32::NAN, |_| self.standardised(target) as f32);
        let huber = (recipe.loss_of(Name::Regression) == Loss::Huber).then_some(HUBER_DELTA as f32);
        Some(vec![Part { outputs: 1, wanted: Wanted::Values { values: targets.iter().map(known).collect(), huber } }])
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let mut truths = values(&partition.train);
        let first = truths.next();
        if truths.all(|value| Some(value) == first) {
            return Err(nothing("the training images all have the same target; add images with others to `train`"));
        }
        Ok(())
    }

    /// Root mean squared error of always answering the mean of the training items.
    fn baseline(&self, partition: &Partition) -> f64 {
        mean(values(&partition.val).map(|value| (value - self.mean).powi(2))).sqrt()
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = Name::Regression.about().problem_type.map(String::from);
        config.num_classes = Some(1);
        config.pretrained_cfg.num_classes = Some(1);
        config.label_names = Some(vec![OUTPUT.into()]);
    }

    /// The squared error of D features of unit variance curves by up to 2 D, and descent with Nesterov's momentum m diverges
    /// beyond a rate of `2 (1 + m) / (1 + 2 m) / curvature`: 0.68 / D at 0.9. At the default of 1e-2 this leaves half of
    /// that. Cross entropy flattens where answers are sure and has no such edge.
    fn head_rate(&self, features: usize) -> f64 {
        (FEATURES / features.max(1) as f64).min(1.0)
    }

    fn units(&self) -> Option<(f64, f64)> {
        Some((self.deviation, self.mean))
    }
}

/// Errors of answers, told in the units of the data set.
struct Errors<'a> {
    task: &'a Regression,
    /// Whether the answers are in those units too, or standardised.
    settled: bool,
    /// Of standardised errors.
    squares: f64,
    distances: f64,
    /// Standardised.
    truths: Vec<f64>,
}

impl Errors<'_> {
    fn mean(&self, sum: f64) -> f64 {
        sum / self.truths.len().max(1) as f64
    }

    /// The share of the targets' variance that the answers explain; 0 where there is none to explain.
    fn r2(&self) -> f64 {
        let average = mean(self.truths.iter().copied());
        let spread: f64 = self.truths.iter().map(|truth| (truth - average).powi(2)).sum();
        if spread > 0.0 { 1.0 - self.squares / spread } else { 0.0 }
    }
}

impl Tally for Errors<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        for (output, target) in outputs.iter().zip(targets) {
            let truth = self.task.standardised(target);
            let output = f64::from(*output);
            let output = if self.settled { (output - self.task.mean) / self.task.deviation } else { output };
            let error = output - truth;
            self.squares += error * error;
            self.distances += error.abs();
            self.truths.push(truth);
        }
    }

    fn samples(&self) -> u64 {
        self.truths.len() as u64
    }

    /// The mean squared error in units of the training targets' variance.
    fn loss(&self) -> f64 {
        self.mean(self.squares)
    }

    fn primary(&self) -> f64 {
        self.loss().sqrt() * self.task.deviation
    }

    fn finish(self: Box<Self>) -> Evaluation {
        Evaluation {
            task: Name::Regression,
            samples: self.samples(),
            loss: self.loss(),
            values: vec![self.primary(), self.mean(self.distances) * self.task.deviation, self.r2()],
            per_class: Vec::new(),
            confusion: Vec::new(),
        }
    }
}

/// The numbers of a published model, under the names in its config.
pub fn answerer(config: &ModelConfig, outputs: usize) -> super::Answerer {
    let names = config.label_names.clone().filter(|names| names.len() == outputs);
    let names = names.unwrap_or_else(|| (0..outputs).map(|row| format!("value {row}")).collect());
    Box::new(move |row, _top| {
        Answer::Values(names.iter().zip(row).map(|(name, value)| Value { name: name.clone(), value: *value }).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    fn samples(values: &[f32]) -> Vec<Sample> {
        let sample =
            |(id, value): (usize, &f32)| Sample { id: id as u32, target: Target::Value(*value), split: Split::Train, path: id.to_string() };
        values.iter().enumerate().map(sample).collect()
    }

    /// Mean 4, deviation 2.
    fn task() -> Regression {
        Regression::new(&samples(&[2.0, 6.0, 2.0, 6.0]))
    }

    #[test]
    fn errors_are_those_of_a_worked_example_in_the_units_of_the_data() {
        let task = task();
        let mut tally = task.tally(false);
        // In units of the data: 2 for 2, 5 for 6, 4 for 8, so errors of 0, -1 and -4.
        tally.add(&[-1.0, 0.5], &[Target::Value(2.0), Target::Value(6.0)]);
        tally.add(&[0.0], &[Target::Value(8.0)]);
        let found = tally.finish();
        assert_eq!(found.samples, 3);
        assert!((found.get("rmse") - (17f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((found.get("mae") - 5.0 / 3.0).abs() < 1e-12);
        let spread = [2.0f64, 6.0, 8.0].map(|x| (x - 16.0 / 3.0).powi(2)).iter().sum::<f64>();
        assert!((found.get("r2") - (1.0 - 17.0 / spread)).abs() < 1e-12);
        assert!((found.loss - 17.0 / 3.0 / 4.0).abs() < 1e-12, "in units of the training variance");
        assert_eq!(task.units(), Some((2.0, 4.0)));
        let mut settled = task.tally(true);
        settled.add(&[2.0, 5.0, 4.0], &[2.0, 6.0, 8.0].map(Target::Value));
        assert_eq!(settled.finish(), found, "the same answers in units of the data");
    }

    #[test]
    fn both_losses_are_those_of_pytorch() {
        let task = task();
        let outputs = Tensor::new(&[[0.5f32], [3.0], [-1.0]], &Device::Cpu).unwrap();
        // Standardised 0, 1 and 1: errors of 0.5, 2 and -2.
        let targets = [4.0, 6.0, 6.0].map(Target::Value);
        let loss = |loss| {
            let recipe = Recipe { loss, ..Recipe::default() };
            task.loss(&outputs, &targets, &recipe).unwrap().to_scalar::<f32>().unwrap()
        };
        assert!((loss(None) - (0.25 + 4.0 + 4.0) / 3.0).abs() < 1e-6);
        assert!((loss(Some(Loss::Huber)) - (0.125 + 1.5 + 1.5) / 3.0).abs() < 1e-6);
    }

    #[test]
    fn huber_has_the_gradient_of_its_line_and_of_its_square() {
        let task = task();
        let outputs = candle_core::Var::new(&[[0.5f32], [3.0], [-1.0]], &Device::Cpu).unwrap();
        let recipe = Recipe { loss: Some(Loss::Huber), ..Recipe::default() };
        let loss = task.loss(&outputs, &[4.0, 6.0, 6.0].map(Target::Value), &recipe).unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = gradients.get(&outputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (found, wanted) in gradient.iter().zip([0.5, 1.0, -1.0]) {
            assert!((found * 3.0 - wanted).abs() < 1e-5, "{gradient:?}");
        }
    }

    #[test]
    fn equal_targets_teach_nothing() {
        let train = samples(&[3.0, 3.0]);
        let partition = Partition { train: train.clone(), val: train, test: Vec::new(), held: Default::default(), leaks: Vec::new() };
        assert!(Regression::new(&partition.train).check(&partition).is_err());
    }
}
