//! The training loop, top to bottom.

use super::consistency::Pairs;
use super::error::{Error, Result};
use super::judge;
use super::progress::{Control, Event, ProgressReporter};
use super::report::Report;
use super::run::{Run, Trained};
use super::updates::Updates;
use super::{Training, clips, places, rounds, words};
use crate::domain::job_event::EpochNumbers;
use crate::nn::kernels;

/// Trains what is asked for. Events leave through `sink`, which is asked between steps whether to go on.
///
/// # Errors
/// [`Error::NonFinite`] as soon as the loss or a weight is no number, unless there is a probe: then the best so far is the result and the
/// report says so. [`Error::Cancelled`] when the sink says stop: the last checkpoint in the scratch folder stays whole. [`Error::NoGradient`], and whatever is wrong with the
/// recipe, the base, the data or a checkpoint to resume from.
pub fn fit(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    training.recipe.check()?;
    let clips = clips::prepared(training)?;
    let training = &match &clips {
        Some((config, recipe)) => Training { config, recipe, ..*training },
        None => Training { ..*training },
    };
    if let Some(config) = words::config(training)? {
        return rounds::all(&Training { config: &config, ..*training }, sink);
    }
    match places::prepared(training)? {
        Some((config, recipe)) => rounds::all(&Training { config: &config, recipe: &recipe, ..*training }, sink),
        None => rounds::all(training, sink),
    }
}

/// One run from its data to its report.
pub(super) fn once(training: &Training, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    let _workspace = kernels::Workspace::open();
    let mut reporter = ProgressReporter::new(sink);
    let mut run = Run::prepare(training, &mut reporter)?;
    run.announce(&mut reporter)?;
    let mut checkpoint = training.resume.map(|path| run.open_checkpoint(path)).transpose()?;
    run.find_probe(checkpoint.as_mut(), &mut reporter)?;
    run.find_rival(checkpoint.as_mut(), &mut reporter)?;
    run.set_out()?;
    run.choose_precision(&mut reporter)?;
    if let Some(checkpoint) = checkpoint {
        run.resume(checkpoint)?;
        reporter.info(format!("resumed after epoch {}", run.epoch()))?;
    } else if run.has_probe() {
        run.tell_start(&mut reporter)?;
        save(&mut run, &mut reporter)?;
    }
    run.pass_frozen_stages(&mut reporter)?;
    let of_distances = run.epoch_of_distances(&mut reporter)?;
    if let Some(numbers) = of_distances.or_else(|| run.epoch_of_probe()) {
        reporter.tell(Event::Epoch(numbers))?;
        save(&mut run, &mut reporter)?;
    }
    if run.find_rate(&mut reporter)? {
        save(&mut run, &mut reporter)?;
    }
    while !run.is_done() {
        let numbers = match epoch(&mut run, &mut reporter) {
            Err(error @ Error::NonFinite { .. }) if run.has_probe() => {
                run.stop_at_best(&error, &mut reporter)?;
                break;
            }
            numbers => numbers?,
        };
        reporter.tell(Event::Epoch(numbers))?;
        if run.is_checkpoint_due() {
            save(&mut run, &mut reporter)?;
        }
    }
    // The numbers on the card are those of the very weights that are published.
    run.settle_on_best()?;
    let (val, test) = (run.partition.val.clone(), run.partition.test.clone());
    let (validation, answers) = judge::examine(&mut run, &val, &mut reporter)?;
    run.calibrate(&validation);
    let test = if test.is_empty() { None } else { Some(judge::examine(&mut run, &test, &mut reporter)?) };
    let (test, others) = test.unzip();
    let judged = judge::judge(&mut run, &validation, &answers, others.as_ref(), &mut reporter)?;
    run.into_report(validation, test, judged)
}

/// One pass over the training items and what it reached on those held out.
fn epoch(run: &mut Run, reporter: &mut ProgressReporter) -> Result<EpochNumbers> {
    run.open_epoch(reporter)?;
    let trained = train_epoch(run, reporter)?;
    let samples_per_second = reporter.samples_per_second();
    let val = run.partition.val.clone();
    run.show_average()?;
    let validation = run.evaluate(&val, reporter)?;
    let numbers = run.close_epoch(&trained, &validation, samples_per_second)?;
    run.hide_average()?;
    Ok(numbers)
}

fn save(run: &mut Run, reporter: &mut ProgressReporter) -> Result<()> {
    let (path, epoch) = (run.save_checkpoint()?, run.epoch());
    reporter.tell(Event::Checkpoint { path, epoch })
}

fn train_epoch(run: &mut Run, reporter: &mut ProgressReporter) -> Result<Trained> {
    let task = run.task.clone();
    let mut tally = task.tally(false);
    let mut updates = Updates::default();
    let mut loss_sum = 0.0;
    let samples = run.partition.train.clone();
    let feed = run.feed.clone();
    let unlabelled = run.training.dataset.unlabelled();
    let mut pairs = Pairs::open(run.training.recipe, &feed, unlabelled, run.epoch() + 1)?;
    for (number, step) in (run.first_step()..).zip(feed.training(&samples, run.epoch() + 1)?) {
        let step = step?;
        run.skipped.note(&step.skipped, reporter)?;
        let items = step.targets.len();
        if items >= run.model.least_items(run.training.recipe) {
            let (outputs, loss) = updates.train(run, &step, pairs.as_mut().map_or(Ok(None), Pairs::next)?, number)?;
            tally.add(&outputs, &step.targets);
            loss_sum += loss * items as f64;
        }
        reporter.step(items)?;
    }
    updates.finish(run)?;
    if tally.samples() == 0 {
        return Err(Error::NothingToLearn("not one training item could be used; check that they can be opened".into()));
    }
    Ok(Trained { loss: loss_sum / tally.samples() as f64, primary: tally.primary() })
}
