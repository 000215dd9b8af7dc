//! Upkeep of a data directory by hand: collecting, scrubbing, comparing, backing up, restoring. Also while a
//! server runs on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Administration, DATABASE_FILE, Error, Result, lock, modes, store};
use crate::config::Config;
use crate::service::upkeep::lock::{Alone, Beside};
// The words upkeep speaks in, for those who ask for it.
pub use crate::service::upkeep::backup::{BackedUp, BackupPlan};
pub use crate::service::upkeep::collect::{Collected, Collection};
pub use crate::service::upkeep::fsck::{Checked, Finding};
pub use crate::service::upkeep::migrate::Moved;
pub use crate::service::upkeep::restore::Restored;
pub use crate::service::upkeep::scrub::{Damage, Scrubbed};
pub use crate::service::upkeep::{Count, Event, Lost, Tell};

impl Administration {
    pub async fn collect(&self, asked: Collection, tell: &Tell) -> Result<Collected> {
        let alone = self.wait(tell, Alone::try_take, Alone::take).await?;
        Ok(self.service.collect(&alone, asked, tell).await?)
    }

    pub async fn scrub(&self, share: f64, tell: &Tell) -> Result<Scrubbed> {
        Ok(self.service.scrub(share, tell).await?)
    }

    pub async fn fsck(&self, tell: &Tell) -> Result<Checked> {
        Ok(self.service.fsck(tell).await?)
    }

    pub async fn back_up(&self, dir: &Path, plan: BackupPlan, tell: &Tell) -> Result<BackedUp> {
        let beside = self.wait(tell, Beside::try_take, Beside::take).await?;
        let done = self.service.backup(&beside, dir, plan, tell).await?;
        // Earlier ones may have left it open to others.
        modes::tighten_and_tell(dir);
        Ok(done)
    }

    /// Takes a lock, and says so if that means waiting.
    async fn wait<T: Send + 'static>(
        &self,
        tell: &Tell,
        at_once: impl FnOnce(&Path) -> io::Result<Option<T>>,
        patiently: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let wrong = |e: &io::Error| Error::data(&self.data, e);
        if let Some(taken) = at_once(&self.data).map_err(|e| wrong(&e))? {
            return Ok(taken);
        }
        tell(Event::Note("another collection or backup is at work here; waiting for it to end".into()));
        let data: PathBuf = self.data.clone();
        let taken = tokio::task::spawn_blocking(move || patiently(&data)).await;
        taken.map_err(|e| wrong(&io::Error::other(e)))?.map_err(|e| wrong(&e))
    }
}

/// Makes a hub in `config.data` from the backup in `from`. A directory that holds a hub is never touched.
pub async fn restore(config: &Config, from: &Path, generation: Option<&str>, incomplete: bool, tell: &Tell) -> Result<Restored> {
    let data = &config.data;
    let database = data.join(DATABASE_FILE);
    let holds_a_hub = || {
        let message = format!("{} holds a hub already", data.display());
        Error::Refused { message, hint: "restore into a new directory with --data DIR".into() }
    };
    if config.db.is_some() {
        let message = "a backup is restored into a file of the data directory, and the setting 'db' names a server".into();
        let hint = "restore without it, then take the file there with 'hub admin migrate-db --from DATA --to postgres://...'".into();
        return Err(Error::Refused { message, hint });
    }
    if database.exists() {
        return Err(holds_a_hub());
    }
    if !from.is_dir() {
        let message = format!("there is no directory {}", from.display());
        return Err(Error::NotFound { message, hint: "name the directory that 'hub admin backup DIR' wrote to".into() });
    }
    modes::make_private();
    std::fs::create_dir_all(data).map_err(|e| Error::data(data, &e))?;
    let _lock = lock::Lock::take(data)?;
    // A server may have begun one while we waited for the lock.
    if database.exists() {
        return Err(holds_a_hub());
    }
    let target = store::open(config)?;
    let from: Arc<Path> = from.into();
    Ok(crate::service::upkeep::restore::restore(&from, generation, &database, &target, incomplete, tell).await?)
}
