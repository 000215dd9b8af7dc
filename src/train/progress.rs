//! What a run tells while it works, and the reporter that knows how fast it goes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use crate::domain::job_event::{EpochNumbers, Level, Progress};

/// Something worth telling. Epochs and checkpoints are always told, progress about four times a second.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Log {
        level: Level,
        message: String,
    },
    Progress(Progress),
    Epoch(EpochNumbers),
    /// A complete checkpoint lies at `path` (renamed into place); the next one takes the same name.
    Checkpoint {
        path: PathBuf,
        epoch: u32,
    },
}

/// What the sink answers; asked between steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Continue,
    /// End with [`Error::Cancelled`].
    Stop,
}

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Counts steps and items, and speaks to the sink. What is left is estimated from the present stage alone, its pace
/// and the steps that will go at it, because a step of a feature pass and one on its results differ a hundredfold.
pub(super) struct ProgressReporter<'a> {
    sink: &'a mut dyn FnMut(Event) -> Control,
    stage: String,
    step: u64,
    total_steps: u64,
    /// The last step that goes at this stage's pace.
    stage_end: u64,
    stage_began: Instant,
    stage_steps: u64,
    stage_samples: u64,
    /// The last stage's kind, seconds a step and items a second: an epoch goes like the one before, until its first step is done.
    before: Option<(String, f64, f64)>,
    last_told: Option<Instant>,
}

/// `epoch 3 of 10` and `epoch 4 of 10` are of one kind.
fn kind_of(stage: &str) -> &str {
    stage.split(' ').next().unwrap_or_default()
}

impl<'a> ProgressReporter<'a> {
    pub fn new(sink: &'a mut dyn FnMut(Event) -> Control) -> ProgressReporter<'a> {
        ProgressReporter {
            sink,
            stage: String::new(),
            step: 0,
            total_steps: 0,
            stage_end: 0,
            stage_began: Instant::now(),
            stage_steps: 0,
            stage_samples: 0,
            before: None,
            last_told: None,
        }
    }

    /// # Errors
    /// [`Error::Cancelled`] when the sink says stop; so do all that tell.
    pub fn tell(&mut self, event: Event) -> Result<()> {
        match (self.sink)(event) {
            Control::Continue => Ok(()),
            Control::Stop => Err(Error::Cancelled),
        }
    }

    pub fn info(&mut self, message: impl Into<String>) -> Result<()> {
        self.tell(Event::Log { level: Level::Info, message: message.into() })
    }

    pub fn warn(&mut self, message: impl Into<String>) -> Result<()> {
        self.tell(Event::Log { level: Level::Warn, message: message.into() })
    }

    /// How many steps the run has in all; `done` of them lie behind (a resumed run).
    pub fn plan(&mut self, done: u64, total: u64) {
        (self.step, self.total_steps) = (done, total);
    }

    /// Opens a stage a person reads: `caching features`, `epoch 3 of 10`. The steps up to `end` will take as long as
    /// those of this stage.
    pub fn stage(&mut self, name: impl Into<String>, end: u64) -> Result<()> {
        if self.stage_steps > 0 {
            let seconds = self.stage_began.elapsed().as_secs_f64().max(1e-6);
            let pace = (seconds / self.stage_steps as f64, self.stage_samples as f64 / seconds);
            self.before = Some((kind_of(&self.stage).to_owned(), pace.0, pace.1));
        }
        self.stage = name.into();
        self.stage_end = end;
        self.stage_began = Instant::now();
        (self.stage_steps, self.stage_samples) = (0, 0);
        self.progress()
    }

    /// What comes before the plan is known has done so much of its own; told once it takes long.
    pub fn prepare(&mut self, name: &str, done: u64, total: u64) -> Result<()> {
        if self.stage != name {
            self.stage = name.into();
            self.last_told = Some(Instant::now());
        }
        self.plan(done, total);
        self.tick()
    }

    /// One batch of `samples` is done.
    pub fn step(&mut self, samples: usize) -> Result<()> {
        self.step += 1;
        self.stage_steps += 1;
        self.stage_samples += samples as u64;
        self.tick()
    }

    /// Something went on that is no step of the plan; tells progress if it is time to.
    pub fn tick(&mut self) -> Result<()> {
        match self.last_told {
            Some(at) if at.elapsed() < PROGRESS_EVERY => Ok(()),
            _ => self.progress(),
        }
    }

    pub fn samples_per_second(&self) -> f64 {
        self.stage_samples as f64 / self.stage_began.elapsed().as_secs_f64().max(1e-6)
    }

    fn progress(&mut self) -> Result<()> {
        self.last_told = Some(Instant::now());
        let seconds = self.stage_began.elapsed().as_secs_f64();
        let left = self.stage_end.saturating_sub(self.step);
        let before = self.before.as_ref().filter(|(kind, ..)| kind == kind_of(&self.stage));
        let (a_step, samples_per_second) = match (self.stage_steps, before) {
            (0, Some((_, a_step, samples_per_second))) => (*a_step, *samples_per_second),
            (0, None) => (0.0, 0.0),
            (steps, _) => (seconds / steps as f64, self.samples_per_second()),
        };
        let (stage, step, total_steps) = (self.stage.clone(), self.step, self.total_steps);
        self.tell(Event::Progress(Progress { stage, step, total_steps, samples_per_second, eta_seconds: a_step * left as f64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_bounded_and_a_stop_cancels() {
        let mut seen = Vec::new();
        let mut sink = |event: Event| {
            seen.push(event);
            if seen.len() < 3 { Control::Continue } else { Control::Stop }
        };
        let mut reporter = ProgressReporter::new(&mut sink);
        reporter.plan(0, 1000);
        reporter.stage("epoch 1 of 1", 1000).unwrap();
        for _ in 0..100 {
            reporter.step(4).unwrap();
        }
        reporter.info("still here").unwrap();
        assert!(matches!(reporter.warn("stop"), Err(Error::Cancelled)));
        assert_eq!(seen.len(), 3, "a hundred quick steps are one line of progress: {seen:?}");
        assert!(matches!(&seen[0], Event::Progress(Progress { step: 0, total_steps: 1000, .. })));
    }
    #[test]
    fn what_is_left_is_counted_at_the_pace_of_the_stage() {
        let mut left = Vec::new();
        let mut sink = |event: Event| {
            if let Event::Progress(Progress { eta_seconds, .. }) = event {
                left.push(eta_seconds);
            }
            Control::Continue
        };
        let mut reporter = ProgressReporter::new(&mut sink);
        reporter.plan(0, 1_000_000);
        reporter.stage("caching features", 4).unwrap();
        for _ in 0..4 {
            std::thread::sleep(PROGRESS_EVERY);
            reporter.step(1).unwrap();
        }
        assert_eq!(left.len(), 5);
        assert_eq!((left[0], left[4]), (0.0, 0.0), "nothing is known at first, nothing of this stage is left at last");
        let three = 3.0 * PROGRESS_EVERY.as_secs_f64();
        assert!(left[1] >= three && left[1] < 1_000.0 * three, "the million steps of other stages do not count: {left:?}");
    }

    #[test]
    fn an_epoch_begins_at_the_pace_of_the_one_before() {
        let mut told = Vec::new();
        let mut sink = |event: Event| {
            if let Event::Progress(progress) = event {
                told.push(progress);
            }
            Control::Continue
        };
        let mut reporter = ProgressReporter::new(&mut sink);
        reporter.plan(0, 20);
        reporter.stage("caching features", 2).unwrap();
        reporter.step(8).unwrap();
        reporter.stage("epoch 1 of 2", 20).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        reporter.step(8).unwrap();
        reporter.stage("epoch 2 of 2", 20).unwrap();
        let begun: Vec<bool> = told.iter().map(|progress| progress.samples_per_second > 0.0 && progress.eta_seconds > 0.0).collect();
        assert_eq!(begun, [false, false, true], "{told:?}");
    }
}
