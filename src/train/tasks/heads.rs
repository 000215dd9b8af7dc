//! Several tasks about each item on one backbone: the rows of their heads stand one below the other in one layer, so that what
//! is published loads as any model. An item may lack the target of a head; it then says nothing to that head.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use super::sums::mean;
use super::{Answerer, Partition, Tally, Task, nothing};
use crate::data::{Target, Targets};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, More};
use crate::domain::prediction::{Answer, Head};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::train::error::{Error, Result};
use crate::train::probe::Part;

/// The key of `config.json` that lists the heads: name, task, number of outputs and, where there are some, labels.
const HEADS: &str = "heads";

pub struct Heads {
    heads: Vec<One>,
    /// What comes in under plain gradient descent, see [`Task::head_rate`]; it is known once the network is.
    features: OnceLock<usize>,
}

#[derive(Clone)]
struct One {
    name: String,
    task: Arc<dyn Task>,
    /// Its rows of the outputs: from which on, how many.
    from: usize,
    outputs: usize,
    /// The share of training items that have its target.
    known: f64,
}

/// Whether a published model has these very heads, with these labels in this order.
pub fn has_heads(config: &ModelConfig, wanted: &[(String, Targets)]) -> bool {
    let none = Vec::new();
    let told = config.extra.get(HEADS).and_then(Value::as_array).unwrap_or(&none);
    let same = |(head, (name, targets)): (&Value, &(String, Targets))| {
        let labels: Vec<&str> = head["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        head["name"] == json!(name) && (targets.classes().is_empty() || targets.classes() == labels.as_slice())
    };
    told.len() == wanted.len() && told.iter().zip(wanted).all(same)
}

impl Heads {
    pub fn new(heads: &[(String, Targets)], partition: &Partition) -> Result<Heads> {
        let mut found: Vec<One> = Vec::new();
        for (at, (name, targets)) in heads.iter().enumerate() {
            let own = Heads::own(at, partition);
            let of_head = |error| match error {
                Error::NothingToLearn(what) => nothing(format!("`{name}`: {what}")),
                other => other,
            };
            if own.train.is_empty() {
                return Err(nothing(format!("`{name}` is empty in every training row; fill some, or leave the column out")));
            }
            let task: Arc<dyn Task> = super::alone(targets, &own, &Recipe::default()).map_err(of_head)?.into();
            task.check(&own).map_err(of_head)?;
            let known = own.train.len() as f64 / partition.train.len().max(1) as f64;
            let from = found.last().map_or(0, |last| last.from + last.outputs);
            found.push(One { name: name.clone(), outputs: task.outputs(), task, from, known });
        }
        Ok(Heads { heads: found, features: OnceLock::new() })
    }

    /// The items that have the target of a head.
    fn own(at: usize, partition: &Partition) -> Partition {
        partition.with_targets(|target| Some(target.head(at)).filter(|target| **target != Target::Unknown).cloned())
    }

    /// Of each head: the rows of a batch that have its target, and those targets.
    fn known(at: usize, targets: &[Target]) -> (Vec<u32>, Vec<Target>) {
        let known = targets.iter().enumerate().filter(|(_, target)| *target.head(at) != Target::Unknown);
        known.map(|(row, target)| (row as u32, target.head(at).clone())).unzip()
    }
}

/// A head's numbers as one of which 1 is best and more is better: the measure that decides where it is such a one, else the one
/// that compares with chance.
fn score(evaluation: &Evaluation) -> f64 {
    match evaluation.task {
        Name::Regression => evaluation.get("r2"),
        Name::Ordinal => evaluation.get("kappa"),
        _ => evaluation.primary(),
    }
}

impl Task for Heads {
    fn name(&self) -> Name {
        Name::MultiTask
    }

    fn outputs(&self) -> usize {
        self.heads.iter().map(|head| head.outputs).sum()
    }

    /// The sum over heads of each one's loss over all its targets: a head with few of them counts as much as one with many, since
    /// what a batch has of them is held against their share of all items.
    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor> {
        let mut sum = (outputs.sum_all()? * 0.0)?;
        for (at, head) in self.heads.iter().enumerate() {
            let (rows, own) = Heads::known(at, targets);
            if rows.is_empty() {
                continue;
            }
            // One rate serves all rows: a head that needs a smaller one has a smaller loss instead, which comes to the same for its rows.
            let rate = self.features.get().map_or(1.0, |features| head.task.head_rate(*features));
            let weight = rate * own.len() as f64 / (targets.len() as f64 * head.known);
            let rows = Tensor::new(rows, &Device::Cpu)?.to_device(outputs.device())?;
            let part = outputs.narrow(1, head.from, head.outputs)?.contiguous()?.index_select(&rows, 0)?;
            sum = (sum + (head.task.loss(&part, &own, &Recipe { loss: None, label_smoothing: 0.0, ..recipe.clone() })? * weight)?)?;
        }
        Ok(sum)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Parts { task: self, tallies: self.heads.iter().map(|head| head.task.tally(settled)).collect(), samples: 0 })
    }

    fn convex(&self, targets: &[Target], recipe: &Recipe) -> Option<Vec<Part>> {
        let own = Recipe { loss: None, label_smoothing: 0.0, ..recipe.clone() };
        let mut parts = Vec::new();
        for (at, head) in self.heads.iter().enumerate() {
            let targets: Vec<Target> = targets.iter().map(|target| target.head(at).clone()).collect();
            parts.extend(head.task.convex(&targets, &own)?);
        }
        Some(parts)
    }

    /// Heads were checked as they were made.
    fn check(&self, _partition: &Partition) -> Result<()> {
        Ok(())
    }

    /// Heads are measured by all their items together.
    fn scores_items(&self) -> bool {
        false
    }

    fn simplest(&self, partition: &Partition) -> Option<Vec<f32>> {
        let rows: Option<Vec<Vec<f32>>> =
            self.heads.iter().enumerate().map(|(at, head)| head.task.simplest(&Heads::own(at, partition))).collect();
        Some(rows?.concat())
    }

    fn baseline(&self, partition: &Partition) -> f64 {
        let of = |(at, head): (usize, &One)| {
            let own = Heads::own(at, partition);
            match head.task.name() {
                // What always answers the same explains nothing and agrees with nobody but by chance.
                Name::Regression | Name::Ordinal => 0.0,
                _ => head.task.baseline(&own),
            }
        };
        mean(self.heads.iter().enumerate().map(of))
    }

    fn configure(&self, config: &mut ModelConfig) {
        let (mut names, mut heads) = (Vec::new(), Vec::new());
        for head in &self.heads {
            let mut own = ModelConfig::default();
            head.task.configure(&mut own);
            let labels = own.label_names.unwrap_or_default();
            names.extend(labels.iter().map(|label| if head.outputs == 1 { head.name.clone() } else { format!("{}: {label}", head.name) }));
            let mut told = Map::from_iter(own.extra);
            told.extend([("name".to_owned(), json!(head.name)), (super::TASK.into(), json!(head.task.name()))]);
            told.extend([("outputs".to_owned(), json!(head.outputs)), ("labels".into(), json!(labels))]);
            heads.push(Value::Object(told));
        }
        config.problem_type = None;
        (config.num_classes, config.pretrained_cfg.num_classes) = (Some(self.outputs()), Some(self.outputs()));
        config.label_names = Some(names);
        config.extra.insert(super::TASK.into(), json!(Name::MultiTask));
        config.extra.insert(HEADS.into(), Value::Array(heads));
    }

    fn head_rate(&self, features: usize) -> f64 {
        let _ = self.features.set(features);
        1.0
    }

    fn units(&self) -> Option<Vec<(f64, f64)>> {
        let of = |head: &One| head.task.units().unwrap_or_else(|| vec![(1.0, 0.0); head.outputs]);
        Some(self.heads.iter().flat_map(of).collect())
    }

    fn calibrated(&self, validation: &Evaluation) -> Option<Arc<dyn Task>> {
        let of = |(head, (_, own)): (&One, &(String, Evaluation))| match head.task.calibrated(own) {
            Some(task) => One { task, ..head.clone() },
            None => head.clone(),
        };
        let fits = validation.more.parts.len() == self.heads.len();
        fits.then(|| {
            let heads = self.heads.iter().zip(&validation.more.parts).map(of).collect();
            Arc::new(Heads { heads, features: self.features.clone() }) as Arc<dyn Task>
        })
    }
}

struct Parts<'a> {
    task: &'a Heads,
    tallies: Vec<Box<dyn Tally + 'a>>,
    samples: u64,
}

impl Tally for Parts<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let width = self.task.outputs();
        for (at, (head, tally)) in self.task.heads.iter().zip(&mut self.tallies).enumerate() {
            let (rows, own) = Heads::known(at, targets);
            let part = |row: &u32| &outputs[*row as usize * width + head.from..][..head.outputs];
            let parts: Vec<f32> = rows.iter().flat_map(part).copied().collect();
            if !own.is_empty() {
                tally.add(&parts, &own);
            }
        }
        self.samples += targets.len() as u64;
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn loss(&self) -> f64 {
        mean(self.tallies.iter().filter(|tally| tally.samples() > 0).map(|tally| tally.loss()))
    }

    /// While it trains: the mean over heads of the measures that rise, which is cheap to have.
    fn primary(&self) -> f64 {
        mean(self.tallies.iter().filter(|tally| tally.samples() > 0).map(|tally| tally.score()))
    }

    /// Shares and areas are 0 of what has no targets.
    fn finish(self: Box<Self>) -> Evaluation {
        let (loss, samples) = (self.loss(), self.samples);
        let names = self.task.heads.iter().map(|head| head.name.clone());
        let parts: Vec<(String, Evaluation)> = names.zip(self.tallies.into_iter().map(Tally::finish)).collect();
        let value = mean(parts.iter().filter(|(_, part)| part.samples > 0).map(|(_, part)| score(part)));
        let more = More { parts, ..More::default() };
        Evaluation { task: Name::MultiTask, samples, loss, values: vec![value], more, ..Evaluation::default() }
    }
}

/// What each head of a published model says. A config that contradicts itself is read as one head of classes.
pub fn answerer(config: &ModelConfig, outputs: usize) -> Answerer {
    let told = config.extra.get(HEADS).and_then(Value::as_array).cloned().unwrap_or_default();
    let heads: Option<Vec<(String, usize, Answerer)>> = told.iter().map(head_of).collect();
    let Some(heads) = heads.filter(|heads| heads.iter().map(|head| head.1).sum::<usize>() == outputs && !heads.is_empty()) else {
        return super::classification::answerer(config, outputs);
    };
    Box::new(move |row, top| {
        let mut from = 0;
        let said = heads.iter().map(|(name, outputs, answer)| {
            let part = row.get(from..from + outputs).unwrap_or_default();
            from += outputs;
            Head { name: name.clone(), answer: answer(part, top) }
        });
        Answer::Heads(said.collect())
    })
}

fn head_of(told: &Value) -> Option<(String, usize, Answerer)> {
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let outputs = usize::try_from(told.get("outputs")?.as_u64()?).ok()?;
    let labels: Vec<String> =
        told.get("labels")?.as_array()?.iter().map(|label| label.as_str().map(String::from)).collect::<Option<_>>()?;
    let task = Name::parse(text(super::TASK)?).filter(|task| *task != Name::MultiTask)?;
    let config = ModelConfig {
        label_names: Some(labels),
        problem_type: task.about().problem_type.map(String::from),
        extra: told.as_object()?.clone(),
        ..ModelConfig::default()
    };
    let fits = (1..=crate::domain::config::MAX_CLASSES).contains(&outputs);
    fits.then(|| Some((text("name")?.to_owned(), outputs, super::answerer(&config, outputs)))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Sample, Split};
    use crate::domain::evaluation::Held;

    fn partition(rows: &[[Target; 2]]) -> Partition {
        let sample = |(id, row): (usize, &[Target; 2])| Sample {
            id: id as u32,
            target: Target::Heads(row.to_vec().into()),
            split: Split::Train,
            path: id.to_string(),
        };
        let train: Vec<Sample> = rows.iter().enumerate().map(sample).collect();
        Partition { val: train.clone(), train, held: Held::Training, ..Partition::default() }
    }

    fn targets() -> Vec<(String, Targets)> {
        vec![("colour".into(), Targets::Classes(vec!["blue".into(), "red".into()])), ("size".into(), Targets::Values(vec!["size".into()]))]
    }

    const ROWS: [[Target; 2]; 4] = [
        [Target::Class(0), Target::Value(10.0)],
        [Target::Class(1), Target::Unknown],
        [Target::Unknown, Target::Value(20.0)],
        [Target::Class(1), Target::Value(30.0)],
    ];

    #[test]
    fn a_head_learns_from_what_is_known_of_it_only() {
        let partition = partition(&ROWS);
        let heads = Heads::new(&targets(), &partition).unwrap();
        assert_eq!((heads.outputs(), heads.units().unwrap().len()), (3, 3));
        let outputs = candle_core::Var::new(&[[1f32, 0.0, 0.0], [0.0, 1.0, 5.0], [9.0, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu).unwrap();
        let batch: Vec<Target> = partition.train.iter().map(|sample| sample.target.clone()).collect();
        let loss = heads.loss(&outputs, &batch, &Recipe::default()).unwrap();
        let gradient = loss.backward().unwrap().get(&outputs).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!((gradient[1][2], gradient[2][0], gradient[2][1]), (0.0, 0.0, 0.0), "unknown cells pull at nothing");
        assert!(gradient[0][2] > 0.0 && gradient[3][2] < 0.0 && gradient[0][0] < 0.0, "{gradient:?}");
        let cross = -(1f32.exp() / (1f32.exp() + 1.0)).ln();
        assert!((loss.to_scalar::<f32>().unwrap() - (cross + 1.0)).abs() < 1e-5, "the sum of both heads' own means");
    }

    #[test]
    fn every_head_is_measured_and_published_under_its_name() {
        let partition = partition(&ROWS);
        let heads = Heads::new(&targets(), &partition).unwrap();
        let mut tally = heads.tally(true);
        let batch: Vec<Target> = partition.train.iter().map(|sample| sample.target.clone()).collect();
        tally.add(&[2.0, 0.0, 10.0, 0.0, 2.0, 0.0, 0.0, 0.0, 20.0, 2.0, 0.0, 30.0], &batch);
        let found = tally.finish();
        assert_eq!(
            found.more.parts.iter().map(|(name, part)| (name.as_str(), part.samples)).collect::<Vec<_>>(),
            [("colour", 3), ("size", 3)]
        );
        assert!((found.more.parts[0].1.get("top1") - 2.0 / 3.0).abs() < 1e-9 && found.more.parts[1].1.get("r2") > 0.999);
        assert!((found.primary() - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-6, "{found:?}");
        let json = serde_json::to_string(&found).unwrap();
        let again: Evaluation = serde_json::from_str(&json).unwrap();
        assert!(again.more.parts.len() == found.more.parts.len() && (again.primary() - found.primary()).abs() < 1e-12, "{again:?}");
        let mut config = ModelConfig::default();
        heads.configure(&mut config);
        assert_eq!(config.label_names.as_deref().unwrap(), ["colour: blue", "colour: red", "size"]);
        let Answer::Heads(said) = super::super::answerer(&config, 3)(&[0.0, 3.0, 7.5], 1) else { panic!("no heads") };
        assert_eq!((said[0].answer.classes()[0].label.as_str(), said[1].answer.values()[0].value), ("red", 7.5));
        config.extra.insert(HEADS.into(), json!([{"name": "x", "task": "multi-task", "outputs": 3, "labels": []}]));
        assert!(super::super::answerer(&config, 3)(&[0.0, 3.0, 7.5], 1).classes()[0].index == 2, "nonsense is read as classes");
    }

    #[test]
    fn a_head_without_targets_is_named() {
        let rows = [[Target::Class(0), Target::Unknown], [Target::Class(1), Target::Unknown]];
        let refused = Heads::new(&targets(), &partition(&rows)).err().unwrap().to_string();
        assert!(refused.contains("`size` is empty"), "{refused}");
    }
}
