//! How unlike an item is the good ones, which are all that is trained on: the cosine distance of its features to the nearest of theirs.
//! AUROC, average precision, and F1 at a threshold that as many good items stay below as false alarms may be.
//!
//! Nothing is learned by descent, so the features are the base's own. The threshold follows from good items that were held out; what
//! is an anomaly is seen by the measures alone, and chooses nothing.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::json;

use super::{Fitted, Partition, Task, Told, nothing};
use crate::data::Target;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation, More};
use crate::domain::prediction::{Anomaly as Judged, Answer};
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::Distance;
use crate::train::error::{Error, Result};
use crate::train::measures::{self, Ranked};

/// The key of `config.json` with the threshold and what it was set by.
pub(super) const SETTINGS: &str = "anomaly";
/// What items that are not good are called together.
const OTHERS: &str = "anomaly";
/// Known items that an item is measured by; see `docs/FINETUNE.md` for what others gave.
pub const NEIGHBOURS: usize = 5;
/// So many false alarms are to be expected among the held-out items, or those trained on count too.
const ENOUGH_ALARMS: f64 = 10.0;
/// The fewest good items there is a distance between.
const FEWEST: usize = 2;

#[derive(Debug, Clone)]
pub struct Anomaly {
    /// That of the good items, then those of anomalies.
    names: Vec<String>,
    false_alarms: f64,
    threshold: Option<f32>,
}

impl Anomaly {
    pub fn new(names: &[String], recipe: &Recipe) -> Anomaly {
        Anomaly { names: names.to_vec(), false_alarms: recipe.false_alarms, threshold: None }
    }

    fn good(&self) -> &str {
        self.names.first().map_or("good", String::as_str)
    }
}

fn is_good(target: &Target) -> bool {
    target.class() == Some(0)
}

impl Task for Anomaly {
    fn name(&self) -> Name {
        Name::Anomaly
    }

    fn outputs(&self) -> usize {
        1
    }

    fn loss(&self, _outputs: &Tensor, _targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        Err(Error::Unsupported("distances are not learned by descent; choose the strategy auto or head".into()))
    }

    fn tally(&self, settled: bool) -> Box<dyn super::Tally + '_> {
        Box::new(Tally { task: self, settled, scores: Vec::new(), kinds: Vec::new() })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let good = partition.train.iter().filter(|sample| is_good(&sample.target)).count();
        if good < FEWEST {
            return Err(nothing(format!("{good} images of `{}` are to be trained on; add more to `train`", self.good())));
        }
        Ok(())
    }

    /// What scores without any meaning reach.
    fn baseline(&self, _partition: &Partition) -> f64 {
        0.5
    }

    fn configure(&self, config: &mut ModelConfig) {
        super::without_classes(config);
        config.extra.insert(super::TASK.into(), json!(Name::Anomaly));
        config
            .extra
            .insert(SETTINGS.into(), json!({ "threshold": self.threshold, "false_alarms": self.false_alarms, "good": self.good() }));
    }

    fn fitted(&self, width: usize, train: &[f32], held_out: &[f32]) -> Result<Option<Fitted>> {
        let head = Distance::new(width, train, NEIGHBOURS)
            .map_err(|_| nothing("not one training image could be used; check that the images open in a viewer"))?;
        let mut scores: Vec<f32> = held_out.chunks_exact(width.max(1)).map(|row| head.of(row)).collect();
        // Of few the bound would be one of the largest, which says more of a stray than of the share.
        if (scores.len() as f64 + 1.0) * self.false_alarms < ENOUGH_ALARMS {
            scores.extend(head.left_out());
        }
        let bound = measures::conformal(&scores, 1.0 - self.false_alarms);
        let threshold = bound.ok_or_else(|| nothing("two good images or more are needed to set a threshold by"))?;
        let task: Arc<dyn Task> = Arc::new(Anomaly { threshold: Some(threshold), ..self.clone() });
        Ok(Some(Fitted { head, task, threshold, samples: scores.len() }))
    }

    fn published(&self, config: &ModelConfig) -> Option<Arc<dyn Task>> {
        Some(Arc::new(Anomaly { threshold: threshold_of(config), ..self.clone() }))
    }

    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let (score, threshold) = (row.first().copied()?, self.threshold?);
        let (answered_good, good) = (score <= threshold, is_good(target));
        let wrong = answered_good != good;
        Some(Told {
            score: f64::from(u8::from(!wrong)),
            loss: if wrong { f64::from((score - threshold).abs()) } else { 0.0 },
            answer: if answered_good { self.good().to_owned() } else { OTHERS.to_owned() },
            confidence: None,
            right: Some(!wrong),
            truth: None,
        })
    }
}

fn threshold_of(config: &ModelConfig) -> Option<f32> {
    config.extra.get(SETTINGS)?.get("threshold")?.as_f64().map(|value| value as f32)
}

/// Of a published model; without a threshold nothing is called an anomaly.
pub fn answerer(config: &ModelConfig) -> super::Answerer {
    let threshold = threshold_of(config).unwrap_or(f32::MAX);
    let judged = move |score: f32| Judged { score, threshold, is_anomaly: score.is_nan() || score > threshold };
    Box::new(move |row, _| Answer::Anomaly(judged(row.first().copied().unwrap_or(f32::NAN))))
}

struct Tally<'a> {
    task: &'a Anomaly,
    settled: bool,
    scores: Vec<f32>,
    /// Places in the names.
    kinds: Vec<u32>,
}

impl Tally<'_> {
    /// The scores of good items and of those anomalies, and whether each is one.
    fn against(&self, kind: impl Fn(u32) -> bool) -> (Vec<f32>, Vec<bool>) {
        let own = self.scores.iter().zip(&self.kinds).filter(|(_, of)| **of == 0 || kind(**of));
        own.map(|(score, of)| (*score, *of > 0)).unzip()
    }

    fn counts(&self) -> Counts {
        Counts::of(&self.scores, &self.kinds.iter().map(|kind| *kind > 0).collect::<Vec<_>>(), self.task.threshold)
    }

    /// Numbers of each kind of anomaly beside all good items, where there are several.
    fn parts(&self) -> Vec<(String, Evaluation)> {
        let kinds = (1..self.task.names.len() as u32).filter(|kind| self.kinds.contains(kind));
        let part = |kind: u32| {
            let (scores, positive) = self.against(|of| of == kind);
            let evaluation = Evaluation {
                task: Name::Anomaly,
                samples: positive.iter().filter(|positive| **positive).count() as u64,
                loss: mean(scores.iter().zip(&positive).filter(|(_, positive)| **positive).map(|(score, _)| *score)),
                values: values(&scores, &positive, self.task.threshold),
                ..Evaluation::default()
            };
            (self.task.names[kind as usize].clone(), evaluation)
        };
        if kinds.clone().count() > 1 { kinds.map(part).collect() } else { Vec::new() }
    }

    fn more(&self, scores: &[f32], positive: &[bool], counts: &Counts) -> More {
        let mut more = More::default();
        let shares = [("false_alarms", counts.false_alarms()), ("caught", counts.caught())];
        more.measures.extend(shares.into_iter().filter_map(|(key, share)| Some((key.to_owned(), share?))));
        let ranked = Ranked::new(scores.iter().copied(), positive.to_vec());
        if self.settled && ranked.has_both() {
            let (even, keys) = (measures::even(scores.len()), ["auroc", "average_precision"]);
            let whole = [ranked.area(&even), ranked.average_precision(&even)];
            let found = measures::intervals(scores.len(), 2 * scores.len() as u64, |weights| {
                let drawn = [ranked.area(weights), ranked.average_precision(weights)];
                drawn.into_iter().zip(whole).map(|(drawn, whole)| drawn.or(whole).unwrap_or_default()).collect()
            });
            more.intervals.extend(keys.into_iter().map(str::to_owned).zip(found.into_iter().flatten()));
        }
        more.parts = self.parts();
        more
    }
}

/// AUROC, average precision and F1 at the threshold; no number where there is nothing to tell apart.
fn values(scores: &[f32], positive: &[bool], threshold: Option<f32>) -> Vec<f64> {
    let ranked = Ranked::new(scores.iter().copied(), positive.to_vec());
    if !ranked.has_both() {
        return vec![f64::NAN; 3];
    }
    let even = measures::even(scores.len());
    let f1 = threshold.map(|threshold| Counts::of(scores, positive, Some(threshold)).f1());
    [ranked.area(&even), ranked.average_precision(&even), f1].map(|value| value.unwrap_or(f64::NAN)).to_vec()
}

fn mean(values: impl Iterator<Item = f32>) -> f64 {
    super::sums::mean(values.map(f64::from))
}

/// Items on either side of the threshold.
#[derive(Default)]
struct Counts {
    good_below: u64,
    good_above: u64,
    others_below: u64,
    others_above: u64,
}

impl Counts {
    fn of(scores: &[f32], positive: &[bool], threshold: Option<f32>) -> Counts {
        let (mut counts, threshold) = (Counts::default(), threshold.unwrap_or(f32::MAX));
        for (score, positive) in scores.iter().zip(positive) {
            let cell = match (*positive, *score <= threshold) {
                (false, true) => &mut counts.good_below,
                (false, false) => &mut counts.good_above,
                (true, true) => &mut counts.others_below,
                (true, false) => &mut counts.others_above,
            };
            *cell += 1;
        }
        counts
    }

    fn false_alarms(&self) -> Option<f64> {
        share(self.good_above, self.good_above + self.good_below)
    }

    fn caught(&self) -> Option<f64> {
        share(self.others_above, self.others_above + self.others_below)
    }

    fn f1(&self) -> f64 {
        share(2 * self.others_above, 2 * self.others_above + self.good_above + self.others_below).unwrap_or(0.0)
    }

    fn per_class(&self, good: &str) -> Vec<ClassScore> {
        let score = |class: &str, right: u64, support: u64, answered: u64| ClassScore {
            class: class.into(),
            support,
            precision: share(right, answered).unwrap_or(0.0),
            recall: share(right, support).unwrap_or(0.0),
            f1: share(2 * right, support + answered).unwrap_or(0.0),
        };
        let (below, above) = (self.good_below + self.others_below, self.good_above + self.others_above);
        vec![
            score(good, self.good_below, self.good_below + self.good_above, below),
            score(OTHERS, self.others_above, self.others_below + self.others_above, above),
        ]
    }

    fn confusion(&self) -> Vec<(u32, u32, u64)> {
        let all = [(0, 0, self.good_below), (0, 1, self.good_above), (1, 0, self.others_below), (1, 1, self.others_above)];
        all.into_iter().filter(|(_, _, count)| *count > 0).collect()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl super::Tally for Tally<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        self.scores.extend(outputs);
        self.kinds.extend(targets.iter().map(|target| target.class().unwrap_or_default()));
    }

    fn samples(&self) -> u64 {
        self.scores.len() as u64
    }

    /// The mean score of the good items.
    fn loss(&self) -> f64 {
        mean(self.against(|_| false).0.into_iter())
    }

    fn primary(&self) -> f64 {
        let (scores, positive) = self.against(|_| true);
        values(&scores, &positive, None)[0]
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let (scores, positive) = self.against(|_| true);
        let counts = self.counts();
        let judged = self.task.threshold.is_some();
        Evaluation {
            task: Name::Anomaly,
            samples: self.scores.len() as u64,
            loss: super::Tally::loss(&*self),
            values: values(&scores, &positive, self.task.threshold),
            per_class: if judged { counts.per_class(self.task.good()) } else { Vec::new() },
            confusion: if judged { counts.confusion() } else { Vec::new() },
            more: self.more(&scores, &positive, &counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(threshold: Option<f32>) -> Anomaly {
        Anomaly { names: ["good", "cut", "scratch"].map(String::from).into(), false_alarms: 0.05, threshold }
    }

    #[test]
    fn the_numbers_are_those_of_a_worked_example() {
        let task = task(Some(0.5));
        let mut tally = task.tally(true);
        // Good .1 .2 .6; cut .4, scratch .8 .9: of nine pairs eight stand right.
        tally.add(&[0.1, 0.2, 0.6, 0.4, 0.8, 0.9], &[0, 0, 0, 1, 2, 2].map(Target::Class));
        assert!((tally.primary() - 8.0 / 9.0).abs() < 1e-9 && (tally.loss() - 0.3).abs() < 1e-6);
        let found = tally.finish();
        assert!((found.get("auroc") - 8.0 / 9.0).abs() < 1e-9);
        // By falling score: right after one, two and four items of three.
        assert!((found.get("average_precision") - (1.0 + 1.0 + 0.75) / 3.0).abs() < 1e-9, "{found:?}");
        assert!((found.get("f1") - 2.0 / 3.0).abs() < 1e-9);
        assert!((found.get("false_alarms") - 1.0 / 3.0).abs() < 1e-9 && (found.get("caught") - 2.0 / 3.0).abs() < 1e-9);
        let parts: Vec<_> = found.more.parts.iter().map(|(name, part)| (name.as_str(), part.samples, part.get("auroc"))).collect();
        assert_eq!(parts, [("cut", 1, 2.0 / 3.0), ("scratch", 2, 1.0)]);
        assert_eq!(found.confusion_matrix(), [[2, 1], [1, 2]]);
        assert!(found.more.intervals.contains_key("auroc"));
        let again: Evaluation = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert!((again.primary() - found.primary()).abs() < 1e-12 && again.more.parts.len() == 2, "{again:?}");
    }

    #[test]
    fn without_anomalies_nothing_is_measured_and_a_threshold_is_set() {
        let rows: Vec<f32> = (0..30).flat_map(|n| [1.0, n as f32 / 100.0]).collect();
        let fitted = task(None).fitted(2, &rows, &[1.0, 0.035, 1.0, 0.3]).unwrap().unwrap();
        assert_eq!(fitted.samples, 32, "two are too few to allow one alarm in twenty by, so those known count, too");
        let mut tally = fitted.task.tally(true);
        tally.add(&[0.0, 1.0], &[0, 0].map(Target::Class));
        let found = tally.finish();
        assert!(found.values.iter().all(|value| value.is_nan()) && found.get("false_alarms") == 0.5);
        let again: Evaluation = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert!(again.primary().is_nan(), "what was not measured is read as such");
        let mut config = ModelConfig::default();
        fitted.task.configure(&mut config);
        assert_eq!((config.num_classes, threshold_of(&config)), (Some(0), Some(fitted.threshold)));
        let Answer::Anomaly(said) = answerer(&config)(&[0.9], 5) else { panic!("another answer") };
        assert!(said.is_anomaly && said.score == 0.9 && said.threshold == fitted.threshold);
        assert!(task(None).fitted(2, &[], &[]).is_err() && task(None).fitted(2, &[1.0, 0.0], &[]).is_err());
    }
}
