//! The learning-rate finder of a run: a range test on copies of its weights, before the first epoch.

use super::Run;
use crate::domain::findings::FoundRate;
use crate::nn::{Mode, kernels};
use crate::train::error::Result;
use crate::train::feed::Step;
use crate::train::optim::{Gradients, Optimizer};
use crate::train::progress::ProgressReporter;
use crate::train::range::Range;

impl Run<'_> {
    /// What the recipe's rates are multiplied by.
    pub(super) fn rate_factor(&self) -> f64 {
        self.state.rate.as_ref().map_or(1.0, |(_, bits)| f64::from_bits(*bits))
    }

    /// The rates that were found, where they were looked for.
    pub fn found_rate(&self) -> Option<FoundRate> {
        self.state.rate.as_ref().map(|(found, _)| found.clone())
    }

    /// Looks for the rates where the recipe asks for that and no earlier attempt has; whether there is something new to keep. The run
    /// is left as it was, but for its rates.
    pub fn find_rate(&mut self, reporter: &mut ProgressReporter) -> Result<bool> {
        let recipe = self.training.recipe;
        if !recipe.find_lr || self.state.rate.is_some() {
            return Ok(false);
        }
        if self.plan.phases.is_empty() {
            reporter.info("no rate is looked for: the head is solved for, which takes none")?;
            return Ok(false);
        }
        let (weights, phase) = (self.model.snapshot()?, self.model.frozen);
        // All that will learn, also what joins in later.
        self.model.frozen = self.plan.lowest(self.stages());
        let fresh = Optimizer::new(recipe, self.model.groups(recipe, &*self.task))?;
        let own = std::mem::replace(&mut self.optimizer, fresh);
        let tested = self.test_rates(reporter);
        self.optimizer = own;
        self.model.frozen = phase;
        self.put(weights)?;
        let range = tested?;
        let (factor, diverged) = (range.suggestion().map(|rate| rate / self.tested_rate()), range.diverged());
        let (lr, head_lr) = (recipe.lr * factor.unwrap_or(1.0), recipe.head_lr * factor.unwrap_or(1.0));
        let steps = range.steps();
        let sentence = match factor {
            Some(_) => format!(
                "A range test of at most {steps} steps on copies of the weights found the loss to fall steepest at lr {lr:.2e}; the head learned at {head_lr:.2e}."
            ),
            None => format!(
                "A range test of {steps} steps found no rate at which the loss falls, so lr {lr:.2e} and head_lr {head_lr:.2e} stayed."
            ),
        };
        match factor {
            Some(_) => reporter.info(sentence.clone())?,
            None => reporter.warn(sentence.clone())?,
        }
        let found = FoundRate { lr, head_lr, found: factor.is_some(), diverged, curve: range.curve(), sentence };
        self.state.rate = Some((found, factor.unwrap_or(1.0).to_bits()));
        Ok(true)
    }

    /// The recipe's rate that the test is told in: that of the head where nothing else learns.
    fn tested_rate(&self) -> f64 {
        let recipe = self.training.recipe;
        if self.plan.lowest(self.stages()) == self.stages() { recipe.head_lr } else { recipe.lr }
    }

    fn test_rates(&mut self, reporter: &mut ProgressReporter) -> Result<Range> {
        let mut range = Range::new(self.updates_per_epoch() * u64::from(self.plan.epochs()));
        let (samples, feed, least) = (self.partition.train.clone(), self.feed.clone(), self.model.least_items(self.training.recipe));
        reporter.stage("looking for a learning rate", 0)?;
        let mut number = 0;
        for pass in 0.. {
            let before = number;
            // Features of frozen stages are there for the views of the run's own epochs.
            for step in feed.training(&samples, pass % self.plan.epochs() + 1)? {
                let step = step?;
                if step.targets.len() < least {
                    continue;
                }
                let loss = self.try_step(&step, number, range.rate() / self.tested_rate())?;
                number += 1;
                reporter.tick()?;
                if !range.note(loss) {
                    return Ok(range);
                }
            }
            if number == before {
                break;
            }
        }
        Ok(range)
    }

    /// The loss before a step with the rates multiplied by `factor`, and that step.
    fn try_step(&mut self, step: &Step, number: u64, factor: f64) -> Result<f64> {
        let outputs = self.model.outputs(step, Mode::Train, number)?;
        let loss = self.task.loss(&outputs, &step.targets, self.training.recipe)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if value.is_finite() {
            let gradients = Gradients::gather(&self.optimizer, &kernels::backward(&loss)?, step.targets.len())?;
            self.optimizer.step(&gradients, factor)?;
        }
        Ok(value)
    }
}
