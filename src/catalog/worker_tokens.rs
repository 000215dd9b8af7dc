//! Tokens of workers, found by the hash of a secret that is kept nowhere.

use crate::db::{Error, Result, Row, Tx};
use crate::domain::id::TokenId;
use crate::domain::time::Timestamp;
use crate::domain::user::WorkerToken;
use crate::params;

const COLUMNS: &str = "id, name, created, expires, last_used";

fn from_row(row: &Row) -> Result<WorkerToken> {
    let time = |column: &str| Ok::<_, Error>(row.find_int(column)?.map(Timestamp::from_unix_ms));
    Ok(WorkerToken {
        id: row.parse("id", TokenId::parse)?,
        name: row.text("name")?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        expires: time("expires")?,
        last_used: time("last_used")?,
    })
}

pub fn insert(tx: &mut Tx<'_>, token: &WorkerToken, hash: &str) -> Result<()> {
    let (created, expires) = (token.created.unix_ms(), token.expires.map(Timestamp::unix_ms));
    let sql = "insert into worker_tokens (id, name, hash, created, expires) values ($1, $2, $3, $4, $5)";
    tx.execute(sql, params![token.id.as_str(), &token.name, hash, created, expires])?;
    Ok(())
}

/// One that was not revoked, and the stored hash for a comparison in constant time.
pub fn find_by_hash(tx: &mut Tx<'_>, hash: &str) -> Result<Option<(WorkerToken, String)>> {
    let sql = format!("select {COLUMNS}, hash from worker_tokens where hash = $1 and revoked is null");
    tx.find(&sql, params![hash])?.map(|row| Ok((from_row(&row)?, row.text("hash")?))).transpose()
}

/// Those that were not revoked, newest first.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<WorkerToken>> {
    let sql = format!("select {COLUMNS} from worker_tokens where revoked is null order by id desc");
    tx.all(&sql, &[])?.iter().map(from_row).collect()
}

/// By its id, or by its name where only one has it.
pub fn find(tx: &mut Tx<'_>, named: &str) -> Result<Option<WorkerToken>> {
    let sql = format!("select {COLUMNS} from worker_tokens where revoked is null and (id = $1 or name = $1) order by id limit 2");
    let found = tx.all(&sql, params![named])?.iter().map(from_row).collect::<Result<Vec<_>>>()?;
    Ok(match found.as_slice() {
        [one] => Some(one.clone()),
        several => several.iter().find(|token| token.id.as_str() == named).cloned(),
    })
}

pub fn revoke(tx: &mut Tx<'_>, id: &TokenId, now: Timestamp) -> Result<()> {
    tx.execute("update worker_tokens set revoked = $2 where id = $1 and revoked is null", params![id.as_str(), now.unix_ms()])?;
    Ok(())
}

/// Notes that one was used, unless that was noted since `unless_since`.
pub fn touch(tx: &mut Tx<'_>, id: &TokenId, now: Timestamp, unless_since: Timestamp) -> Result<()> {
    let sql = "update worker_tokens set last_used = $2 where id = $1 and (last_used is null or last_used < $3)";
    tx.execute(sql, params![id.as_str(), now.unix_ms(), unless_since.unix_ms()])?;
    Ok(())
}
