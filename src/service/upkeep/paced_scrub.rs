//! The paced scrub beside a serving hub: all blobs once in a period, in the order of their digests, a little at a
//! time. Where it stands is in the catalog, so that it goes on after a restart.

use std::time::Duration;

use super::super::{Error, Result, Service};
use super::scrub::Scrubbed;
use crate::blob::Pace;
use crate::catalog::blobs;
use crate::catalog::upkeep::{self, Scrubbing};
use crate::domain::time::Timestamp;

/// Blobs between two notes of where it stands, and their bytes.
const BLOBS_PER_STEP: usize = 64;
const BYTES_PER_STEP: u64 = 64 << 20;
/// Slower than this a large blob would not be read to its end between two restarts.
const LEAST_BYTES_PER_SECOND: f64 = 8e6;
/// Half the period is for reading, the rest for restarts and growth.
const MARGIN: f64 = 2.0;
/// How long to wait before looking whether a pass is due.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

impl Service {
    /// Reads the next few blobs of a pass that takes `period_ms`. How long to wait before the next step.
    pub async fn scrub_paced(&self, period_ms: i64) -> Result<Duration> {
        let (now, state) = (self.now(), self.db.read(upkeep::scrubbing).await?);
        let Some(mut at) = next(state, now, period_ms) else { return Ok(LOOK_AGAIN) };
        let stored = self.upkeep_numbers().await?.stored;
        let mut pace = Pace::of((MARGIN * stored.bytes as f64 / (period_ms as f64 / 1_000.0)).max(LEAST_BYTES_PER_SECOND));
        let after = at.after;
        let page = self.db.read(move |tx| Ok::<_, Error>(blobs::list(tx, after.as_ref(), BLOBS_PER_STEP)?)).await?;
        at.finished = page.is_empty();
        let mut found = Scrubbed::default();
        for (digest, size_bytes) in page {
            found.damaged.extend(self.scrub_blob(digest, size_bytes, &mut pace, |_| {}).await?);
            found.read.add(size_bytes);
            at.after = Some(digest);
            if found.read.bytes >= BYTES_PER_STEP {
                break;
            }
        }
        self.count_scrubbed(&found).await?;
        self.db.write(move |tx| Ok::<_, Error>(upkeep::set_scrubbing(tx, &at)?)).await?;
        Ok(Duration::ZERO)
    }
}

/// Where to go on: in the pass under way, or at the beginning of one that is due.
fn next(state: Scrubbing, now: Timestamp, period_ms: i64) -> Option<Scrubbing> {
    let due = state.started.is_none_or(|started| started.plus_ms(period_ms) <= now);
    match (state.started, state.finished) {
        (Some(_), false) => Some(state),
        _ if due => Some(Scrubbing { started: Some(now), after: None, finished: false }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;

    #[test]
    fn a_pass_goes_on_where_it_stood_and_the_next_begins_when_its_time_has_come() {
        let at = Timestamp::from_unix_ms;
        let first = next(Scrubbing::default(), at(5), 100).unwrap();
        assert_eq!(first, Scrubbing { started: Some(at(5)), after: None, finished: false });
        let under_way = Scrubbing { after: Some(Digest::of(b"x")), ..first };
        assert_eq!(next(under_way, at(999), 100), Some(under_way), "however late it is");
        let done = Scrubbing { finished: true, ..first };
        assert_eq!(next(done, at(104), 100), None);
        assert_eq!(next(done, at(105), 100).unwrap().started, Some(at(105)));
    }
}
