//! What a start does not wait for: reading a large database through. A small one is read before anything is believed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{DATABASE_FILE, Result, open_error};
use crate::db::Haste;
use crate::service::Service;
use crate::service::upkeep::soundness::Soundness;

/// A database up to this size is read at once: a moment, even from a slow disk.
const SMALL_BYTES: u64 = 64 << 20;
/// A large one is read when the first requests have been answered.
const AFTER: Duration = Duration::from_secs(2);
/// How often it is said that a database is damaged, and how long after an error it is read again.
const AGAIN: Duration = Duration::from_secs(600);

pub(super) fn is_small(data: &Path) -> bool {
    std::fs::metadata(data.join(DATABASE_FILE)).is_ok_and(|file| file.len() <= SMALL_BYTES)
}

/// Reads a small database through, or asks a server for its own; damage refuses the start. A large one is left to [`examine`].
pub(super) async fn examine_small(service: &Service, data: &Path, is_elsewhere: bool) -> Result<()> {
    if !is_elsewhere && !is_small(data) {
        return Ok(());
    }
    match service.examine_database(Haste::Full).await {
        Ok(()) => Ok(()),
        Err(_) if service.soundness() == Soundness::Damaged => Err(open_error(data, service.database_damage())),
        Err(error) => Err(error.into()),
    }
}

/// Reads a large database through while the server is at work. Once damage was found, it is said again and again, and the server is not ready.
pub(super) async fn examine(service: Service) {
    if service.soundness() == Soundness::Sound {
        return;
    }
    tokio::time::sleep(AFTER).await;
    loop {
        let begun = Instant::now();
        match service.examine_database(Haste::Behind).await {
            Ok(()) => return tracing::info!(ms = begun.elapsed().as_millis(), "the database was read through and is sound"),
            Err(error) if service.soundness() == Soundness::Damaged => {
                tracing::error!(%error, "THE DATABASE IS DAMAGED; stop the server and restore the data directory from a backup");
            }
            Err(error) => tracing::warn!(%error, "the database could not be read through; it is tried again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
