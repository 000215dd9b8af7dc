//! Git's names for what is stored, which are computed once.

use super::versions::{COLUMNS, from_row};
use crate::db::{Result, Row, Tx};
use crate::domain::digest::Digest;
use crate::domain::git::ObjectId;
use crate::domain::git::layout::StoredFile;
use crate::domain::id::RepoKey;
use crate::domain::repo::Version;
use crate::params;

fn name(row: &Row, column: &str) -> Result<Option<ObjectId>> {
    Ok(row.find_text(column)?.as_deref().and_then(ObjectId::parse))
}

/// The versions of a repo by number, tombstones and those of pull requests too; at most so many.
pub fn versions(tx: &mut Tx<'_>, repo: &RepoKey, limit: usize) -> Result<Vec<(Version, Option<String>)>> {
    let sql = format!("select {COLUMNS}, v.git_tree from versions v where v.repo = $1 order by v.number limit $2");
    let rows = tx.all(&sql, params![repo.as_str(), limit])?;
    rows.iter().map(|row| Ok((from_row(row)?, row.find_text("git_tree")?))).collect()
}

/// The files of a version.
pub fn files(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<StoredFile>> {
    let sql = "select f.path, f.size_bytes, f.digest, b.git_name from files f left join blobs b on b.digest = f.digest
               where f.repo = $1 and f.number = $2 order by f.path";
    let file = |row: &Row| {
        let (path, size_bytes) = (row.text("path")?, row.count("size_bytes")?);
        Ok(StoredFile { path, size_bytes, digest: row.parse("digest", Digest::parse)?, name: name(row, "git_name")? })
    };
    tx.all(sql, params![repo.as_str(), number])?.iter().map(file).collect()
}

pub fn name_blob(tx: &mut Tx<'_>, digest: &Digest, id: &ObjectId) -> Result<()> {
    tx.execute("update blobs set git_name = $2 where digest = $1", params![digest.to_hex(), id.to_string()])?;
    Ok(())
}

/// Notes the tree of a version that is still there.
pub fn set_tree(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, tree: &str) -> Result<()> {
    let sql = "update versions set git_tree = $3 where repo = $1 and number = $2 and state <> 'deleted'";
    tx.execute(sql, params![repo.as_str(), number, tree])?;
    Ok(())
}
