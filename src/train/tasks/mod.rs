//! What a head is trained to say, a file for each task. `fit` asks the task for the loss, the tally and whether an epoch
//! is better; it knows neither class nor number.
//!
//! To add one: its names, losses and measures in `domain/task.rs`, a file here, a line in [`of_targets`] and in [`answerer`].

mod classification;
mod regression;
mod sums;

use candle_core::Tensor;

use super::error::{Error, Result};
use super::partition::Partition;
use super::probe::Part;
use crate::data::{Target, Targets};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::Evaluation;
use crate::domain::prediction::Answer;
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;

pub use classification::{Classification, argmax, softmax};

/// How a head learns to answer about the items of one data set.
pub trait Task: Send + Sync {
    fn name(&self) -> Name;

    /// Numbers that the head gives for each item.
    fn outputs(&self) -> usize;

    /// The mean loss `()` of `outputs (B, n)`, with a gradient.
    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor>;

    /// A tally of no answers. `settled` says that the outputs are in the units of the data set, see [`Self::units`].
    fn tally(&self, settled: bool) -> Box<dyn Tally + '_>;

    /// Refuses training items that nothing can be learned from.
    fn check(&self, partition: &Partition) -> Result<()>;

    /// What the simplest answer, always the same, reaches on the validation items by the task's first measure.
    fn baseline(&self, partition: &Partition) -> f64;

    /// Writes down in a config what the outputs mean.
    fn configure(&self, config: &mut ModelConfig);

    /// What the head's rate is multiplied by under plain gradient descent, where so many features come in.
    fn head_rate(&self, _features: usize) -> f64 {
        1.0
    }

    /// What a linear head's outputs are to be for these targets, as losses that are convex in it ([`super::probe`]): its optimum on
    /// features that do not change is then found exactly. `None` where the task has no such losses: its head learns by descent.
    fn convex(&self, _targets: &[Target], _recipe: &Recipe) -> Option<Vec<Part>> {
        None
    }

    /// How much each of these items counts in the loss; all alike where it is empty.
    fn item_weights(&self, _targets: &[Target], _recipe: &Recipe) -> Vec<f32> {
        Vec::new()
    }

    /// What outputs are multiplied by and what is then added to have them in the units of the data set, where the head
    /// learns in others.
    fn units(&self) -> Option<(f64, f64)> {
        None
    }
}

/// Collects answers batch by batch.
pub trait Tally {
    /// Adds a batch: `outputs` is `(targets.len(), n)` row by row.
    fn add(&mut self, outputs: &[f32], targets: &[Target]);

    fn samples(&self) -> u64;

    fn loss(&self) -> f64;

    /// The task's first measure.
    fn primary(&self) -> f64;

    fn finish(self: Box<Self>) -> Evaluation;
}

/// The task that a data set's targets are for, with what its training items say of them.
///
/// # Errors
/// Those of [`Task::check`], and a recipe that asks for what does not belong to the task.
pub fn of_targets(targets: &Targets, partition: &Partition, recipe: &Recipe) -> Result<Box<dyn Task>> {
    recipe.check_task(targets.task())?;
    let task: Box<dyn Task> = match targets {
        Targets::Classes(classes) => Box::new(Classification::new(classes)),
        Targets::Ranks(_) | Targets::Labels(_) | Targets::Heads(_) => {
            return Err(nothing(format!("targets for {} cannot be learned from yet", targets.task())));
        }
        Targets::Values(_) => Box::new(regression::Regression::new(&partition.train)),
    };
    task.check(partition)?;
    Ok(task)
}

/// Says what a row of a head's outputs means; of classes the so many likeliest.
pub type Answerer = Box<dyn Fn(&[f32], usize) -> Answer + Send + Sync>;

/// How the outputs of a published model are said: from its `config.json` and the rows of its head.
pub fn answerer(config: &ModelConfig, outputs: usize) -> Answerer {
    match Name::of_problem_type(config.problem_type.as_deref()) {
        Name::Classification | Name::Ordinal | Name::MultiLabel | Name::MultiTask => classification::answerer(config, outputs),
        Name::Regression | Name::MultiRegression => regression::answerer(config, outputs),
    }
}

/// The words for a data set that has nothing to train on.
fn nothing(what: impl Into<String>) -> Error {
    Error::NothingToLearn(what.into())
}
