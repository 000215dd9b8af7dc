//! Refs: `main` and tags, the names that move. Whether one may move is decided above.

use crate::db::{Result, Row, Tx};
use crate::domain::digest::CommitId;
use crate::domain::id::RepoKey;
use crate::domain::repo::Ref;
use crate::domain::revision::RefName;
use crate::domain::time::Timestamp;
use crate::params;

const SELECT: &str = "select r.name, r.number, r.updated, v.commit_id
     from refs r join versions v on v.repo = r.repo and v.number = r.number where r.repo = $1";

fn from_row(row: &Row) -> Result<Ref> {
    Ok(Ref {
        name: row.parse("name", RefName::parse)?,
        number: u32::try_from(row.int("number")?).unwrap_or(u32::MAX),
        commit: row.parse("commit_id", CommitId::parse)?,
        updated: Timestamp::from_unix_ms(row.int("updated")?),
    })
}

pub fn find(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName) -> Result<Option<Ref>> {
    let sql = format!("{SELECT} and r.name = $2");
    tx.find(&sql, params![repo.as_str(), name.as_str()])?.as_ref().map(from_row).transpose()
}

/// `main` first, then tags by name.
pub fn list(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Vec<Ref>> {
    let sql = format!("{SELECT} order by case r.name when 'main' then 0 else 1 end, r.name");
    tx.all(&sql, params![repo.as_str()])?.iter().map(from_row).collect()
}

/// Tags that name this version.
pub fn naming(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<Ref>> {
    let sql = format!("{SELECT} and r.number = $2 order by r.name");
    tx.all(&sql, params![repo.as_str(), number])?.iter().map(from_row).collect()
}

pub fn count(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<u64> {
    tx.one("select count(*) as n from refs where repo = $1", params![repo.as_str()])?.count("n")
}

pub fn set(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName, number: u32, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into refs (repo, name, number, updated) values ($1, $2, $3, $4)
         on conflict (repo, name) do update set number = excluded.number, updated = excluded.updated",
        params![repo.as_str(), name.as_str(), number, now.unix_ms()],
    )?;
    Ok(())
}

pub fn delete(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName) -> Result<()> {
    tx.execute("delete from refs where repo = $1 and name = $2", params![repo.as_str(), name.as_str()])?;
    Ok(())
}
