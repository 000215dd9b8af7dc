//! Backing up while the hub runs: first the catalog as of one moment, then every blob it names that the backup
//! lacks. The catalog gets its name last, so a backup that was cut off leaves the earlier ones as they were.
//!
//! Blobs never change, so each is copied once. No collector runs meanwhile ([`Beside`]): what the copied catalog
//! names stays in the store until it was copied.

use std::path::Path;

use super::super::{Error, Result, Service};
use super::collect::elsewhere;
use super::lock::Beside;
use super::vault::{self, Lost, Vault, unusable};
use super::{Count, Tell};
use crate::catalog::upkeep::{self, Chore};

/// How to back up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPlan {
    /// Catalogs kept, this one included.
    pub keep: usize,
    /// Read again what earlier backups copied.
    pub verify: bool,
}

/// What a backup holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// The moment of this backup, and the name of its catalog.
    pub generation: String,
    pub blobs: Count,
    pub copied: Count,
    /// All moments there is a catalog of, newest first.
    pub generations: Vec<String>,
    /// Blobs that only older catalogs named, and that went with them.
    pub removed: Count,
    /// Blobs the hub does not have whole. The backup lacks them.
    pub lost: Vec<Lost>,
}

impl Service {
    pub async fn backup(&self, _beside: &Beside, dir: &Path, plan: BackupPlan, tell: &Tell) -> Result<BackedUp> {
        let _held = self.hold_upkeep(true).await?.ok_or_else(elsewhere)?;
        let (vault, writing) = Vault::create(dir)?;
        vault.clear(&writing).await?;
        let generation = self.next_generation(&vault)?;
        let part = vault.part(&generation);
        self.db.copy_into(&part).await?;
        let catalog = vault::open_copy(&part).await?;
        let copies = vault::copy_all("backing up", &catalog, (&self.blobs, &vault.blobs), plan.verify, tell).await?;
        drop(catalog);
        vault.name(&generation, &writing)?;
        let removed = vault.prune(plan.keep, &writing).await?;
        self.note_backup().await?;
        let vault::Copies { blobs, copied, lost } = copies;
        Ok(BackedUp { generations: vault.generations()?, generation, blobs, copied, removed, lost })
    }

    /// The name of this moment; later than any there is, whatever the clock says.
    fn next_generation(&self, vault: &Vault) -> Result<String> {
        let newest = vault.generations()?.into_iter().next().unwrap_or_default();
        let mut now = self.now();
        loop {
            let name: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
            if name > newest {
                return Ok(name);
            }
            if name[..8] < newest[..8.min(newest.len())] {
                let message = format!("the newest backup there is of {newest}, which is in the future");
                return Err(Error::invalid("clock_wrong", message, "set this machine's clock, or use another directory"));
            }
            now = now.plus_ms(1);
        }
    }

    async fn note_backup(&self) -> Result<()> {
        let now = self.now();
        self.db
            .write(move |tx| {
                upkeep::add(tx, "hub_backups_total", 1)?;
                Ok::<_, Error>(upkeep::set_done(tx, Chore::Backup, now)?)
            })
            .await
    }
}

/// What one backup's directory holds: its moments, newest first.
pub fn generations(dir: &Path) -> Result<Vec<String>> {
    let found = Vault::open(dir)?.generations()?;
    match found.is_empty() {
        true => Err(unusable(dir, &std::io::Error::other("no backup was completed there"))),
        false => Ok(found),
    }
}
