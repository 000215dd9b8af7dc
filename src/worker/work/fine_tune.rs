//! A fine-tune: trains, and writes the folder that is to be published.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, write_table};
use crate::domain::findings::REPORT;
use crate::domain::work::{BASE, FineTune};
use crate::train::sweep::{Swept, Tried};
use crate::train::{self, FeatureStore, Keep, Lineage, Report, Training};
use crate::worker::order::{NOT_PUBLISHED, Order};
use crate::worker::{Error, Result};

/// Of a sweep: what each trial reached.
const TRIALS: &str = "trials.csv";
const WEIGHTS: &str = "model.safetensors";
/// Which item the run learned from, and which it was measured on; of a job, because names of items are not everybody's.
const SPLIT: &str = "split.csv";
const PAPERS: [&str; 3] = ["README.md", "config.json", "metrics.json"];
/// What is to be done about a result that is not published.
const ANYWAY: &str = "the job keeps its report (report.json); more or cleaner images may help, or ask again with publish_anyway";
/// Beside twice the base's weights: a new head, and room for those of bases in half precision.
const SPARE_WEIGHTS: u64 = 1 << 30;

impl Kind for FineTune {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let lineage: Lineage = order.read_notes()?;
        let base = order.given(BASE)?;
        let config = read_config(&find(base, "config.json")?)?;
        let weights = find(base, WEIGHTS)?;
        let dataset = Arc::new(open_dataset(order)?);
        let device = open_device(order)?;
        let store = FeatureStore::new(&order.features, order.features_bytes);
        let training = Training {
            recipe: &self.recipe,
            config: &config,
            weights: &weights,
            dataset: &dataset,
            device: &device,
            scratch: &order.scratch,
            keep: Keep::Store(&store),
            resume: order.resume.as_deref(),
        };
        let Some(sweep) = &self.sweep else {
            let report = with_threads(self.recipe.threads, || train::fit_and_compare(&training, sink))?;
            return write(&report, &lineage, order);
        };
        let trials = sweep.trials(&self.recipe).map_err(train::Error::from)?;
        let swept = with_threads(self.recipe.threads, || train::sweep::sweep(&training, &trials, sweep.halving, sink))?;
        write_table(&table(&swept), &order.files.join(TRIALS))?;
        let mut headline = write(&swept.report, &lineage, order)?;
        headline["sweep"] = json!({ "trials": swept.trials.len(), "best": swept.best, "settings": trials[swept.best - 1].set });
        Ok(headline)
    }

    fn publishes(&self, order: &Order) -> Vec<Leaves> {
        let base = order.given(BASE).ok().and_then(|base| find(base, WEIGHTS).ok());
        let bytes = base.and_then(|file| std::fs::metadata(file).ok()).map_or(0, |about| about.len());
        let weights = Leaves::always(WEIGHTS, bytes.saturating_mul(2).saturating_add(SPARE_WEIGHTS));
        let papers = PAPERS.iter().map(|name| Leaves::always(name, LARGEST_PAPER));
        papers.chain([weights, Leaves::maybe(train::REJECT, LARGEST_PAPER)]).collect()
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        let trials = self.sweep.iter().map(|_| TRIALS);
        let always = trials.chain([REPORT, train::PREDICTIONS]).map(|name| Leaves::always(name, LARGEST_PAPER));
        always.chain([Leaves::maybe(SPLIT, LARGEST_PAPER)]).collect()
    }
}

/// The report; and what is to be published, if it is. The headline.
fn write(report: &Report, lineage: &Lineage, order: &Order) -> Result<Value> {
    train::write_report(report, lineage, &order.files)?;
    write_split(report, order)?;
    let mut headline = report.outcome.headline();
    match report.found.objection().filter(|_| !report.recipe.publish_anyway) {
        Some(objection) => headline[NOT_PUBLISHED] = json!(format!("not published: {objection}; {ANYWAY}")),
        None => train::write_folder(report, lineage, &order.result)?,
    }
    Ok(headline)
}

/// A line a trial, the best one marked.
fn table(swept: &Swept) -> Vec<Vec<String>> {
    let heads = ["trial", "settings", "epochs", swept.measure, "loss", "best", "error"].map(str::to_owned).to_vec();
    let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
    let line = |tried: &Tried| {
        let best = if tried.trial == swept.best { "best" } else { "" };
        let (trial, epochs) = (tried.trial.to_string(), tried.epochs.to_string());
        let error = tried.error.clone().unwrap_or_default();
        vec![trial, tried.settings.clone(), epochs, number(tried.reached), number(tried.loss), best.to_owned(), error]
    };
    [heads].into_iter().chain(swept.trials.iter().map(line)).collect()
}

fn write_split(report: &train::Report, order: &Order) -> Result<()> {
    let file = order.files.join(SPLIT);
    std::fs::write(&file, &report.split).map_err(Error::io(&file))
}

/// A recipe that names a number of threads gets that many, since the sum of floats depends on it.
fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> train::Result<T> + Send) -> Result<T> {
    if threads == 0 {
        return Ok(work()?);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Later(format!("cannot start {threads} threads: {e}")))?;
    Ok(pool.install(work)?)
}
