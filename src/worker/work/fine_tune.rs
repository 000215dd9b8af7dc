//! A fine-tune: trains, and writes the folder that is to be published.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, reading, sweep};
use crate::domain::findings::{PREDICTIONS, REPORT};
use crate::domain::model_files::{CARRIED, MADE, MAYBE};
use crate::domain::trial::{SPLIT, WEIGHTS};
use crate::domain::work::{BASE, FineTune};
use crate::train::{self, FeatureStore, Keep, Lineage, Report, Training};
use crate::worker::order::{NOT_PUBLISHED, Order};
use crate::worker::{Error, Result};

/// What is to be done about a result that is not published.
const ANYWAY: &str = "the job keeps its report (report.json); more or cleaner images may help, or ask again with publish_anyway";
/// Beside twice the base's weights: a new head, and room for those of bases in half precision.
const SPARE_WEIGHTS: u64 = 1 << 30;

impl Kind for FineTune {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        if let Some(sweep) = &self.sweep {
            return sweep::conclude((self, sweep), order, sink);
        }
        let lineage: Lineage = order.read_notes()?;
        let base = order.given(BASE)?;
        let (config, beside) = (read_config(base)?, reading(base));
        let weights = find(base, WEIGHTS)?;
        let dataset = Arc::new(open_dataset(order)?);
        let device = open_device(order)?;
        let store = FeatureStore::new(&order.features, order.features_bytes);
        let training = Training {
            recipe: &self.recipe,
            config: &config,
            weights: &weights,
            beside: &beside,
            dataset: &dataset,
            device: &device,
            scratch: &order.scratch,
            keep: Keep::Store(&store),
            resume: order.resume.as_deref(),
        };
        if self.trial.is_some() {
            let report = with_threads(self.recipe.threads, || train::fit(&training, sink))?;
            return write_trial(&report, &lineage, order);
        }
        let report = with_threads(self.recipe.threads, || train::fit_and_compare(&training, sink))?;
        write(&report, &lineage, order)
    }

    fn publishes(&self, order: &Order) -> Vec<Leaves> {
        if self.trial.is_some() {
            Vec::new()
        } else {
            model(order).into_iter().chain(CARRIED.map(|name| Leaves::maybe(name, LARGEST_PAPER))).collect()
        }
    }

    fn leaves(&self, order: &Order) -> Vec<Leaves> {
        let trials = self.sweep.iter().map(|_| sweep::TRIALS);
        let always = trials.chain([REPORT, PREDICTIONS]).map(|name| Leaves::always(name, LARGEST_PAPER));
        // Its sweep publishes it, if it is the best.
        let model = self.trial.iter().flat_map(|_| model(order));
        always.chain([Leaves::maybe(SPLIT, LARGEST_PAPER)]).chain(model).collect()
    }
}

/// The files of a model that was made from the base.
fn model(order: &Order) -> Vec<Leaves> {
    let base = order.given(BASE).ok().and_then(|base| find(base, WEIGHTS).ok());
    let bytes = base.and_then(|file| std::fs::metadata(file).ok()).map_or(0, |about| about.len());
    let weights = Leaves::always(WEIGHTS, bytes.saturating_mul(2).saturating_add(SPARE_WEIGHTS));
    let leaves = |name: &str| match name {
        WEIGHTS => weights.clone(),
        _ => Leaves { always: !MAYBE.contains(&name), ..Leaves::maybe(name, LARGEST_PAPER) },
    };
    MADE.into_iter().map(leaves).collect()
}

/// What of a text encoder's folder its result needs as well, copied beside what is to be published.
pub(super) fn carry(order: &Order) -> Result<()> {
    let base = order.given(BASE)?;
    if !read_config(base)?.is_encoder() {
        return Ok(());
    }
    for name in CARRIED {
        let Ok(file) = find(base, name) else { continue };
        let to = order.result.join(name);
        let small = std::fs::metadata(&file).is_ok_and(|about| about.len() <= LARGEST_PAPER);
        if let Some(folder) = to.parent().filter(|_| small) {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
            sweep::copy(&file, &to)?;
        }
    }
    Ok(())
}

/// The report; and what is to be published, if it is. The headline.
pub(super) fn write(report: &Report, lineage: &Lineage, order: &Order) -> Result<Value> {
    train::write_report(report, lineage, &order.files)?;
    write_split(report, order)?;
    let mut headline = report.outcome.headline();
    match report.found.objection().filter(|_| !report.recipe.publish_anyway) {
        Some(objection) => headline[NOT_PUBLISHED] = not_published(&objection),
        None => {
            train::write_folder(report, lineage, &order.result)?;
            carry(order)?;
        }
    }
    Ok(headline)
}

/// The report of a trial and its model, both for its sweep; whether that publishes it is not the trial's to say.
fn write_trial(report: &Report, lineage: &Lineage, order: &Order) -> Result<Value> {
    train::write_report(report, lineage, &order.files)?;
    write_split(report, order)?;
    train::write_folder(report, lineage, &order.files)?;
    let (mut headline, validation) = (report.outcome.headline(), &report.outcome.validation);
    headline["trial"] = json!({ "reached": validation.primary(), "loss": validation.loss });
    Ok(headline)
}

pub(super) fn not_published(objection: &str) -> Value {
    json!(format!("not published: {objection}; {ANYWAY}"))
}

/// Of a job and not published, because names of items are not everybody's.
fn write_split(report: &train::Report, order: &Order) -> Result<()> {
    let file = order.files.join(SPLIT);
    std::fs::write(&file, &report.split).map_err(Error::io(&file))
}

/// A recipe that names a number of threads gets that many, since the sum of floats depends on it.
pub(super) fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> train::Result<T> + Send) -> Result<T> {
    if threads == 0 {
        return Ok(work()?);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Later(format!("cannot start {threads} threads: {e}")))?;
    Ok(pool.install(work)?)
}
