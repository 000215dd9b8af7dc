//! Scrubbing: reading blobs again to find what the disk has lost or changed since. What is damaged is put aside,
//! so that nobody is served it; the next who has the true bytes is asked for them, and that repairs it.

use futures_util::{StreamExt, stream};

use super::super::{Error, Result, Service};
use super::{Count, Event, Tell};
use crate::blob::{self, Pace, Verdict};
use crate::catalog::upkeep::{self, Scrubbing};
use crate::catalog::{blobs, fsck};
use crate::domain::digest::Digest;

/// Blobs taken from the catalog at once.
const PAGE: usize = 500;
/// Versions named for one damaged blob.
pub(super) const NAMED: usize = 50;
/// With so many blobs unreadable the disk itself is gone, and reading on helps nobody.
const MOST_UNREADABLE: usize = 20;

/// A blob that does not have its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub digest: Digest,
    pub size_bytes: u64,
    pub problem: String,
    /// It was moved to `quarantine/`.
    pub quarantined: bool,
    /// The files of versions it is, such as `model ada/net@3: model.safetensors`.
    pub named_by: Vec<String>,
    unreadable: bool,
}

/// What a scrub read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub read: Count,
    pub damaged: Vec<Damage>,
}

impl Service {
    /// Reads all blobs, or this share of them drawn at random, on all cores.
    pub async fn scrub(&self, share: f64, tell: &Tell) -> Result<Scrubbed> {
        let chosen = self.sample(share)?;
        let (started, (blobs, bytes)) = (self.now(), self.db.read(blobs::count).await?);
        let part = |all: u64| (all as f64 * share.min(1.0)) as u64;
        tell(Event::Begin { what: "reading", items: part(blobs), bytes: part(bytes) });
        let (mut scrubbed, mut after) = (Scrubbed::default(), None);
        loop {
            let page = self.db.read(move |tx| Ok::<_, Error>(blobs::list(tx, after.as_ref(), PAGE)?)).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let page: Vec<_> = page.into_iter().filter(|(digest, _)| chosen(digest)).collect();
            let found = self.scrub_page(page, tell).await?;
            self.count_scrubbed(&found).await?;
            scrubbed.read.blobs += found.read.blobs;
            scrubbed.read.bytes += found.read.bytes;
            scrubbed.damaged.extend(found.damaged);
            let unreadable = scrubbed.damaged.iter().filter(|damage| damage.unreadable).count();
            if unreadable > MOST_UNREADABLE {
                let message = format!("the disk cannot read {unreadable} blobs; it is going bad");
                return Err(Error::corrupt("blob_unreadable", message, "replace the disk and restore from a backup"));
            }
        }
        tell(Event::End);
        if share >= 1.0 {
            // The paced scrub need not read all of it again.
            let done = Scrubbing { started: Some(started), after: None, finished: true };
            self.db.write(move |tx| Ok::<_, Error>(upkeep::set_scrubbing(tx, &done)?)).await?;
        }
        Ok(scrubbed)
    }

    /// A blob's digest is as good as a random number; another seed draws other blobs.
    fn sample(&self, share: f64) -> Result<impl Fn(&Digest) -> bool + use<>> {
        let seed = u64::from_be_bytes(self.random()?);
        let below = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        Ok(move |digest: &Digest| {
            let mut first = [0; 8];
            first.copy_from_slice(&digest.as_bytes()[..8]);
            share >= 1.0 || u64::from_be_bytes(first) ^ seed < below
        })
    }

    async fn scrub_page(&self, page: Vec<(Digest, u64)>, tell: &Tell) -> Result<Scrubbed> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let readings = stream::iter(page).map(|(digest, size_bytes)| {
            let (service, tell) = (self.clone(), tell.clone());
            // A task of its own, so that hashing uses all cores.
            let reading = async move {
                let told = move |bytes| tell(Event::Advance(bytes));
                service.scrub_blob(digest, size_bytes, &mut Pace::free(), told).await
            };
            async move { (size_bytes, tokio::spawn(reading).await) }
        });
        let mut scrubbed = Scrubbed::default();
        let mut readings = readings.buffer_unordered(threads);
        while let Some((size_bytes, read)) = readings.next().await {
            let damage = read.map_err(|e| Error::Internal(format!("a reading was stopped: {e}")))??;
            scrubbed.read.add(size_bytes);
            scrubbed.damaged.extend(damage);
        }
        Ok(scrubbed)
    }

    /// Reads one blob, and puts it aside if it is damaged.
    pub(super) async fn scrub_blob(&self, digest: Digest, size_bytes: u64, pace: &mut Pace, tell: impl Fn(u64)) -> Result<Option<Damage>> {
        let mut verdict = self.blobs.verify(&digest, size_bytes, pace, &tell).await?;
        let mut quarantined = false;
        if matches!(verdict, Verdict::Size(_) | Verdict::Content(_)) {
            match self.blobs.quarantine(&digest).await {
                Ok(moved) => quarantined = moved,
                Err(blob::Error::Unreadable(problem)) => verdict = Verdict::Unreadable(problem),
                Err(error) => return Err(error.into()),
            }
            if !quarantined {
                // It was repaired meanwhile, or its row is what is wrong.
                verdict = self.blobs.verify(&digest, size_bytes, pace, |_| {}).await?;
            }
        }
        let problem = match &verdict {
            Verdict::Good => return Ok(None),
            Verdict::Missing if self.blobs.is_quarantined(&digest).await? => "it was put aside before and not sent again since".to_owned(),
            Verdict::Missing => "its bytes are gone".to_owned(),
            Verdict::Size(bytes) => format!("it has {bytes} bytes instead of {size_bytes}"),
            Verdict::Content(got) => format!("its bytes have sha256 {got}"),
            Verdict::Unreadable(problem) => format!("the disk cannot read it: {problem}"),
            Verdict::Broken(problem) => problem.clone(),
        };
        let named = self
            .db
            .read(move |tx| {
                let there = blobs::find_size(tx, &digest)?.is_some();
                there.then(|| fsck::named_by(tx, &digest, NAMED)).transpose()
            })
            .await
            .map_err(Error::from)?;
        // Without a row the collector took it while it was being read.
        let unreadable = matches!(verdict, Verdict::Unreadable(_));
        Ok(named.map(|named_by| Damage { digest, size_bytes, problem, quarantined, named_by, unreadable }))
    }

    /// Waits for a blob whose bytes a reader has found to be others than they should be, reads all of it, and puts it
    /// aside if they are.
    pub async fn judge_doubtful(&self) -> Result<()> {
        let digest = self.blobs.next_doubtful().await;
        let size_bytes = self.db.read(move |tx| Ok::<_, Error>(blobs::find_size(tx, &digest)?)).await?;
        let damage = match size_bytes {
            Some(size_bytes) => self.scrub_blob(digest, size_bytes, &mut Pace::free(), |_| {}).await?,
            None => None,
        };
        self.blobs.settle(&digest);
        match &damage {
            Some(damage) => {
                tell_damage(damage);
                self.db.write(move |tx| Ok::<_, Error>(upkeep::add(tx, "hub_reads_damaged_total", 1)?)).await?;
            }
            None => tracing::warn!(%digest, "a blob that was found damaged is good, or gone, when it is read again"),
        }
        Ok(())
    }

    pub(super) async fn count_scrubbed(&self, scrubbed: &Scrubbed) -> Result<()> {
        let (read, damaged) = (scrubbed.read, scrubbed.damaged.len() as u64);
        scrubbed.damaged.iter().for_each(tell_damage);
        self.db
            .write(move |tx| {
                upkeep::add(tx, "hub_scrub_blobs_total", read.blobs)?;
                upkeep::add(tx, "hub_scrub_bytes_total", read.bytes)?;
                Ok::<_, Error>(upkeep::add(tx, "hub_scrub_damaged_total", damaged)?)
            })
            .await
    }
}

fn tell_damage(damage: &Damage) {
    tracing::error!(digest = %damage.digest, problem = damage.problem, named_by = ?damage.named_by, "a blob is damaged");
}
