//! A recipe that is run again: whether its weights are those that were published then.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::super::{Error, Result, Service};
use super::kinds::Record;
use super::result::Left;
use crate::catalog::jobs;
use crate::db::Tx;
use crate::domain::job::Job;
use crate::domain::job_event::{Event, Level};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

const METRICS: &str = "metrics.json";
const LARGEST: u64 = 64 << 20;

impl Service {
    /// Says in the job's log, in the transaction that ends it, whether the digests match.
    pub(super) async fn record_of_replay(&self, owner: &Actor, job: &Job, of: &(RepoId, u32), left: &Left) -> Result<Record> {
        let (_, manifest) = self.manifest(owner, RepoKind::Model, &of.0, &Revision::Number(of.1)).await?;
        let before = match manifest.find(METRICS) {
            Some(entry) => digest_in(&self.blobs.read_all(&entry.digest, LARGEST).await?),
            None => None,
        };
        let now = left.published(METRICS).and_then(read).and_then(|text| digest_in(&text));
        let (level, said) = compare(&format!("{}@{}", of.0, of.1), before, now);
        let (id, at) = (job.id.clone(), self.now());
        Ok(Arc::new(move |tx: &mut Tx<'_>| {
            jobs::append_event(tx, &id, at, &Event::log(level, said.clone()))?;
            Ok::<(), Error>(())
        }))
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let small = std::fs::metadata(path).ok()?.len() <= LARGEST;
    small.then(|| std::fs::read(path).ok()).flatten()
}

/// The digest of the weights, where it is one.
fn digest_in(metrics: &[u8]) -> Option<String> {
    let metrics: Value = serde_json::from_slice(metrics).ok()?;
    let digest = metrics["weights_digest"].as_str()?;
    (digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit())).then(|| digest.to_owned())
}

fn compare(of: &str, before: Option<String>, now: Option<String>) -> (Level, String) {
    match (before, now) {
        (Some(before), Some(now)) if before == now => {
            (Level::Info, format!("replay of {of}: the digest matches, the weights are the same ({now})"))
        }
        (Some(before), Some(now)) => {
            let why = "another number of threads, another kind of machine or another release sums floats in another order";
            (Level::Warn, format!("replay of {of}: the digest differs, {now} instead of {before}; {why}"))
        }
        _ => (Level::Warn, format!("replay of {of}: it has no digest of its weights to compare with")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_says_whether_the_digest_matched() {
        let digest = |byte: &str| digest_in(format!(r#"{{"weights_digest": "{}"}}"#, byte.repeat(64)).as_bytes());
        assert!(compare("a/b@1", digest("a"), digest("a")).1.contains("the digest matches"));
        let differs = compare("a/b@1", digest("a"), digest("b"));
        assert!(differs.0 == Level::Warn && differs.1.contains("the digest differs"));
        assert!(compare("a/b@1", digest("x"), digest("b")).1.contains("no digest"), "what is no digest is not shown");
    }
}
