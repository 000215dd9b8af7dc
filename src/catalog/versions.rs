//! Versions and their files. Rows never change once written, but for the state; a deleted version keeps its
//! row (the tombstone) and loses everything else.

use std::collections::HashMap;

use super::facts;
use crate::db::{Result, Row, Tx, Value};
use crate::domain::digest::{CommitId, Digest};
use crate::domain::id::RepoKey;
use crate::domain::manifest::Manifest;
use crate::domain::mark::Mark;
use crate::domain::page::Page;
use crate::domain::path::composed;
use crate::domain::repo::{Facts, FileEntry, Version, VersionState};
use crate::domain::revision::Line;
use crate::domain::time::Timestamp;
use crate::params;

/// Rows of files that are read together.
const READ_AT_ONCE: usize = 1_000;

/// True of a version `v` that is the repo's own: those of pull requests are found by who asks for the pull request.
const OWN: &str = "v.line not like 'refs/pr/%'";

/// The versions a version `$2` stands upon, itself among them: `l.number`.
const ANCESTORS: &str = "with recursive l (number, parent) as (
       select v.number, v.parent from versions v where v.repo = $1 and v.number = $2
       union all select v.number, v.parent from versions v join l on v.number = l.parent where v.repo = $1)";

pub(super) const COLUMNS: &str =
    "v.number, v.commit_id, v.manifest, v.parent, v.line, v.author, v.message, v.created, v.state, v.files, v.total_bytes";

pub(super) fn from_row(row: &Row) -> Result<Version> {
    let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(Version {
        number: number(row.int("number")?),
        commit: row.parse("commit_id", CommitId::parse)?,
        manifest: row.parse("manifest", Digest::parse)?,
        parent: row.find_int("parent")?.map(number),
        line: row.parse("line", Line::parse)?,
        author: row.text("author")?,
        message: row.text("message")?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        state: row.parse("state", |word| VersionState::parse(word).ok_or("is no state of a version"))?,
        files: row.count("files")?,
        total_bytes: row.count("total_bytes")?,
    })
}

/// Writes a version and its files; `facts` as [`super::facts`] encodes them.
pub fn insert(tx: &mut Tx<'_>, repo: &RepoKey, version: &Version, manifest: &Manifest, facts: &str) -> Result<()> {
    tx.execute(
        "insert into versions (repo, number, commit_id, manifest, parent, author, message, created, state, files, total_bytes, facts, line)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        params![
            repo.as_str(),
            version.number,
            version.commit.as_str(),
            version.manifest.to_hex(),
            version.parent,
            &version.author,
            &version.message,
            version.created.unix_ms(),
            version.state.as_str(),
            version.files,
            version.total_bytes,
            facts,
            version.line.to_string(),
        ],
    )?;
    for entry in manifest.entries() {
        tx.execute(
            "insert into files (repo, number, path, size_bytes, digest) values ($1, $2, $3, $4, $5)",
            params![repo.as_str(), version.number, entry.path.as_str(), entry.size_bytes, entry.digest.to_hex()],
        )?;
    }
    Ok(())
}

pub fn find(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Option<Version>> {
    let sql = format!("select {COLUMNS} from versions v where v.repo = $1 and v.number = $2");
    tx.find(&sql, params![repo.as_str(), number])?.as_ref().map(from_row).transpose()
}

/// The version `main` names.
pub fn find_head(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Option<Version>> {
    let sql = format!(
        "select {COLUMNS} from versions v join refs m on m.repo = v.repo and m.number = v.number where m.repo = $1 and m.name = 'main'"
    );
    tx.find(&sql, params![repo.as_str()])?.as_ref().map(from_row).transpose()
}

/// The version that `main` names of each of many repos, with its facts but for card, labels and report.
pub fn find_heads(tx: &mut Tx<'_>, repos: &[RepoKey]) -> Result<HashMap<RepoKey, (Version, Facts)>> {
    let sql = format!(
        "select {COLUMNS}, v.repo, v.facts from versions v join refs m on m.repo = v.repo and m.number = v.number
         where m.repo in ($keys) and m.name = 'main'"
    );
    let rows = tx.all_of(&sql, &repos.iter().map(|key| Value::from(key.as_str())).collect::<Vec<_>>())?;
    rows.iter().map(|row| Ok((row.parse("repo", RepoKey::parse)?, (from_row(row)?, facts::decode(row)?)))).collect()
}

/// Versions whose commit id begins so: the repo's own first, newest first; tombstones last.
pub fn with_commit(tx: &mut Tx<'_>, repo: &RepoKey, prefix: &str) -> Result<Vec<Version>> {
    // All that begins so lies between the prefix and the prefix followed by something above 'f'.
    let sql = format!(
        "select {COLUMNS} from versions v where v.repo = $1 and v.commit_id >= $2 and v.commit_id < $3
         order by case v.state when 'deleted' then 1 else 0 end, case when {OWN} then 0 else 1 end, v.number desc limit 50"
    );
    tx.all(&sql, params![repo.as_str(), prefix, format!("{prefix}g")])?.iter().map(from_row).collect()
}

/// The newest version made upon `main` that is neither yanked nor deleted.
pub fn find_newest_live(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Option<Version>> {
    let sql = format!(
        "select {COLUMNS} from versions v where v.repo = $1 and v.state = 'live' and v.line = 'main' order by v.number desc limit 1"
    );
    tx.find(&sql, params![repo.as_str()])?.as_ref().map(from_row).transpose()
}

/// The repo's own versions, newest first, yanked ones and tombstones too; `before` is where the last page ended.
pub fn list(tx: &mut Tx<'_>, repo: &RepoKey, before: Option<u32>, limit: usize) -> Result<Page<Version>> {
    let sql = format!("select {COLUMNS} from versions v where v.repo = $1 and v.number < $2 and {OWN} order by v.number desc limit $3");
    let rows = tx.all(&sql, params![repo.as_str(), before.map_or(i64::MAX, i64::from), limit + 1])?;
    page(rows, limit)
}

/// The versions that version `number` stands upon, itself first.
pub fn ancestors(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, before: Option<u32>, limit: usize) -> Result<Page<Version>> {
    let sql = format!(
        "{ANCESTORS} select {COLUMNS} from versions v join l on l.number = v.number where v.repo = $1 and v.number < $3
         order by v.number desc limit $4"
    );
    let rows = tx.all(&sql, params![repo.as_str(), number, before.map_or(i64::MAX, i64::from), limit + 1])?;
    page(rows, limit)
}

/// The nearest version under `number`, itself among them, that is live.
pub fn find_live_ancestor(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Option<Version>> {
    let sql = format!(
        "{ANCESTORS} select {COLUMNS} from versions v join l on l.number = v.number where v.repo = $1 and v.state = 'live'
         order by v.number desc limit 1"
    );
    tx.find(&sql, params![repo.as_str(), number])?.as_ref().map(from_row).transpose()
}

/// Does version `number` stand upon version `under`?
pub fn stands_upon(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, under: u32) -> Result<bool> {
    let sql = format!("{ANCESTORS} select l.number from l where l.number = $3");
    Ok(tx.find(&sql, params![repo.as_str(), number, under])?.is_some())
}

fn page(rows: Vec<Row>, limit: usize) -> Result<Page<Version>> {
    let mut items: Vec<Version> = rows.iter().map(from_row).collect::<Result<_>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.number.to_string());
    Ok(Page { items, next })
}

/// How many versions number `number` stands upon, itself among them, tombstones not counted.
pub fn count_ancestors(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<u64> {
    let sql = format!(
        "{ANCESTORS} select count(*) as versions from versions v join l on l.number = v.number where v.repo = $1 and v.state <> 'deleted'"
    );
    let row = tx.find(&sql, params![repo.as_str(), number])?;
    row.map_or(Ok(0), |row| Ok(row.int("versions")?.unsigned_abs()))
}

pub fn set_state(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, state: VersionState) -> Result<()> {
    tx.execute("update versions set state = $3 where repo = $1 and number = $2", params![repo.as_str(), number, state.as_str()])?;
    Ok(())
}

/// Leaves only the tombstone.
pub fn bury(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<()> {
    for sql in [
        "delete from files where repo = $1 and number = $2",
        "delete from version_details where repo = $1 and number = $2",
        "delete from version_sources where repo = $1 and number = $2",
        "delete from version_bases where repo = $1 and number = $2",
        "update versions set state = 'deleted', facts = '{}' where repo = $1 and number = $2",
    ] {
        tx.execute(sql, params![repo.as_str(), number])?;
    }
    Ok(())
}

fn file(row: &Row) -> Result<FileEntry> {
    Ok(FileEntry { path: row.text("path")?, size_bytes: row.count("size_bytes")?, digest: row.parse("digest", Digest::parse)?, mark: None })
}

const MARKED: &str =
    "select f.path, f.size_bytes, f.digest, coalesce(b.mark, '') as mark from files f left join blobs b on b.digest = f.digest";

fn marked(row: &Row) -> Result<FileEntry> {
    Ok(FileEntry { mark: Mark::parse(&row.text("mark")?), ..file(row)? })
}

/// All files of a version, by path.
pub fn files(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<FileEntry>> {
    let sql = format!("{MARKED} where f.repo = $1 and f.number = $2 order by f.path");
    tx.all(&sql, params![repo.as_str(), number])?.iter().map(marked).collect()
}

/// At most `limit` files of a version, by path, from the first on whose path is not before `from`.
pub fn files_from(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, from: &str, limit: usize) -> Result<Vec<FileEntry>> {
    let sql = format!("{MARKED} where f.repo = $1 and f.number = $2 and f.path >= $3 order by f.path limit $4");
    tx.all(&sql, params![repo.as_str(), number, from, limit])?.iter().map(marked).collect()
}

/// The smallest text behind a path: nothing that can stand in one comes before what is added.
pub fn behind(path: &str) -> String {
    format!("{path}\u{1}")
}

/// Shows all files of a version, by path, until one is what was looked for. What lies in memory of them is bounded.
pub fn find_among<T>(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, mut look: impl FnMut(&FileEntry) -> Option<T>) -> Result<Option<T>> {
    let mut from = String::new();
    loop {
        let files = files_from(tx, repo, number, &from, READ_AT_ONCE)?;
        if let Some(found) = files.iter().find_map(&mut look) {
            return Ok(Some(found));
        }
        match files.last() {
            Some(last) if files.len() == READ_AT_ONCE => from = behind(&last.path),
            _ => return Ok(None),
        }
    }
}

/// The file of exactly this path.
pub fn find_exact(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, path: &str) -> Result<Option<FileEntry>> {
    let sql = format!("{MARKED} where f.repo = $1 and f.number = $2 and f.path = $3");
    tx.find(&sql, params![repo.as_str(), number, path])?.as_ref().map(marked).transpose()
}

/// The version that gave a path the bytes it has in version `number`.
pub fn find_change(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, file: &FileEntry) -> Result<Option<Version>> {
    // The first version after the last one under it that had other bytes there, or none.
    let sql = format!(
        "{ANCESTORS} select {COLUMNS} from versions v join l on l.number = v.number
         where v.repo = $1 and v.state <> 'deleted' and v.number > coalesce(
           (select w.number from versions w join l on l.number = w.number
             where w.repo = $1 and w.state <> 'deleted' and w.number < $2 and not exists
             (select 1 from files f where f.repo = w.repo and f.number = w.number and f.path = $3 and f.digest = $4)
             order by w.number desc limit 1), 0)
         order by v.number limit 1"
    );
    tx.find(&sql, params![repo.as_str(), number, &file.path, file.digest.to_hex()])?.as_ref().map(from_row).transpose()
}

/// The newest file of a path, over the repo's own versions, whose sha256 begins so; and the version it is in.
pub fn find_file_of_digest(tx: &mut Tx<'_>, repo: &RepoKey, path: &str, prefix: &str) -> Result<Option<(FileEntry, u32)>> {
    let sql = format!(
        "select f.path, f.size_bytes, f.digest, f.number from files f
               join versions v on v.repo = f.repo and v.number = f.number
               where f.repo = $1 and f.path = $2 and f.digest >= $3 and f.digest < $4 and v.state <> 'deleted' and {OWN}
               order by f.number desc limit 1"
    );
    let row = tx.find(&sql, params![repo.as_str(), path, prefix, format!("{prefix}g")])?;
    row.map(|row| Ok((file(&row)?, u32::try_from(row.int("number")?).unwrap_or(u32::MAX)))).transpose()
}

/// The file of this path, or else one whose path looks the same: its letters are composed in another way.
pub fn find_file(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, path: &str) -> Result<Option<FileEntry>> {
    let sql = "select path, size_bytes, digest from files where repo = $1 and number = $2 and path = $3";
    let exact = tx.find(sql, params![repo.as_str(), number, path])?.as_ref().map(file).transpose()?;
    if exact.is_some() || path.is_ascii() {
        return Ok(exact);
    }
    let wanted = composed(path);
    find_among(tx, repo, number, |file| (composed(&file.path) == wanted).then(|| file.clone()))
}

/// The newest of a repo's own versions that has a file with these bytes, and that file.
pub fn find_holder(tx: &mut Tx<'_>, repo: &RepoKey, digest: &Digest) -> Result<Option<(u32, FileEntry)>> {
    let sql = format!(
        "select f.number, f.path, f.size_bytes, f.digest from files f join versions v on v.repo = f.repo and v.number = f.number
         where f.repo = $1 and f.digest = $2 and {OWN} order by f.number desc, f.path limit 1"
    );
    let row = tx.find(&sql, params![repo.as_str(), digest.to_hex()])?;
    row.map(|row| Ok((u32::try_from(row.int("number")?).unwrap_or(u32::MAX), file(&row)?))).transpose()
}
