//! The training loop, top to bottom.

use candle_core::{Device, Tensor};

use super::Task;
use super::error::{Error, Result};
use super::event::{Control, Event, Teller};
use super::feed::Step;
use super::metrics::{Evaluation, Tally};
use super::report::Report;
use super::run::Run;
use crate::data::Sample;
use crate::nn::{Mode, kernels, loss};

/// Trains what the task asks for. Events leave through `sink`, which is asked between steps whether to go on.
///
/// # Errors
/// [`Error::NonFinite`] as soon as the loss or a weight is no number and [`Error::Cancelled`] when the sink says
/// stop: the last checkpoint in the scratch folder stays whole. [`Error::NoGradient`], and whatever is wrong with the
/// recipe, the base, the data or a checkpoint to resume from.
pub fn fit(task: &Task, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report> {
    task.recipe.check()?;
    let _workspace = kernels::Workspace::open();
    let mut teller = Teller::new(sink);
    let mut run = Run::prepare(task)?;
    run.announce(&mut teller)?;
    run.choose_precision(&mut teller)?;
    if let Some(checkpoint) = task.resume {
        run.resume(checkpoint)?;
        teller.info(format!("resumed after epoch {}", run.epoch()))?;
    }
    run.pass_frozen_stages(&mut teller)?;
    while !run.is_done() {
        run.open_epoch(&mut teller)?;
        let trained = train_epoch(&mut run, &mut teller)?;
        let images_per_second = teller.images_per_second();
        let val = run.split.val.clone();
        let validation = evaluate(&mut run, &val, &mut teller)?;
        let numbers = run.close_epoch(&trained, &validation, images_per_second)?;
        let epoch = numbers.epoch;
        teller.tell(Event::Epoch(numbers))?;
        if run.is_checkpoint_due() {
            let path = run.save_checkpoint()?;
            teller.tell(Event::Checkpoint { path, epoch })?;
        }
    }
    // The numbers on the card are those of the very weights that are published.
    run.settle_on_best()?;
    let (val, test) = (run.split.val.clone(), run.split.test.clone());
    let validation = evaluate(&mut run, &val, &mut teller)?;
    let test = if test.is_empty() { None } else { Some(evaluate(&mut run, &test, &mut teller)?) };
    run.into_report(validation, test)
}

/// Loss (as it was minimised) and top-1 over one epoch, measured while the weights moved.
pub(super) struct Trained {
    pub loss: f64,
    pub top1: f64,
}

fn train_epoch(run: &mut Run, teller: &mut Teller) -> Result<Trained> {
    let mut tally = Tally::new(run.classes());
    let mut loss_sum = 0.0;
    let samples = run.split.train.clone();
    let feed = run.feed.clone();
    for (number, step) in (run.first_step()..).zip(feed.training(&samples, run.epoch() + 1)?) {
        let step = step?;
        run.skipped.note(&step.skipped, teller)?;
        let images = step.labels.len();
        if images >= run.model.least_images() {
            let (logits, loss) = train_step(run, &step, number)?;
            tally.add(&logits, &step.labels);
            loss_sum += loss * images as f64;
        }
        teller.step(images)?;
    }
    if tally.images() == 0 {
        return Err(Error::NothingToLearn("not one training image could be used; check that the images open in a viewer".into()));
    }
    Ok(Trained { loss: loss_sum / tally.images() as f64, top1: tally.top1() })
}

/// Forward, backward, update. Answers the logits and the loss from before the update.
fn train_step(run: &mut Run, step: &Step, number: u64) -> Result<(Vec<f32>, f64)> {
    let logits = run.model.logits(step, Mode::Train, number)?;
    let labels = Tensor::new(step.labels.as_slice(), &Device::Cpu)?;
    let loss = loss::cross_entropy(&logits, &labels, run.task.recipe.label_smoothing)?;
    let value = f64::from(loss.to_scalar::<f32>()?);
    if !value.is_finite() {
        return Err(run.diverged(number, "the loss"));
    }
    let gradients = kernels::backward(&loss)?;
    run.optimizer.step(&gradients, run.schedule.factor(number))?;
    Ok((logits.flatten_all()?.to_vec1()?, value))
}

/// The network as it is, on the plain view of each sample.
fn evaluate(run: &mut Run, samples: &[Sample], teller: &mut Teller) -> Result<Evaluation> {
    let mut tally = Tally::new(run.classes());
    let feed = run.feed.clone();
    for step in feed.plain(samples)? {
        let step = step?;
        run.skipped.note(&step.skipped, teller)?;
        if !step.labels.is_empty() {
            let logits = run.model.logits(&step, Mode::Eval, 0)?;
            tally.add(&logits.flatten_all()?.to_vec1::<f32>()?, &step.labels);
        }
        teller.pulse()?;
    }
    if !tally.loss().is_finite() {
        return Err(run.diverged(run.first_step(), "the validation loss"));
    }
    Ok(tally.finish(run.names()))
}
