//! What the finished model says about each item it is measured on.

use candle_core::Tensor;

use crate::data::{Sample, Target};
use crate::domain::evaluation::Evaluation;
use crate::train::error::Result;
use crate::train::progress::ProgressReporter;
use crate::train::reject::Rows;
use crate::train::run::Run;
use crate::train::tasks::Task;

/// Outputs that are kept, in numbers; what comes after is measured and not kept.
const MOST_OUTPUTS: usize = 16 << 20;
/// Features likewise.
const MOST_FEATURES: usize = 8 << 20;

/// Outputs and features of items, in their order.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Outputs of an item.
    pub width: usize,
    /// `(samples.len(), width)`, in the units of the data set; where words are answered about, as many rows for each sample.
    pub outputs: Vec<f32>,
    pub samples: Vec<Sample>,
    /// Where the outputs of each sample end.
    ends: Vec<usize>,
    /// Pooled, of as many items from the first as there is room for.
    features: Vec<f32>,
}

impl Answers {
    /// The items with their outputs.
    pub fn iter(&self) -> impl Iterator<Item = (&Sample, &[f32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.samples.iter().zip(starts.zip(&self.ends).map(move |(start, end)| &self.outputs[start..*end]))
    }

    /// The outputs of an item.
    pub fn row(&self, at: usize) -> Option<&[f32]> {
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.outputs.get(start..*self.ends.get(at)?)
    }

    /// The features of width `width`.
    pub fn features(&self, width: usize) -> Rows {
        Rows::new(width, self.features.clone())
    }

    fn keep(&mut self, task: &dyn Task, samples: impl Iterator<Item = Sample>, outputs: &[f32], features: Option<&Tensor>) -> Result<()> {
        if self.outputs.len() + outputs.len() <= MOST_OUTPUTS {
            let mut end = self.outputs.len();
            for sample in samples {
                end += task.rows(&sample.target) * self.width;
                self.ends.push(end);
                self.samples.push(sample);
            }
            self.outputs.extend(outputs);
        }
        if let Some(features) = features.filter(|features| self.features.len() + features.elem_count() <= MOST_FEATURES) {
            self.features.extend(features.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }
}

/// Measures the settled model on the plain view of each sample, and keeps what it said.
pub fn examine(run: &mut Run, samples: &[Sample], reporter: &mut ProgressReporter) -> Result<(Evaluation, Answers)> {
    let task = run.task.clone();
    let mut tally = task.tally(true);
    let feed = run.feed.clone();
    let mut answers = Answers { width: task.outputs(), ..Answers::default() };
    let by_id: std::collections::HashMap<u32, &Sample> = samples.iter().map(|sample| (sample.id, sample)).collect();
    for step in feed.plain(samples)? {
        let step = step?;
        run.skipped.note(&step.skipped, reporter)?;
        if !step.targets.is_empty() {
            let (outputs, pooled) = run.model.examined(&step)?;
            let outputs = outputs.flatten_all()?.to_vec1::<f32>()?;
            tally.add(&outputs, &step.targets);
            let found = step.ids.iter().filter_map(|id| by_id.get(id)).map(|sample| (*sample).clone());
            answers.keep(&*task, found, &outputs, pooled.as_ref())?;
        }
        reporter.tick()?;
    }
    if !tally.loss().is_finite() {
        return Err(run.diverged(run.first_step(), "the validation loss"));
    }
    Ok((tally.finish(), answers))
}

/// Features of training items and the groups that belong together: a class each where they have one.
pub fn trained_features(run: &Run, most: usize, reporter: &mut ProgressReporter) -> Result<(Vec<f32>, Vec<u32>)> {
    let train = &run.partition.train;
    let some: Vec<Sample> = train.iter().step_by(train.len().div_ceil(most).max(1)).cloned().collect();
    let (mut features, mut groups) = (Vec::new(), Vec::new());
    for step in run.feed.plain(&some)? {
        let step = step?;
        if !step.targets.is_empty() {
            features.extend(run.model.pooled(&step)?.flatten_all()?.to_vec1::<f32>()?);
            groups.extend(step.targets.iter().map(group));
        }
        reporter.tick()?;
    }
    Ok((features, groups))
}

fn group(target: &Target) -> u32 {
    target.class().unwrap_or_default()
}
