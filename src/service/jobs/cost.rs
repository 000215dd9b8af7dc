//! What a fine-tune is expected to cost, on the safe side, before anything is spent: one run, or those of a sweep's trials.

use super::super::{Error, Policy, Result};
use super::admit::{bad_recipe, unfit};
use crate::domain::config::ModelConfig;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::engine::Needs;
use crate::domain::human;
use crate::domain::recipe::{Recipe, RecipeError};
use crate::domain::sweep::{MOST_IN_SOUP, Sweep, rungs};
use crate::train::{self, Estimate, Volume};

/// What a fine-tune is expected to cost, on the safe side.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expected {
    pub trials: u64,
    /// Of them: with halving those that go on run again with more epochs.
    pub runs: u64,
    /// Of all runs.
    pub steps: u64,
    /// The most that one run takes, or the average of a sweep's best trials.
    pub memory_bytes: u64,
    pub scratch_bytes: u64,
    /// Of that average alone; 0 without one.
    soup_bytes: u64,
    /// Of all runs, one after the other, on one slow thread.
    slowest_seconds: f64,
}

impl Expected {
    /// Refuses what a single run of it could not do within the limits of a job.
    pub(super) fn of(
        (recipe, sweep): (&Recipe, Option<&Sweep>),
        config: &ModelConfig,
        report: &DatasetReport,
        policy: &Policy,
    ) -> Result<Expected> {
        let volume = Volume { samples: report.samples as u64, outputs: report.outputs() as u64, characters: characters(report) };
        let cost = |recipe: &Recipe| train::estimate_volume(recipe, config, &volume).map_err(unfit);
        let trials = trials(recipe, sweep).map_err(bad_recipe)?;
        let plan = rungs(trials.len(), sweep.is_some_and(|sweep| sweep.halving));
        let mut expected = Expected { trials: trials.len() as u64, ..Expected::default() };
        // The last rung has all epochs; what was trained there may be averaged.
        let members = plan.last().map_or(0, |rung| rung.trials.min(MOST_IN_SOUP));
        for rung in plan {
            let mut runs = Vec::with_capacity(trials.len());
            for recipe in &trials {
                recipe.check_task(report.task).map_err(bad_recipe)?;
                let epochs = if sweep.is_some() { rung.epochs(recipe) } else { recipe.epochs };
                runs.push(cost(&Recipe { epochs, ..recipe.clone() })?);
            }
            // Which of them go on nobody knows yet: the dearest might.
            runs.sort_by(|a, b| b.slowest_seconds.total_cmp(&a.slowest_seconds));
            for run in runs.iter().take(rung.trials) {
                affordable(run, policy)?;
                expected.add(run);
            }
        }
        if sweep.is_some_and(|sweep| sweep.soup) && members > 1 {
            let cost = |recipe: &Recipe| train::estimate_soup(recipe, config, &volume, members).map_err(unfit);
            let costs = trials.iter().map(cost).collect::<Result<Vec<Estimate>>>()?;
            if let Some(soup) = costs.into_iter().max_by_key(|soup| soup.memory_bytes) {
                expected.average(&soup, members, policy)?;
            }
        }
        Ok(expected)
    }

    /// Refuses an average of so many results that would not fit.
    fn average(&mut self, soup: &Estimate, members: usize, policy: &Policy) -> Result<()> {
        if soup.memory_bytes > policy.max_job_bytes {
            let (needed, allowed) = (human::bytes(soup.memory_bytes), human::bytes(policy.max_job_bytes));
            let message = format!("the average of the {members} best trials would need about {needed} of memory, {allowed} are allowed");
            return Err(Error::invalid("job_too_large", message, "leave out the soup, or try fewer settings"));
        }
        self.memory_bytes = self.memory_bytes.max(soup.memory_bytes);
        self.scratch_bytes = self.scratch_bytes.max(soup.scratch_bytes);
        self.slowest_seconds += soup.slowest_seconds;
        self.soup_bytes = soup.memory_bytes;
        Ok(())
    }

    fn add(&mut self, run: &Estimate) {
        self.runs += 1;
        self.steps += run.steps;
        self.memory_bytes = self.memory_bytes.max(run.memory_bytes);
        self.scratch_bytes = self.scratch_bytes.max(run.scratch_bytes);
        self.slowest_seconds += run.slowest_seconds;
    }

    /// What a machine must have for it.
    pub(super) fn needs(&self, recipe: &Recipe) -> Needs {
        let cpus = u32::try_from(recipe.threads).unwrap_or(0);
        Needs { cpus, memory_bytes: self.memory_bytes, slowest_seconds: self.slowest_seconds }
    }

    /// If the machine were an old one; this one is quicker.
    pub fn seconds_at_most(&self) -> f64 {
        self.slowest_seconds / threads() as f64
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let (memory, disk) = (human::bytes(self.memory_bytes), human::bytes(self.scratch_bytes));
        let (steps, time) = (self.steps, human::duration(self.seconds_at_most()));
        match (self.trials, self.runs) {
            (0 | 1, _) => format!("It takes {steps} steps and at most {time}, {memory} of memory and {disk} of disk."),
            (trials, runs) => {
                let jobs = if runs == trials { format!("{trials} trials, a job each") } else { format!("{trials} trials in {runs} jobs") };
                let each = match self.soup_bytes {
                    0 => format!("each takes at most {memory} of memory and {disk} of disk"),
                    soup => format!(
                        "each takes at most {memory} of memory and {disk} of disk, the average of the best among them ({})",
                        human::bytes(soup)
                    ),
                };
                format!("It has {jobs}: {steps} steps and at most {time} in all, less where several workers share them; {each}.")
            }
        }
    }
}

/// The recipes that will be run: one, or a sweep's.
fn trials(recipe: &Recipe, sweep: Option<&Sweep>) -> std::result::Result<Vec<Recipe>, RecipeError> {
    match sweep {
        None => Ok(vec![recipe.clone()]),
        Some(sweep) => Ok(sweep.trials(recipe)?.into_iter().map(|trial| trial.recipe).collect()),
    }
}

/// Of texts the mean and the most of their characters, where the check has counted them.
fn characters(report: &DatasetReport) -> Option<(f64, f64)> {
    let spread = report.sizes.get("characters")?;
    let mean = report.total_bytes as f64 / report.samples.max(1) as f64;
    Some((mean.clamp(f64::from(spread.min), f64::from(spread.max)), f64::from(spread.max)))
}

/// Neither memory nor time of one job may run away.
fn affordable(run: &Estimate, policy: &Policy) -> Result<()> {
    let too_much = |error: train::Error| Error::invalid("job_too_large", error.to_string(), "change what the message names and ask again");
    run.within(policy.max_job_bytes, policy.max_job_seconds, threads()).map_err(too_much)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
