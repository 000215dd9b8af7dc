//! Who did what, when: one row per act of management, written in the transaction of the act itself.

use crate::db::{Result, Tx};
use crate::domain::id::TokenId;
use crate::domain::time::Timestamp;
use crate::params;

/// One act. `subject` is what it was done to, `detail` what changed; never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub time: Timestamp,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

/// Writes an entry; `random` makes its id, which sorts by time.
pub fn insert(tx: &mut Tx<'_>, entry: &Entry, random: [u8; 10]) -> Result<()> {
    let sql = "insert into audit (id, time, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)";
    let id = TokenId::new(entry.time, random);
    let Entry { time, actor, action, subject, detail } = entry;
    tx.execute(sql, params![id.as_str(), time.unix_ms(), actor, action, subject, detail])?;
    Ok(())
}

/// The newest entries, newest first.
pub fn list(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Entry>> {
    let rows = tx.all("select time, actor, action, subject, detail from audit order by id desc limit $1", params![limit])?;
    let entry = |row: &crate::db::Row| {
        Ok(Entry {
            time: Timestamp::from_unix_ms(row.int("time")?),
            actor: row.text("actor")?,
            action: row.text("action")?,
            subject: row.text("subject")?,
            detail: row.text("detail")?,
        })
    };
    rows.iter().map(entry).collect()
}
