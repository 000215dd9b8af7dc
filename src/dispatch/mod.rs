//! Hands a hub's queued jobs to an engine that people already run, and keeps both in step: what is ready becomes a job of the engine's, what
//! has ended or was cancelled is cancelled there, what the engine lost is handed over again. The engine starts `hub worker --job ID` for
//! each, which claims the job by its lease: a job that the engine runs twice, retries or kills still has one result.
//!
//! A dispatcher keeps nothing itself: what was handed over, and as what, stands in the hub's catalog. It may be started anew at any time,
//! and one of them at a time serves a place.

mod engine;
mod follow;
mod kubernetes;
mod slurm;

use std::time::Duration;

pub use engine::{After, Engine, Error, Launch, Needs, Result, There, Usual};
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use slurm::{Slurm, SlurmOptions};
use tokio::sync::watch;

use self::engine::Task;
use self::follow::Follower;
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
    /// What follows others by itself, handed over behind them.
    pub behind: usize,
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
    let there = engine.there().await?;
    let plan = plan(&queue, &there, options.most);
    let note = async |job: &str, number: &str, state: &str| {
        let (engine, place) = (engine.name().to_owned(), options.place.clone());
        client.note_engine(job, &EngineNote { engine, place, number: number.to_owned(), state: state.to_owned() }).await
    };
    if !plan.cancel.is_empty() {
        engine.cancel(&plan.cancel).await?;
    }
    // Before it is forgotten what they follow.
    for (job, number) in &plan.found {
        note(job, number, "submitted").await?;
        tracing::info!(job, number, "what was handed over behind another job is there");
    }
    for (job, number) in &plan.ended {
        note(job, number, "ended").await?;
    }
    for (job, number) in &plan.lost {
        tracing::warn!(job, number, "the engine does not have a job any more that has not ended");
        note(job, number, "lost").await?;
    }
    let mut handed = Vec::new();
    for tasks in batches(&plan.submit) {
        let numbers = engine.submit(&tasks).await?;
        for (task, number) in tasks.into_iter().zip(numbers) {
            note(&task.job, &number, "submitted").await?;
            tracing::info!(job = task.job, number, "handed over");
            handed.push((task, number));
        }
    }
    let mut behind = 0;
    for follower in follow::followers(&queue, &there, &handed) {
        let Some(number) = hand_over_behind(engine, &follower).await else { continue };
        tracing::info!(job = follower.task.job, follows = follower.task.follows, number, "handed over behind others");
        behind += 1;
        if !follower.task.follows {
            note(&follower.task.job, &number, "submitted").await?;
        }
    }
    let (submitted, cancelled) = (handed.len(), plan.cancel.len());
    Ok(Round { submitted, behind, cancelled, lost: plan.lost.len(), ended: plan.ended.len() })
}

/// The number of what waits for others now. An engine that refuses costs nothing but time: what is ready later is handed over then.
async fn hand_over_behind(engine: &dyn Engine, follower: &Follower) -> Option<String> {
    let Follower { task, after, instead_of } = follower;
    let handed = async {
        if let Some(number) = instead_of {
            engine.cancel(std::slice::from_ref(number)).await?;
        }
        engine.submit_after(task, after).await
    };
    handed.await.unwrap_or_else(|error| {
        tracing::warn!(%error, job = task.job, "the engine does not take what follows a job before its time");
        None
    })
}

impl Round {
    fn add(&mut self, other: Round) {
        self.submitted += other.submitted;
        self.behind += other.behind;
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
    /// What was handed over behind another job before it was there, and is now.
    found: Vec<(String, String)>,
}

fn plan(queue: &[EngineJob], there: &There, most: usize) -> Plan {
    let mut plan = Plan { found: follow::found(queue, there), ..Plan::default() };
    let mut count = plan.found.len();
    for job in queue.iter().filter(|job| !plan.found.iter().any(|(found, _)| *found == job.job)).collect::<Vec<_>>() {
        let lies = job.handed.as_ref().filter(|handed| handed.state == "submitted");
        let ended = !["queued", "running"].contains(&job.state.as_str());
        let behind = there.following.get(&job.job);
        match lies {
            Some(handed) => {
                let (known, pair) = (there.numbers.contains(&handed.number), (job.job.clone(), handed.number.clone()));
                match (ended, known) {
                    // Its worker is on its way out, and what waits behind it goes by how it ends.
                    (true, true) if job.state == "succeeded" && behind.is_some() => count += 1,
                    (true, known) => {
                        plan.ended.push(pair);
                        plan.cancel.extend(known.then(|| handed.number.clone()));
                        plan.cancel.extend(behind.filter(|_| job.state != "succeeded").cloned());
                    }
                    (false, true) => count += 1,
                    (false, false) if handed.seconds_ago < FRESH_SECONDS => count += 1,
                    // Handed over again by a later look, which knows what it needs.
                    (false, false) if job.ready => {
                        plan.lost.push(pair);
                        plan.cancel.extend(behind.cloned());
                    }
                    // Its lease holds, or it waits: whichever ends first says more.
                    (false, false) => {}
                }
            }
            None if job.ready && waited(job.handed.as_ref()) => plan.submit.push(Task::of(job)),
            None => {}
        }
    }
    plan.submit.truncate(most.saturating_sub(count));
    plan
}

fn waited(handed: Option<&EngineHanded>) -> bool {
    handed.is_none_or(|handed| {
        let doubled = AGAIN_SECONDS.saturating_mul(1 << handed.times.saturating_sub(1).min(10));
        handed.seconds_ago >= doubled.min(LONGEST_WAIT_SECONDS)
    })
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
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::wire::worker::EngineNext;

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
            next: None,
        }
    }

    fn there(numbers: &[&str], following: &[(&str, &str)]) -> There {
        let numbers: HashSet<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
        let following: HashMap<String, String> = following.iter().map(|(job, number)| ((*job).into(), (*number).into())).collect();
        There { numbers, following }
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
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
        let there = there(&["1", "5", "7"], &[]);
        let found = plan(&queue, &there, 100);
        assert_eq!(names(&found.submit), ["new"], "what was lost is handed over by a later look, which knows what it needs");
        assert_eq!(found.cancel, ["7"]);
        assert_eq!(found.lost, pairs(&[("lost", "3"), ("lapsed", "4")]));
        assert_eq!(found.ended, pairs(&[("cancelled", "7"), ("done", "8")]));
        assert_eq!(names(&plan(&queue, &there, 3).submit), [] as [&str; 0], "three are there");
    }

    #[test]
    fn what_waits_behind_a_race_shares_its_fate() {
        let race = |state: &str| job("race", state, false, Some(("7", 60, 1)));
        let queued = |next: &str| Some(EngineNext { job: Some(next.into()), cpus: 1, memory_bytes: None, slowest_seconds: None });
        let tune = || job("tune", "queued", true, None);
        let won = [EngineJob { next: queued("tune"), ..race("succeeded") }, tune()];
        let leaving = plan(&won, &there(&["7", "8"], &[("race", "8")]), 100);
        assert_eq!(
            leaving,
            Plan { found: pairs(&[("tune", "8")]), ..Plan::default() },
            "neither is it handed over twice nor its race cancelled"
        );
        let over = plan(&won, &there(&["8"], &[("race", "8")]), 100);
        assert_eq!((over.ended, over.found), (pairs(&[("race", "7")]), pairs(&[("tune", "8")])));
        let gone = plan(&won, &there(&[], &[]), 100);
        assert_eq!((names(&gone.submit), gone.ended), (vec!["tune"], pairs(&[("race", "7")])), "it was not behind it any more");
        for state in ["failed", "cancelled"] {
            assert_eq!(plan(&[race(state)], &there(&["7", "8"], &[("race", "8")]), 100).cancel, ["7", "8"]);
        }
        let lost = plan(&[job("race", "queued", true, Some(("7", 60, 1)))], &there(&["8"], &[("race", "8")]), 100);
        assert_eq!((lost.lost, lost.cancel), (pairs(&[("race", "7")]), vec!["8".to_owned()]));
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
            Task::of(&made)
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
