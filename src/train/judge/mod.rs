//! Looking at a finished model: what it said about every item, whether that beats a simpler answer, how far its probabilities can be
//! believed, where it is most wrong, what is unlike all it was trained on.

mod against;
mod answers;
mod calibration;
pub(in crate::train) mod items;

use std::time::Instant;

pub use answers::examine;
pub use items::{Mistake, mistakes, predictions};

use self::answers::{Answers, trained_features};
use super::error::Result;
use super::progress::ProgressReporter;
use super::reject::{self, Reject, Rows};
use super::run::Run;
use super::tasks::Told;
use crate::data::Sample;
use crate::data::batch;
use crate::domain::evaluation::{Evaluation, Held};
use crate::domain::findings::{self, Findings, Throughput};
use crate::train::feed::{EVAL_BATCH, input};

/// Items that the speed of predictions is measured on.
const TIMED: usize = 2 * EVAL_BATCH;

/// What a look at the finished model gave.
pub struct Judged {
    pub findings: Findings,
    pub reject: Option<Reject>,
    pub mistakes: Vec<Mistake>,
    /// A table with a line an item.
    pub predictions: String,
}

/// Looks at the settled model and its answers to the validation and test items.
pub fn judge(
    run: &mut Run,
    validation: &Evaluation,
    val: &Answers,
    test: Option<&Answers>,
    reporter: &mut ProgressReporter,
) -> Result<Judged> {
    let task = run.task.clone();
    let told = told(run, val);
    let mut findings = Findings {
        verdict: against::verdicts(run, validation, val),
        calibration: calibration::of(&told, val),
        throughput: Some(Throughput { trained: run.trained_per_second(), predicted: predicted_per_second(run, reporter)? }),
        rate: run.found_rate(),
        ..Findings::default()
    };
    findings.anomalies = anomalies(run, val, test);
    let reject = fit_reject(run, val, reporter)?;
    if let Some((reject, set)) = &reject {
        findings.reject = Some(findings::Reject {
            method: "cosine distance of the pooled features to the nearest of the training items' centres".into(),
            threshold: f64::from(reject.threshold()),
            kept: set.kept,
            samples: set.samples as u64,
        });
    }
    let dataset = run.training.dataset;
    Ok(Judged {
        mistakes: mistakes(dataset, &*task, test.unwrap_or(val)),
        predictions: predictions(dataset, &*task, &std::iter::once(val).chain(test).collect::<Vec<_>>()),
        reject: reject.map(|(reject, _)| reject),
        findings,
    })
}

fn told(run: &Run, answers: &Answers) -> Vec<Told> {
    answers.iter().map_while(|(sample, row)| run.task.told(row, &sample.target)).collect()
}

/// How scores lie: of the test items where there are some.
fn anomalies(run: &Run, val: &Answers, test: Option<&Answers>) -> Option<findings::Anomalies> {
    let fitted = run.fitted()?;
    let (split, answers) = test.map_or(("validation", val), |test| ("test", test));
    let scored = |(sample, row): (&Sample, &[f32])| Some((f64::from(*row.first()?), sample.target.class() != Some(0)));
    Some(findings::Anomalies {
        threshold: f64::from(fitted.threshold),
        false_alarms: run.training.recipe.false_alarms,
        samples: fitted.samples as u64,
        split: split.into(),
        bins: findings::ScoreBin::counted(&answers.iter().filter_map(scored).collect::<Vec<_>>()),
    })
}

/// Of a model that names classes, from features that were there already where the backbone did not change.
fn fit_reject(run: &Run, val: &Answers, reporter: &mut ProgressReporter) -> Result<Option<(Reject, reject::Set)>> {
    if !run.task.name().about().classes {
        return Ok(None);
    }
    let width = run.model.classifier.head.num_features();
    let (features, groups) = trained_features(run, reject::MOST_ITEMS, reporter)?;
    let held_out = (run.partition.held != Held::Training).then(|| val.features(width));
    Ok(Reject::fit(&Rows::new(width, features), &groups, held_out.as_ref()))
}

/// From encoded items to outputs.
fn predicted_per_second(run: &Run, reporter: &mut ProgressReporter) -> Result<f64> {
    let items: Vec<Sample> = run.partition.val.iter().take(TIMED).cloned().collect();
    let (began, mut count) = (Instant::now(), 0);
    for views in run.feed.loader(batch::plain(&items), EVAL_BATCH)? {
        let views = views?;
        if !views.is_empty() {
            count += views.len();
            run.model.outputs_of_views(input(views.input)?)?.flatten_all()?.to_vec1::<f32>()?;
        }
        reporter.tick()?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64().max(1e-6))
}
