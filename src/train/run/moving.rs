//! How a run's weights move: updates at the schedule's rates, and their average.

use super::Run;
use crate::train::error::Result;
use crate::train::optim::Gradients;

impl Run<'_> {
    /// The update that a batch of the run belongs to, from 0.
    fn update_of(&self, number: u64) -> u64 {
        let within = number.saturating_sub(self.first_step()) / u64::from(self.training.recipe.accumulate);
        u64::from(self.epoch()) * self.updates_per_epoch() + within
    }

    /// Updates of one epoch; the last may be made of fewer batches.
    pub(super) fn updates_per_epoch(&self) -> u64 {
        self.steps_per_epoch.div_ceil(u64::from(self.training.recipe.accumulate))
    }

    /// Whether no further batch is waited for before the weights move.
    pub fn is_update_due(&self, number: u64) -> bool {
        self.update_of(number + 1) != self.update_of(number)
    }

    /// Moves the weights by gradients of which the first was made by batch `number`, and their average after them.
    pub fn update(&mut self, gradients: &Gradients, number: u64) -> Result<()> {
        let factor = self.rate_factor() * self.schedule.factor(self.update_of(number));
        self.optimizer.step(gradients, factor)?;
        match &mut self.average {
            Some(average) => average.follow(self.model.learned()),
            None => Ok(()),
        }
    }

    /// Puts the average in the place of the weights, where there is one, until [`Self::hide_average`].
    pub fn show_average(&mut self) -> Result<()> {
        let Some(average) = &self.average else { return Ok(()) };
        self.beneath = self.model.snapshot()?;
        self.put(average.tensors()?)
    }

    /// Puts the weights back in their place.
    pub fn hide_average(&mut self) -> Result<()> {
        if self.average.is_none() {
            return Ok(());
        }
        let beneath = std::mem::take(&mut self.beneath);
        self.put(beneath)
    }
}
