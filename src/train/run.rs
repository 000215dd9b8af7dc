//! The state of one run: what `fit` moves forward, epoch by epoch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use sha2::{Digest as _, Sha256};

use super::Training;
use super::checkpoint::{self, Checkpoint, State};
use super::embedding::surveyed;
use super::error::{Error, Result};
use super::features::{self, Frozen, Scale};
use super::feed::Feed;
use super::model::Model;
use super::model_folder;
use super::optim::Optimizer;
use super::partition::Partition;
use super::progress::ProgressReporter;
use super::report::Report;
use super::schedule::Schedule;
use super::tasks::{self, Task};
use crate::data::{Dataset, Survey};
use crate::domain::config::ModelConfig;
use crate::domain::digest::Digest;
use crate::domain::evaluation::{Evaluation, Held, Outcome, Stopped};
use crate::domain::job_event::EpochNumbers;
use crate::domain::recipe::Strategy;
use crate::nn::device;

/// Epochs on cached features take milliseconds; each need not be saved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// Unreadable files named in the log; the rest are only counted.
const NAMED: usize = 20;

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
        let optimizer = Optimizer::new(recipe.optimizer, model.groups(recipe, &*task))?;
        let steps_per_epoch = feed.steps_per_epoch(partition.train.len());
        // Batch norm forgets at the pace of an epoch, but not slower than PyTorch's default (SimCLR's rule).
        model.classifier.backbone.set_norm_momentum((10.0 / steps_per_epoch as f64).min(0.1));
        let state = State::new(identity(training, &model, &feed, &survey.digest));
        Ok(Run {
            best: model.snapshot()?,
            schedule: Schedule::new(steps_per_epoch * u64::from(recipe.epochs), recipe.warmup),
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

    /// Tells what the run will do, and what a person should know before believing its numbers.
    pub fn announce(&self, reporter: &mut ProgressReporter) -> Result<()> {
        let (partition, recipe) = (&self.partition, self.training.recipe);
        let from = if recipe.from_scratch { "random weights" } else { "the base's weights" };
        let what = match recipe.strategy {
            Strategy::Head => "the head on the backbone's features".to_owned(),
            Strategy::Full => format!("the head and {} stages", self.model.classifier.backbone.stages().len() - self.model.frozen),
        };
        let (train, val, name) = (partition.train.len(), partition.val.len(), self.model.architecture.name);
        let items = describe(self.training.dataset, train);
        reporter.info(format!("{name} from {from}: training {what} on {items}, measuring on {val}"))?;
        if !self.training.device.is_cpu() {
            reporter.info(format!("on {}", device::describe(self.training.device)))?;
        }
        if partition.held == Held::Training {
            reporter.warn("under 10 training images per class: none are held out, so the numbers flatter; try several seeds")?;
        }
        let what = self.training.dataset.modality.name().items();
        for leak in &partition.leaks {
            reporter.warn(format!("{}: the measures on them flatter", leak.sentence(what)))?;
        }
        let copies = self.survey.copies.tell(&partition.train);
        if copies.equal + copies.near > 0 && partition.held == Held::HeldOut {
            let (count, near) = (copies.equal + copies.near, copies.near);
            reporter.info(format!(
                "{count} training {what} are copies of others ({near} near-copies); copies were kept together when {what} were held out"
            ))?;
        }
        if copies.relabelled > 0 {
            reporter.warn(format!(
                "{} training {what} are copies of one with another label: one of the two labels is wrong",
                copies.relabelled
            ))?;
        }
        for warning in &self.training.dataset.warnings {
            reporter.warn(warning.clone())?;
        }
        Ok(())
    }

    /// Takes up a checkpoint of this very run.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let mut checkpoint = Checkpoint::load(path, &self.state.run, self.training.device)?;
        let steps = checkpoint.state.optimizer_steps;
        let restored = self
            .model
            .restore(|name| checkpoint.take(&format!("now.{name}")))
            .and_then(|()| self.optimizer.restore(|name| checkpoint.take(&format!("optimizer.{name}")), steps));
        restored.map_err(|name| checkpoint.lacks(&name))?;
        for (name, tensor) in &mut self.best {
            *tensor = checkpoint.take(&format!("best.{name}")).ok_or_else(|| checkpoint.lacks(name))?;
        }
        self.state = checkpoint.state;
        self.seconds_before = self.state.seconds;
        self.skipped.paths.extend(self.state.skipped.iter().cloned());
        Ok(())
    }

    /// The recipe's, where this machine has it; f32 always works.
    pub fn choose_precision(&self, reporter: &mut ProgressReporter) -> Result<()> {
        let learns = self.training.recipe.strategy == Strategy::Full;
        let asked = self.training.recipe.precision;
        match self.model.classifier.backbone.set_precision(asked) {
            Err(reason) if learns => reporter.warn(format!("products in f32 instead of bf16: {reason}")),
            _ => Ok(()),
        }
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
            lr: recipe.head_lr * self.schedule.factor(u64::from(epoch) * self.steps_per_epoch - 1),
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

    pub fn is_checkpoint_due(&self) -> bool {
        self.training.recipe.strategy == Strategy::Full || self.saved.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY)
    }

    pub fn save_checkpoint(&mut self) -> Result<PathBuf> {
        let (memory, steps) = self.optimizer.state()?;
        self.state.optimizer_steps = steps;
        self.state.seconds = self.seconds();
        self.state.skipped = self.skipped.paths.iter().cloned().collect();
        let prefixed = |prefix: &'static str, list: Vec<(String, Tensor)>| list.into_iter().map(move |(n, t)| (format!("{prefix}.{n}"), t));
        let now = prefixed("now", self.model.snapshot()?);
        let tensors: Vec<_> = now.chain(prefixed("best", self.best.clone())).chain(prefixed("optimizer", memory)).collect();
        self.saved = Some(Instant::now());
        checkpoint::save(self.training.scratch, &self.state, &tensors)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    pub fn diverged(&self, step: u64, what: &str) -> Error {
        Error::NonFinite { epoch: self.epoch() + 1, step: step + 1, what: what.into() }
    }

    /// Puts the best epoch's weights back, in the form they are published in.
    pub fn settle_on_best(&mut self) -> Result<()> {
        let mut best: HashMap<String, Tensor> = std::mem::take(&mut self.best).into_iter().collect();
        self.model.restore(|name| best.remove(name)).map_err(|name| Error::Unsupported(format!("the best weights lack `{name}`")))?;
        if let Some(scale) = self.scale.take() {
            self.model.fold(&scale)?;
            self.feed.unscaled();
        }
        if let Some((factor, shift)) = self.task.units() {
            self.model.fold_outputs(factor, shift)?;
        }
        self.settled = true;
        match self.model.first_not_finite()? {
            Some(name) => Err(self.diverged(self.first_step(), &format!("the weight `{name}`"))),
            None => Ok(()),
        }
    }

    /// Whether the head answers as it will be published: in the units of the data set.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    pub fn into_report(self, validation: Evaluation, test: Option<Evaluation>) -> Result<Report> {
        let weights = self.model.classifier.weights();
        let copies = self.survey.copies.tell(&self.partition.train);
        let stopped = if self.epoch() < self.training.recipe.epochs { Stopped::Early } else { Stopped::Finished };
        let outcome = Outcome {
            best_epoch: self.state.best().map_or(0, |(epoch, _)| epoch.epoch),
            stopped,
            seconds: self.seconds(),
            baseline: self.task.baseline(&self.partition),
            validated_on: self.partition.held,
            validation,
            test,
            leaks: self.partition.leaks.clone(),
        };
        Ok(Report {
            outcome,
            digest: Digest::from_bytes(weights.digest()?),
            weights,
            config: self.config,
            recipe: self.training.recipe.clone(),
            frozen: self.frozen,
            modality: self.training.dataset.modality.name(),
            trained_on: describe(self.training.dataset, self.partition.train.len()),
            train_samples: self.partition.train.len(),
            copies: copies.equal + copies.near,
            dataset_digest: self.survey.digest,
            skipped: self.skipped.paths.into_iter().collect(),
            epochs: self.state.history,
        })
    }
}

/// What so many items of a data set are: `120 images of 3 classes`.
fn describe(dataset: &Dataset, count: usize) -> String {
    let items = dataset.modality.name().items();
    match dataset.classes().len() {
        0 => format!("{count} {items}"),
        classes => format!("{count} {items} of {classes} classes"),
    }
}

/// Loss (as it was minimised) and the task's first measure over one epoch, measured while the weights moved.
pub struct Trained {
    pub loss: f64,
    pub primary: f64,
}

/// Images that could not be decoded: each is told once.
#[derive(Default)]
pub struct Skipped {
    paths: BTreeSet<String>,
}

impl Skipped {
    pub fn note(&mut self, found: &[String], reporter: &mut ProgressReporter) -> Result<()> {
        for path in found {
            if self.paths.insert(path.clone()) && self.paths.len() <= NAMED {
                reporter.warn(format!("passed over an image that cannot be read: {path}"))?;
            }
        }
        Ok(())
    }
}

/// Names a run by everything that decides it, so that a checkpoint of another one is not taken up.
fn identity(training: &Training, model: &Model, feed: &Feed, dataset_digest: &str) -> String {
    let (views, name, targets) = (feed.options().views.key(), model.architecture.name, &training.dataset.targets);
    let mut hash = Sha256::new();
    hash.update(format!("{:?}\n{views}\n{name}\n{targets:?}\n", training.recipe));
    hash.update(model.base_digest);
    hash.update(dataset_digest);
    hex::encode(hash.finalize())
}
