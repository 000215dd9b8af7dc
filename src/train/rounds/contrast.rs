//! A few items of each class (Tunstall et al. 2022): a first run teaches the backbone to tell them apart pair by pair, a second one finds the
//! best head on its features. The better of that and the best head on the base's own features, by the validation items, is published.

use serde::{Deserialize, Serialize};

use super::folder;
use crate::domain::evaluation::Held;
use crate::domain::job_event::Level;
use crate::domain::recipe::{Recipe, Strategy};
use crate::train::error::{Error, Result};
use crate::train::fit::once;
use crate::train::partition::even_batches;
use crate::train::progress::{Control, Event};
use crate::train::report::Report;
use crate::train::{Keep, Training};

/// Steps that a backbone takes at least: few items make few steps an epoch. SetFit draws 40 pairs for each item, and a step of
/// some items has all their pairs.
const FEWEST_STEPS: usize = 60;
const MOST_EPOCHS: u32 = 200;

/// What telling items apart came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contrasted {
    pub epochs: u32,
    /// The task's first measure on the validation items, of the best head on the base's features and on those that were taught.
    pub without: f64,
    pub with: f64,
    /// Whether what was taught is published.
    pub published: bool,
}

pub fn teach(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let recipe = training.recipe;
    let head = Recipe { strategy: Strategy::Head, frozen_stages: 0, lora_rank: 0, draws: 1, find_lr: false, ..recipe.clone() };
    say(sink, "first the best head on the base's features as they are".into())?;
    let plain = in_folder(training, &head, "plain", sink)?;
    let batch = even_batches(plain.train_samples, recipe.batch_size);
    let steps = plain.train_samples.div_ceil(batch.max(1)).max(1);
    let epochs = recipe.epochs.max((FEWEST_STEPS.div_ceil(steps) as u32).min(MOST_EPOCHS));
    say(sink, format!("then {epochs} epochs in which items of one class are brought together and others apart"))?;
    let apart = Recipe { epochs, draws: 1, patience: 0, compare_probe: false, ..recipe.clone() };
    let body = in_folder(training, &apart, "contrast", sink)?;
    let weights = training.scratch.join("contrast").join("model.safetensors");
    body.weights.save(&weights, &[])?;
    // No other run has this backbone: what is kept of its features is of no use to any.
    let taught = Training { recipe: &head, weights: &weights, keep: Keep::Scratch, ..*training };
    let mut found = once(&taught, sink)?;
    let (without, with) = (plain.outcome.validation.primary(), found.outcome.validation.primary());
    let rises = found.outcome.task().primary().rises;
    // Numbers on the training items themselves choose nothing.
    let published = found.outcome.validated_on == Held::Training || if rises { with >= without } else { with <= without };
    let contrasted = Contrasted { epochs, without, with, published };
    if published {
        (found.kept_stages, found.probe, found.frozen) = (body.kept_stages, None, body.frozen);
    } else {
        found = plain;
    }
    found.recipe = recipe.clone();
    found.rounds.contrast = Some(contrasted);
    Ok(found)
}

/// A run of its own, whose epochs are not the result's.
fn in_folder(training: &Training, recipe: &Recipe, name: &str, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let (scratch, resume) = folder(training, name)?;
    let mut quiet = |event: Event| match event {
        Event::Epoch(_) | Event::Checkpoint { .. } => Control::Continue,
        other => sink(other),
    };
    once(&Training { recipe, scratch: &scratch, resume: resume.as_deref(), ..*training }, &mut quiet)
}

fn say(sink: &mut dyn FnMut(Event) -> Control, message: String) -> Result<()> {
    match sink(Event::Log { level: Level::Info, message }) {
        Control::Continue => Ok(()),
        Control::Stop => Err(Error::Cancelled),
    }
}
