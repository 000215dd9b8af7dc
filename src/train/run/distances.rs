//! A run in which nothing learns by descent: the features of the items trained on are the head, as they are.

use super::Run;
use crate::data::Sample;
use crate::domain::evaluation::Held;
use crate::domain::job_event::EpochNumbers;
use crate::nn::Head;
use crate::train::error::Result;
use crate::train::features;
use crate::train::feed::Feed;
use crate::train::progress::ProgressReporter;
use crate::train::strategy::Plan;
use crate::train::tasks::Fitted;

impl Run<'_> {
    /// Makes the head of the features of the plain views, and sets its threshold by what was held out.
    pub(super) fn fit_distances(&mut self, reporter: &mut ProgressReporter) -> Result<()> {
        self.plan = Plan { probe: false, phases: Vec::new() };
        let mut feed = self.feed.clone();
        feed.take_turns(Some(1));
        let (rest, hashes) = (self.total_steps(), &self.survey.hashes);
        (self.frozen, self.pass_steps) =
            features::run_once(self.training, &mut feed, &self.model, (&self.partition, 1), hashes, rest, reporter)?;
        reporter.stage("measuring distances", 0)?;
        let width = self.model.classifier.head.num_features();
        let train = rows(&feed, &self.partition.train);
        let held: &[Sample] = if self.partition.held == Held::Training { &[] } else { &self.partition.val };
        let good: Vec<Sample> = held.iter().filter(|sample| sample.target.class() == Some(0)).cloned().collect();
        let Some(fitted) = self.task.fitted(width, &train, &rows(&feed, &good))? else { return Ok(()) };
        self.model.classifier.head = Head::Distance(fitted.head.clone());
        // The linear head that stood there is no part of what is published.
        let stages = self.stages();
        self.model.learn_above(stages);
        self.task = fitted.task.clone();
        self.task.configure(&mut self.config);
        self.feed = feed;
        reporter.info(format!(
            "{} good items are known; the threshold {:.4} lets {} of good ones pass, by {} of them",
            fitted.head.items(),
            fitted.threshold,
            crate::domain::human::percent(1.0 - self.training.recipe.false_alarms),
            fitted.samples
        ))?;
        self.fitted = Some(fitted);
        Ok(())
    }

    pub fn fitted(&self) -> Option<&Fitted> {
        self.fitted.as_ref()
    }

    /// The one epoch of such a run.
    pub fn epoch_of_distances(&mut self, reporter: &mut ProgressReporter) -> Result<Option<EpochNumbers>> {
        if self.fitted.is_none() || self.epoch() > 0 {
            return Ok(None);
        }
        let val = self.partition.val.clone();
        let validation = self.evaluate(&val, reporter)?;
        let seconds = self.began.elapsed().as_secs_f64();
        let numbers = EpochNumbers {
            task: self.task.name(),
            epoch: 1,
            epochs: 1,
            train_loss: validation.loss,
            train_primary: f64::NAN,
            val_loss: validation.loss,
            val: validation.values,
            lr: 0.0,
            samples_per_second: self.partition.train.len() as f64 / seconds.max(1e-6),
            seconds,
            eta_seconds: 0.0,
            best: true,
        };
        self.state.history.push(numbers.clone());
        Ok(Some(numbers))
    }
}

/// The features of those that could be read.
fn rows(feed: &Feed, samples: &[Sample]) -> Vec<f32> {
    let mut rows = Vec::new();
    for sample in samples {
        feed.feature(sample.id, &mut rows);
    }
    rows
}
