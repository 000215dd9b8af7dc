//! One number an item, or several. The head learns targets brought to zero mean and unit variance over the training items, so that
//! one learning rate serves millimetres and millions; what is published answers in the data set's own units.

use candle_core::{Device, Tensor};

use super::sums::mean;
use super::{Partition, Tally, Task, Told, nothing};
use crate::data::{Sample, Target};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, More};
use crate::domain::prediction::{Answer, Value};
use crate::domain::recipe::Recipe;
use crate::domain::task::{Loss, Task as Name};
use crate::train::error::Result;
use crate::train::measures;
use crate::train::probe::{Part, Wanted};

/// As many features as the recipe's rate for the head serves as it is, see [`Regression::head_rate`].
const FEATURES: f64 = 32.0;

/// Where Huber's loss turns straight, in standard deviations of the targets.
const HUBER_DELTA: f64 = 1.0;
/// Numbers learn apart from each other, so their losses are added; of more than these the mean of that many.
const ADDED: usize = 16;

/// How one of the numbers lies over the training items.
#[derive(Clone, Copy)]
struct Unit {
    mean: f64,
    deviation: f64,
}

pub struct Regression {
    names: Vec<String>,
    units: Vec<Unit>,
}

fn column(samples: &[Sample], at: usize) -> impl Iterator<Item = f64> + Clone + '_ {
    samples.iter().filter_map(move |sample| sample.target.values().get(at)).map(|value| f64::from(*value))
}

impl Regression {
    /// Of numbers under these names.
    pub fn new(names: &[String], train: &[Sample]) -> Regression {
        let unit = |at: usize| {
            let average = mean(column(train, at));
            let variance = mean(column(train, at).map(|value| (value - average).powi(2)));
            Unit { mean: average, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } }
        };
        Regression { names: names.to_vec(), units: (0..names.len()).map(unit).collect() }
    }

    fn standardised(&self, target: &Target) -> impl Iterator<Item = f64> {
        let values = target.values();
        let of = |(at, unit): (usize, &Unit)| values.get(at).map_or(0.0, |value| (f64::from(*value) - unit.mean) / unit.deviation);
        self.units.iter().enumerate().map(of).collect::<Vec<_>>().into_iter()
    }

    fn is_single(&self) -> bool {
        self.names.len() == 1
    }
}

impl Task for Regression {
    fn name(&self) -> Name {
        if self.is_single() { Name::Regression } else { Name::MultiRegression }
    }

    fn outputs(&self) -> usize {
        self.names.len()
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        let width = self.names.len();
        let wanted: Vec<f32> = targets.iter().flat_map(|target| self.standardised(target)).map(|value| value as f32).collect();
        let wanted = Tensor::from_vec(wanted, (targets.len(), width), &Device::Cpu)?.to_device(outputs.device())?;
        let error = (outputs - wanted)?;
        let loss = match recipe.loss_of(self.name()) {
            Loss::Huber => {
                // |e| = min(|e|, d) + the rest: the square of the first and a straight line in the second.
                let far = error.abs()?;
                let near = far.minimum(HUBER_DELTA)?;
                ((near.sqr()? * 0.5)? + ((far - near)? * HUBER_DELTA)?)?.mean_all()?
            }
            _ => error.sqr()?.mean_all()?,
        };
        Ok(if self.is_single() { loss } else { (loss * width.min(ADDED) as f64)? })
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Errors { task: self, settled, pairs: vec![Vec::new(); self.names.len()] })
    }

    fn convex(&self, targets: &[Target], recipe: &Recipe) -> Option<Vec<Part>> {
        let known = |target: &Target| -> Vec<f32> {
            let values = self.standardised(target).map(|value| value as f32);
            if target.values().is_empty() { vec![f32::NAN; self.names.len()] } else { values.collect() }
        };
        let huber = (recipe.loss_of(self.name()) == Loss::Huber).then_some(HUBER_DELTA as f32);
        let values = targets.iter().flat_map(known).collect();
        Some(vec![Part { outputs: self.names.len(), wanted: Wanted::Values { values, huber } }])
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        for (at, name) in self.names.iter().enumerate() {
            let mut truths = column(&partition.train, at);
            let first = truths.next();
            if truths.all(|value| Some(value) == first) {
                let of = if self.is_single() { String::new() } else { format!(" `{name}`") };
                return Err(nothing(format!("the training items all have the same target{of}; add some with others to `train`")));
            }
        }
        Ok(())
    }

    /// What always answering the means of the training items reaches: of one number the root mean squared error, of several the
    /// mean R².
    fn baseline(&self, partition: &Partition) -> f64 {
        let pairs = |(at, unit): (usize, &Unit)| column(&partition.val, at).map(|value| (value, unit.mean)).collect::<Vec<_>>();
        let columns: Vec<Vec<(f64, f64)>> = self.units.iter().enumerate().map(pairs).collect();
        if self.is_single() {
            return mean(columns[0].iter().map(|(truth, mean)| (truth - mean).powi(2))).sqrt();
        }
        mean(columns.iter().map(|pairs| measures::r2(pairs, &measures::even(pairs.len()))))
    }

    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let truths = target.values();
        if truths.len() != self.names.len() || row.len() < truths.len() {
            return None;
        }
        // Of several numbers each in its own units, or the largest would be all that counts.
        let unit = |at: usize| if self.is_single() { 1.0 } else { self.units[at].deviation };
        let error = |(at, truth): (usize, &f32)| ((f64::from(row[at]) - f64::from(*truth)) / unit(at)).powi(2);
        let squared: f64 = truths.iter().enumerate().map(error).sum();
        let answer = row.iter().take(truths.len()).map(f32::to_string).collect::<Vec<_>>().join(", ");
        Some(Told { score: -squared, loss: squared, answer, ..Told::default() })
    }

    fn simplest(&self, _partition: &Partition) -> Option<Vec<f32>> {
        Some(self.units.iter().map(|unit| unit.mean as f32).collect())
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = Name::Regression.about().problem_type.map(String::from);
        config.num_classes = Some(self.names.len());
        config.pretrained_cfg.num_classes = Some(self.names.len());
        config.label_names = Some(self.names.clone());
    }

    /// The squared error of D features of unit variance curves by up to 2 D, and descent with Nesterov's momentum m diverges
    /// beyond a rate of `2 (1 + m) / (1 + 2 m) / curvature`: 0.68 / D at 0.9. At the default of 1e-2 this leaves half of
    /// that. Cross entropy flattens where answers are sure and has no such edge.
    fn head_rate(&self, features: usize) -> f64 {
        (FEATURES / features.max(1) as f64).min(1.0)
    }

    fn units(&self) -> Option<Vec<(f64, f64)>> {
        Some(self.units.iter().map(|unit| (unit.deviation, unit.mean)).collect())
    }
}

/// Answers beside what is true, standardised, a list for each number; told in the units of the data set.
struct Errors<'a> {
    task: &'a Regression,
    /// Whether the answers come in those units too, or standardised.
    settled: bool,
    /// (truth, answer).
    pairs: Vec<Vec<(f64, f64)>>,
}

impl Errors<'_> {
    /// Root mean squared error, mean distance and explained share of one number.
    fn values(&self, at: usize, weights: &[f32]) -> [f64; 3] {
        let (pairs, deviation) = (&self.pairs[at], self.task.units[at].deviation);
        let errors = || pairs.iter().map(|(truth, answer)| answer - truth);
        let squares = measures::weighted_mean(errors().map(|error| error * error), weights);
        let distance = measures::weighted_mean(errors().map(f64::abs), weights);
        [squares.sqrt() * deviation, distance * deviation, measures::r2(pairs, weights)]
    }

    /// The measures of the task in their order.
    fn all(&self, weights: &[f32]) -> Vec<f64> {
        let parts: Vec<[f64; 3]> = (0..self.pairs.len()).map(|at| self.values(at, weights)).collect();
        match parts.as_slice() {
            [one] => one.to_vec(),
            all => [2, 0, 1].map(|place| mean(all.iter().map(|part| part[place]))).to_vec(),
        }
    }

    fn squares(&self, at: usize) -> f64 {
        mean(self.pairs[at].iter().map(|(truth, answer)| (answer - truth).powi(2)))
    }

    fn intervals(&self, task: Name, values: impl Fn(&[f32]) -> Vec<f64>) -> More {
        let mut more = More::default();
        if self.settled {
            let found = measures::intervals(self.pairs[0].len(), (self.pairs.len() * self.pairs[0].len()) as u64 * 4, values);
            let keys = task.measures().iter().map(|measure| measure.key.to_owned());
            more.intervals.extend(keys.zip(found.into_iter().flatten()));
        }
        more
    }

    fn part(&self, at: usize) -> Evaluation {
        let even = measures::even(self.pairs[at].len());
        Evaluation {
            task: Name::Regression,
            samples: self.samples(),
            loss: self.squares(at),
            values: self.values(at, &even).to_vec(),
            more: self.intervals(Name::Regression, |weights| self.values(at, weights).to_vec()),
            ..Evaluation::default()
        }
    }
}

impl Tally for Errors<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        for (row, target) in outputs.chunks_exact(self.pairs.len()).zip(targets) {
            for ((at, truth), output) in self.task.standardised(target).enumerate().zip(row) {
                let (output, unit) = (f64::from(*output), self.task.units[at]);
                let output = if self.settled { (output - unit.mean) / unit.deviation } else { output };
                self.pairs[at].push((truth, output));
            }
        }
    }

    fn samples(&self) -> u64 {
        self.pairs[0].len() as u64
    }

    /// The mean squared error in units of the training targets' variance.
    fn loss(&self) -> f64 {
        mean((0..self.pairs.len()).map(|at| self.squares(at)))
    }

    fn primary(&self) -> f64 {
        self.all(&measures::even(self.pairs[0].len()))[0]
    }

    fn score(&self) -> f64 {
        let even = measures::even(self.pairs[0].len());
        mean((0..self.pairs.len()).map(|at| self.values(at, &even)[2]))
    }

    fn finish(self: Box<Self>) -> Evaluation {
        if self.task.is_single() {
            return self.part(0);
        }
        let even = measures::even(self.pairs[0].len());
        let parts = self.task.names.iter().enumerate().map(|(at, name)| (name.clone(), self.part(at))).collect();
        Evaluation {
            task: Name::MultiRegression,
            samples: self.samples(),
            loss: self.loss(),
            values: self.all(&even),
            more: More { parts, ..self.intervals(Name::MultiRegression, |weights| self.all(weights)) },
            ..Evaluation::default()
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
        Regression::new(&["target".into()], &samples(&[2.0, 6.0, 2.0, 6.0]))
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
        assert_eq!(task.units(), Some(vec![(2.0, 4.0)]));
        let mut settled = task.tally(true);
        settled.add(&[2.0, 5.0, 4.0], &[2.0, 6.0, 8.0].map(Target::Value));
        let settled = settled.finish();
        assert_eq!((&settled.values, settled.loss), (&found.values, found.loss), "the same answers in units of the data");
        let (low, high) = settled.interval().unwrap();
        assert!(low <= found.primary() && found.primary() <= high && found.interval().is_none());
    }

    #[test]
    fn several_numbers_are_measured_one_by_one_and_together() {
        let sample = |(id, (a, b)): (usize, &(f32, f32))| Sample {
            id: id as u32,
            target: Target::Values([*a, *b].into()),
            split: Split::Train,
            path: id.to_string(),
        };
        let train: Vec<Sample> = [(2.0, 1000.0), (6.0, 3000.0), (2.0, 3000.0), (6.0, 1000.0)].iter().enumerate().map(sample).collect();
        let task = Regression::new(&["width".into(), "mass".into()], &train);
        assert_eq!(task.units(), Some(vec![(2.0, 4.0), (1000.0, 2000.0)]));
        let mut tally = task.tally(true);
        // Widths are right, masses off by 1000 twice.
        tally.add(&[2.0, 2000.0, 6.0, 3000.0, 2.0, 3000.0, 6.0, 2000.0], &train.iter().map(|s| s.target.clone()).collect::<Vec<_>>());
        let found = tally.finish();
        let part = |at: usize, key: &str| found.more.parts[at].1.get(key);
        assert_eq!((part(0, "rmse"), part(0, "r2"), part(1, "mae"), part(1, "r2")), (0.0, 1.0, 500.0, 0.5));
        assert_eq!((found.get("mean_r2"), found.get("mean_mae")), (0.75, 250.0), "R² decides, whatever the units");
        let json = serde_json::to_string(&found).unwrap();
        let again: Evaluation = serde_json::from_str(&json).unwrap();
        assert!(again.more.parts.len() == found.more.parts.len() && (again.primary() - found.primary()).abs() < 1e-12, "{again:?}");
        let outputs = Tensor::new(&[[-1f32, 1.0]], &Device::Cpu).unwrap();
        let loss = task.loss(&outputs, &[Target::Values([2.0, 1000.0].into())], &Recipe::default()).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 4.0, "added over the numbers");
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
        assert!(Regression::new(&["target".into()], &partition.train).check(&partition).is_err());
    }
}
