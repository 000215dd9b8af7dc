//! What follows a job by itself is handed over with it, where the engine can hold one job until others have ended: the fine-tune after a race
//! of bases, once the race has succeeded; the run of a sweep that publishes the best, once its last trials have ended, however they did.
//!
//! The fine-tune is not there yet when it is handed over: its worker is started to claim whatever follows the race (`hub worker --after`), and
//! the engine's number is written down at the hub once it is there. Whatever goes wrong between costs a start in vain: what is ready and lies
//! nowhere is handed over as any job is.

use super::engine::{After, Task, There};
use crate::wire::worker::{EngineJob, EngineNext};

/// A job that is handed over behind others.
#[derive(Debug, PartialEq)]
pub struct Follower {
    pub task: Task,
    pub after: After,
    /// The engine's number of one that waits for others than these.
    pub instead_of: Option<String>,
}

/// What follows the jobs that were handed over just now, each with its number.
pub fn followers(queue: &[EngineJob], there: &There, handed: &[(Task, String)]) -> Vec<Follower> {
    let (mut found, mut sweeps) = (Vec::new(), Vec::new());
    for (task, number) in handed {
        let Some(next) = queue.iter().find(|job| job.job == task.job).and_then(|job| job.next.as_ref()) else { continue };
        match &task.parent {
            None => {
                let task = Task { needs: next.into(), follows: true, times: 0, ..task.clone() };
                let instead_of = there.following.get(&task.job).cloned();
                found.push(Follower { task, after: After::Success(number.clone()), instead_of });
            }
            Some(sweep) if !sweeps.contains(sweep) => {
                sweeps.push(sweep.clone());
                found.extend(own_run(queue, there, handed, (sweep, next)));
            }
            Some(_) => {}
        }
    }
    found
}

/// The run that publishes the best of a sweep, unless some of its trials lie nowhere yet.
fn own_run(queue: &[EngineJob], there: &There, handed: &[(Task, String)], (sweep, next): (&String, &EngineNext)) -> Option<Follower> {
    let mut numbers: Vec<String> =
        handed.iter().filter(|(task, _)| task.parent.as_ref() == Some(sweep)).map(|(_, number)| number.clone()).collect();
    for trial in queue.iter().filter(|job| job.parent.as_ref() == Some(sweep)) {
        if handed.iter().any(|(task, _)| task.job == trial.job) {
            continue;
        }
        match &trial.handed {
            Some(lies) if lies.state == "submitted" && there.numbers.contains(&lies.number) => numbers.push(lies.number.clone()),
            _ if trial.ready => return None,
            _ => {}
        }
    }
    let before = queue.iter().find(|job| job.job == *sweep).and_then(|job| job.handed.as_ref());
    let instead_of = before.filter(|lies| there.numbers.contains(&lies.number)).map(|lies| lies.number.clone());
    let times = before.map_or(0, |lies| lies.times);
    let task = Task { job: sweep.clone(), needs: next.into(), parent: None, times, follows: false };
    Some(Follower { task, after: After::End(numbers), instead_of })
}

/// What follows jobs that have succeeded, and is there by now, with the number it was handed over under.
pub fn found(queue: &[EngineJob], there: &There) -> Vec<(String, String)> {
    let of = |job: &EngineJob| {
        let next = job.next.as_ref()?.job.clone()?;
        Some((next, there.following.get(&job.job).filter(|_| job.state == "succeeded")?.clone()))
    };
    queue.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::wire::worker::EngineHanded;

    fn job(name: &str, parent: Option<&str>, number: Option<&str>, next: Option<Option<&str>>) -> EngineJob {
        let handed = number.map(|number| EngineHanded { number: number.into(), state: "submitted".into(), seconds_ago: 60, times: 2 });
        EngineJob {
            job: name.into(),
            kind: "fine-tune".into(),
            state: "queued".into(),
            ready: true,
            parent: parent.map(str::to_owned),
            cpus: 1,
            memory_bytes: None,
            slowest_seconds: None,
            handed,
            next: next.map(|job| EngineNext { job: job.map(str::to_owned), cpus: 4, memory_bytes: Some(7), slowest_seconds: None }),
        }
    }

    fn there(numbers: &[&str], following: &[(&str, &str)]) -> There {
        let numbers: HashSet<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
        let following: HashMap<String, String> = following.iter().map(|(job, number)| ((*job).into(), (*number).into())).collect();
        There { numbers, following }
    }

    fn handed(queue: &[EngineJob], names: &[(&str, &str)]) -> Vec<(Task, String)> {
        let find = |name: &str| queue.iter().find(|job| job.job == name).unwrap();
        names.iter().map(|(name, number)| (Task::of(find(name)), (*number).to_owned())).collect()
    }

    #[test]
    fn what_follows_a_race_waits_for_its_success() {
        let queue = [job("race", None, None, Some(None)), job("plain", None, None, None)];
        let found = followers(&queue, &there(&[], &[]), &handed(&queue, &[("race", "7"), ("plain", "8")]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].task.job.as_str(), found[0].task.follows, found[0].task.needs.cpus), ("race", true, 4));
        assert_eq!((&found[0].after, &found[0].instead_of), (&After::Success("7".into()), &None));
        let again = followers(&queue, &there(&[], &[("race", "6")]), &handed(&queue, &[("race", "7")]));
        assert_eq!(again[0].instead_of.as_deref(), Some("6"), "of two one is ended");
    }

    #[test]
    fn a_sweep_waits_for_the_last_of_its_trials() {
        let trial = |name: &str, number: Option<&str>| job(name, Some("sweep"), number, Some(Some("sweep")));
        let queue = [trial("a", None), trial("b", None), trial("c", Some("3"))];
        let all = followers(&queue, &there(&["3"], &[]), &handed(&queue, &[("a", "9_1"), ("b", "9_2")]));
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].task.job.as_str(), all[0].task.follows), ("sweep", false));
        assert_eq!(all[0].after, After::End(vec!["9_1".into(), "9_2".into(), "3".into()]));
        assert!(followers(&queue, &there(&["3"], &[]), &handed(&queue, &[("a", "9")])).is_empty(), "one of them lies nowhere yet");

        // One was lost and is handed over again: what waited for the others waits for it as well.
        let mut sweep = job("sweep", None, Some("5"), None);
        sweep.ready = false;
        let queue = [trial("a", None), trial("b", Some("9_2")), sweep];
        let again = followers(&queue, &there(&["9_2", "5"], &[]), &handed(&queue, &[("a", "10")]));
        assert_eq!((again[0].instead_of.as_deref(), again[0].task.times), (Some("5"), 2));
        assert_eq!(again[0].after, After::End(vec!["10".into(), "9_2".into()]));
    }

    #[test]
    fn what_follows_is_known_once_it_is_there() {
        let mut race = job("race", None, Some("7"), Some(Some("tune")));
        assert!(found(std::slice::from_ref(&race), &there(&[], &[("race", "8")])).is_empty(), "it has not ended");
        race.state = "succeeded".into();
        assert_eq!(found(std::slice::from_ref(&race), &there(&[], &[("race", "8")])), [("tune".to_owned(), "8".to_owned())]);
        assert!(found(&[race], &there(&["7"], &[])).is_empty(), "nothing was handed over behind it");
    }
}
