//! What the network says of items as it is now.

use super::Run;
use crate::data::Sample;
use crate::domain::evaluation::Evaluation;
use crate::nn::Mode;
use crate::train::error::Result;
use crate::train::progress::ProgressReporter;

impl Run<'_> {
    /// The network as it is, on the plain view of each sample.
    pub fn evaluate(&mut self, samples: &[Sample], reporter: &mut ProgressReporter) -> Result<Evaluation> {
        let task = self.task.clone();
        let mut tally = task.tally(self.is_settled());
        let feed = self.feed.clone();
        // As it is now; what was made of the weights before is not.
        self.model.classifier.backbone.settle();
        for step in feed.plain(samples)? {
            let step = step?;
            self.skipped.note(&step.skipped, reporter)?;
            if !step.targets.is_empty() {
                let outputs = self.model.outputs(&step, Mode::Eval, 0)?;
                tally.add(&outputs.flatten_all()?.to_vec1::<f32>()?, &step.targets);
            }
            reporter.tick()?;
        }
        if !self.model.is_head_only() && !self.is_settled() {
            self.model.classifier.backbone.unsettle();
        }
        if !tally.loss().is_finite() {
            return Err(self.diverged(self.first_step(), "the validation loss"));
        }
        Ok(tally.finish())
    }
}
