//! Recipes that are several runs: draws of a few items each, and a run that teaches another.

mod contrast;
mod draws;
mod taught;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use contrast::Contrasted;
pub use draws::Draws;
pub use taught::Taught;

use super::error::{Error, Result};
use super::fit::once;
use super::progress::{Control, Event};
use super::report::Report;
use super::soup::Averaged;
use super::{Keep, Training, checkpoint};
use crate::domain::recipe::{Recipe, Strategy, Unlabelled};

/// What several runs have told beside the numbers of the one that is published.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rounds {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draws: Option<Draws>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taught: Option<Taught>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<Contrasted>,
    /// Trials of a sweep that were averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soup: Option<Averaged>,
}

/// One run, or as many as the recipe needs; the report is of the one that is to be published.
///
/// # Errors
/// Those of [`super::fit`].
pub fn all(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let recipe = training.recipe;
    let mut report = match recipe.unlabelled {
        Unlabelled::Pseudo => taught::teach(training, sink)?,
        _ => single(training, sink)?,
    };
    if recipe.draws > 1 {
        report.rounds.draws = Some(draws::others(training, &report, sink)?);
    }
    Ok(report)
}

/// One run; of a strategy that is two, both.
fn single(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    match training.recipe.strategy {
        Strategy::Contrast => contrast::teach(training, sink),
        _ => once(training, sink),
    }
}

/// A scratch folder for a run beside the one that is published, and what an earlier attempt of it left there to go on from.
fn folder(training: &Training, name: &str) -> Result<(PathBuf, Option<PathBuf>)> {
    let scratch = training.scratch.join(name);
    std::fs::create_dir_all(&scratch).map_err(Error::io("cannot create", &scratch))?;
    let left = scratch.join(checkpoint::FILE_NAME);
    let resume = left.exists().then_some(left);
    Ok((scratch, resume))
}

/// A run beside the one that is published, in a folder of its own; only what it logs and how far it is is told. It goes on from
/// where an earlier attempt of it ended.
fn beside(training: &Training, recipe: &Recipe, name: &str, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let (scratch, resume) = folder(training, name)?;
    let mut quiet = |event: Event| match event {
        Event::Epoch(_) | Event::Checkpoint { .. } => Control::Continue,
        other => sink(other),
    };
    let keep = match training.keep {
        Keep::Store(store) => Keep::Store(store),
        _ => Keep::Scratch,
    };
    single(&Training { recipe, scratch: &scratch, keep, resume: resume.as_deref(), ..*training }, &mut quiet)
}
