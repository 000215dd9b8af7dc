//! The probe of a run: the best head on the base's features, what it reaches, and how the run goes on from there.

use candle_core::{Device, Tensor};

use super::{Run, announce};
use crate::data::batch::Item;
use crate::data::{Sample, Target};
use crate::domain::evaluation::Held;
use crate::domain::job_event::EpochNumbers;
use crate::domain::recipe::{ClassWeights, HeadSolver, Recipe, Sampling, Strategy};
use crate::train::checkpoint::{Checkpoint, Probed};
use crate::train::error::{Error, Result};
use crate::train::features::{self, Scale};
use crate::train::feed::Feed;
use crate::train::probe::{self, Problem, Solved};
use crate::train::progress::ProgressReporter;
use crate::train::strategy::{self, Facts, Plan};

/// Fewer items held out than this choose a penalty worse than folds of the training items do.
const ENOUGH_HELD: usize = 500;
/// Admission refuses it for tasks whose items have not one class each.
const NO_MEANS: &str = "only classes have means; set head_solver to convex";
/// Features that are held in memory at once, in numbers; of more, every so many-th item is learned from.
const MOST_NUMBERS: usize = 1 << 28;

impl Run<'_> {
    /// Finds the probe, or takes it from a checkpoint; `auto` decides by it.
    pub fn find_probe(&mut self, checkpoint: Option<&mut Checkpoint>, reporter: &mut ProgressReporter) -> Result<()> {
        if self.task.name().about().good_only {
            return self.fit_distances(reporter);
        }
        if !self.plan.probe {
            return Ok(());
        }
        let known = checkpoint.and_then(|checkpoint| Some((checkpoint.state.probe.clone()?, checkpoint)));
        if let Some((probed, checkpoint)) = known {
            let weight = checkpoint.take("probe.weight").ok_or_else(|| checkpoint.lacks("probe.weight"))?;
            let bias = checkpoint.take("probe.bias").ok_or_else(|| checkpoint.lacks("probe.bias"))?;
            self.put_on(&weight.flatten_all()?.to_vec1()?, &bias.to_vec1()?)?;
            self.plan = probed.plan.clone();
            self.state.probe = Some(probed);
            self.take_probe_answers(checkpoint)?;
            if self.plan.phases.is_empty() {
                self.feed = self.pooled(self.probe_views(), reporter)?.0;
                self.feed.unscaled();
            }
            return Ok(());
        }
        let (feed, shown, scale) = self.pooled(self.probe_views(), reporter)?;
        reporter.stage("finding the best head on the features", 0)?;
        let solved = self.solve(&self.problem(&feed, &shown), reporter)?;
        let (weight, bias) = folded(&solved, &scale);
        self.put_on(&weight, &bias)?;
        self.judge_probe(feed, &solved, reporter)
    }

    /// Views of an item that the probe is found on. Of places the plain one, under which targets lie still.
    fn probe_views(&self) -> u32 {
        if self.task.name().is_of_places() { 1 } else { self.training.recipe.augment.views + 1 }
    }

    /// Puts the probe's head on, and remembers it.
    fn put_on(&mut self, weight: &[f32], bias: &[f32]) -> Result<()> {
        self.model.set_head(weight, bias)?;
        self.probe_head = vec![
            ("weight".into(), Tensor::from_slice(weight, weight.len(), &Device::Cpu)?),
            ("bias".into(), Tensor::from_slice(bias, bias.len(), &Device::Cpu)?),
        ];
        Ok(())
    }

    /// The head that the recipe asks for.
    fn solve(&self, problem: &Problem, reporter: &mut ProgressReporter) -> Result<Solved> {
        match self.training.recipe.head_solver {
            HeadSolver::NearestMean => probe::class_means(problem).ok_or_else(|| Error::Unsupported(NO_MEANS.into())),
            _ => probe::solve(problem, &mut || reporter.tick()),
        }
    }

    /// A feed of the pooled features of so many views of each item, what of it is trained on, and how it is scaled.
    pub(super) fn pooled(&mut self, views: u32, reporter: &mut ProgressReporter) -> Result<(Feed, Vec<Item>, Scale)> {
        let mut feed = self.feed.clone();
        feed.take_turns(Some(views));
        let (rest, hashes) = (self.total_steps(), &self.survey.hashes);
        (self.frozen, self.pass_steps) =
            features::run_once(self.training, &mut feed, &self.model, (&self.partition, views), hashes, rest, reporter)?;
        let shown = feed.views_shown(&self.partition.train, views);
        let scale = feed.standardise(&shown).unwrap_or_else(|| Scale { mean: Vec::new(), inverse: Vec::new() });
        Ok((feed, shown, scale))
    }

    /// What the head is to say about all features that could be made, those held out last where they choose the penalty.
    pub(super) fn problem(&self, feed: &Feed, shown: &[Item]) -> Problem {
        let (partition, recipe) = (&self.partition, self.training.recipe);
        let width = self.model.classifier.head.num_features();
        let few = partition.held == Held::Training || partition.val.len() < ENOUGH_HELD;
        let held: &[Sample] = if few { &[] } else { &partition.val };
        let rows_of = |sample: &Sample| self.task.rows(&sample.target);
        let many: usize = shown.iter().map(|item| rows_of(&item.sample)).chain(held.iter().map(rows_of)).sum();
        let step = (many * width).div_ceil(MOST_NUMBERS).max(1);
        let mut rows = Vec::new();
        let mut targets: Vec<Target> = Vec::new();
        let mut kept: Vec<&Sample> = Vec::new();
        for item in shown.iter().step_by(step).filter(|item| feed.feature_of(item, &mut rows)) {
            targets.push(item.sample.target.clone());
            kept.extend(std::iter::repeat_n(&item.sample, rows_of(&item.sample)));
        }
        let held_from = kept.len();
        let plain = held.iter().step_by(step);
        targets.extend(plain.filter(|sample| feed.feature(sample.id, &mut rows)).map(|sample| sample.target.clone()));
        // Drawing classes alike often is weighing them alike, without chance.
        let evened = recipe.sampling == Sampling::Balanced;
        let weighed = Recipe { class_weights: if evened { ClassWeights::Balanced } else { recipe.class_weights }, ..recipe.clone() };
        let group = |sample: &&Sample| (sample.target.class(), self.survey.copies.group(sample.id));
        let grouped: Vec<_> = kept.iter().map(group).collect();
        let mut groups: Vec<u32> = grouped.iter().map(|(_, group)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        let all = rows.len() / width.max(1);
        Problem {
            width,
            rows,
            parts: self.task.convex(&targets, recipe).unwrap_or_default(),
            weights: self.task.item_weights(&targets, &weighed),
            held_from,
            folds: if held_from == all { probe::folds(&grouped, probe::FOLDS, recipe.seed) } else { Vec::new() },
            distinct: groups.len() == grouped.len(),
        }
    }

    /// Measures the probe, keeps it, and decides how the run goes on.
    fn judge_probe(&mut self, mut feed: Feed, solved: &Solved, reporter: &mut ProgressReporter) -> Result<()> {
        feed.unscaled();
        let views = std::mem::replace(&mut self.feed, feed);
        let (train, val) = (self.partition.train.clone(), self.partition.val.clone());
        let learned = self.evaluate(&train, reporter)?;
        if learned.samples == 0 {
            return Err(Error::NothingToLearn("not one training item could be used; check that they can be opened".into()));
        }
        let evaluation = if self.partition.held == Held::Training { learned.clone() } else { self.evaluate(&val, reporter)? };
        let primary = self.task.name().primary();
        let what = match self.training.recipe.head_solver {
            HeadSolver::NearestMean => "the class whose mean features are nearest".to_owned(),
            _ => format!("the best head on the base's features, L2 {:.2e} by {}", solved.l2, solved.chosen_by),
        };
        reporter.info(format!("the probe, {what}: validation {} {}", primary.title, primary.show(evaluation.primary(), 4)))?;
        let choice = (self.training.recipe.strategy == Strategy::Auto && self.plan.phases.is_empty()).then(|| {
            let (recipe, stages) = (self.training.recipe, self.stages());
            let decoder = self.task.decoder(recipe);
            let frozen = if decoder.is_some() { recipe.frozen_stages } else { strategy::top(recipe, stages) };
            let facts = Facts { train_items: train.len(), held: self.partition.held, probe: &evaluation, stages, frozen };
            decoder.map_or_else(|| strategy::choose(&facts), |decoder| strategy::choose_decoder(&facts, decoder))
        });
        if let Some(choice) = &choice {
            reporter.info(format!("auto chose `{}`: {}", choice.strategy, choice.why))?;
            if choice.strategy != Strategy::Head {
                let recipe = self.training.recipe;
                let decodes = self.task.decoder(recipe).is_some();
                self.plan = if decodes { Plan::decoded(recipe) } else { Plan::tuned(recipe, self.stages()) };
            }
        }
        let (merit, loss) = (self.merit(evaluation.primary()), evaluation.loss);
        if !self.plan.phases.is_empty() {
            self.keep_probe_answers(reporter)?;
            self.feed = views;
        }
        self.state.probe = Some(Probed {
            bits: (merit.to_bits(), loss.to_bits()),
            train: (learned.loss, learned.primary()),
            evaluation,
            l2: solved.l2,
            chosen_by: solved.chosen_by.into(),
            plan: self.plan.clone(),
            choice,
        });
        Ok(())
    }

    /// The probe as the one epoch of a run that has no others.
    pub fn epoch_of_probe(&mut self) -> Option<EpochNumbers> {
        let probed = self.state.probe.as_ref().filter(|_| self.plan.phases.is_empty() && self.epoch() == 0)?;
        let numbers = EpochNumbers {
            task: self.task.name(),
            epoch: 1,
            epochs: 1,
            train_loss: probed.train.0,
            train_primary: probed.train.1,
            val_loss: probed.evaluation.loss,
            val: probed.evaluation.values.clone(),
            lr: 0.0,
            samples_per_second: self.partition.train.len() as f64 / self.began.elapsed().as_secs_f64().max(1e-6),
            seconds: self.began.elapsed().as_secs_f64(),
            eta_seconds: 0.0,
            best: true,
        };
        self.state.history.push(numbers.clone());
        Some(numbers)
    }

    pub fn has_probe(&self) -> bool {
        self.state.probe.is_some()
    }

    /// What learns, for people.
    pub(super) fn learning(&self) -> String {
        let stages = self.stages();
        let above = stages - self.plan.lowest(stages);
        match (self.plan.phases.len(), above) {
            (_, 0) => "the head on the backbone's features".into(),
            (1, above) if self.training.recipe.adapters().is_some() => format!("the head and low-rank adapters in {above} stages"),
            (1, above) => format!("the head and {above} stages"),
            (phases, above) => format!("the head and then up to {above} stages in {phases} phases"),
        }
    }

    /// Tells where the run goes from the probe.
    pub fn tell_start(&self, reporter: &mut ProgressReporter) -> Result<()> {
        if !self.plan.probe || self.plan.phases.is_empty() {
            return Ok(());
        }
        let items = announce::describe(self.training.dataset, self.partition.train.len());
        reporter.info(format!("training {} on {items}, from the probe's head", self.learning()))
    }
}

/// A head that was found on scaled features as one for the features as they are.
pub(super) fn folded(solved: &Solved, scale: &Scale) -> (Vec<f32>, Vec<f32>) {
    let width = scale.mean.len();
    let weight: Vec<f64> = solved.head.weight.iter().zip(scale.inverse.iter().cycle()).map(|(w, inverse)| w * inverse).collect();
    let shift = |(row, bias): (&[f64], &f64)| (bias - row.iter().zip(&scale.mean).map(|(w, mean)| w * mean).sum::<f64>()) as f32;
    let bias = weight.chunks_exact(width.max(1)).zip(&solved.head.bias).map(shift).collect();
    (weight.iter().map(|w| *w as f32).collect(), bias)
}
