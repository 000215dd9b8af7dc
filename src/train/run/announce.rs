//! What a run tells a person before it learns, and what it could not read.

use std::collections::BTreeSet;

use super::Run;
use crate::data::Dataset;
use crate::domain::evaluation::Held;
use crate::domain::human;
use crate::nn::device;
use crate::train::error::Result;
use crate::train::progress::ProgressReporter;

/// Unreadable files named in the log; the rest are only counted.
const NAMED: usize = 20;

impl Run<'_> {
    /// Tells what the run will do, and what a person should know before believing its numbers.
    pub fn announce(&self, reporter: &mut ProgressReporter) -> Result<()> {
        let (partition, recipe) = (&self.partition, self.training.recipe);
        let from = if recipe.is_from_scratch() { "random weights" } else { "the base's weights" };
        let what = self.learning();
        let (train, val, name) = (partition.train.len(), partition.val.len(), self.model.architecture.name);
        let items = describe(self.training.dataset, train);
        reporter.info(format!("{name} from {from}: training {what} on {items}, measuring on {val}"))?;
        if !self.training.device.is_cpu() {
            reporter.info(format!("on {}", device::describe(self.training.device)))?;
        }
        if partition.held == Held::Training {
            let what = recipe.modality.items();
            reporter.warn(format!("under 10 training {what} per class: none are held out, so the numbers flatter; try several seeds"))?;
        }
        let what = self.training.dataset.modality.name().items();
        for leak in &partition.leaks {
            reporter.warn(format!("{}: the measures on them flatter", leak.sentence(what)))?;
        }
        let copies = self.survey.copies.tell(&partition.train);
        if copies.equal + copies.near > 0 && partition.held == Held::HeldOut {
            let (count, near) = (copies.equal + copies.near, copies.near);
            reporter.info(format!(
                "copies of others among the training {what}: {count} ({near} near-copies); copies were kept together when {what} were held out"
            ))?;
        }
        for (unseen, split) in self.unseen.iter().zip(["train", "validation", "test"]) {
            for sentence in unseen.sentences() {
                reporter.warn(format!("{split}: {sentence}"))?;
            }
        }
        for finding in self.findings() {
            reporter.warn(finding)?;
        }
        for warning in &self.training.dataset.warnings {
            reporter.warn(warning.clone())?;
        }
        Ok(())
    }

    /// The recipe's, where this machine has it; f32 always works.
    pub fn choose_precision(&self, reporter: &mut ProgressReporter) -> Result<()> {
        let learns = !self.model.is_head_only();
        let asked = self.training.recipe.precision;
        if let Some(head) = self.model.classifier.head.dense() {
            // The backbone says it where it cannot be had.
            let _ = head.set_precision(asked);
        }
        match self.model.classifier.backbone.set_precision(asked) {
            Err(reason) if learns => reporter.warn(format!("products in f32 instead of bf16: {reason}")),
            _ => Ok(()),
        }
    }
}

/// Images that could not be decoded: each is told once.
#[derive(Default)]
pub struct Skipped {
    pub(super) paths: BTreeSet<String>,
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

/// What so many items of a data set are: `120 images of 3 classes`.
pub(super) fn describe(dataset: &Dataset, count: usize) -> String {
    let (count, name) = (count as u64, dataset.modality.name());
    match dataset.classes().len() {
        _ if dataset.targets.task().about().good_only => human::plural(count, &format!("good {}", name.item())),
        0 => human::plural(count, name.item()),
        classes => format!("{} of {}", human::plural(count, name.item()), human::plural(classes as u64, "class")),
    }
}
