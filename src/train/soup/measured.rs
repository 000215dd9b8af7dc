//! The soup of a sweep: its best trials, averaged as long as that is better on the validation items that all of them were measured on.

use serde::{Deserialize, Serialize};

use super::{Ingredient, Soup, greedy};
use crate::domain::evaluation::Stopped;
use crate::domain::job_event::EpochNumbers;
use crate::nn::{Weights, kernels};
use crate::train::error::{Error, Result};
use crate::train::progress::{Control, Event, ProgressReporter};
use crate::train::report::Report;
use crate::train::run::Run;
use crate::train::{Training, clips, judge, words};

/// What a soup came to, for reports and cards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Averaged {
    /// Those that were there to be averaged, the best first.
    pub tried: Vec<String>,
    /// Those that are in it.
    pub members: Vec<String>,
    /// What the best alone reached, and what the average does, by the task's first measure on the validation items.
    pub alone: f64,
    pub reached: f64,
}

/// The average of the best, where it is better than the first alone; and what came of it in any case. `training` is that of the first,
/// whose epochs are told as the result's; merits are those its validation items gave.
///
/// # Errors
/// Those of [`greedy`] and of evaluating.
pub fn of_trials(
    training: &Training,
    ingredients: Vec<Ingredient>,
    epochs: Vec<EpochNumbers>,
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<(Averaged, Option<Report>)> {
    let clips = clips::prepared(training)?;
    let training = &match &clips {
        Some((config, recipe)) => Training { config, recipe, ..*training },
        None => Training { ..*training },
    };
    match words::config(training)? {
        Some(config) => averaged(&Training { config: &config, ..*training }, ingredients, epochs, sink),
        None => averaged(training, ingredients, epochs, sink),
    }
}

fn averaged(
    training: &Training,
    mut ingredients: Vec<Ingredient>,
    epochs: Vec<EpochNumbers>,
    sink: &mut dyn FnMut(Event) -> Control,
) -> Result<(Averaged, Option<Report>)> {
    let _workspace = kernels::Workspace::open();
    let mut reporter = ProgressReporter::new(sink);
    let mut run = Run::prepare(training, &mut reporter)?;
    run.model.merge_adapters()?;
    for one in &mut ingredients {
        // They were published under the names that others look for.
        one.weights = run.model.architecture.adopted(std::mem::take(&mut one.weights));
    }
    let base = run.model.classifier.weights().deep_copy()?;
    let rises = run.task.name().primary().rises;
    let measure = |merit: f64| if rises { merit } else { -merit };
    let (total, best) = (ingredients.len() as u64, ingredients.iter().map(|one| one.merit).fold(f64::NEG_INFINITY, f64::max));
    let tried: Vec<String> = ingredients.iter().map(|one| one.name.clone()).collect();
    let mut done = 0;
    let soup = greedy(ingredients, &mut |weights| {
        done += 1;
        reporter.prepare("averaging the best trials", done, total)?;
        let merit = match evaluated(&mut run, weights, &mut reporter) {
            // Two that are good apart may be nothing together.
            Err(Error::NonFinite { .. }) => return Ok(f64::NEG_INFINITY),
            reached => measure(reached?),
        };
        reporter.info(format!("with {} of {total} tried: {} {:.4}", done + 1, run.task.name().primary().title, measure(merit)))?;
        Ok(merit)
    })?;
    let Soup { weights, members, merit } = soup;
    let averaged = Averaged { tried, members, alone: measure(best), reached: measure(merit) };
    if averaged.members.len() < 2 || merit <= best {
        return Ok((averaged, None));
    }
    run.take_published(&weights)?;
    let stopped = epochs.last().is_some_and(|last| last.epoch < last.epochs);
    run.tell_as(epochs);
    let kept = unchanged(&run, &base, &weights)?;
    let (val, test) = (run.partition.val.clone(), run.partition.test.clone());
    let (validation, answers) = judge::examine(&mut run, &val, &mut reporter)?;
    run.calibrate(&validation);
    let test = if test.is_empty() { None } else { Some(judge::examine(&mut run, &test, &mut reporter)?) };
    let (test, others) = test.unzip();
    let judged = judge::judge(&mut run, &validation, &answers, others.as_ref(), &mut reporter)?;
    let mut report = run.into_report(validation, test, judged)?;
    report.kept_stages = kept;
    report.outcome.stopped = if stopped { Stopped::Early } else { Stopped::Finished };
    report.rounds.soup = Some(averaged.clone());
    Ok((averaged, Some(report)))
}

/// What weights reach on the validation items, by the measure that decides.
fn evaluated(run: &mut Run, weights: &Weights, reporter: &mut ProgressReporter) -> Result<f64> {
    run.take_published(weights)?;
    let val = run.partition.val.clone();
    Ok(run.evaluate(&val, reporter)?.primary())
}

/// How many stages, from the bottom, have every bit of the base's.
fn unchanged(run: &Run, base: &Weights, weights: &Weights) -> Result<usize> {
    for (at, stage) in run.model.classifier.backbone.stages().iter().enumerate() {
        for name in stage.parameters.iter().chain(&stage.buffers) {
            let values = |of: &Weights| of.get(name).map(|var| var.flatten_all()?.to_vec1::<f32>()).transpose();
            if values(base)? != values(weights)? {
                return Ok(at);
            }
        }
    }
    Ok(run.model.classifier.backbone.stages().len())
}
