//! Which workers there are: each is written down when it claims, and when it beats, a few times a minute. For people to look at; the queue goes by
//! leases.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::super::{Error, Result, Service, access};
use super::office::holder_name;
use crate::catalog::workers;
use crate::domain::id::JobId;
use crate::domain::job::Lease;
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, WorkerToken};
use crate::domain::worker::Worker;

/// A worker that was noted so lately is not noted again, unless it does something else now.
const NOTED_EACH_MS: i64 = 15_000;
/// Shown so long after its last sign of life, and kept so long.
const SHOWN_MS: i64 = 3_600_000;
const KEPT_MS: i64 = 24 * 3_600_000;
/// Workers shown at once, and remembered by a process.
const MOST: usize = 10_000;
const LONGEST_WORD: usize = 40;

/// When this process has last noted a worker, and with which job.
#[derive(Default)]
pub(in crate::service) struct Roll(Mutex<HashMap<String, (Timestamp, Option<JobId>)>>);

impl Roll {
    /// Is it time to note it? Also whether it is the first time.
    fn is_due(&self, name: &str, job: Option<&JobId>, now: Timestamp) -> Option<bool> {
        let mut noted = self.0.lock();
        let known = noted.get(name);
        if known.is_some_and(|(at, had)| had.as_ref() == job && (0..NOTED_EACH_MS).contains(&(now.unix_ms() - at.unix_ms()))) {
            return None;
        }
        let is_new = known.is_none();
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert(name.to_owned(), (now, job.cloned()));
        Some(is_new)
    }

    fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

impl Service {
    /// Notes a worker that asks for a job; `token` is that of one elsewhere, which claims by `worker.name`. Failing to is no harm.
    pub async fn note_worker(&self, token: Option<&WorkerToken>, worker: Worker) {
        let now = self.now();
        let name = token.map_or_else(|| Ok(worker.name.clone()), |token| holder_name(token, of_claim(&worker.name)));
        // A claim by an odd name is refused.
        let Ok(name) = name else { return };
        let Some(is_new) = self.roll.is_due(&name, None, now) else { return };
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_WORD).collect::<String>();
        let (node, device, release) = (short(&worker.node), short(&worker.device), short(&worker.release));
        let token = token.map(|token| token.id.to_string());
        // What counts with a sign must not be beyond it.
        let memory_bytes = worker.memory_bytes.min(i64::MAX as u64);
        let worker = Worker { name, token, node, device, release, memory_bytes, started: now, seen: now, job: None, ..worker };
        let noted = self.db.write_beside(Vec::new(), move |tx| {
            if is_new {
                workers::forget_before(tx, now.plus_ms(-KEPT_MS))?;
            }
            Ok::<_, Error>(workers::note(tx, &worker)?)
        });
        if let Err(error) = noted.await {
            tracing::debug!(%error, "a worker was not written down");
        }
    }

    /// Notes that a worker works on the job of its lease. Failing to is no harm.
    pub async fn note_at_work(&self, lease: &Lease) {
        let (name, now) = (of_claim(&lease.worker).to_owned(), self.now());
        if self.roll.is_due(&name, Some(&lease.job), now).is_none() {
            return;
        }
        let job = lease.job.clone();
        let noted = self.db.write_beside(Vec::new(), move |tx| Ok::<_, Error>(workers::touch(tx, &name, job.as_str(), now)?));
        if let Err(error) = noted.await {
            tracing::debug!(%error, "a worker was not written down");
        }
    }

    /// A worker has ended, or is known to be dead; `name` is what it claims by. Failing to note it is no harm.
    pub async fn forget_worker(&self, name: &str) {
        let name = of_claim(name).to_owned();
        self.roll.forget(&name);
        let forgotten = self.db.write_beside(Vec::new(), move |tx| Ok::<_, Error>(workers::forget(tx, &name)?));
        if let Err(error) = forgotten.await {
            tracing::debug!(%error, "a worker that has ended is shown for an hour");
        }
    }

    /// The workers that were heard of within the hour, by machine.
    pub async fn list_workers(&self, actor: &Actor) -> Result<Vec<Worker>> {
        access::admin_site(actor)?;
        let since = self.now().plus_ms(-SHOWN_MS);
        self.db.read(move |tx| Ok::<_, Error>(workers::list(tx, since, MOST)?)).await
    }
}

/// The worker's name of what it claims by: one elsewhere numbers its claims (`gpu7-4711-x7Qe.3`).
fn of_claim(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((worker, number)) if !worker.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => worker,
        _ => name,
    }
}

/// The machine in the name of a worker elsewhere: `gpu7-4711-x7Qe` runs on `gpu7`.
pub fn node_of(name: &str) -> &str {
    of_claim(name).rsplitn(3, '-').nth(2).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_noted_a_few_times_a_minute_and_when_it_does_something_else() {
        let (roll, at) = (Roll::default(), Timestamp::from_unix_ms);
        let job = JobId::new(at(1), [1; 10]);
        assert_eq!(roll.is_due("a", None, at(1_000)), Some(true));
        assert_eq!(roll.is_due("a", None, at(15_999)), None);
        assert_eq!(roll.is_due("a", Some(&job), at(15_999)), Some(false));
        assert_eq!(roll.is_due("a", Some(&job), at(16_000)), None);
        assert_eq!(roll.is_due("a", Some(&job), at(31_000)), Some(false));
        assert_eq!(roll.is_due("a", Some(&job), at(1)), Some(false), "a clock that was put back");
        roll.forget("a");
        assert_eq!(roll.is_due("a", Some(&job), at(2)), Some(true));
    }

    #[test]
    fn names_tell_the_worker_and_its_machine() {
        assert_eq!((of_claim("t:gpu7-47-x7Qe.12"), of_claim("gpu7-47-x7Qe"), of_claim("a.b")), ("t:gpu7-47-x7Qe", "gpu7-47-x7Qe", "a.b"));
        assert_eq!((node_of("my-gpu-47-x7Qe.1"), node_of("odd")), ("my-gpu", "odd"));
    }
}
