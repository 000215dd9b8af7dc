//! A hub from a backup: every blob is read and proved on its way into the new directory, and the catalog gets its
//! name last. What was cut off can be begun again and goes on.

use std::path::Path;

use super::super::{Error, Result};
use super::vault::{self, Lost, Vault, unusable};
use super::{Count, Tell};
use crate::blob::Blobs;
use crate::catalog::gc;
use crate::db::{Db, Haste};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub generation: String,
    pub blobs: Count,
    /// Blobs the backup does not have whole, where that was allowed.
    pub lost: Vec<Lost>,
}

/// Restores the newest catalog of the backup in `from`, or the one named, as `database`, and its blobs into
/// `target`. Unless `incomplete`, every blob must be there.
pub async fn restore(
    from: &Path,
    generation: Option<&str>,
    database: &Path,
    target: &Blobs,
    incomplete: bool,
    tell: &Tell,
) -> Result<Restored> {
    let vault = Vault::open(from)?;
    let generation = choose(&vault, from, generation)?;
    let catalog = vault.catalog(&generation).await?;
    // What an earlier attempt left is proved as well.
    let vault::Copies { blobs, lost, .. } = vault::copy_all("restoring", &catalog, (&vault.blobs, target), true, tell).await?;
    if let Some(first) = lost.first().filter(|_| !incomplete) {
        let named = first.named_by.first().map_or(String::new(), |name| format!(" ({name})"));
        let message = format!("{} of {} blobs are damaged in the backup, such as {}{named}", lost.len(), blobs.blobs, first.digest);
        let hint = "use an earlier one with --generation, or restore what there is with --incomplete";
        return Err(Error::corrupt("backup_damaged", message, hint));
    }
    place(&vault.path(&generation), database).await?;
    Ok(Restored { generation, blobs, lost })
}

fn choose(vault: &Vault, from: &Path, asked: Option<&str>) -> Result<String> {
    let there = vault.generations()?;
    let found = match asked {
        None => there.first(),
        Some(asked) => there.iter().find(|name| *name == asked),
    };
    found.cloned().ok_or_else(|| {
        let what = asked.map_or("a completed backup".to_owned(), |asked| format!("a backup of {asked}"));
        let hint =
            if there.is_empty() { "run 'hub admin backup' to its end".to_owned() } else { format!("there are: {}", there.join(", ")) };
        Error::not_found("no_backup", format!("{} does not hold {what}", from.display()), hint)
    })
}

/// Copies the catalog to its place, and clears away what was under way when it was copied: the bytes of unfinished
/// uploads were not.
async fn place(copy: &Path, database: &Path) -> Result<()> {
    Db::place_copy(copy, database).await.map_err(|e| unusable(database, &e))?;
    let db = Db::open(database).await?;
    db.check(Haste::Full).await?;
    db.write(|tx| Ok::<_, Error>(gc::forget_unfinished(tx)?)).await
}
