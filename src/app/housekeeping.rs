//! What a server does for its data directory by itself: clearing away what expired, collecting, reading blobs
//! again. Each in a task of its own that may be ended at any moment; none of it is ever in a hurry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};

use super::soundness;
use crate::config::Config;
use crate::service::upkeep::Tell;
use crate::service::upkeep::collect::Collection;
use crate::service::upkeep::lock::Alone;
use crate::service::webhooks::send::Sender;
use crate::service::{Error, Result, Service};

/// How often expired uploads are looked for, and whether a collection is due.
const LOOK: Duration = Duration::from_secs(600);
/// How long a line of the audit log may wait.
const WRITE: Duration = Duration::from_secs(1);
/// Webhooks that are told something at a time.
const TOLD_AT_ONCE: usize = 16;
/// After an error of the store or the disk.
const AGAIN: Duration = Duration::from_secs(60);

/// The tasks of a server.
pub struct Housekeeping {
    tasks: Vec<JoinHandle<()>>,
}

impl Housekeeping {
    pub fn start(service: &Service, config: &Config) -> Housekeeping {
        let data = config.data.clone();
        let mut tasks = vec![tokio::spawn(clear_expired(service.clone(), data.clone())), tokio::spawn(judge_doubtful(service.clone()))];
        if config.gc_interval_ms > 0 {
            tasks.push(tokio::spawn(collect(service.clone(), data, config.gc_interval_ms, config.gc_grace_ms)));
        }
        if config.scrub_period_ms > 0 {
            tasks.push(tokio::spawn(scrub(service.clone(), config.scrub_period_ms)));
        }
        tasks.push(tokio::spawn(keep_journal(service.clone(), config.audit_keep_ms)));
        tasks.push(tokio::spawn(tell_webhooks(service.clone())));
        tasks.push(tokio::spawn(tell_of_sources(service.clone())));
        tasks.push(tokio::spawn(soundness::examine(service.clone())));
        Housekeeping { tasks }
    }

    pub fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Tells the fine-tunes of a base, where they are many, that the data sets it comes from have changed.
async fn tell_of_sources(service: Service) {
    loop {
        match service.tell_of_sources().await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(WRITE).await,
            Err(error) => {
                tracing::warn!(%error, "the data sets that models come from are made known later");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Writes what waits for the audit log, and forgets what is too old.
async fn keep_journal(service: Service, keep_ms: i64) {
    let mut forgot = None::<Instant>;
    loop {
        if let Err(error) = service.write_journal().await {
            tracing::warn!(%error, "lines of the audit log were not written");
        }
        if forgot.is_none_or(|at| at.elapsed() >= LOOK) {
            forgot = Some(Instant::now());
            match service.forget_audit(keep_ms).await {
                Ok(0) => {}
                Ok(lines) => tracing::info!(lines, "forgot old lines of the audit log"),
                Err(error) => tracing::warn!(%error, "old lines of the audit log were not forgotten"),
            }
        }
        tokio::time::sleep(WRITE).await;
    }
}

/// Sends what webhooks are to be told, to some of them at a time; those of one person take turns.
async fn tell_webhooks(service: Service) {
    let sender = match Sender::new(&service.policy().webhook_networks) {
        Ok(sender) => sender,
        Err(error) => return tracing::warn!(%error, "webhooks are told nothing"),
    };
    let mut under_way = JoinSet::new();
    let mut forgot = None::<Instant>;
    loop {
        while under_way.try_join_next().is_some() {}
        let due = if under_way.len() < TOLD_AT_ONCE { service.lease_delivery().await } else { Ok(None) };
        match due {
            Ok(Some(due)) => {
                let (service, sender) = (service.clone(), sender.clone());
                under_way.spawn(async move {
                    if let Err(error) = service.deliver(&sender, due).await {
                        tracing::warn!(%error, "what a webhook answered was not written down; it is told again");
                    }
                });
            }
            Ok(None) => tokio::time::sleep(WRITE).await,
            Err(error) => {
                tracing::warn!(%error, "webhooks are told later");
                tokio::time::sleep(AGAIN).await;
            }
        }
        if forgot.is_none_or(|at| at.elapsed() >= LOOK) {
            forgot = Some(Instant::now());
            if let Err(error) = service.forget_deliveries().await {
                tracing::warn!(%error, "what webhooks were told long ago was not forgotten");
            }
        }
    }
}

/// Expired uploads, strays, and what a collector that died has begun.
async fn clear_expired(service: Service, data: PathBuf) {
    loop {
        match service.expire_uploads().await {
            Ok(gone) if gone != Default::default() => {
                tracing::info!(uploads = gone.uploads, files = gone.files, "cleared away what expired")
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "expired uploads were not cleared away"),
        }
        if let Ok(Some(alone)) = Alone::try_take(&data)
            && let Err(error) = service.end_interrupted(&alone).await
        {
            tracing::warn!(%error, "an interrupted collection could not be ended");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn collect(service: Service, data: PathBuf, interval_ms: i64, grace_ms: i64) {
    let look = LOOK.min(Duration::from_millis(interval_ms.unsigned_abs()));
    loop {
        match collect_if_due(&service, &data, interval_ms, grace_ms).await {
            Ok(()) => tokio::time::sleep(look).await,
            Err(error) => {
                tracing::warn!(%error, "the collection was given up; nothing is lost by that");
                tokio::time::sleep(AGAIN.max(look)).await;
            }
        }
    }
}

async fn collect_if_due(service: &Service, data: &std::path::Path, interval_ms: i64, grace_ms: i64) -> Result<()> {
    let last = service.upkeep_numbers().await?.last_collection;
    if last.is_some_and(|last| last.plus_ms(interval_ms) > service.now()) {
        return Ok(());
    }
    let taken = Alone::try_take(data).map_err(|e| Error::Internal(format!("the lock of the collector: {e}")))?;
    let Some(alone) = taken else { return Ok(()) };
    let silent: Tell = Arc::new(|_| {});
    let done = match service.collect(&alone, Collection { grace_ms, dry_run: false, force: false }, &silent).await {
        Err(Error::Busy(problem)) if problem.code == "upkeep_elsewhere" => return Ok(()),
        done => done?,
    };
    tracing::info!(marked = done.marked.blobs, freed = done.freed.blobs, freed_bytes = done.freed.bytes, "collected");
    Ok(())
}

/// Puts aside what readers have found damaged.
async fn judge_doubtful(service: Service) {
    loop {
        if let Err(error) = service.judge_doubtful().await {
            tracing::warn!(%error, "a blob that was found damaged could not be looked at again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn scrub(service: Service, period_ms: i64) {
    loop {
        match service.scrub_paced(period_ms).await {
            Ok(pause) => tokio::time::sleep(pause).await,
            Err(error) => {
                tracing::warn!(%error, "reading blobs again is put off");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
