//! The state of one run: what `fit` moves forward, epoch by epoch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use sha2::{Digest as _, Sha256};

use super::Task;
use super::checkpoint::{self, Checkpoint, State};
use super::error::{Error, Result};
use super::event::{EpochNumbers, Teller};
use super::features::Scale;
use super::feed::Feed;
use super::fit::Trained;
use super::frozen::{self, Frozen};
use super::metrics::Evaluation;
use super::model::Model;
use super::optim::Optimizer;
use super::report::{self, Report, Stopped};
use super::schedule::Schedule;
use super::split::{Held, Split};
use crate::domain::config::ModelConfig;
use crate::domain::digest::Digest;
use crate::domain::recipe::Strategy;
use crate::nn::device;

/// Epochs on cached features take milliseconds; each need not be saved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// Unreadable files named in the log; the rest are only counted.
const NAMED: usize = 20;

pub struct Run<'a> {
    pub task: &'a Task<'a>,
    pub split: Split,
    pub model: Model,
    pub feed: Feed,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub skipped: Skipped,
    config: ModelConfig,
    steps_per_epoch: u64,
    pass_steps: u64,
    frozen: Frozen,
    dataset_digest: String,
    state: State,
    best: Vec<(String, Tensor)>,
    scale: Option<Scale>,
    seconds_before: f64,
    began: Instant,
    epoch_began: Instant,
    saved: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Splits the data, loads the model, sets up the optimiser; nothing has learned yet.
    pub fn prepare(task: &'a Task<'a>) -> Result<Run<'a>> {
        let recipe = task.recipe;
        let config = report::config_of_result(task.config, recipe, &task.dataset.classes);
        let split = Split::of(task.dataset, recipe)?;
        let model = Model::load(task, task.dataset.classes.len())?;
        let turns = frozen::turns(recipe, model.frozen);
        let feed = Feed::new(task.dataset, recipe, &config.preprocessing(), split.train.len(), turns);
        let optimizer = Optimizer::new(recipe.optimizer, model.groups(recipe))?;
        let steps_per_epoch = feed.steps_per_epoch(split.train.len());
        // Batch norm forgets at the pace of an epoch, but not slower than PyTorch's default (SimCLR's rule).
        model.classifier.backbone.set_norm_momentum((10.0 / steps_per_epoch as f64).min(0.1));
        let dataset_digest = task.dataset.digest()?;
        let state = State::new(identity(task, &model, &config, &dataset_digest));
        Ok(Run {
            best: model.snapshot()?,
            schedule: Schedule::new(steps_per_epoch * u64::from(recipe.epochs), recipe.warmup),
            pass_steps: 0,
            frozen: Frozen::None,
            task,
            split,
            model,
            feed,
            optimizer,
            skipped: Skipped::default(),
            config,
            steps_per_epoch,
            dataset_digest,
            state,
            scale: None,
            seconds_before: 0.0,
            began: Instant::now(),
            epoch_began: Instant::now(),
            saved: None,
        })
    }

    /// Tells what the run will do, and what a person should know before believing its numbers.
    pub fn announce(&self, teller: &mut Teller) -> Result<()> {
        let (split, recipe) = (&self.split, self.task.recipe);
        let from = if recipe.from_scratch { "random weights" } else { "the base's weights" };
        let what = match recipe.strategy {
            Strategy::Head => "the head on the backbone's features".to_owned(),
            Strategy::Full => format!("the head and {} stages", self.model.classifier.backbone.stages().len() - self.model.frozen),
        };
        let (train, val, classes) = (split.train.len(), split.val.len(), self.classes());
        let name = self.model.architecture.name;
        teller.info(format!("{name} from {from}: training {what} on {train} images of {classes} classes, measuring on {val}"))?;
        if !self.task.device.is_cpu() {
            teller.info(format!("on {}", device::describe(self.task.device)))?;
        }
        if split.held == Held::Training {
            teller.warn("under 10 training images per class: none are held out, so the numbers flatter; try several seeds")?;
        }
        for warning in &self.task.dataset.warnings {
            teller.warn(warning.clone())?;
        }
        Ok(())
    }

    /// Takes up a checkpoint of this very run.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let mut checkpoint = Checkpoint::load(path, &self.state.run, self.task.device)?;
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
    pub fn choose_precision(&self, teller: &mut Teller) -> Result<()> {
        let learns = self.task.recipe.strategy == Strategy::Full;
        let asked = self.task.recipe.precision;
        match self.model.classifier.backbone.set_precision(asked) {
            Err(reason) if learns => teller.warn(format!("products in f32 instead of bf16: {reason}")),
            _ => Ok(()),
        }
    }

    /// Sends every view through the frozen stages once, now, and never again, where that pays.
    pub fn pass_frozen_stages(&mut self, teller: &mut Teller) -> Result<()> {
        let (task, epochs) = (self.task, self.task.recipe.epochs);
        let rest = self.total_steps();
        (self.frozen, self.pass_steps) =
            frozen::run_once(task, &mut self.feed, &self.model, &self.split, &self.dataset_digest, rest, teller)?;
        if task.recipe.strategy == Strategy::Head {
            let shown = self.feed.views_shown(&self.split.train, epochs);
            self.scale = self.feed.standardise(&shown);
        }
        Ok(())
    }

    pub fn classes(&self) -> usize {
        self.task.dataset.classes.len()
    }

    pub fn names(&self) -> &'a [String] {
        &self.task.dataset.classes
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
        self.pass_steps + self.steps_per_epoch * u64::from(self.task.recipe.epochs)
    }

    pub fn is_done(&self) -> bool {
        self.epoch() >= self.task.recipe.epochs || self.is_out_of_patience()
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.task.recipe.patience;
        patience > 0 && self.split.held != Held::Training && self.state.best().is_some_and(|(_, since)| since >= patience)
    }

    pub fn open_epoch(&mut self, teller: &mut Teller) -> Result<()> {
        self.epoch_began = Instant::now();
        teller.plan(self.pass_steps + self.first_step(), self.total_steps());
        teller.stage(format!("epoch {} of {}", self.epoch() + 1, self.task.recipe.epochs), self.total_steps())
    }

    /// Judges an epoch and keeps its weights if they are the best so far.
    pub fn close_epoch(&mut self, trained: &Trained, validation: &Evaluation, images_per_second: f64) -> Result<EpochNumbers> {
        let (recipe, epoch) = (self.task.recipe, self.epoch() + 1);
        if let Some(name) = self.model.first_not_finite()? {
            return Err(self.diverged(self.first_step() + self.steps_per_epoch, &format!("the weight `{name}`")));
        }
        // With nothing held out there is nothing to choose by: the last epoch is taken.
        let best = self.split.held == Held::Training || self.state.is_beaten_by(validation.top1, validation.loss);
        if best {
            self.best = self.model.snapshot()?;
            self.state.set_best(validation.top1, validation.loss);
        }
        let seconds = self.epoch_began.elapsed().as_secs_f64();
        let numbers = EpochNumbers {
            epoch,
            epochs: recipe.epochs,
            train_loss: trained.loss,
            train_top1: trained.top1,
            val_loss: validation.loss,
            val_top1: validation.top1,
            val_top5: validation.top5,
            macro_f1: validation.macro_f1,
            lr: recipe.head_lr * self.schedule.factor(u64::from(epoch) * self.steps_per_epoch - 1),
            images_per_second,
            seconds,
            eta_seconds: seconds * f64::from(recipe.epochs - epoch),
            best,
        };
        self.state.history.push(numbers.clone());
        Ok(numbers)
    }

    pub fn is_checkpoint_due(&self) -> bool {
        self.task.recipe.strategy == Strategy::Full || self.saved.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY)
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
        checkpoint::save(self.task.scratch, &self.state, &tensors)
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
        match self.model.first_not_finite()? {
            Some(name) => Err(self.diverged(self.first_step(), &format!("the weight `{name}`"))),
            None => Ok(()),
        }
    }

    pub fn into_report(self, validation: Evaluation, test: Option<Evaluation>) -> Result<Report> {
        let weights = self.model.classifier.weights();
        let stopped = if self.epoch() < self.task.recipe.epochs { Stopped::Early } else { Stopped::Finished };
        Ok(Report {
            best_epoch: self.state.best().map_or(0, |(epoch, _)| epoch.epoch),
            majority_top1: self.split.majority_top1(),
            validation,
            validated_on: self.split.held,
            test,
            digest: Digest::from_bytes(weights.digest()?),
            weights,
            seconds: self.seconds(),
            config: self.config,
            recipe: self.task.recipe.clone(),
            frozen: self.frozen,
            train_images: self.split.train.len(),
            dataset_digest: self.dataset_digest,
            stopped,
            skipped: self.skipped.paths.into_iter().collect(),
            epochs: self.state.history,
        })
    }
}

/// Images that could not be decoded: each is told once.
#[derive(Default)]
pub struct Skipped {
    paths: BTreeSet<String>,
}

impl Skipped {
    pub fn note(&mut self, found: &[String], teller: &mut Teller) -> Result<()> {
        for path in found {
            if self.paths.insert(path.clone()) && self.paths.len() <= NAMED {
                teller.warn(format!("passed over an image that cannot be read: {path}"))?;
            }
        }
        Ok(())
    }
}

/// Names a run by everything that decides it, so that a checkpoint of another one is not taken up.
fn identity(task: &Task, model: &Model, config: &ModelConfig, dataset_digest: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}\n{:?}\n{}\n{:?}\n", task.recipe, config.preprocessing(), model.architecture.name, task.dataset.classes));
    hash.update(model.base_digest);
    hash.update(dataset_digest);
    hex::encode(hash.finalize())
}
