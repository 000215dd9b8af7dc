//! Many trials of one fine-tune: each is a run of its own on the same base and data, and the best by its validation numbers is handed
//! back. Features of frozen stages are computed once for all.
//!
//! A checkpoint holds what the trials that are done have reached. The same recipe gives the same weights, so the best of an earlier
//! attempt is only run again, and the result is that of an attempt that was never interrupted.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::fit::fit;
use super::progress::{Control, Event};
use super::report::Report;
use super::{Training, checkpoint};
use crate::domain::digest::Digest;
use crate::domain::job_event::{Level, Progress};
use crate::domain::recipe::Recipe;
use crate::domain::sweep::{Trial, rungs};

/// What became of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// From 1, in the order of the sweep.
    pub trial: usize,
    /// What it tried: `epochs=5, lr=0.001`.
    pub settings: String,
    /// Epochs it was given at last.
    pub epochs: u32,
    /// By the task's first measure on the validation items; nothing where it could not be trained to the end.
    pub reached: Option<f64>,
    pub loss: Option<f64>,
    /// Why not.
    pub error: Option<String>,
}

/// A sweep's end.
pub struct Swept {
    /// Of the best trial.
    pub report: Report,
    /// Its number.
    pub best: usize,
    /// The name of what was compared.
    pub measure: &'static str,
    /// All, in their order.
    pub trials: Vec<Tried>,
}

/// What a checkpoint holds.
#[derive(Default, Serialize, Deserialize)]
struct Done {
    /// Of the sweep and the data it is of.
    of: String,
    runs: Vec<Tried>,
    rises: bool,
}

/// Runs all trials, or with `halving` those that are worth it.
///
/// # Errors
/// Those of a run, where none of the trials came to its end; [`Error::Cancelled`] when the sink says stop.
pub fn sweep(training: &Training, trials: &[Trial], halving: bool, sink: &mut (dyn FnMut(Event) -> Control + Send)) -> Result<Swept> {
    let mut runner = Runner { training, sink, done: Done { of: name(trials, halving), ..Done::default() }, halving, report: None };
    runner.resume();
    let mut alive: Vec<usize> = (0..trials.len()).collect();
    let plan = if halving { rungs(trials.len(), 1_000_000) } else { vec![(1_000_000, 1)] };
    let mut last = Vec::new();
    for (share, go_on) in plan {
        last = Vec::new();
        for &at in &alive {
            // A rung's share of the trial's own epochs.
            let epochs = (u64::from(trials[at].recipe.epochs) * u64::from(share)).div_ceil(1_000_000).max(1) as u32;
            last.push(runner.run(at, &trials[at], epochs, trials.len())?);
        }
        last.sort_by(|a, b| runner.order(a, b));
        alive = last.iter().take(go_on).map(|tried| tried.trial - 1).collect();
    }
    let Some(best) = last.first().filter(|best| best.reached.is_some()) else {
        let why = last.first().and_then(|tried| tried.error.clone()).unwrap_or_default();
        return Err(Error::NothingToLearn(format!("not one trial of the sweep could be trained: {why}")));
    };
    let report = runner.report_of(&trials[best.trial - 1], best)?;
    for epoch in &report.epochs {
        runner.tell(Event::Epoch(epoch.clone()))?;
    }
    let measure = report.outcome.task().primary().title;
    Ok(Swept { best: best.trial, measure, trials: runner.table(), report })
}

struct Runner<'a, 'b> {
    training: &'a Training<'a>,
    sink: &'b mut (dyn FnMut(Event) -> Control + Send),
    done: Done,
    /// More epochs count for more than better numbers.
    halving: bool,
    /// The best so far that this attempt has run itself.
    report: Option<(Tried, Report)>,
}

impl Runner<'_, '_> {
    fn resume(&mut self) {
        let kept = self.training.resume.and_then(|path| std::fs::read(path).ok());
        // One of another sweep, or none at all, only costs the work behind it.
        if let Some(kept) = kept.and_then(|text| serde_json::from_slice::<Done>(&text).ok()).filter(|kept| kept.of == self.done.of) {
            self.done = kept;
        }
    }

    fn run(&mut self, at: usize, trial: &Trial, epochs: u32, of: usize) -> Result<Tried> {
        if let Some(known) = self.done.runs.iter().find(|tried| tried.trial == at + 1 && tried.epochs == epochs) {
            return Ok(known.clone());
        }
        let number = at + 1;
        let blank = Tried { trial: number, settings: trial.words(), epochs, reached: None, loss: None, error: None };
        let tried = match self.fit(trial, epochs, &format!("trial {number} of {of}")) {
            Ok(report) => {
                let task = report.outcome.task();
                self.done.rises = task.primary().rises;
                let validation = &report.outcome.validation;
                let tried = Tried { reached: Some(validation.primary()), loss: Some(validation.loss), ..blank };
                let text = task.primary().show(validation.primary(), 4);
                self.log(
                    Level::Info,
                    format!("trial {number} of {of} ({}; {epochs} epochs): {} {text}", tried.settings, task.primary().title),
                )?;
                if self.report.as_ref().is_none_or(|(kept, _)| kept.epochs < epochs && self.halving || self.order(&tried, kept).is_lt()) {
                    self.report = Some((tried.clone(), report));
                }
                tried
            }
            Err(error @ (Error::NonFinite { .. } | Error::NoGradient { .. } | Error::Recipe(_) | Error::Model(_)))
                if !error.is_disk_full() =>
            {
                self.log(Level::Warn, format!("trial {number} of {of} ({}) came to nothing: {error}", blank.settings))?;
                Tried { error: Some(error.to_string()), ..blank }
            }
            Err(error) => return Err(error),
        };
        self.done.runs.push(tried.clone());
        self.save()?;
        Ok(tried)
    }

    /// The better first: by the measure, then by the loss, then by their order.
    fn order(&self, a: &Tried, b: &Tried) -> std::cmp::Ordering {
        let merit = |tried: &Tried| tried.reached.map_or(f64::NEG_INFINITY, |reached| if self.done.rises { reached } else { -reached });
        let loss = |tried: &Tried| tried.loss.unwrap_or(f64::INFINITY);
        merit(b).total_cmp(&merit(a)).then(loss(a).total_cmp(&loss(b))).then(a.trial.cmp(&b.trial))
    }

    fn fit(&mut self, trial: &Trial, epochs: u32, stage: &str) -> Result<Report> {
        let recipe = Recipe { epochs, ..trial.recipe.clone() };
        let scratch = self.training.scratch.join("trial");
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir_all(&scratch).map_err(Error::io("cannot create", &scratch))?;
        let sink = &mut *self.sink;
        let mut beside = |event: Event| match event {
            Event::Epoch(_) | Event::Checkpoint { .. } => Control::Continue,
            Event::Progress(progress) => sink(Event::Progress(Progress { stage: format!("{stage}: {}", progress.stage), ..progress })),
            // What each says of the same data would be said many times over.
            Event::Log { level: Level::Info, .. } => Control::Continue,
            other => sink(other),
        };
        let fitted = fit(&Training { recipe: &recipe, scratch: &scratch, resume: None, ..*self.training }, &mut beside);
        let _ = std::fs::remove_dir_all(&scratch);
        fitted
    }

    fn report_of(&mut self, trial: &Trial, best: &Tried) -> Result<Report> {
        match self.report.take() {
            Some((kept, report)) if kept == *best => Ok(report),
            _ => self.fit(trial, best.epochs, &format!("the best, trial {}", best.trial)),
        }
    }

    /// Each trial as its longest run ended.
    fn table(&self) -> Vec<Tried> {
        let mut last: Vec<Tried> = Vec::new();
        for tried in &self.done.runs {
            match last.iter_mut().find(|known| known.trial == tried.trial) {
                Some(known) if known.epochs < tried.epochs => *known = tried.clone(),
                Some(_) => {}
                None => last.push(tried.clone()),
            }
        }
        last.sort_by_key(|tried| tried.trial);
        last
    }

    fn save(&mut self) -> Result<()> {
        let path = self.training.scratch.join(checkpoint::FILE_NAME);
        let part = path.with_extension("part");
        let write = |part: &Path| {
            std::fs::write(part, serde_json::to_vec(&self.done)?)?;
            std::fs::rename(part, &path)
        };
        write(&part).map_err(Error::io("cannot write", &path))?;
        let epoch = self.done.runs.len() as u32;
        self.tell(Event::Checkpoint { path, epoch })
    }

    fn log(&mut self, level: Level, message: String) -> Result<()> {
        self.tell(Event::Log { level, message })
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        if (self.sink)(event) == Control::Stop { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The same sweep has the same name.
fn name(trials: &[Trial], halving: bool) -> String {
    let recipes: Vec<_> = trials.iter().map(|trial| &trial.recipe).collect();
    Digest::of(format!("{halving} {}", serde_json::to_string(&recipes).unwrap_or_default()).as_bytes()).to_hex()
}
