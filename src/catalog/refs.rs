//! Refs: branches and tags, the names that move. Whether one may move is decided above.

use crate::db::{Result, Row, Tx};
use crate::domain::digest::CommitId;
use crate::domain::id::RepoKey;
use crate::domain::repo::{Ref, RefKind};
use crate::domain::revision::RefName;
use crate::domain::time::Timestamp;
use crate::params;

const SELECT: &str = "select r.name, r.kind, r.number, r.updated, v.commit_id
     from refs r join versions v on v.repo = r.repo and v.number = r.number where r.repo = $1";

fn from_row(row: &Row) -> Result<Ref> {
    Ok(Ref {
        name: row.parse("name", RefName::parse)?,
        kind: row.parse("kind", |word| RefKind::parse(word).ok_or("is no kind of a ref"))?,
        number: u32::try_from(row.int("number")?).unwrap_or(u32::MAX),
        commit: row.parse("commit_id", CommitId::parse)?,
        updated: Timestamp::from_unix_ms(row.int("updated")?),
    })
}

pub fn find(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName) -> Result<Option<Ref>> {
    let sql = format!("{SELECT} and r.name = $2");
    tx.find(&sql, params![repo.as_str(), name.as_str()])?.as_ref().map(from_row).transpose()
}

/// `main` first, then branches, then tags, each by name.
pub fn list(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Vec<Ref>> {
    let sql = format!("{SELECT} order by case when r.name = 'main' then 0 when r.kind = 'branch' then 1 else 2 end, r.name");
    tx.all(&sql, params![repo.as_str()])?.iter().map(from_row).collect()
}

/// The last by name, but for `main`: at most so many, from the end of an index.
pub fn last(tx: &mut Tx<'_>, repo: &RepoKey, most: usize) -> Result<Vec<Ref>> {
    let sql = format!("{SELECT} and r.name <> 'main' order by r.name desc limit $2");
    tx.all(&sql, params![repo.as_str(), most])?.iter().map(from_row).collect()
}

/// What names this version.
pub fn naming(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<Ref>> {
    let sql = format!("{SELECT} and r.number = $2 order by r.name");
    tx.all(&sql, params![repo.as_str(), number])?.iter().map(from_row).collect()
}

pub fn count(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<u64> {
    tx.one("select count(*) as n from refs where repo = $1", params![repo.as_str()])?.count("n")
}

/// Whether a branch or a tag of this kind lies below the name, as `dev/x` below `dev`, or above it: git keeps no two such.
pub fn find_in_the_way(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName, kind: RefKind) -> Result<Option<RefName>> {
    let below = "select name from refs where repo = $1 and kind = $2 and name >= $3 and name < $4 order by name limit 1";
    let (from, to) = (format!("{name}/"), format!("{name}0"));
    if let Some(row) = tx.find(below, params![repo.as_str(), kind.as_str(), from, to])? {
        return Ok(Some(row.parse("name", RefName::parse)?));
    }
    for (at, _) in name.as_str().match_indices('/') {
        let above = "select name from refs where repo = $1 and kind = $2 and name = $3";
        if let Some(row) = tx.find(above, params![repo.as_str(), kind.as_str(), &name.as_str()[..at]])? {
            return Ok(Some(row.parse("name", RefName::parse)?));
        }
    }
    Ok(None)
}

/// Lets a ref name a version; a new one is a tag, but for `main`.
pub fn set(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName, number: u32, now: Timestamp) -> Result<()> {
    let kind = if name.is_main() { RefKind::Branch } else { RefKind::Tag };
    set_of_kind(tx, repo, (name, kind), number, now)
}

/// The same; a new one is of this kind, one that is there stays what it is.
pub fn set_of_kind(tx: &mut Tx<'_>, repo: &RepoKey, (name, kind): (&RefName, RefKind), number: u32, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into refs (repo, name, kind, number, updated) values ($1, $2, $3, $4, $5)
         on conflict (repo, name) do update set number = excluded.number, updated = excluded.updated",
        params![repo.as_str(), name.as_str(), kind.as_str(), number, now.unix_ms()],
    )?;
    Ok(())
}

pub fn delete(tx: &mut Tx<'_>, repo: &RepoKey, name: &RefName) -> Result<()> {
    tx.execute("delete from refs where repo = $1 and name = $2", params![repo.as_str(), name.as_str()])?;
    Ok(())
}
