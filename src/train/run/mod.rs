//! The state of one run: what `fit` moves forward, epoch by epoch.

mod announce;
mod comparing;
mod distances;
mod finish;
mod health;
mod measuring;
mod moving;
mod probing;
mod rates;
mod saving;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use super::Training;
use super::checkpoint::State;
use super::embedding::surveyed;
use super::error::{Error, Result};
use super::estimate::check_batch_size;
use super::features::{self, Frozen, Scale};
use super::feed::Feed;
use super::lengths;
use super::model::Model;
use super::model_folder;
use super::optim::{Average, Optimizer};
use super::pairs;
use super::partition::Partition;
use super::places;
use super::progress::ProgressReporter;
use super::schedule::Schedule;
use super::strategy::{self, Plan};
use super::tasks::{self, Contrast, Fitted, Task};
use super::windows;
use super::words::{self, Unseen};
use crate::data::Survey;
use crate::data::modality::Views;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{Evaluation, Held};
use crate::domain::job_event::EpochNumbers;
use crate::domain::recipe::{Norm, Recipe, RecipeError, Strategy};
use crate::nn::architectures;
use announce::Skipped;
use comparing::ProbeAnswers;

pub struct Run<'a> {
    pub training: &'a Training<'a>,
    pub task: Arc<dyn Task>,
    pub partition: Partition,
    pub model: Model,
    pub feed: Feed,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub skipped: Skipped,
    plan: Plan,
    config: ModelConfig,
    /// The usual sides of images whose pixels are answered about.
    window: Option<[u32; 2]>,
    steps_per_epoch: u64,
    pass_steps: u64,
    frozen: Frozen,
    survey: Survey,
    /// Words of the items that the network does not see.
    unseen: [Unseen; 3],
    state: State,
    best: Vec<(String, Tensor)>,
    average: Option<Average>,
    /// The weights while their average stands in their place.
    beneath: Vec<(String, Tensor)>,
    /// As it was found, for checkpoints.
    probe_head: Vec<(String, Tensor)>,
    probe_answers: ProbeAnswers,
    scale: Option<Scale>,
    /// Where nothing learns by descent: what the features gave.
    fitted: Option<Fitted>,
    settled: bool,
    /// Why it ended before its epochs were done, where it diverged.
    broke_off: Option<String>,
    seconds_before: f64,
    began: Instant,
    epoch_began: Instant,
    saved: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Splits the data and loads the model; nothing has learned yet.
    pub fn prepare(training: &'a Training<'a>, reporter: &mut ProgressReporter) -> Result<Run<'a>> {
        let recipe = training.recipe;
        check_modality(training)?;
        let survey = surveyed(training.dataset, training.keep, reporter)?;
        let mut partition = Partition::of(training.dataset, &survey.copies, recipe);
        let task = task_of(training, &partition)?;
        let config = model_folder::config_of_result(training.config, recipe, &*task);
        let mut model = Model::load(training, task.outputs())?;
        let (stages, mut views) = (model.frozen, model.views(training, &config)?);
        let mut plan = planned(&*task, recipe, &model)?;
        if let Some(head) = task.head(model.classifier.head.num_features()) {
            plan = Plan::without_head(recipe, stages)?;
            if task.is_of_pairs() {
                views = pairs::apart(views, training.dataset)?;
            }
            model.classifier.head = head;
            model.learn_above(stages);
        }
        let window = windows::usual_size(&partition.train);
        let unseen = see_parts(training, (&views, &config), &mut partition, reporter)?;
        let lengths = lengths::of(training.dataset, &views, &partition.all(), reporter)?;
        let feed = Feed::new(training.dataset, recipe, views, partition.train.len(), Some(1)).with_lengths(lengths);
        let steps_per_epoch = feed.steps_per_epoch(partition.train.len());
        model.classifier.backbone.settle(); // Until it learns.
        model.classifier.backbone.set_norm_momentum(norm_momentum(steps_per_epoch));
        let state = State::new(saving::identity(training, &model, &feed, &survey.digest));
        Ok(Run {
            best: Vec::new(),
            probe_head: Vec::new(),
            probe_answers: ProbeAnswers::default(),
            average: None,
            beneath: Vec::new(),
            schedule: Schedule::new(recipe.schedule, 1, recipe.warmup),
            optimizer: Optimizer::new(recipe, Vec::new())?,
            plan,
            pass_steps: 0,
            frozen: Frozen::None,
            training,
            task,
            partition,
            window,
            model,
            feed,
            skipped: Skipped::default(),
            config,
            steps_per_epoch,
            survey,
            unseen,
            state,
            scale: None,
            fitted: None,
            settled: false,
            broke_off: None,
            seconds_before: 0.0,
            began: Instant::now(),
            epoch_began: Instant::now(),
            saved: None,
        })
    }

    fn stages(&self) -> usize {
        self.model.classifier.backbone.stages().len()
    }

    /// Sets up what learns, now that the plan is made: the boundary, the optimiser, and what the best epoch has to beat.
    pub fn set_out(&mut self) -> Result<()> {
        let (recipe, stages) = (self.training.recipe, self.stages());
        let lowest = self.plan.lowest(stages);
        self.put_decoder()?;
        self.model.learn_above(lowest);
        if !self.model.is_head_only() {
            self.model.classifier.backbone.unsettle();
        }
        check_batch_size(recipe, self.model.architecture, lowest < stages)?;
        if recipe.norm == Norm::Frozen {
            self.model.classifier.backbone.freeze_norms();
        }
        self.schedule = Schedule::new(recipe.schedule, self.updates_per_epoch() * u64::from(self.plan.epochs()), recipe.warmup);
        self.average = if recipe.ema > 0.0 { Some(Average::new(recipe.ema, self.model.learned())?) } else { None };
        self.best = self.model.snapshot()?;
        if let Some(probed) = &self.state.probe {
            self.state.set_best(f64::from_bits(probed.bits.0), f64::from_bits(probed.bits.1));
        }
        if !self.plan.phases.is_empty() {
            self.feed.take_turns(features::turns(recipe, self.model.is_head_only(), lowest));
            self.enter_phase(self.plan.frozen_after(0, stages))?;
        }
        Ok(())
    }

    /// Puts on the head over maps that is to learn, where one is.
    fn put_decoder(&mut self) -> Result<()> {
        let recipe = self.training.recipe;
        let Some(name) = self.task.decoder(recipe).filter(|_| !self.plan.phases.is_empty()) else { return Ok(()) };
        self.model.put_dense(name, self.task.outputs(), (&self.config, recipe), self.plan.probe)?;
        let Some(head) = self.model.classifier.head.dense() else { return Ok(()) };
        head.set_norm_momentum(norm_momentum(self.steps_per_epoch));
        self.config.set_decoder(Some((head.name(), head.outputs())));
        self.config.set_window(self.window);
        Ok(())
    }

    /// So many stages are frozen from now on; what learned already goes on as it was going.
    fn enter_phase(&mut self, frozen: usize) -> Result<()> {
        let (recipe, (memory, steps)) = (self.training.recipe, self.optimizer.state()?);
        let mut memory: HashMap<String, Tensor> = memory.into_iter().collect();
        self.model.frozen = frozen;
        self.optimizer = Optimizer::new(recipe, self.model.groups(recipe, &*self.task))?;
        let (fresh, _) = self.optimizer.state()?;
        let mut fresh: HashMap<String, Tensor> = fresh.into_iter().collect();
        let carried = self.optimizer.restore(|name| memory.remove(name).or_else(|| fresh.remove(name)), steps);
        carried.map_err(|name| Error::Unsupported(format!("the optimiser lacks `{name}`")))
    }

    /// Sends every view through the frozen stages once, now, and never again, where that pays.
    pub fn pass_frozen_stages(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        if self.plan.phases.is_empty() {
            return Ok(());
        }
        let (training, rest, epochs) = (self.training, self.total_steps(), self.plan.epochs());
        let (phase, lowest) = (self.model.frozen, self.plan.lowest(self.stages()));
        self.model.frozen = lowest;
        let passed =
            features::run_once(training, &mut self.feed, &self.model, (&self.partition, epochs), &self.survey.hashes, rest, reporter);
        self.model.frozen = phase;
        (self.frozen, self.pass_steps) = passed?;
        // A head from the probe is one for the features as they are.
        if lowest == self.stages() && !self.plan.probe && !self.model.is_dense() {
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
        self.pass_steps + if self.plan.phases.is_empty() { 0 } else { self.steps_per_epoch * u64::from(self.plan.epochs()) }
    }

    pub fn is_done(&self) -> bool {
        self.epoch() >= self.plan.epochs() || self.is_out_of_patience()
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.training.recipe.patience;
        // The probe counts as the best before the first epoch.
        let since = self.state.best().map(|(_, since)| since).or_else(|| self.state.probe.as_ref().map(|_| self.epoch()));
        patience > 0 && self.partition.held != Held::Training && since.is_some_and(|since| since >= patience)
    }

    pub fn open_epoch(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        self.epoch_began = Instant::now();
        let frozen = self.plan.frozen_after(self.epoch(), self.stages());
        if frozen != self.model.frozen {
            self.enter_phase(frozen)?;
            reporter.info(format!("from here on {} stages learn", self.stages() - frozen))?;
        }
        reporter.plan(self.pass_steps + self.first_step(), self.total_steps());
        reporter.stage(format!("epoch {} of {}", self.epoch() + 1, self.plan.epochs()), self.total_steps())
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
            epochs: self.plan.epochs(),
            train_loss: trained.loss,
            train_primary: trained.primary,
            val_loss: validation.loss,
            val: validation.values.clone(),
            lr: recipe.head_lr * self.rate_factor() * self.schedule.factor(u64::from(epoch) * self.updates_per_epoch() - 1),
            samples_per_second,
            seconds,
            eta_seconds: seconds * f64::from(self.plan.epochs() - epoch),
            best,
        };
        self.state.history.push(numbers.clone());
        Ok(numbers)
    }

    /// A measure as a number of which more is better.
    fn merit(&self, value: f64) -> f64 {
        if self.task.name().primary().rises { value } else { -value }
    }

    /// Whether these are the best validation numbers so far: a better first measure, or the same with less loss. What `auto` takes
    /// instead of the probe must be better by more than noise.
    fn is_better(&self, validation: &Evaluation) -> bool {
        let merit = self.merit(validation.primary());
        let at_probe = self.state.probe.as_ref().filter(|_| self.state.best().is_none());
        let margin = match at_probe {
            // Of thousands of pixels an image, and from the probe's own answers on, chance moves little.
            Some(probed) if self.training.recipe.strategy == Strategy::Auto && !self.model.is_dense() => {
                strategy::noise(&probed.evaluation)
            }
            _ => 0.0,
        };
        (margin == 0.0 || at_probe.is_some_and(|probed| merit > f64::from_bits(probed.bits.0) + margin))
            && self.state.is_beaten_by(merit, validation.loss)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    pub fn diverged(&self, step: u64, what: &str) -> Error {
        Error::NonFinite { epoch: self.epoch() + 1, step: step + 1, what: what.into() }
    }
}

/// Where words are answered about, targets are those of the words that the network sees; those of the three parts that it does not are
/// counted. Where pixels are, targets are those of the cells that the network answers about.
fn see_parts(
    training: &Training,
    (views, config): (&Arc<dyn Views>, &ModelConfig),
    partition: &mut Partition,
    reporter: &mut ProgressReporter,
) -> Result<[Unseen; 3]> {
    let mut found = [Unseen::default(); 3];
    if views.of_words() {
        for (samples, unseen) in [&mut partition.train, &mut partition.val, &mut partition.test].into_iter().zip(&mut found) {
            (*samples, *unseen) = words::seen(training.dataset, views, samples, reporter)?;
        }
    }
    if config.labels_places() {
        for samples in [&mut partition.train, &mut partition.val, &mut partition.test] {
            *samples = places::seen(training.dataset, config, samples, reporter)?;
        }
    }
    Ok(found)
}

/// What is learned: that of the targets; before a head is found on few items, what they have in common.
fn task_of(training: &Training, partition: &Partition) -> Result<Arc<dyn Task>> {
    let recipe = asked(training)?;
    if recipe.strategy != Strategy::Contrast {
        return Ok(tasks::of_targets(&training.dataset.targets, partition, &recipe)?.into());
    }
    recipe.check_task(training.dataset.targets.task())?;
    let (architecture, pool) = (architectures::get(&training.config.architecture)?, architectures::pool_of(training.config));
    let contrast = Contrast::new(pool.map_err(Error::Unsupported)?.width(architecture.num_features));
    contrast.check(partition)?;
    Ok(Arc::new(contrast))
}

/// The recipe with the task that is usual for the items, where it names none.
fn asked(training: &Training) -> Result<Recipe> {
    let (recipe, task) = (training.recipe, training.dataset.targets.task());
    let pairs = recipe.task.is_none() && task.of_pairs() != task && pairs::are_pairs(training.dataset)?;
    Ok(if pairs { Recipe { task: Some(task.of_pairs()), ..recipe.clone() } } else { recipe.clone() })
}

/// Who learns when. A decoder that learns alone is not solved for, whatever a linear head would be; one that no linear head is found before
/// learns with the stages under it at once.
fn planned(task: &dyn Task, recipe: &Recipe, model: &Model) -> Result<Plan> {
    let decodes = task.decoder(recipe).is_some();
    let convex = !(decodes && recipe.strategy == Strategy::Head) && task.convex(&[], recipe).is_some();
    if recipe.strategy == Strategy::Auto && !convex && decodes {
        return Ok(Plan::from_nothing(recipe));
    }
    Plan::of(recipe, model.frozen, convex, model.architecture.name)
}

/// Batch norm forgets at the pace of an epoch, but not slower than PyTorch's default (SimCLR's rule).
fn norm_momentum(steps_per_epoch: u64) -> f64 {
    (10.0 / steps_per_epoch as f64).min(0.1)
}

/// The recipe was filled up for items of the data set's kind.
fn check_modality(training: &Training) -> Result<()> {
    let (asked, given) = (training.recipe.modality, training.dataset.modality.name());
    if asked == given {
        return Ok(());
    }
    let problem = format!("the recipe's settings are those for {}, and the data set holds {}", asked.items(), given.items());
    Err(RecipeError { setting: "modality", problem }.into())
}

/// Loss (as it was minimised) and the task's first measure over one epoch, measured while the weights moved.
pub struct Trained {
    pub loss: f64,
    pub primary: f64,
}
