//! The end of a run: the best weights in the form they are published in, and the report.

use std::collections::HashMap;

use candle_core::{Tensor, Var};

use super::Run;
use super::announce::describe;
use crate::domain::digest::Digest;
use crate::domain::evaluation::{Evaluation, Outcome, Stopped};
use crate::domain::job_event::EpochNumbers;
use crate::nn::Weights;
use crate::train::error::{Error, Result};
use crate::train::judge::Judged;
use crate::train::progress::ProgressReporter;
use crate::train::report::Report;
use crate::train::rounds::Rounds;

impl Run<'_> {
    /// Ends a run that diverged at the best it has, the probe if nothing better came, and says so there and in the report.
    pub fn stop_at_best(&mut self, error: &Error, reporter: &mut ProgressReporter) -> Result<()> {
        let best = self.state.best().map_or("the probe".to_owned(), |(epoch, _)| format!("epoch {}", epoch.epoch));
        let sentence = format!("{error}. The result is {best}, the best before that.");
        reporter.warn(sentence.as_str())?;
        self.beneath.clear();
        self.broke_off = Some(sentence);
        Ok(())
    }

    /// Puts the best epoch's weights back, in the form they are published in.
    pub fn settle_on_best(&mut self) -> Result<()> {
        let best = std::mem::take(&mut self.best);
        self.put(best)?;
        self.model.merge_adapters()?;
        if let Some(scale) = self.scale.take() {
            self.model.fold(&scale)?;
            self.feed.unscaled();
        }
        if let Some(units) = self.task.units() {
            self.model.fold_outputs(&units)?;
        }
        self.settled = true;
        self.model.classifier.backbone.settle();
        match self.model.first_not_finite()? {
            Some(name) => Err(self.diverged(self.first_step(), &format!("the weight `{name}`"))),
            None => Ok(()),
        }
    }

    /// Takes weights in the form they are published in, in the place of its own.
    pub fn take_published(&mut self, weights: &Weights) -> Result<()> {
        self.model.merge_adapters()?;
        if let Some(name) = self.task.decoder(self.training.recipe)
            && self.model.take_dense(name, self.task.outputs(), &self.config, weights)?
        {
            self.config.set_decoder(Some((name, self.task.outputs())));
            self.config.set_window(self.window);
        }
        self.model.learn_above(0);
        let here = |(name, var): (&str, &Var)| Ok((name.to_owned(), var.as_tensor().detach().to_device(&self.model.device)?));
        self.put(weights.iter().map(here).collect::<Result<_>>()?)?;
        self.model.classifier.backbone.settle();
        self.settled = true;
        Ok(())
    }

    /// The epochs of the run that led here.
    pub fn tell_as(&mut self, epochs: Vec<EpochNumbers>) {
        self.state.history = epochs;
    }

    /// Makes the model's tensors those of a snapshot.
    pub(super) fn put(&self, snapshot: Vec<(String, Tensor)>) -> Result<()> {
        let mut tensors: HashMap<String, Tensor> = snapshot.into_iter().collect();
        self.model.restore(|name| tensors.remove(name)).map_err(|name| Error::Unsupported(format!("the weights to take lack `{name}`")))
    }

    /// Whether the head answers as it will be published: in the units of the data set.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// What the task chooses by the validation numbers holds for the test split, and is published.
    pub fn calibrate(&mut self, validation: &Evaluation) {
        if let Some(task) = self.task.calibrated(validation) {
            self.task = task;
            self.task.configure(&mut self.config);
        }
    }

    /// Items trained on in a second, over all epochs.
    pub fn trained_per_second(&self) -> f64 {
        let history = &self.state.history;
        let paces = history.iter().map(|epoch| epoch.samples_per_second).filter(|pace| *pace > 0.0);
        // The mean of the seconds an item took.
        let (seconds, count) = paces.fold((0.0, 0.0), |(seconds, count), pace| (seconds + 1.0 / pace, count + 1.0));
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    pub fn into_report(self, validation: Evaluation, test: Option<Evaluation>, judged: Judged) -> Result<Report> {
        let weights = self.model.classifier.weights();
        let (copies, findings) = (self.survey.copies.tell(&self.partition.train), self.findings());
        let stopped = if self.epoch() < self.plan.epochs() { Stopped::Early } else { Stopped::Finished };
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
            kept_stages: self.plan.lowest(self.model.classifier.backbone.stages().len()),
            stages: self.model.classifier.backbone.stages().len(),
            probe: self.state.probe.or(self.state.rival),
            frozen: self.frozen,
            modality: self.training.dataset.modality.name(),
            trained_on: describe(self.training.dataset, self.partition.train.len()),
            train_samples: self.partition.train.len(),
            copies: copies.equal + copies.near,
            findings,
            split: self.partition.table(self.training.dataset, &self.survey),
            dataset_digest: self.survey.digest,
            found: judged.findings,
            reject: judged.reject,
            distances: self.fitted.map(|fitted| fitted.head),
            mistakes: judged.mistakes,
            predictions: judged.predictions,
            skipped: self.skipped.paths.into_iter().collect(),
            epochs: self.state.history,
            rounds: Rounds::default(),
        })
    }
}
