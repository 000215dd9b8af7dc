//! The key that all nodes of a hub sign with, where they share a database server.

use crate::db::{Result, Tx};
use crate::domain::time::Timestamp;
use crate::params;

/// The key as text, if one was written.
pub fn find(tx: &mut Tx<'_>) -> Result<Option<String>> {
    tx.find("select key from signing_keys order by created, id limit 1", &[])?.map(|row| row.text("key")).transpose()
}

/// Writes the key of this id, unless there is one.
pub fn insert_first(tx: &mut Tx<'_>, id: &str, key: &str, now: Timestamp) -> Result<()> {
    let sql = "insert into signing_keys (id, key, created) select cast($1 as text), cast($2 as text), cast($3 as bigint)
         where not exists (select 1 from signing_keys)";
    tx.execute(sql, params![id, key, now.unix_ms()])?;
    Ok(())
}
