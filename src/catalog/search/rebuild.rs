//! Fills what lists and searches read from a catalog that was there before: after an upgrade, and whenever somebody wants it made anew. A transaction
//! does some repos; what it has done and how far it came are one commit, so that an interrupted one goes on where it was.

use super::super::full_text;
use super::listing;
use crate::db::{Result, Tx};
use crate::domain::id::RepoKey;
use crate::params;

/// Repos of one transaction.
const AT_ONCE: usize = 500;

/// Is all of it there?
pub fn is_done(tx: &mut Tx<'_>) -> Result<bool> {
    tx.one("select done from listing_state where id = 1", &[])?.flag("done")
}

/// Does some more; how many repos, none where all are done.
pub fn some(tx: &mut Tx<'_>) -> Result<usize> {
    let state = tx.one("select filled_to, done from listing_state where id = 1", &[])?;
    if state.flag("done")? {
        return Ok(0);
    }
    let rows = tx.all("select key, deleted from repos where key > $1 order by key limit $2", params![state.text("filled_to")?, AT_ONCE])?;
    for row in &rows {
        if row.find_int("deleted")?.is_none() {
            let key = row.parse("key", RepoKey::parse)?;
            // What was changed meanwhile is written and counted already.
            if !listing::is_listed(tx, &key)? {
                full_text::count(tx, &key)?;
                listing::refresh(tx, &key)?;
            }
        }
    }
    match rows.last() {
        Some(last) => tx.execute("update listing_state set filled_to = $1 where id = 1", params![last.text("key")?])?,
        None => tx.execute("update listing_state set done = 1 where id = 1", &[])?,
    };
    Ok(rows.len())
}

/// Empties all of it, to be filled again.
pub fn begin_again(tx: &mut Tx<'_>) -> Result<()> {
    for table in ["terms", "listing", "listing_terms", "repo_measures", "vocabulary", "lineage_pending"] {
        tx.execute(&format!("delete from {table}"), &[])?;
    }
    tx.execute("update listing_state set filled_to = '', done = 0 where id = 1", &[]).map(drop)
}
