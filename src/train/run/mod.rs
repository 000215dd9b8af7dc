//! The state of one run: what `fit` moves forward, epoch by epoch.

mod announce;
mod finish;
mod health;
mod moving;
mod saving;

use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use super::Training;
use super::checkpoint::State;
use super::embedding::surveyed;
use super::error::{Error, Result};
use super::features::{self, Frozen, Scale};
use super::feed::Feed;
use super::model::Model;
use super::model_folder;
use super::optim::{Average, Optimizer};
use super::partition::Partition;
use super::progress::ProgressReporter;
use super::schedule::Schedule;
use super::tasks::{self, Task};
use crate::data::Survey;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, Held};
use crate::domain::job_event::EpochNumbers;
use crate::domain::recipe::Strategy;
use announce::Skipped;

pub struct Run<'a> {
    pub training: &'a Training<'a>,
    pub task: Arc<dyn Task>,
    pub partition: Partition,
    pub model: Model,
    pub feed: Feed,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub skipped: Skipped,
    config: ModelConfig,
    steps_per_epoch: u64,
    pass_steps: u64,
    frozen: Frozen,
    survey: Survey,
    state: State,
    best: Vec<(String, Tensor)>,
    average: Option<Average>,
    /// The weights while their average stands in their place.
    beneath: Vec<(String, Tensor)>,
    scale: Option<Scale>,
    settled: bool,
    seconds_before: f64,
    began: Instant,
    epoch_began: Instant,
    saved: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Splits the data, loads the model, sets up the optimiser; nothing has learned yet.
    pub fn prepare(training: &'a Training<'a>, reporter: &mut ProgressReporter) -> Result<Run<'a>> {
        let recipe = training.recipe;
        let survey = surveyed(training.dataset, training.keep, reporter)?;
        let partition = Partition::of(training.dataset, &survey.copies, recipe);
        let task: Arc<dyn Task> = tasks::of_targets(&training.dataset.targets, &partition, recipe)?.into();
        let config = model_folder::config_of_result(training.config, recipe, &*task);
        let model = Model::load(training, task.outputs())?;
        let turns = features::turns(recipe, model.frozen);
        let views = training.dataset.modality.views(&config)?;
        let feed = Feed::new(training.dataset, recipe, views, partition.train.len(), turns);
        let optimizer = Optimizer::new(recipe, model.groups(recipe, &*task))?;
        let average = if recipe.ema > 0.0 { Some(Average::new(recipe.ema, model.learned())?) } else { None };
        let steps_per_epoch = feed.steps_per_epoch(partition.train.len());
        let updates = steps_per_epoch.div_ceil(u64::from(recipe.accumulate)) * u64::from(recipe.epochs);
        // Batch norm forgets at the pace of an epoch, but not slower than PyTorch's default (SimCLR's rule).
        model.classifier.backbone.set_norm_momentum((10.0 / steps_per_epoch as f64).min(0.1));
        let state = State::new(saving::identity(training, &model, &feed, &survey.digest));
        Ok(Run {
            best: model.snapshot()?,
            average,
            beneath: Vec::new(),
            schedule: Schedule::new(recipe.schedule, updates, recipe.warmup),
            pass_steps: 0,
            frozen: Frozen::None,
            training,
            task,
            partition,
            model,
            feed,
            optimizer,
            skipped: Skipped::default(),
            config,
            steps_per_epoch,
            survey,
            state,
            scale: None,
            settled: false,
            seconds_before: 0.0,
            began: Instant::now(),
            epoch_began: Instant::now(),
            saved: None,
        })
    }

    /// Sends every view through the frozen stages once, now, and never again, where that pays.
    pub fn pass_frozen_stages(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        let (training, epochs) = (self.training, self.training.recipe.epochs);
        let rest = self.total_steps();
        (self.frozen, self.pass_steps) =
            features::run_once(training, &mut self.feed, &self.model, &self.partition, &self.survey.hashes, rest, reporter)?;
        if training.recipe.strategy == Strategy::Head {
            let shown = self.feed.views_shown(&self.partition.train, epochs);
            self.scale = self.feed.standardise(&shown);
        }
        Ok(())
    }

    /// Whole epochs done.
    pub fn epoch(&self) -> u32 {
        self.state.epoch()
    }

    /// The number of the coming epoch's first step, from 0.
    pub fn first_step(&self) -> u64 {
        u64::from(self.epoch()) * self.steps_per_epoch
    }

    fn total_steps(&self) -> u64 {
        self.pass_steps + self.steps_per_epoch * u64::from(self.training.recipe.epochs)
    }

    pub fn is_done(&self) -> bool {
        self.epoch() >= self.training.recipe.epochs || self.is_out_of_patience()
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.training.recipe.patience;
        patience > 0 && self.partition.held != Held::Training && self.state.best().is_some_and(|(_, since)| since >= patience)
    }

    pub fn open_epoch(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        self.epoch_began = Instant::now();
        reporter.plan(self.pass_steps + self.first_step(), self.total_steps());
        reporter.stage(format!("epoch {} of {}", self.epoch() + 1, self.training.recipe.epochs), self.total_steps())
    }

    /// Judges an epoch and keeps its weights if they are the best so far.
    pub fn close_epoch(&mut self, trained: &Trained, validation: &Evaluation, samples_per_second: f64) -> Result<EpochNumbers> {
        let (recipe, epoch) = (self.training.recipe, self.epoch() + 1);
        if let Some(name) = self.model.first_not_finite()? {
            return Err(self.diverged(self.first_step() + self.steps_per_epoch, &format!("the weight `{name}`")));
        }
        // With nothing held out there is nothing to choose by: the last epoch is taken.
        let best = self.partition.held == Held::Training || self.is_better(validation);
        if best {
            self.best = self.model.snapshot()?;
            self.state.set_best(self.merit(validation.primary()), validation.loss);
        }
        let seconds = self.epoch_began.elapsed().as_secs_f64();
        let numbers = EpochNumbers {
            task: self.task.name(),
            epoch,
            epochs: recipe.epochs,
            train_loss: trained.loss,
            train_primary: trained.primary,
            val_loss: validation.loss,
            val: validation.values.clone(),
            lr: recipe.head_lr * self.schedule.factor(u64::from(epoch) * self.updates_per_epoch() - 1),
            samples_per_second,
            seconds,
            eta_seconds: seconds * f64::from(recipe.epochs - epoch),
            best,
        };
        self.state.history.push(numbers.clone());
        Ok(numbers)
    }

    /// A measure as a number of which more is better.
    fn merit(&self, value: f64) -> f64 {
        if self.task.name().primary().rises { value } else { -value }
    }

    /// Whether these are the best validation numbers so far: a better first measure, or the same with less loss.
    fn is_better(&self, validation: &Evaluation) -> bool {
        self.state.is_beaten_by(self.merit(validation.primary()), validation.loss)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    pub fn diverged(&self, step: u64, what: &str) -> Error {
        Error::NonFinite { epoch: self.epoch() + 1, step: step + 1, what: what.into() }
    }
}

/// Loss (as it was minimised) and the task's first measure over one epoch, measured while the weights moved.
pub struct Trained {
    pub loss: f64,
    pub primary: f64,
}
