//! One class an item, of classes that have an order: a miss by two ranks is worse than one by one. The head has a row for each
//! class, as any classifier, and learns the summed probabilities of the classes above each one; so it loads wherever one does.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use serde_json::json;

use super::classification::{self, Classification};
use super::{Partition, Tally, Task, Told, nothing};
use crate::data::Target;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, More};
use crate::domain::recipe::Recipe;
use crate::domain::task::{Loss, Task as Name};
use crate::nn::loss;
use crate::train::error::Result;
use crate::train::measures;
use crate::train::probe::{Part, Wanted};

/// Words for ranks that are no numbers, in the orders in which people use them.
const KNOWN: &[&[&str]] = &[
    &["none", "very low", "low", "medium", "high", "very high"],
    &["none", "minimal", "mild", "moderate", "severe", "critical"],
    &["tiny", "small", "medium", "large", "huge"],
    &["xs", "s", "m", "l", "xl", "xxl"],
    &["terrible", "poor", "fair", "good", "very good", "excellent"],
    &["first", "second", "third", "fourth", "fifth"],
];

pub struct Ordinal {
    /// From the lowest to the highest.
    classes: Classification,
    names: Vec<String>,
    /// The rank of each class as targets have it.
    ranks: Vec<u32>,
}

impl Ordinal {
    /// Of classes that come in their order.
    pub fn of_ranks(names: &[String]) -> Ordinal {
        Ordinal { classes: Classification::new(names), names: names.to_vec(), ranks: (0..names.len() as u32).collect() }
    }

    /// Of classes whose names tell their order: numbers, or words of one scale.
    ///
    /// # Errors
    /// They tell none.
    pub fn of_classes(names: &[String]) -> Result<Ordinal> {
        let Some(order) = order(names) else {
            let listed = names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(nothing(format!(
                "the names of the classes ({listed}) tell no order; write `ordered: [lowest, ..., highest]` into the data set's README.md, or name them by numbers"
            )));
        };
        let mut ranks = vec![0; names.len()];
        order.iter().enumerate().for_each(|(rank, class)| ranks[*class] = rank as u32);
        let names: Vec<String> = order.iter().map(|class| names[*class].clone()).collect();
        Ok(Ordinal { classes: Classification::new(&names), names, ranks })
    }

    fn rank(&self, target: &Target) -> u32 {
        target.class().and_then(|class| self.ranks.get(class as usize).copied()).unwrap_or_default()
    }

    fn ranked(&self, targets: &[Target]) -> Vec<Target> {
        targets.iter().map(|target| Target::Class(self.rank(target))).collect()
    }

    /// That of the training items.
    fn median(&self, partition: &Partition) -> u32 {
        let mut ranks: Vec<u32> = partition.train.iter().map(|sample| self.rank(&sample.target)).collect();
        ranks.sort_unstable();
        ranks.get(ranks.len() / 2).copied().unwrap_or_default()
    }

    fn ranked_partition(&self, partition: &Partition) -> Partition {
        partition.with_targets(|target| Some(Target::Class(self.rank(target))))
    }
}

/// Classes from the lowest to the highest, where their names say it.
fn order(names: &[String]) -> Option<Vec<usize>> {
    let plain: Vec<String> = names.iter().map(|name| name.trim().to_lowercase().replace(['_', '-'], " ")).collect();
    let numbers: Option<Vec<f64>> = names.iter().map(|name| number(name)).collect();
    let places =
        || KNOWN.iter().find_map(|scale| plain.iter().map(|name| Some(scale.iter().position(|word| word == name)? as f64)).collect());
    let places: Vec<f64> = numbers.or_else(places)?;
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    order.windows(2).all(|pair| places[pair[0]] < places[pair[1]]).then_some(order)
}

/// `3`, `2.5`, `grade 3`, `3 stars`, `50-60`, `>70`: the first number in the name, where there is no other before it.
fn number(name: &str) -> Option<f64> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let digits: String = name[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let sign = if start > 0 && name[..start].trim() == "-" { -1.0 } else { 1.0 };
    digits.trim_end_matches('.').parse::<f64>().ok().map(|value| sign * value)
}

impl Task for Ordinal {
    fn name(&self) -> Name {
        Name::Ordinal
    }

    fn outputs(&self) -> usize {
        self.names.len()
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        let labels: Vec<u32> = targets.iter().map(|target| self.rank(target)).collect();
        Ok(match recipe.loss_of(Name::Ordinal) {
            Loss::CrossEntropy => loss::cross_entropy(outputs, &Tensor::new(labels, &Device::Cpu)?, recipe.label_smoothing)?,
            _ => loss::cumulative(outputs, &labels)?,
        })
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Ranks { task: self, settled, classes: self.classes.tally(settled), pairs: HashMap::new(), samples: 0 })
    }

    /// The cumulative loss is not convex; cross entropy of the same classes, which is, stands in for it unless it was asked for.
    fn convex(&self, targets: &[Target], recipe: &Recipe) -> Option<Vec<Part>> {
        let ranks = targets.iter().map(|target| target.class().map(|_| self.rank(target))).collect();
        let wanted = Wanted::Class { labels: ranks, smoothing: recipe.label_smoothing };
        (recipe.loss != Some(Loss::Cumulative)).then(|| vec![Part { outputs: self.names.len(), wanted }])
    }

    fn sure(&self, row: &[f32]) -> Option<(Target, f32)> {
        let (target, probability) = self.classes.sure(row)?;
        let class = self.ranks.iter().position(|rank| Some(*rank) == target.class())?;
        Some((Target::Class(class as u32), probability))
    }

    /// As of any class, but that a miss counts by how far it is off.
    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let rank = self.rank(target);
        let told = self.classes.told(row, &Target::Class(rank))?;
        let distance = rank.abs_diff(classification::argmax(row) as u32);
        Some(Told { score: -f64::from(distance), ..told })
    }

    /// The median class of the training items.
    fn simplest(&self, partition: &Partition) -> Option<Vec<f32>> {
        let median = self.median(partition);
        Some((0..self.names.len() as u32).map(|rank| f32::from(u8::from(rank == median))).collect())
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        self.classes.check(&self.ranked_partition(partition))
    }

    /// The mean distance in ranks of always answering the median class of the training items.
    fn baseline(&self, partition: &Partition) -> f64 {
        let median = self.median(partition);
        super::sums::mean(partition.val.iter().map(|sample| f64::from(self.rank(&sample.target).abs_diff(median))))
    }

    fn configure(&self, config: &mut ModelConfig) {
        self.classes.configure(config);
        config.extra.insert(super::TASK.into(), json!(Name::Ordinal));
    }
}

struct Ranks<'a> {
    task: &'a Ordinal,
    settled: bool,
    classes: Box<dyn Tally + 'a>,
    /// (true rank, answered rank).
    pairs: HashMap<(u32, u32), u64>,
    samples: u64,
}

impl Ranks<'_> {
    fn pairs(&self) -> Vec<(u32, u32)> {
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort();
        pairs.into_iter().flat_map(|(pair, count)| std::iter::repeat_n(*pair, *count as usize)).collect()
    }

    fn values(&self, pairs: &[(u32, u32)], weights: &[f32]) -> Vec<f64> {
        let distance = pairs.iter().map(|(truth, answer)| f64::from(truth.abs_diff(*answer)));
        let right = pairs.iter().map(|(truth, answer)| f64::from(u8::from(truth == answer)));
        vec![
            measures::weighted_mean(distance, weights),
            measures::weighted_kappa(pairs, self.task.names.len(), weights),
            measures::weighted_mean(right, weights),
        ]
    }
}

impl Tally for Ranks<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let ranked = self.task.ranked(targets);
        for (row, target) in outputs.chunks_exact(self.task.names.len()).zip(&ranked) {
            let pair = (target.class().unwrap_or_default(), classification::argmax(row) as u32);
            *self.pairs.entry(pair).or_default() += 1;
            self.samples += 1;
        }
        self.classes.add(outputs, &ranked);
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn loss(&self) -> f64 {
        self.classes.loss()
    }

    fn primary(&self) -> f64 {
        let sum: u64 = self.pairs.iter().map(|((truth, answer), count)| u64::from(truth.abs_diff(*answer)) * count).sum();
        sum as f64 / self.samples.max(1) as f64
    }

    fn score(&self) -> f64 {
        let pairs = self.pairs();
        measures::weighted_kappa(&pairs, self.task.names.len(), &measures::even(pairs.len()))
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let (pairs, width) = (self.pairs(), self.task.names.len());
        let values = self.values(&pairs, &measures::even(pairs.len()));
        let mut more = More::default();
        if self.settled {
            let found = measures::intervals(pairs.len(), (3 * pairs.len() + width) as u64, |weights| self.values(&pairs, weights));
            let keys = Name::Ordinal.measures().iter().map(|measure| measure.key.to_owned());
            more.intervals.extend(keys.zip(found.into_iter().flatten()));
        }
        let classes = self.classes.finish();
        for key in Name::Ordinal.about().further.iter().map(|measure| measure.key).filter(|key| classes.get(key).is_finite()) {
            more.measures.insert(key.into(), classes.get(key));
        }
        Evaluation { task: Name::Ordinal, values, more, ..classes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_tell_an_order_or_are_asked_about() {
        let order = |words: &[&str]| Ordinal::of_classes(&names(words)).map(|task| task.names);
        assert_eq!(order(&["1", "10", "2"]).unwrap(), ["1", "2", "10"]);
        assert_eq!(order(&["grade 3", "grade 1"]).unwrap(), ["grade 1", "grade 3"]);
        assert_eq!(order(&["high", "low", "medium"]).unwrap(), ["low", "medium", "high"]);
        assert!(order(&["cat", "dog"]).unwrap_err().to_string().contains("`ordered:"));
        assert!(order(&["a1", "b1"]).is_err(), "two of one number have no order");
    }

    #[test]
    fn the_numbers_are_those_of_a_worked_example() {
        let task = Ordinal::of_classes(&names(&["1", "10", "2"])).unwrap();
        let mut tally = task.tally(true);
        // Truths 1, 10, 2 as targets have them; answers 1, 2, 2 by rank.
        tally.add(&[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0], &[0, 1, 2].map(Target::Class));
        assert!((tally.primary() - 1.0 / 3.0).abs() < 1e-12);
        let found = tally.finish();
        assert!((found.get("rank_mae") - 1.0 / 3.0).abs() < 1e-12 && (found.get("top1") - 2.0 / 3.0).abs() < 1e-12);
        // Ranks 0 2 1 against 0 1 1: one square of 1; by chance the mean of squares is 2/3.
        let chance = (0.0 + 1.0 + 1.0 + 4.0 + 1.0 + 1.0 + 1.0 + 0.0 + 0.0) / 9.0;
        assert!((found.get("kappa") - (1.0 - 1.0 / 3.0 / chance)).abs() < 1e-9, "{found:?}");
        assert_eq!(found.per_class.iter().map(|score| score.class.as_str()).collect::<Vec<_>>(), ["1", "2", "10"]);
        assert!(found.more.intervals.contains_key("kappa") && found.get("macro_f1").is_finite());
        let json = serde_json::to_string(&found).unwrap();
        let again: Evaluation = serde_json::from_str(&json).unwrap();
        assert!(again.more.intervals.len() == found.more.intervals.len() && (again.primary() - found.primary()).abs() < 1e-12, "{again:?}");
    }
}
