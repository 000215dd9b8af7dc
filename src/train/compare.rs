//! The same items and epochs from random weights, beside a finished fine-tune: how much sooner the base gets there, and whether it
//! still is ahead at the end.

use super::error::{Error, Result};
use super::fit::fit;
use super::progress::{Control, Event};
use super::report::Report;
use super::{Keep, Training};
use crate::domain::findings::Comparison;
use crate::domain::job_event::Progress;
use crate::domain::recipe::Compare;

/// [`fit`], and beside it from random weights where the recipe asks for that.
///
/// # Errors
/// Those of [`fit`].
pub fn fit_and_compare(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let mut report = fit(training, sink)?;
    if training.recipe.compare == Compare::Scratch {
        report.found.comparison = beside(training, &report, sink)?;
    }
    Ok(report)
}

fn beside(training: &Training, report: &Report, sink: &mut dyn FnMut(Event) -> Control) -> Result<Option<Comparison>> {
    let (recipe, folder) = (training.recipe.scratch(), training.scratch.join("compare"));
    std::fs::create_dir_all(&folder).map_err(Error::io("cannot create", &folder))?;
    let named = |text: String| format!("from random weights: {text}");
    // Its epochs are not those of the run, and its checkpoints must not take their place.
    let mut apart = |event: Event| match event {
        Event::Progress(progress) => sink(Event::Progress(Progress { stage: named(progress.stage), ..progress })),
        Event::Log { level, message } => sink(Event::Log { level, message: named(message) }),
        Event::Epoch(_) | Event::Checkpoint { .. } => Control::Continue,
    };
    let beside = Training { recipe: &recipe, scratch: &folder, keep: Keep::Nowhere, resume: None, ..*training };
    let scratch = fit(&beside, &mut apart);
    let _ = std::fs::remove_dir_all(&folder);
    Ok(Comparison::of(report.outcome.task(), report.outcome.baseline, &report.epochs, scratch?.epochs))
}
