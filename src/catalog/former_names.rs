//! Names repos had before they were moved. A name stands here or in `repos`, never in both.

use super::repos;
use crate::db::{Result, Tx};
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Repo;
use crate::domain::time::Timestamp;
use crate::params;

/// Notes that `repo`, as it was before it was moved, had its name.
pub fn insert(tx: &mut Tx<'_>, repo: &Repo, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into former_names (kind, folded, repo, since) values ($1, $2, $3, $4)",
        params![repo.kind.as_str(), repo.id.folded(), repo.key.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

/// The repo that had this name, be it here or deleted.
pub fn find(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<RepoKey>> {
    let row = tx.find("select repo from former_names where kind = $1 and folded = $2", params![kind.as_str(), id.folded()])?;
    row.map(|row| row.parse("repo", RepoKey::parse)).transpose()
}

/// The repo that had this name, if it is still here, with its present one.
pub fn find_repo(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<Repo>> {
    match find(tx, kind, id)? {
        Some(key) => repos::find_by_key(tx, &key),
        None => Ok(None),
    }
}

/// Forgets it: the name is given again.
pub fn delete(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<()> {
    tx.execute("delete from former_names where kind = $1 and folded = $2", params![kind.as_str(), id.folded()])?;
    Ok(())
}
