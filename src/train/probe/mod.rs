//! The best head on features that do not change, found exactly: the loss is convex in a linear head, so that it has one minimum and
//! descent by chance has nothing to add. How much weights are held back (L2, over 1e-6 to 1e5) is chosen by items that are not learned
//! from: those held out, folds of those trained on, or, for plain numbers, each item left out in turn.
//!
//! A task says what its outputs are to be as [`Part`]s ([`crate::train::tasks::Task::convex`]); everything else is here.

mod folds;
mod lbfgs;
mod nearest;
mod objective;
mod parts;
mod ridge;

pub use super::eigen::symmetric;
pub use folds::{FOLDS, folds};
pub use nearest::nearest_mean;
pub use parts::{Part, Wanted};

use lbfgs::minimise;
use objective::Objective;
use parts::{Sums, Weight};

use super::error::Result;

/// Powers of ten that penalties are tried in, and the finer steps around the best of them.
const POWERS: std::ops::RangeInclusive<i32> = -6..=5;
const FINER: f64 = 3.162_277_660_168_379_5;
/// Penalties in a row that may be worse than the best before weaker ones are passed over.
const PATIENCE: usize = 2;
/// The largest partial derivative of the mean loss that is left: of the head itself, and while penalties are only compared; and steps at
/// most.
const TOLERANCE: f64 = 1e-5;
const ROUGH: f64 = 1e-4;
const STEPS: usize = 200;

/// Features with what is to be said of them.
pub struct Problem {
    pub width: usize,
    /// `(items, width)`, best of zero mean and unit variance.
    pub rows: Vec<f32>,
    pub parts: Vec<Part>,
    /// How much each item counts; all alike where it is empty.
    pub weights: Vec<f32>,
    /// The first of the items that are only looked at, if any are: all after it are, too.
    pub held_from: usize,
    /// For each item before that in which fold it is left out; where it is empty those held out choose the penalty.
    pub folds: Vec<u8>,
    /// Whether no item is a copy of another, so that each can be left out alone.
    pub distinct: bool,
}

/// A linear head in f64: `weight (outputs, width)`, `bias (outputs)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub weight: Vec<f64>,
    pub bias: Vec<f64>,
}

/// A penalty and the mean loss of what was not learned from with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    pub l2: f64,
    pub held_loss: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    pub head: Head,
    pub l2: f64,
    /// By what the penalty was chosen, for people.
    pub chosen_by: &'static str,
    pub tried: Vec<Tried>,
}

impl Problem {
    pub fn outputs(&self) -> usize {
        self.parts.iter().map(|part| part.outputs).sum()
    }

    pub fn items(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    fn weight(&self, item: usize) -> f32 {
        self.weights.get(item).copied().unwrap_or(1.0)
    }

    /// Learns from some of the items before `held_from` and is held against the others.
    fn split(&self, learns: impl Fn(usize) -> bool, is_held: impl Fn(usize) -> bool) -> Vec<Weight> {
        let weight = |item: usize| {
            let own = self.weight(item);
            Weight { learned: if learns(item) { own } else { 0.0 }, held: if is_held(item) { own } else { 0.0 } }
        };
        (0..self.items()).map(weight).collect()
    }

    /// The splits that penalties are judged by.
    fn splits(&self) -> Vec<Vec<Weight>> {
        let before = |item: usize| item < self.held_from;
        if self.folds.is_empty() {
            return vec![self.split(before, |item| !before(item))];
        }
        let count = self.folds.iter().max().map_or(0, |last| last + 1);
        let own = |item: usize, fold: u8| self.folds.get(item) == Some(&fold);
        (0..count).map(|fold| self.split(|item| before(item) && !own(item, fold), |item| before(item) && own(item, fold))).collect()
    }

    /// Whether each item can be left out in closed form: one part of plain numbers that are all known and count alike.
    fn closed(&self) -> Option<(&[f32], usize)> {
        let [Part { outputs, wanted: Wanted::Values { values, huber: None } }] = self.parts.as_slice() else { return None };
        let own = &values[..self.held_from * outputs];
        let small = self.held_from.min(self.width) <= ridge::MAX_SIDE;
        (small && self.distinct && self.weights.is_empty() && self.held_from > 2 && own.iter().all(|value| value.is_finite()))
            .then_some((own, *outputs))
    }
}

/// Chooses a penalty and finds the best head under it for what is trained on. `tick` is asked between passes whether to go on.
///
/// # Errors
/// Those of `tick`.
pub fn solve(problem: &Problem, tick: &mut dyn FnMut() -> Result<()>) -> Result<Solved> {
    if let Some((values, outputs)) = problem.closed() {
        let mut grid: Vec<f64> = POWERS.flat_map(|power| [10f64.powi(power), FINER * 10f64.powi(power)]).collect();
        grid.pop();
        tick()?;
        let rows = &problem.rows[..problem.held_from * problem.width];
        if let Some((head, l2, tried)) = ridge::solve(rows, problem.width, values, outputs, &grid) {
            return Ok(Solved { head, l2, chosen_by: "leaving each item out in turn", tried });
        }
    }
    let splits = problem.splits();
    let mut search = Search { problem, tick, tried: Vec::new(), ended: None };
    search.coarse(&splits)?;
    let best = search.best();
    search.finer(&splits, best)?;
    let l2 = search.best();
    let tried = std::mem::take(&mut search.tried);
    let all = problem.split(|item| item < problem.held_from, |_| false);
    let (point, _) = search.learn(&all, (l2, TOLERANCE), search.middle())?;
    let (weight, bias) = point.split_at(problem.outputs() * problem.width);
    let chosen_by = if problem.folds.is_empty() { "the items held out" } else { "folds of the training items" };
    Ok(Solved { head: Head { weight: weight.to_vec(), bias: bias.to_vec() }, l2, chosen_by, tried })
}

/// The class means of what is trained on as a head; `None` where targets are no classes.
pub fn class_means(problem: &Problem) -> Option<Solved> {
    let [Part { outputs, wanted: Wanted::Class { labels, .. } }] = problem.parts.as_slice() else { return None };
    let (rows, labels) = (&problem.rows[..problem.held_from * problem.width], &labels[..problem.held_from]);
    let head = nearest_mean(rows, problem.width, labels, *outputs);
    Some(Solved { head, l2: 0.0, chosen_by: "class means, which need none", tried: Vec::new() })
}

struct Search<'a> {
    problem: &'a Problem,
    tick: &'a mut dyn FnMut() -> Result<()>,
    tried: Vec<Tried>,
    /// The least loss so far, and where the heads of all splits ended under that penalty.
    ended: Option<(f64, Vec<Vec<f64>>)>,
}

impl Search<'_> {
    /// Between the best heads of the splits: near the one that learns from all of them.
    fn middle(&self) -> Vec<f64> {
        let mut middle = self.start();
        let heads = self.ended.iter().flat_map(|(_, heads)| heads);
        let count = self.ended.as_ref().map_or(1, |(_, heads)| heads.len()) as f64;
        heads.for_each(|head| middle.iter_mut().zip(head).for_each(|(sum, value)| *sum += value / count));
        middle
    }

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.problem.outputs() * (self.problem.width + 1)]
    }

    /// From the strongest penalty to the weakest, each from where the last one ended, until weaker ones only do worse.
    fn coarse(&mut self, splits: &[Vec<Weight>]) -> Result<()> {
        let mut points = vec![self.start(); splits.len()];
        let (mut best, mut worse) = (f64::INFINITY, 0);
        for power in POWERS.rev() {
            let loss = self.judge(splits, 10f64.powi(power), &mut points)?;
            (best, worse) = if loss < best { (loss, 0) } else { (best, worse + 1) };
            if worse >= PATIENCE {
                break;
            }
        }
        Ok(())
    }

    /// On both sides of the best, each from where that ended.
    fn finer(&mut self, splits: &[Vec<Weight>], best: f64) -> Result<()> {
        let ended = self.ended.as_ref().map_or_else(|| vec![self.start(); splits.len()], |(_, heads)| heads.clone());
        for l2 in [best * FINER, best / FINER] {
            let mut points = ended.clone();
            self.judge(splits, l2, &mut points)?;
        }
        Ok(())
    }

    /// The least penalty but for the stronger one of equals.
    fn best(&self) -> f64 {
        let better = |a: &&Tried, b: &&Tried| a.held_loss.total_cmp(&b.held_loss).then(b.l2.total_cmp(&a.l2));
        self.tried.iter().min_by(better).map_or(1.0, |tried| tried.l2)
    }

    /// Learns under this penalty in every split, and notes the mean loss of what was held out.
    fn judge(&mut self, splits: &[Vec<Weight>], l2: f64, points: &mut [Vec<f64>]) -> Result<f64> {
        let (mut loss, mut held) = (0.0, 0.0);
        for (weights, point) in splits.iter().zip(points.iter_mut()) {
            let (reached, sums) = self.learn(weights, (l2, ROUGH), std::mem::take(point))?;
            *point = reached;
            loss += sums.held;
            held += weights.iter().map(|weight| f64::from(weight.held)).sum::<f64>();
        }
        let held_loss = loss / held.max(1e-12);
        self.tried.push(Tried { l2, held_loss });
        if self.ended.as_ref().is_none_or(|(least, _)| held_loss < *least) {
            self.ended = Some((held_loss, points.to_vec()));
        }
        Ok(held_loss)
    }

    fn learn(&mut self, weights: &[Weight], (l2, tolerance): (f64, f64), mut point: Vec<f64>) -> Result<(Vec<f64>, Sums)> {
        let mut objective = Objective { problem: self.problem, weights, l2, tick: &mut *self.tick, sums: Sums::default() };
        minimise(&mut objective, &mut point, tolerance, STEPS)?;
        // The last point that was looked at need not be the one that was taken.
        let mut slopes = vec![0.0; point.len()];
        lbfgs::Function::at(&mut objective, &point, &mut slopes)?;
        let sums = objective.sums;
        Ok((point, sums))
    }
}

#[cfg(test)]
mod tests;
