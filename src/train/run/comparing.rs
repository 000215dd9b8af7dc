//! What a run is held against at its end: the best head on the base's features, which is there already where the run starts from it, and
//! is found beside it where it does not.

use candle_core::{Device, Tensor};

use super::Run;
use crate::data::Sample;
use crate::domain::evaluation::{Evaluation, Held};
use crate::nn::Mode;
use crate::train::checkpoint::{Checkpoint, Probed};
use crate::train::error::{Error, Result};
use crate::train::probe;
use crate::train::progress::ProgressReporter;

/// Outputs of the probe that are kept, in numbers; of more items every so many-th is compared.
const MOST_OUTPUTS: usize = 1 << 20;

/// What the probe says about validation items, in the units of the data set.
#[derive(Default)]
pub struct ProbeAnswers {
    ids: Vec<u32>,
    outputs: Vec<f32>,
}

impl ProbeAnswers {
    /// Items by their ids, each with so many outputs in each of its rows.
    pub fn rows<'a>(&'a self, width: usize, rows_of: impl Fn(u32) -> usize + 'a) -> impl Iterator<Item = (u32, &'a [f32])> + 'a {
        let mut rest = self.outputs.as_slice();
        self.ids.iter().map(move |id| {
            let (own, others) = rest.split_at((width * rows_of(*id)).min(rest.len()));
            rest = others;
            (*id, own)
        })
    }
}

impl Run<'_> {
    /// What the probe said and what it came to, where the run went on from it or beside it.
    pub fn probe_answers(&self) -> Option<(&ProbeAnswers, &Evaluation)> {
        let probed = self.state.probe.as_ref().or(self.state.rival.as_ref())?;
        (!self.probe_answers.ids.is_empty()).then_some((&self.probe_answers, &probed.evaluation))
    }

    /// Whether no epoch was better than the probe that the run started from.
    pub fn ended_at_probe(&self) -> bool {
        self.state.probe.is_some() && self.state.best().is_none()
    }

    /// Whether stages learn from the base, from another head than the probe's. On training items a comparison would say nothing.
    fn has_rival(&self) -> bool {
        let recipe = self.training.recipe;
        let stages_learn = self.plan.lowest(self.stages()) < self.stages();
        let convex = self.task.convex(&[], recipe).is_some();
        recipe.compare_probe
            && !self.plan.probe
            && stages_learn
            && convex
            && !recipe.is_from_scratch()
            && self.partition.held != Held::Training
    }

    /// Finds the best head on the base's features as it is, to compare with, and leaves the run as it was.
    pub fn find_rival(&mut self, checkpoint: Option<&mut Checkpoint>, reporter: &mut ProgressReporter) -> Result<()> {
        if !self.has_rival() {
            return Ok(());
        }
        if let Some(checkpoint) = checkpoint {
            return self.take_probe_answers(checkpoint);
        }
        let (views, head) = (self.feed.clone(), self.model.snapshot()?);
        let found = self.rival(reporter);
        self.feed = views;
        self.put(head)?;
        match found {
            Err(Error::NoRoom(why)) => reporter.warn(format!("the run is not compared with the best head on the base's features: {why}")),
            other => other,
        }
    }

    fn rival(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        let (feed, shown, scale) = self.pooled(1, reporter)?;
        reporter.stage("finding the best head on the features, to compare with", 0)?;
        let solved = probe::solve(&self.problem(&feed, &shown), &mut || reporter.tick())?;
        let (weight, bias) = super::probing::folded(&solved, &scale);
        self.model.set_head(&weight, &bias)?;
        self.feed = feed;
        self.feed.unscaled();
        let val = self.partition.val.clone();
        let evaluation = self.evaluate(&val, reporter)?;
        self.keep_probe_answers(reporter)?;
        let primary = self.task.name().primary();
        reporter.info(format!(
            "to compare with, the best head on the base's features: validation {} {}",
            primary.title,
            primary.show(evaluation.primary(), 4)
        ))?;
        self.state.rival = Some(Probed {
            bits: (self.merit(evaluation.primary()).to_bits(), evaluation.loss.to_bits()),
            // Nobody asks; JSON has no word for what is no number.
            train: (0.0, 0.0),
            evaluation,
            l2: solved.l2,
            chosen_by: solved.chosen_by.into(),
            plan: self.plan.clone(),
            choice: None,
        });
        Ok(())
    }

    /// Remembers what the head says now, on cached features of validation items.
    pub(super) fn keep_probe_answers(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        if self.partition.held == Held::Training {
            return Ok(());
        }
        let width = self.task.outputs();
        let step = (self.partition.val.len() * width).div_ceil(MOST_OUTPUTS).max(1);
        let some: Vec<Sample> = self.partition.val.iter().step_by(step).cloned().collect();
        let units = self.task.units();
        let mut kept = ProbeAnswers::default();
        for step in self.feed.plain(&some)? {
            let step = step?;
            if !step.targets.is_empty() {
                let outputs = self.model.outputs(&step, Mode::Eval, 0)?.flatten_all()?.to_vec1::<f32>()?;
                kept.ids.extend(&step.ids);
                kept.outputs.extend(outputs);
            }
            reporter.tick()?;
        }
        if let Some(units) = units {
            let in_units = |(value, (factor, shift)): (&mut f32, &(f64, f64))| *value = (f64::from(*value) * factor + shift) as f32;
            kept.outputs.iter_mut().zip(units.iter().cycle()).for_each(in_units);
        }
        self.probe_answers = kept;
        Ok(())
    }

    /// For a checkpoint.
    pub(super) fn probe_answers_kept(&self) -> Result<Vec<(String, Tensor)>> {
        let ProbeAnswers { ids, outputs } = &self.probe_answers;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![
            ("answers.ids".into(), Tensor::from_slice(ids, ids.len(), &Device::Cpu)?),
            ("answers.outputs".into(), Tensor::from_slice(outputs, outputs.len(), &Device::Cpu)?),
        ])
    }

    /// From a checkpoint, where it has them.
    pub(super) fn take_probe_answers(&mut self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let (Some(ids), Some(outputs)) = (checkpoint.take("answers.ids"), checkpoint.take("answers.outputs")) {
            self.probe_answers = ProbeAnswers { ids: ids.to_vec1()?, outputs: outputs.to_vec1()? };
        }
        Ok(())
    }
}
