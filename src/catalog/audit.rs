//! Who did what, when: one row per act, most of them written in the transaction of the act itself.

use crate::db::{Result, Row, Tx};
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::id::TokenId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::time::Timestamp;
use crate::params;

/// Rows that go in one transaction.
const AT_ONCE: usize = 5_000;

fn from_row(row: &Row) -> Result<AuditEntry> {
    Ok(AuditEntry {
        time: Timestamp::from_unix_ms(row.int("time")?),
        account: row.text("actor")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
        token: row.text("token")?,
        address: row.text("address")?,
        request: row.text("request")?,
    })
}

/// The id of a new entry: it sorts by time, and of entries of one millisecond the later written one comes later.
fn next_id(tx: &mut Tx<'_>, time: Timestamp, mut random: [u8; 10]) -> Result<TokenId> {
    // The upper half is left to successors.
    random[0] &= 0x7f;
    let (first, end) = (TokenId::new(time, [0; 10]), TokenId::new(time.plus_ms(1), [0; 10]));
    let sql = "select id from audit where id >= $1 and id < $2 order by id desc limit 1";
    let last = tx.find(sql, params![first.as_str(), end.as_str()])?.map(|row| row.text("id")).transpose()?;
    let drawn = TokenId::new(time, random);
    Ok(match last.and_then(|id| TokenId::parse(&id).ok()) {
        Some(last) if last >= drawn => last.successor(),
        _ => drawn,
    })
}

/// Writes an entry; `random` is what its id is drawn from.
pub fn insert(tx: &mut Tx<'_>, entry: &AuditEntry, random: [u8; 10]) -> Result<()> {
    let sql = "insert into audit (id, time, actor, action, subject, detail, token, address, request)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let id = next_id(tx, entry.time, random)?;
    let AuditEntry { time, account, action, subject, detail, token, address, request } = entry;
    tx.execute(sql, params![id.as_str(), time.unix_ms(), account, action, subject, detail, token, address, request])?;
    Ok(())
}

/// Entries, newest first; the cursor is the last id.
pub fn list(tx: &mut Tx<'_>, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
    let sql = "select id, time, actor, action, subject, detail, token, address, request from audit
        where ($1 = '' or id < $1) and ($2 = '' or actor = $2) and ($3 = '' or action = $3) and time >= $4
        order by id desc limit $5";
    let since = filter.since.map_or(i64::MIN, Timestamp::unix_ms);
    let before = page.cursor.clone().unwrap_or_default();
    let mut rows = tx.all(sql, params![before, &filter.account, &filter.action, since, page.limit + 1])?;
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = match rows.last().filter(|_| more) {
        Some(last) => Some(last.text("id")?),
        None => None,
    };
    Ok(Page { items: rows.iter().map(from_row).collect::<Result<_>>()?, next })
}

/// Forgets entries from before a time, and the oldest beyond `most`; a bounded number of them, and how many that were.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, most: usize) -> Result<u64> {
    let old = "delete from audit where id in (select id from audit where time < $1 order by id limit $2)";
    let mut gone = tx.execute(old, params![before.unix_ms(), AT_ONCE])?;
    if let Some(last) = tx.find("select id from audit order by id desc limit 1 offset $1", params![most])? {
        let beyond = "delete from audit where id in (select id from audit where id <= $1 order by id limit $2)";
        gone += tx.execute(beyond, params![last.text("id")?, AT_ONCE])?;
    }
    Ok(gone)
}
