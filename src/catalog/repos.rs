//! Repos: the rows names stand for. A deleted repo's row stays, so that its name is never given again.

use std::collections::HashMap;

use super::visibility::{Visibility, seen_by};
use crate::db::{Result, Row, Tx, Value};
use crate::domain::id::RepoKey;
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::time::Timestamp;
use crate::params;

const COLUMNS: &str = "key, kind, namespace, name, private, summary, downloads, created, updated";

fn from_row(row: &Row) -> Result<Repo> {
    let namespace = row.text("namespace")?;
    Ok(Repo {
        key: row.parse("key", RepoKey::parse)?,
        kind: row.parse("kind", RepoKind::parse)?,
        id: row.parse("name", |name| RepoId::from_parts(&namespace, name))?,
        private: row.flag("private")?,
        summary: row.text("summary")?,
        downloads: row.count("downloads")?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        updated: Timestamp::from_unix_ms(row.int("updated")?),
    })
}

/// Fails with `Conflict` where the folded name is taken, by a repo or by the tombstone of one.
pub fn insert(tx: &mut Tx<'_>, repo: &Repo) -> Result<()> {
    tx.execute(
        "insert into repos (key, kind, namespace, name, folded, private, summary, created, updated)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            repo.key.as_str(),
            repo.kind.as_str(),
            repo.id.namespace().as_str(),
            repo.id.name().as_str(),
            repo.id.folded(),
            repo.private,
            &repo.summary,
            repo.created.unix_ms(),
            repo.updated.unix_ms(),
        ],
    )?;
    Ok(())
}

/// The repo of this name, however its case and separators are typed.
pub fn find(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<Repo>> {
    find_folded(tx, kind, &id.folded())
}

/// The repo of this name, if it may be seen: one that may not is left where it lies, as if it were not there.
pub fn find_seen(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId, visible: &Visibility) -> Result<Option<Repo>> {
    let mut params = params![kind.as_str(), id.folded()].to_vec();
    let seen = seen_by(visible, &mut params);
    let sql = format!("select {COLUMNS} from repos r where kind = $1 and folded = $2 and deleted is null and ({seen})");
    tx.find(&sql, &params)?.as_ref().map(from_row).transpose()
}

/// The repo that had this name before it was moved, with its present one, if it may be seen.
pub fn find_moved(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId, visible: &Visibility) -> Result<Option<Repo>> {
    let mut params = params![kind.as_str(), id.folded()].to_vec();
    let seen = seen_by(visible, &mut params);
    let columns = COLUMNS.split(", ").map(|column| format!("r.{column}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "select {columns} from former_names f join repos r on r.key = f.repo
         where f.kind = $1 and f.folded = $2 and r.deleted is null and ({seen})"
    );
    tx.find(&sql, &params)?.as_ref().map(from_row).transpose()
}

/// By the folded `namespace/name`.
pub fn find_folded(tx: &mut Tx<'_>, kind: RepoKind, folded: &str) -> Result<Option<Repo>> {
    let sql = format!("select {COLUMNS} from repos where kind = $1 and folded = $2 and deleted is null");
    tx.find(&sql, params![kind.as_str(), folded])?.as_ref().map(from_row).transpose()
}

/// Whether any repo has this namespace; one is enough, of any kind.
pub fn has_any_in(tx: &mut Tx<'_>, namespace: &Name) -> Result<bool> {
    // All that begins with `namespace/`: the character behind '/' is '0'.
    let (from, to) = (format!("{}/", namespace.folded()), format!("{}0", namespace.folded()));
    let sql = "select key from repos where folded >= $1 and folded < $2 and deleted is null limit 1";
    Ok(tx.find(sql, params![from, to])?.is_some())
}

pub fn find_by_key(tx: &mut Tx<'_>, key: &RepoKey) -> Result<Option<Repo>> {
    let sql = format!("select {COLUMNS} from repos where key = $1 and deleted is null");
    tx.find(&sql, params![key.as_str()])?.as_ref().map(from_row).transpose()
}

/// Those of many keys that there are, in the order of the keys.
pub fn find_all(tx: &mut Tx<'_>, keys: &[RepoKey]) -> Result<Vec<Repo>> {
    let sql = format!("select {COLUMNS} from repos where key in ($keys) and deleted is null");
    let rows = tx.all_of(&sql, &keys.iter().map(|key| Value::from(key.as_str())).collect::<Vec<_>>())?;
    let repos = rows.iter().map(from_row).map(|repo| repo.map(|repo| (repo.key.clone(), repo)));
    let mut repos = repos.collect::<Result<HashMap<RepoKey, Repo>>>()?;
    Ok(keys.iter().filter_map(|key| repos.remove(key)).collect())
}

/// Whether the name belonged to a repo that was deleted.
pub fn is_buried(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<bool> {
    let sql = "select key from repos where kind = $1 and folded = $2 and deleted is not null";
    Ok(tx.find(sql, params![kind.as_str(), id.folded()])?.is_some())
}

/// Writes back what an owner may change, and when the repo last changed.
pub fn update(tx: &mut Tx<'_>, repo: &Repo) -> Result<()> {
    tx.execute(
        "update repos set private = $2, summary = $3, updated = $4 where key = $1",
        params![repo.key.as_str(), repo.private, &repo.summary, repo.updated.unix_ms()],
    )?;
    Ok(())
}

/// Gives a repo another name. What becomes of the old one, [`super::former_names`] knows.
pub fn rename(tx: &mut Tx<'_>, repo: &Repo, id: &RepoId, now: Timestamp) -> Result<()> {
    tx.execute(
        "update repos set namespace = $2, name = $3, folded = $4, updated = $5 where key = $1",
        params![repo.key.as_str(), id.namespace().as_str(), id.name().as_str(), id.folded(), now.unix_ms()],
    )?;
    Ok(())
}

/// Lets the version numbers of a new repo begin behind those of another, whose name it has now.
pub fn number_after(tx: &mut Tx<'_>, key: &RepoKey, other: &RepoKey) -> Result<()> {
    let sql = "update repos set last_number = (select last_number from repos where key = $2) where key = $1";
    tx.execute(sql, params![key.as_str(), other.as_str()])?;
    Ok(())
}

/// Takes the next version number; a number is given once, whatever becomes of its version.
pub fn next_number(tx: &mut Tx<'_>, key: &RepoKey) -> Result<u32> {
    tx.execute("update repos set last_number = last_number + 1 where key = $1", params![key.as_str()])?;
    let row = tx.one("select last_number from repos where key = $1", params![key.as_str()])?;
    Ok(row.count("last_number")?.try_into().unwrap_or(u32::MAX))
}

/// Takes a repo away, with its name, in which nothing was ever published; another stays.
pub fn erase_empty(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    let empty = "select r.key from repos r where r.key = $1 and not exists (select 1 from versions v where v.repo = r.key)
                 and not exists (select 1 from discussions d where d.repo = r.key)";
    if tx.find(empty, params![key.as_str()])?.is_some() {
        super::search::listing::remove(tx, key)?;
        tx.execute("delete from repos where key = $1", params![key.as_str()])?;
    }
    Ok(())
}

/// Deletes a repo and all that was said about it. Its own row and those of its versions stay as tombstones.
pub fn bury(tx: &mut Tx<'_>, key: &RepoKey, now: Timestamp) -> Result<()> {
    super::discussions::bury(tx, key)?;
    for sql in [
        "delete from refs where repo = $1",
        "delete from files where repo = $1",
        "delete from version_details where repo = $1",
        "delete from version_sources where repo = $1",
        "delete from version_bases where repo = $1",
        "delete from repo_facts where repo = $1",
        "delete from repo_tags where repo = $1",
        "delete from downloads_daily where repo = $1",
        "delete from library_entries where repo = $1",
        "delete from library_aliases where repo = $1",
        "update versions set state = 'deleted', facts = '{}' where repo = $1",
    ] {
        tx.execute(sql, params![key.as_str()])?;
    }
    tx.execute("update repos set deleted = $2, summary = '', stored_bytes = 0 where key = $1", params![key.as_str(), now.unix_ms()])?;
    super::search::listing::remove(tx, key)
}
