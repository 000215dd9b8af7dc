//! Checkpoints of a run, and taking one up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use sha2::{Digest as _, Sha256};

use super::Run;
use crate::train::Training;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::error::Result;
use crate::train::feed::Feed;
use crate::train::model::Model;

/// Epochs on cached features take milliseconds; each need not be saved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Reads a checkpoint of this very run.
    pub fn open_checkpoint(&self, path: &Path) -> Result<Checkpoint> {
        Checkpoint::load(path, &self.state.run, self.training.device)
    }

    /// Goes on from there: in the phase of its last epoch.
    pub fn resume(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        if !self.plan.phases.is_empty() {
            self.enter_phase(self.plan.frozen_after(checkpoint.state.epoch().saturating_sub(1), self.stages()))?;
        }
        let steps = checkpoint.state.optimizer_steps;
        let restored = self
            .model
            .restore(|name| checkpoint.take(&format!("now.{name}")))
            .and_then(|()| self.optimizer.restore(|name| checkpoint.take(&format!("optimizer.{name}")), steps));
        let followed = match &mut self.average {
            Some(average) => restored.and_then(|()| average.restore(|name| checkpoint.take(&format!("average.{name}")), steps)),
            None => restored,
        };
        followed.map_err(|name| checkpoint.lacks(&name))?;
        for (name, tensor) in &mut self.best {
            *tensor = checkpoint.take(&format!("best.{name}")).ok_or_else(|| checkpoint.lacks(name))?;
        }
        self.state = checkpoint.state;
        self.seconds_before = self.state.seconds;
        self.skipped.paths.extend(self.state.skipped.iter().cloned());
        Ok(())
    }

    pub fn is_checkpoint_due(&self) -> bool {
        !self.model.is_head_only() || self.saved.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY)
    }

    pub fn save_checkpoint(&mut self) -> Result<PathBuf> {
        let (memory, steps) = self.optimizer.state()?;
        self.state.optimizer_steps = steps;
        self.state.seconds = self.seconds();
        self.state.skipped = self.skipped.paths.iter().cloned().collect();
        let prefixed = |prefix: &'static str, list: Vec<(String, Tensor)>| list.into_iter().map(move |(n, t)| (format!("{prefix}.{n}"), t));
        let now = prefixed("now", self.model.snapshot()?);
        let average = self.average.as_ref().map(|average| average.tensors()).transpose()?.unwrap_or_default();
        let rest = prefixed("best", self.best.clone()).chain(prefixed("optimizer", memory)).chain(prefixed("average", average));
        let probe = prefixed("probe", self.probe_head.clone()).chain(self.probe_answers_kept()?);
        let tensors: Vec<_> = now.chain(rest).chain(probe).collect();
        self.saved = Some(Instant::now());
        checkpoint::save(self.training.scratch, &self.state, &tensors)
    }
}

/// Names a run by everything that decides it, so that a checkpoint of another one is not taken up.
pub(super) fn identity(training: &Training, model: &Model, feed: &Feed, dataset_digest: &str) -> String {
    let (views, name, targets) = (feed.options().views.key(), model.architecture.name, &training.dataset.targets);
    let mut hash = Sha256::new();
    hash.update(format!("{:?}\n{views}\n{name}\n{targets:?}\n", training.recipe));
    hash.update(model.base_digest);
    hash.update(dataset_digest);
    let taught = training.dataset.taught_samples().iter().map(|sample| (sample.id, &sample.target));
    hash.update(format!("{:?}", taught.collect::<Vec<_>>()));
    hex::encode(hash.finalize())
}
