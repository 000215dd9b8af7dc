//! The end of a sweep: its trials were jobs of their own, and the best of their models becomes the result, as it is; or the average of
//! several, where that was asked for and is better.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fine_tune::{self, not_published};
use super::{Sink, find, soup, write_table};
use crate::domain::findings::{PREDICTIONS, REPORT};
use crate::domain::job_event::EpochNumbers;
use crate::domain::model_files::{MADE, MAYBE};
use crate::domain::recipe::Recipe;
use crate::domain::sweep::Sweep;
use crate::domain::task::Task;
use crate::domain::trial::{Concluded, SPLIT, Tried, given_name};
use crate::domain::work::FineTune;
use crate::train::{self, Control, Event, Lineage};
use crate::worker::order::{NOT_PUBLISHED, Order};
use crate::worker::{Error, Result};

/// What each trial reached.
pub(super) const TRIALS: &str = "trials.csv";

/// Takes over what the best trial has left, or the average of several where that is better.
pub(super) fn conclude((work, sweep): (&FineTune, &Sweep), order: &Order, sink: Sink<'_>) -> Result<Value> {
    let given = Given::of(order)?;
    let report: Value = serde_json::from_slice(&read(&given.find(REPORT)?)?).map_err(unreadable)?;
    write_table(&given.table(&report), &order.files.join(TRIALS))?;
    let epochs: Vec<EpochNumbers> = serde_json::from_value(report["epochs"].clone()).unwrap_or_default();
    let soup = if sweep.soup && given.concluded.standing.len() > 1 {
        let recipe: Recipe = serde_json::from_value(report["recipe"].clone()).map_err(unreadable)?;
        Some(soup::average(&given, (&recipe, epochs.clone()), &mut *sink)?)
    } else {
        None
    };
    if epochs.into_iter().any(|epoch| sink(Event::Epoch(epoch)) == Control::Stop) {
        return Err(Error::Cancelled);
    }
    let mut headline = match &soup {
        Some((_, Some(report))) => fine_tune::write(report, &order.read_notes::<Lineage>()?, order)?,
        _ => take_over(&given, &report)?,
    };
    let trials = sweep.trials(&work.recipe).map_err(train::Error::from)?;
    let (count, settings) = (trials.len(), trials.into_iter().nth(given.number as usize - 1).map(|trial| trial.set));
    headline["sweep"] = json!({ "trials": count, "best": given.number, "settings": settings });
    if let Some((averaged, report)) = soup {
        headline["soup"] = json!(averaged);
        headline["soup"]["published"] = json!(report.is_some());
    }
    Ok(headline)
}

/// What the best trial has left becomes the result; its headline.
fn take_over(given: &Given, report: &Value) -> Result<Value> {
    let order = given.order;
    for name in [REPORT, PREDICTIONS, SPLIT] {
        given.take(name, &order.files)?;
    }
    let mut headline = given.concluded.headline.clone();
    headline.as_object_mut().map(|headline| headline.remove("trial"));
    if let Some(objection) = report["objection"].as_str().filter(|_| report["recipe"]["publish_anyway"] != json!(true)) {
        headline[NOT_PUBLISHED] = not_published(objection);
        return Ok(headline);
    }
    std::fs::create_dir_all(&order.result).map_err(Error::io(&order.result))?;
    for name in MADE {
        match MAYBE.contains(&name) {
            true => given.take(name, &order.result)?,
            false => copy(&given.find(name)?, &order.result.join(name))?,
        }
    }
    fine_tune::carry(order)?;
    Ok(headline)
}

/// What the service gives a sweep whose trials are done.
pub(super) struct Given<'a> {
    pub order: &'a Order,
    pub concluded: Concluded,
    /// Of the best trial.
    pub number: u32,
}

impl Given<'_> {
    fn of(order: &Order) -> Result<Given<'_>> {
        let concluded: Concluded = serde_json::from_value(order.notes["sweep"].clone()).map_err(unreadable)?;
        let number =
            concluded.standing.first().map(|best| best.trial).ok_or_else(|| Error::Never("the sweep has no trial to publish".into()))?;
        Ok(Given { order, concluded, number })
    }

    /// A file of the best trial.
    fn find(&self, name: &str) -> Result<PathBuf> {
        find(&self.order.sent, &given_name(self.number, name)).map_err(|_| Error::Never(format!("the best trial has left no {name}")))
    }

    /// Copies a file of it, if there is one.
    fn take(&self, name: &str, folder: &Path) -> Result<()> {
        self.find(name).map_or(Ok(()), |file| copy(&file, &folder.join(name)))
    }

    /// A line a trial, the best one marked.
    fn table(&self, report: &Value) -> Vec<Vec<String>> {
        let task: Task = serde_json::from_value(report["recipe"]["task"].clone()).unwrap_or_default();
        let heads = ["trial", "settings", "epochs", task.primary().title, "loss", "best", "error"].map(str::to_owned).to_vec();
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        let line = |tried: &Tried| {
            let best = if tried.trial == self.number { "best" } else { "" };
            let (trial, epochs) = (tried.trial.to_string(), tried.epochs.to_string());
            let error = tried.error.clone().unwrap_or_default();
            vec![trial, tried.settings.clone(), epochs, number(tried.reached), number(tried.loss), best.to_owned(), error]
        };
        [heads].into_iter().chain(self.concluded.trials.iter().map(line)).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io(path))
}

/// The bytes alone: what is to be published has no rights of the store's.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(Error::io(from))?;
    let mut target = File::create(to).map_err(Error::io(to))?;
    std::io::copy(&mut source, &mut target).map_err(Error::io(to))?;
    Ok(())
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Never(format!("what the trials have left cannot be read: {error}"))
}
