//! What a run is held against on the same items: always the same answer, and the best head on the base's features.

use std::collections::HashMap;

use super::answers::Answers;
use crate::data::{Sample, Target};
use crate::domain::evaluation::Evaluation;
use crate::domain::findings::{Basis, Compared, Scores, Spread, Verdict};
use crate::train::measures::{self, Paired};
use crate::train::run::Run;
use crate::train::tasks::Task;

/// Numbers that one draw may look at, so that there are some hundreds of draws; of more items every so many-th is taken.
const MOST_DRAWN: usize = 1 << 15;
/// What a number that is drawn costs, in the numbers that draws are counted in: it is sorted, and both sides have it.
const COST: u64 = 32;
/// Of measures that are known by the weights of items: items that are drawn, and what a draw of them costs, so that there are about two hundred.
const MOST_WEIGHED: usize = 128;
const WORK: u64 = 1_000_000;

/// Two sets of answers to the same items.
struct Pair<'a> {
    targets: Vec<&'a Target>,
    own: Vec<&'a [f32]>,
    other: Vec<&'a [f32]>,
}

/// Always the same answer comes first.
pub fn verdicts(run: &Run, validation: &Evaluation, answers: &Answers) -> Vec<Verdict> {
    baseline(run, validation, answers).into_iter().chain(probe(run, validation, answers)).collect()
}

/// Against always the same answer, where the task has one to every item.
fn baseline(run: &Run, validation: &Evaluation, answers: &Answers) -> Option<Verdict> {
    let simplest = run.task.simplest(&run.partition)?;
    let (samples, own): (Vec<&Sample>, Vec<&[f32]>) = answers.iter().unzip();
    let other: Vec<Vec<f32>> = samples.iter().map(|sample| simplest.repeat(run.task.rows(&sample.target))).collect();
    let other = other.iter().map(Vec::as_slice).collect();
    let pair = Pair { targets: samples.iter().map(|sample| &sample.target).collect(), own, other };
    verdict(&*run.task, Compared::Baseline, (validation.primary(), run.task.baseline(&run.partition)), pair)
}

/// Against the probe, where it was found and is not all that the run is.
fn probe(run: &Run, validation: &Evaluation, answers: &Answers) -> Option<Verdict> {
    let (kept, evaluation) = run.probe_answers()?;
    let counts: HashMap<u32, usize> = run.partition.val.iter().map(|sample| (sample.id, run.task.rows(&sample.target))).collect();
    let rows: HashMap<u32, &[f32]> = kept.rows(run.task.outputs(), |id| counts.get(&id).copied().unwrap_or(1)).collect();
    let mut pair = Pair { targets: Vec::new(), own: Vec::new(), other: Vec::new() };
    for (sample, own) in answers.iter() {
        if let Some(other) = rows.get(&sample.id) {
            pair.targets.push(&sample.target);
            pair.own.push(own);
            pair.other.push(other);
        }
    }
    let found = verdict(&*run.task, Compared::Probe, (validation.primary(), evaluation.primary()), pair)?;
    Some(if run.ended_at_probe() { found.of_probe_itself() } else { found })
}

fn verdict(task: &dyn Task, against: Compared, values: (f64, f64), pair: Pair) -> Option<Verdict> {
    if pair.targets.is_empty() {
        return None;
    }
    if !task.scores_items() {
        let samples = pair.targets.len() as u64;
        return Some(Verdict::of(against, task.name(), values, &Basis::Draws { spread: drawn(task, &pair), samples }));
    }
    let scores = |rows: &[&[f32]]| -> Option<Vec<f64>> {
        rows.iter().zip(&pair.targets).map(|(row, target)| task.told(row, target).map(|told| told.score)).collect()
    };
    let (own, other) = (scores(&pair.own)?, scores(&pair.other)?);
    let classes: Option<Vec<u32>> = pair.targets.iter().map(|target| target.class()).collect();
    Some(Verdict::of(against, task.name(), values, &Basis::Items(Scores { own: &own, other: &other, classes: classes.as_deref() })))
}

/// How far the first measures of both lie apart in draws of the items, each draw asking both about the same ones.
fn drawn(task: &dyn Task, pair: &Pair) -> Option<Spread> {
    let found = weighed(task, pair).unwrap_or_else(|| redrawn(task, pair))?;
    Some(Spread { mean: found.difference, low: found.interval.0, high: found.interval.1 })
}

/// By the weights of items, where the measure is known by them: rows of places are too many to be looked at in each draw.
fn weighed(task: &dyn Task, pair: &Pair) -> Option<Option<Paired>> {
    let step = pair.targets.len().div_ceil(MOST_WEIGHED).max(1);
    let targets: Vec<&Target> = pair.targets.iter().step_by(step).copied().collect();
    let of = |rows: &[&[f32]]| task.weighed(&rows.iter().step_by(step).copied().collect::<Vec<_>>(), &targets);
    let (own, other) = (of(&pair.own)?, of(&pair.other)?);
    let sign = if task.name().primary().rises { 1.0 } else { -1.0 };
    Some(measures::paired(targets.len(), WORK, |weights| (sign * other(weights), sign * own(weights))))
}

/// By looking at the rows of each draw.
fn redrawn(task: &dyn Task, pair: &Pair) -> Option<Paired> {
    let numbers: usize = pair.own.iter().map(|row| row.len()).sum();
    let step = numbers.div_ceil(MOST_DRAWN).max(1);
    let items: Vec<usize> = (0..pair.targets.len()).step_by(step).collect();
    let measure = |rows: &[&[f32]], weights: &[f32]| {
        let (mut outputs, mut targets) = (Vec::new(), Vec::new());
        for (at, weight) in items.iter().zip(weights) {
            for _ in 0..*weight as usize {
                outputs.extend_from_slice(rows[*at]);
                targets.push(pair.targets[*at].clone());
            }
        }
        let mut tally = task.tally(true);
        tally.add(&outputs, &targets);
        if task.name().primary().rises { tally.primary() } else { -tally.primary() }
    };
    let work = (numbers / step) as u64 * COST;
    measures::paired(items.len(), work, |weights| (measure(&pair.other, weights), measure(&pair.own, weights)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::findings::Word;
    use crate::train::partition::Partition;
    use crate::train::tasks;

    fn judged(targets: &crate::data::Targets, of: &[Target], own: &[Vec<f32>]) -> Verdict {
        let sample = |(id, target): (usize, &Target)| Sample {
            id: id as u32,
            target: target.clone(),
            split: crate::data::Split::Train,
            path: id.to_string(),
        };
        let train: Vec<Sample> = of.iter().enumerate().map(sample).collect();
        let partition = Partition { val: train.clone(), train, ..Partition::default() };
        let task = tasks::of_targets(targets, &partition, &crate::domain::recipe::Recipe::default()).unwrap();
        let simplest = task.simplest(&partition).unwrap();
        let own: Vec<&[f32]> = own.iter().map(Vec::as_slice).collect();
        let other: Vec<Vec<f32>> = of.iter().map(|target| simplest.repeat(task.rows(target))).collect();
        let pair = Pair { targets: of.iter().collect(), other: other.iter().map(Vec::as_slice).collect(), own };
        let mut tally = task.tally(true);
        tally.add(&pair.own.concat(), of);
        verdict(&*task, Compared::Baseline, (tally.primary(), task.baseline(&partition)), pair).unwrap()
    }

    /// Views of 32 pixels with a square in each, and a head that finds it wherever `finds` says so.
    fn detector(finds: impl Fn(usize) -> bool) -> Verdict {
        use crate::data::{Boxed, Boxes, Targets};
        let object = Boxed { class: 0, bbox: [4.0, 4.0, 16.0, 16.0], area: 256.0, crowd: false };
        let of: Vec<Target> = (0..20).map(|_| Target::Boxes(Boxes::new(vec![object], [32, 32], [32, 32]))).collect();
        let rows = |at: usize| {
            // The sixth of 21 places has its middle at (12, 12); what is not found is sought far away.
            let mut rows = [-9.0, 0.0, 0.0, 0.0, 0.0, 4.0].repeat(21);
            rows[6 * if finds(at) { 5 } else { 15 }] = 5.0;
            rows
        };
        judged(&Targets::Objects(names(&["square"])), &of, &(0..20).map(rows).collect::<Vec<_>>())
    }

    #[test]
    fn a_detector_that_finds_nothing_of_use_is_held_against_never_a_box() {
        let good = detector(|at| at % 5 != 0);
        assert!(good.word == Word::Better && good.is_worth_it() && good.other == 0.0, "{good:?}");
        let blind = detector(|_| false);
        assert!(blind.word == Word::NotBetter && !blind.is_worth_it() && blind.own == 0.0, "{blind:?}");
        assert!(blind.sentence.contains("never a box") && !blind.too_few, "{}", blind.sentence);
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Numbers without a pattern.
    fn noise(at: usize) -> f32 {
        ((at * 2_654_435_761 % 1_000) as f32 / 500.0) - 1.0
    }

    #[test]
    fn every_task_is_held_against_always_the_same_answer() {
        use crate::data::Targets;
        let classes = Targets::Classes(names(&["a", "b"]));
        let labels = Targets::Labels(names(&["a", "b"]));
        let ranks = Targets::Ranks(names(&["low", "middle", "high"]));
        let heads = Targets::Heads(vec![("c".into(), classes.clone()), ("v".into(), Targets::Values(names(&["v"])))]);
        type Making = fn(usize) -> (Target, Vec<f32>);
        let tasks: [(&Targets, Making); 4] = [
            (&classes, |at| (Target::Class(u32::from(at % 3 == 0)), vec![0.0, if at % 3 == 0 { 2.0 } else { -2.0 }])),
            (&labels, |at| {
                let own: &[u32] = if at % 2 == 0 { &[0] } else { &[1] };
                (Target::Labels(own.into()), vec![if at % 2 == 0 { 3.0 } else { -3.0 }, if at % 2 == 0 { -3.0 } else { 3.0 }])
            }),
            (&ranks, |at| (Target::Class((at % 3) as u32), (0..3).map(|rank| if rank == at % 3 { 3.0 } else { 0.0 }).collect())),
            (&heads, |at| {
                let class = Target::Class((at % 2) as u32);
                let value = Target::Value(at as f32);
                (Target::Heads(vec![class, value].into()), vec![0.0, if at % 2 == 1 { 2.0 } else { -2.0 }, at as f32])
            }),
        ];
        for (targets, make) in tasks {
            let (of, right): (Vec<Target>, Vec<Vec<f32>>) = (0..60).map(make).unzip();
            let found = judged(targets, &of, &right);
            assert!(found.word == Word::Better && found.gain_95.is_some(), "{found:?}");
            let chance: Vec<Vec<f32>> =
                right.iter().enumerate().map(|(at, row)| row.iter().enumerate().map(|(k, _)| noise(at * 7 + k)).collect()).collect();
            let found = judged(targets, &of, &chance);
            assert!(!found.is_worth_it(), "{found:?}");
        }
    }
}
