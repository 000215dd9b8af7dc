//! What a head is trained to say, a file for each task. `fit` asks the task for the loss, the tally and whether an epoch
//! is better; it knows neither class nor number.
//!
//! To add one: its names, losses and measures in `domain/task.rs`, a file here, a line in [`of_targets`] and in [`answerer`].

mod anomaly;
mod classification;
mod close;
mod contrast;
mod detection;
mod entities;
mod heads;
mod multi_label;
mod ordinal;
mod pixels;
mod regression;
mod segmentation;
mod similarity;
mod sums;
mod tagging;

use std::sync::Arc;

use candle_core::Tensor;

use super::detection::finder;
use super::error::{Error, Result};
use super::partition::Partition;
use super::probe::Part;
use crate::data::image::answered::Overlay;
use crate::data::{Target, Targets};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::Evaluation;
use crate::domain::pixel_config::{DECODER, TASK, WINDOW};
use crate::domain::prediction::Answer;
use crate::domain::recipe::Recipe;
use crate::domain::shot_config::SHOTS;
use crate::domain::task::Task as Name;
use crate::nn::{Cosine, Distance, Head};

pub use anomaly::NEIGHBOURS;
pub use classification::{Classification, argmax, softmax};
pub use contrast::Contrast;
pub use detection::said as boxes_said;
pub use heads::has_heads;
pub use segmentation::upsampled;
pub use tagging::Tagger;

/// How a head learns to answer about the items of one data set.
pub trait Task: Send + Sync {
    fn name(&self) -> Name;

    /// Numbers that the head gives for each item.
    fn outputs(&self) -> usize;

    /// Rows of the outputs that are about an item: one, or one for each of its words.
    fn rows(&self, _target: &Target) -> usize {
        1
    }

    /// The mean loss `()` of `outputs (B, n)`, with a gradient. B are the rows of all targets.
    fn loss(&self, outputs: &Tensor, targets: &[Target], recipe: &Recipe) -> Result<Tensor>;

    /// The mean loss of items that are mixed: `share` of each, and the rest of its partner. Numbers are mixed themselves; of everything
    /// else, whose losses are linear in what is to be said, the two losses are.
    fn mixed_loss(&self, outputs: &Tensor, (own, partners): (&[Target], &[Target]), share: f64, recipe: &Recipe) -> Result<Tensor> {
        let numbers: Option<Vec<Target>> = own.iter().zip(partners).map(|(own, partner)| own.mixed(partner, share)).collect();
        match numbers {
            Some(mixed) => self.loss(outputs, &mixed, recipe),
            None => Ok(((self.loss(outputs, own, recipe)? * share)? + (self.loss(outputs, partners, recipe)? * (1.0 - share))?)?),
        }
    }

    /// A tally of no answers. `settled` says that the outputs are in the units of the data set, see [`Self::units`].
    fn tally(&self, settled: bool) -> Box<dyn Tally + '_>;

    /// Refuses training items that nothing can be learned from.
    fn check(&self, partition: &Partition) -> Result<()>;

    /// What the simplest answer, always the same, reaches on the validation items by the task's first measure.
    fn baseline(&self, partition: &Partition) -> f64;

    /// Writes down in a config what the outputs mean.
    fn configure(&self, config: &mut ModelConfig);

    /// What the head's rate is multiplied by under plain gradient descent, where so many features come in.
    fn head_rate(&self, _features: usize) -> f64 {
        1.0
    }

    /// What a linear head's outputs are to be for these targets, as losses that are convex in it ([`super::probe`]): its optimum on
    /// features that do not change is then found exactly. Of as many rows for each target as [`Self::rows`] says. `None` where the task
    /// has no such losses: its head learns by descent.
    fn convex(&self, _targets: &[Target], _recipe: &Recipe) -> Option<Vec<Part>> {
        None
    }

    /// How much each of these items counts in the loss; all alike where it is empty.
    fn item_weights(&self, _targets: &[Target], _recipe: &Recipe) -> Vec<f32> {
        Vec::new()
    }

    /// The answer as a target, and how sure it is; `None` where answers have no probability.
    fn sure(&self, _row: &[f32]) -> Option<(Target, f32)> {
        None
    }

    /// How one answer is told and how good it is; `row` is what the published head gives for the item, in the units of the data set.
    /// `None` where answers cannot be told one by one.
    fn told(&self, _row: &[f32], _target: &Target) -> Option<Told> {
        None
    }

    /// What is true of an item's places and what the row says of them, to be drawn over it; `None` where something is said about the item.
    fn drawn(&self, _row: &[f32], _target: &Target) -> Option<[Overlay; 2]> {
        None
    }

    /// Whether the first measure follows from the mean of the scores that [`Self::told`] has of each item. Otherwise only all answers
    /// together can be measured.
    fn scores_items(&self) -> bool {
        true
    }

    /// What a head would give that always answers the same, as simply as that can be done: see [`Self::baseline`].
    fn simplest(&self, _partition: &Partition) -> Option<Vec<f32>> {
        None
    }

    /// The first measure of such rows about such items as it follows from how often each item counts, for measures that take all answers together
    /// and would have to look at all rows anew for each draw of the items; `None` of others.
    fn weighed(&self, _rows: &[&[f32]], _targets: &[&Target]) -> Option<Weighed> {
        None
    }

    /// The head over features of this width, where it is none that learns and what is under it does.
    fn head(&self, _width: usize) -> Option<Head> {
        None
    }

    /// The head over maps that is to learn in the place of a linear one, by its name among [`crate::nn::heads::dense`]; `None` where a linear
    /// one does.
    fn decoder(&self, _recipe: &Recipe) -> Option<&'static str> {
        None
    }

    /// Whether an item is two, each with features of its own.
    fn is_of_pairs(&self) -> bool {
        false
    }

    /// What each output is multiplied by and what is then added to have it in the units of the data set, where the head
    /// learns in others.
    fn units(&self) -> Option<Vec<(f64, f64)>> {
        None
    }

    /// The same with what was chosen on the validation items, for the test split and for the config; `None` where nothing is.
    fn calibrated(&self, _validation: &Evaluation) -> Option<Arc<dyn Task>> {
        None
    }

    /// Where nothing is learned by descent: the head that the features (rows of `width`) of the items trained on give as they are,
    /// and what is set by good items that were held out, if any were.
    fn fitted(&self, _width: usize, _train: &[f32], _held_out: &[f32]) -> Result<Option<Fitted>> {
        Ok(None)
    }

    /// The same with what the config of a published model says was set; `None` where nothing is.
    fn published(&self, _config: &ModelConfig) -> Option<Arc<dyn Task>> {
        None
    }
}

/// A measure by the weights of the items that it was made of.
pub type Weighed = Box<dyn Fn(&[f32]) -> f64>;

/// What features gave as they are.
pub struct Fitted {
    pub head: Distance,
    /// The task with its threshold.
    pub task: Arc<dyn Task>,
    pub threshold: f32,
    /// Items that it was set by.
    pub samples: usize,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// More is better: of classes 1 for a right answer and 0 for a wrong one, of ranks and numbers the (squared) distance below zero.
    pub score: f64,
    pub loss: f64,
    pub answer: String,
    /// The probability of a class that was answered.
    pub confidence: Option<f64>,
    /// Whether it is wholly right, where answers are right or wrong.
    pub right: Option<bool>,
    /// The output that should have been the largest, where one class is answered.
    pub truth: Option<u32>,
}

/// Collects answers batch by batch.
pub trait Tally {
    /// Adds a batch: `outputs` is `(targets.len(), n)` row by row, or has as many rows for each target as [`Task::rows`] says.
    fn add(&mut self, outputs: &[f32], targets: &[Target]);

    fn samples(&self) -> u64;

    fn loss(&self) -> f64;

    /// The task's first measure.
    fn primary(&self) -> f64;

    /// How good the answers are as a number of which 1 is the best, to be put beside that of other tasks.
    fn score(&self) -> f64 {
        self.primary()
    }

    fn finish(self: Box<Self>) -> Evaluation;
}

/// The task that a data set's targets are for, with what its training items say of them.
///
/// # Errors
/// Those of [`Task::check`], and a recipe that asks for what does not belong to the task.
pub fn of_targets(targets: &Targets, partition: &Partition, recipe: &Recipe) -> Result<Box<dyn Task>> {
    let task: Box<dyn Task> = match (recipe.check_task(targets.task())?, targets) {
        (Name::Ordinal, Targets::Classes(classes)) => Box::new(ordinal::Ordinal::of_classes(classes)?),
        (Name::Similarity, _) => {
            let task = similarity::Similarity::new(&partition.train, recipe);
            Box::new(if targets.are_partners() { task.of_partners(recipe) } else { task })
        }
        (_, Targets::Heads(heads)) => Box::new(heads::Heads::new(heads, partition)?),
        _ => alone(targets, partition, recipe)?,
    };
    task.check(partition)?;
    Ok(task)
}

/// Refuses what can be told from a data set's classes before its items are read: classes that tell no order, where ranks are asked for.
///
/// # Errors
/// What to do about it.
pub fn check_classes(task: Name, targets: Name, classes: &[String]) -> Result<()> {
    match (task, targets) {
        (Name::Ordinal, Name::Classification) => ordinal::Ordinal::of_classes(classes).map(drop),
        _ => Ok(()),
    }
}

/// The task of targets that stand alone, or for one head of several.
fn alone(targets: &Targets, partition: &Partition, recipe: &Recipe) -> Result<Box<dyn Task>> {
    Ok(match targets {
        Targets::Classes(classes) => Box::new(Classification::counted(classes, &partition.train)),
        Targets::Ranks(names) => Box::new(ordinal::Ordinal::of_ranks(names)),
        Targets::Anomalies(names) => Box::new(anomaly::Anomaly::new(names, recipe)),
        Targets::Labels(names) => Box::new(multi_label::MultiLabel::new(names)),
        Targets::Values(names) => Box::new(regression::Regression::new(names, &partition.train)),
        Targets::Tags(names) => Box::new(tagging::Tagging::new(names)),
        Targets::Heads(_) => return Err(nothing("a head cannot hold heads; name each column once")),
        Targets::Masks(names) => Box::new(segmentation::Segmentation::new(names, &partition.train)),
        Targets::Objects(names) => Box::new(detection::Detection::new(names, recipe.decoder_of(targets.task()))),
    })
}

/// Writes down in a config that no class has an output of its own.
fn without_classes(config: &mut ModelConfig) {
    config.problem_type = None;
    config.num_classes = Some(0);
    config.pretrained_cfg.num_classes = Some(0);
    config.label_names = None;
}

/// Says what a row of a head's outputs means; of classes the so many likeliest.
pub type Answerer = Box<dyn Fn(&[f32], usize) -> Answer + Send + Sync>;

/// What the head of a published model was trained for.
pub fn of_model(config: &ModelConfig) -> Name {
    if config.tags_words() {
        return Name::TokenClassification;
    }
    let told = config.extra.get(TASK).and_then(serde_json::Value::as_str).and_then(Name::parse);
    told.unwrap_or_else(|| Name::of_problem_type(config.problem_type.as_deref()))
}

/// How the outputs of a published model are said: from its `config.json` and the rows of its head.
pub fn answerer(config: &ModelConfig, outputs: usize) -> Answerer {
    if let Some(settings) = config.shots().filter(|_| outputs == 0) {
        return Box::new(move |_row, _top| super::shots::none(settings));
    }
    match of_model(config) {
        Name::Classification | Name::Ordinal => classification::answerer(config, outputs),
        Name::Regression | Name::MultiRegression => regression::answerer(config, outputs),
        Name::MultiLabel => multi_label::answerer(config, outputs),
        Name::MultiTask => heads::answerer(config, outputs),
        Name::Anomaly => anomaly::answerer(config),
        Name::Similarity => similarity::answerer(),
        Name::TokenClassification => tagging::answerer(),
        Name::SemanticSegmentation => segmentation::answerer(config, outputs),
        Name::ObjectDetection => detection::answerer(),
    }
}

/// Classes that so many outputs of a published model are about.
pub fn classes_of(config: &ModelConfig, outputs: usize) -> usize {
    if of_model(config) == Name::ObjectDetection {
        outputs.saturating_sub(finder(config.decoder().map(|(name, _)| name)).beside())
    } else {
        outputs
    }
}

/// The head of a published model that has no tensors for one, where its task needs none.
pub fn bare_head(config: &ModelConfig, width: usize) -> Option<Head> {
    (of_model(config) == Name::Similarity).then_some(Head::Cosine(Cosine { width, crosses: false }))
}

/// The likeliest of some classes, by a classifier's outputs.
pub fn of_classes(row: &[f32], names: &[String], top: usize) -> Answer {
    Answer::Classes(classification::likeliest(row, names, top))
}

/// Keys of a config that say what a head's outputs mean: those of a base are not its result's.
pub const MEANINGS: [&str; 6] = [TASK, DECODER, WINDOW, SHOTS, anomaly::SETTINGS, multi_label::THRESHOLDS];

/// The names of the outputs in a config; numbers where it has none, or others than there are.
fn labels_of(config: &ModelConfig, outputs: usize) -> Vec<String> {
    let labels = config.label_names.clone().filter(|names| names.len() == outputs);
    labels.unwrap_or_else(|| (0..outputs).map(|row| format!("class {row}")).collect())
}

/// The words for a data set that has nothing to train on.
fn nothing(what: impl Into<String>) -> Error {
    Error::NothingToLearn(what.into())
}
