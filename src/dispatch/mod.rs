//! Hands a hub's queued jobs to an engine that people already run, and keeps both in step: what is ready becomes a job of the engine's, what
//! has ended or was cancelled is cancelled there, what the engine lost is handed over again. The engine starts `hub worker --job ID` for
//! each, which claims the job by its lease: a job that the engine runs twice, retries or kills still has one result.
//!
//! A dispatcher keeps nothing itself: what was handed over, and as what, stands in the hub's catalog. It may be started anew at any time,
//! and one of them at a time serves a place.

mod engine;
mod kubernetes;
mod slurm;

use std::collections::HashSet;
use std::time::Duration;

pub use engine::{Engine, Error, Launch, Needs, Result, Usual};
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use slurm::{Slurm, SlurmOptions};
use tokio::sync::watch;

use self::engine::Task;
use crate::client::Client;
use crate::wire::worker::{EngineHanded, EngineJob, EngineNote};

/// What was handed over so lately need not be listed by its engine yet.
const FRESH_SECONDS: u64 = 10;
/// The wait before a job is handed over once more; it doubles each time.
const AGAIN_SECONDS: u64 = 5;
const LONGEST_WAIT_SECONDS: u64 = 600;

/// How to dispatch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name under which the catalog knows this cluster.
    pub place: String,
    /// Jobs the engine has at a time, waiting or running.
    pub most: usize,
    pub every: Duration,
    /// End after one look.
    pub once: bool,
}

/// What one look did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub submitted: usize,
    pub cancelled: usize,
    pub lost: usize,
    pub ended: usize,
}

/// Looks at the queue again and again until told to stop; what all looks did.
///
/// # Errors
/// The hub refuses the token, or with `once` anything that went wrong.
pub async fn run(client: &Client, engine: &dyn Engine, options: &Options, mut stopping: watch::Receiver<bool>) -> Result<Round> {
    let mut all = Round::default();
    while !*stopping.borrow() {
        match round(client, engine, options).await {
            Ok(done) => all.add(done),
            Err(error) if options.once || error.is_final() => return Err(error),
            Err(error) => tracing::warn!(%error, "this round of dispatching failed"),
        }
        if options.once {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(options.every) => {}
            _ = stopping.changed() => {}
        }
    }
    Ok(all)
}

async fn round(client: &Client, engine: &dyn Engine, options: &Options) -> Result<Round> {
    let queue = client.engine_queue(engine.name(), &options.place).await?.jobs;
    // One that does not answer has lost nothing, as far as is known.
    let alive = engine.alive().await?;
    let plan = plan(&queue, &alive, options.most);
    let note = async |job: &str, number: &str, state: &str| {
        let (engine, place) = (engine.name().to_owned(), options.place.clone());
        client.note_engine(job, &EngineNote { engine, place, number: number.to_owned(), state: state.to_owned() }).await
    };
    if !plan.cancel.is_empty() {
        engine.cancel(&plan.cancel).await?;
    }
    for (job, number) in &plan.ended {
        note(job, number, "ended").await?;
    }
    for (job, number) in &plan.lost {
        tracing::warn!(job, number, "the engine does not have a job any more that has not ended");
        note(job, number, "lost").await?;
    }
    let mut submitted = 0;
    for tasks in batches(&plan.submit) {
        let numbers = engine.submit(&tasks).await?;
        for (task, number) in tasks.iter().zip(&numbers) {
            note(&task.job, number, "submitted").await?;
            tracing::info!(job = task.job, number, "handed over");
            submitted += 1;
        }
    }
    Ok(Round { submitted, cancelled: plan.cancel.len(), lost: plan.lost.len(), ended: plan.ended.len() })
}

impl Round {
    fn add(&mut self, other: Round) {
        self.submitted += other.submitted;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.ended += other.ended;
    }
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    submit: Vec<Task>,
    /// The engine's numbers.
    cancel: Vec<String>,
    /// Jobs, each with the engine's number.
    lost: Vec<(String, String)>,
    ended: Vec<(String, String)>,
}

fn plan(queue: &[EngineJob], alive: &HashSet<String>, most: usize) -> Plan {
    let mut plan = Plan::default();
    let mut there = 0;
    for job in queue {
        let lies = job.handed.as_ref().filter(|handed| handed.state == "submitted");
        let ended = !["queued", "running"].contains(&job.state.as_str());
        match lies {
            Some(handed) => {
                let (known, pair) = (alive.contains(&handed.number), (job.job.clone(), handed.number.clone()));
                match (ended, known) {
                    (true, known) => {
                        plan.ended.push(pair);
                        plan.cancel.extend(known.then(|| handed.number.clone()));
                    }
                    (false, true) => there += 1,
                    (false, false) if handed.seconds_ago < FRESH_SECONDS => there += 1,
                    (false, false) if job.ready => {
                        plan.lost.push(pair);
                        plan.submit.push(task(job));
                    }
                    // Its lease holds, or it waits: whichever ends first says more.
                    (false, false) => {}
                }
            }
            None if job.ready && waited(job.handed.as_ref()) => plan.submit.push(task(job)),
            None => {}
        }
    }
    plan.submit.truncate(most.saturating_sub(there));
    plan
}

fn waited(handed: Option<&EngineHanded>) -> bool {
    handed.is_none_or(|handed| {
        let doubled = AGAIN_SECONDS.saturating_mul(1 << handed.times.saturating_sub(1).min(10));
        handed.seconds_ago >= doubled.min(LONGEST_WAIT_SECONDS)
    })
}

fn task(job: &EngineJob) -> Task {
    let (memory_bytes, slowest_seconds) = (job.memory_bytes, job.slowest_seconds);
    Task {
        job: job.job.clone(),
        needs: Needs { cpus: job.cpus, memory_bytes, slowest_seconds },
        parent: job.parent.clone(),
        times: job.handed.as_ref().map_or(0, |handed| handed.times),
    }
}

/// Trials of one sweep that need the same are one array; every other job stands alone.
fn batches(tasks: &[Task]) -> Vec<Vec<Task>> {
    let mut batches: Vec<Vec<Task>> = Vec::new();
    for task in tasks {
        let same = |first: &Task| task.parent.is_some() && first.parent == task.parent && first.needs == task.needs;
        match batches.iter_mut().find(|batch| batch.first().is_some_and(same)) {
            Some(batch) => batch.push(task.clone()),
            None => batches.push(vec![task.clone()]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, state: &str, ready: bool, handed: Option<(&str, u64, u64)>) -> EngineJob {
        let handed = handed.map(|(number, seconds_ago, times)| EngineHanded {
            number: number.into(),
            state: "submitted".into(),
            seconds_ago,
            times,
        });
        EngineJob {
            job: name.into(),
            kind: "fine-tune".into(),
            state: state.into(),
            ready,
            parent: None,
            cpus: 1,
            memory_bytes: None,
            slowest_seconds: None,
            handed,
        }
    }

    fn names(tasks: &[Task]) -> Vec<&str> {
        tasks.iter().map(|task| task.job.as_str()).collect()
    }

    #[test]
    fn what_is_ready_is_handed_over_and_what_was_lost_again() {
        let queue = [
            job("new", "queued", true, None),
            job("waits", "queued", true, Some(("1", 60, 1))),
            job("fresh", "queued", true, Some(("2", 3, 1))),
            job("lost", "queued", true, Some(("3", 60, 1))),
            job("lapsed", "running", true, Some(("4", 900, 1))),
            job("runs", "running", false, Some(("5", 900, 1))),
            job("dying", "running", false, Some(("6", 900, 1))),
            job("cancelled", "cancelled", false, Some(("7", 60, 1))),
            job("done", "succeeded", false, Some(("8", 60, 1))),
        ];
        let alive = HashSet::from(["1", "5", "7"].map(str::to_owned));
        let found = plan(&queue, &alive, 100);
        assert_eq!(names(&found.submit), ["new", "lost", "lapsed"]);
        assert_eq!(found.cancel, ["7"]);
        let pairs = |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        assert_eq!(found.lost, pairs(&[("lost", "3"), ("lapsed", "4")]));
        assert_eq!(found.ended, pairs(&[("cancelled", "7"), ("done", "8")]));
        assert_eq!(names(&plan(&queue, &alive, 4).submit), ["new"], "three are there");
    }

    #[test]
    fn what_is_lost_again_and_again_waits_longer() {
        let handed = |seconds_ago, times| EngineHanded { number: "1".into(), state: "lost".into(), seconds_ago, times };
        for (seconds_ago, times, good) in [(4, 1, false), (5, 1, true), (9, 2, false), (10, 2, true), (599, 60, false), (600, 60, true)] {
            assert_eq!(waited(Some(&handed(seconds_ago, times))), good, "{seconds_ago} s after {times}");
        }
        assert!(waited(None));
    }

    #[test]
    fn trials_of_a_sweep_are_one_array() {
        let of = |name: &str, parent: Option<&str>, cpus| {
            let made = EngineJob { parent: parent.map(str::to_owned), cpus, ..job(name, "queued", true, None) };
            task(&made)
        };
        let tasks = [
            of("a", Some("s"), 1),
            of("b", None, 1),
            of("c", Some("s"), 1),
            of("d", Some("t"), 1),
            of("e", Some("s"), 2),
            of("f", None, 1),
        ];
        let found = batches(&tasks);
        let found: Vec<Vec<&str>> = found.iter().map(|batch| names(batch)).collect();
        assert_eq!(found, [vec!["a", "c"], vec!["b"], vec!["d"], vec!["e"], vec!["f"]]);
    }
}
