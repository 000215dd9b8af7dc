//! Training steps: forward and backward for each batch, and an update after as many batches as the recipe accumulates.

use super::consistency;
use super::error::Result;
use super::feed::Step;
use super::mixing;
use super::optim::Gradients;
use super::run::Run;
use crate::nn::{Mode, kernels};

/// The updates of one epoch.
#[derive(Default)]
pub struct Updates {
    /// Of batches that have made no update yet, and the number of the first of them.
    pending: Option<(Gradients, u64)>,
}

impl Updates {
    /// Forward and backward for batch `number` of the run, and the update if it is the last that is waited for. Answers the
    /// outputs and the loss from before. `pair` are views of items without a target that are learned from beside it.
    pub fn train(&mut self, run: &mut Run, step: &Step, pair: Option<(Step, Step)>, number: u64) -> Result<(Vec<f32>, f64)> {
        let recipe = run.training.recipe;
        let mixture = mixing::mix(step, recipe, number)?;
        let outputs = run.model.outputs(mixture.as_ref().map_or(step, |mixture| &mixture.step), Mode::Train, number)?;
        let mut loss = match &mixture {
            Some(mixture) => run.task.mixed_loss(&outputs, (&step.targets, &mixture.step.targets), mixture.share, recipe)?,
            None => run.task.loss(&outputs, &step.targets, recipe)?,
        };
        if let Some(more) = pair.map(|pair| consistency::loss(run, pair, number)).transpose()?.flatten() {
            loss = (loss + more)?;
        }
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(run.diverged(number, "the loss"));
        }
        let store = kernels::backward(&loss)?;
        let gradients = Gradients::gather(&run.optimizer, &store, step.targets.len())?;
        match &mut self.pending {
            None => self.pending = Some((gradients, number)),
            Some((sum, _)) => sum.add(&gradients)?,
        }
        if run.is_update_due(number) {
            self.finish(run)?;
        }
        Ok((outputs.flatten_all()?.to_vec1()?, value))
    }

    /// Makes the update that is waited for, if there is one.
    pub fn finish(&mut self, run: &mut Run) -> Result<()> {
        let Some((gradients, number)) = self.pending.take() else { return Ok(()) };
        run.update(&gradients, number)
    }
}
