//! Repos of the hub behind this one: where they stand, and what of them is not taken.

use crate::db::{Result, Row, Tx};
use crate::domain::id::RepoKey;
use crate::domain::mirror::{Mirror, Refusal};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::time::Timestamp;
use crate::params;

const COLUMNS: &str = "kind, name, repo, upstream, commit_id, refused_commit, refused, checked";

fn from_row(row: &Row) -> Result<Mirror> {
    let (commit, reason) = (row.text("refused_commit")?, row.text("refused")?);
    let repo = row.find_text("repo")?;
    Ok(Mirror {
        kind: row.parse("kind", RepoKind::parse)?,
        id: row.parse("name", RepoId::parse)?,
        repo: match repo {
            Some(_) => Some(row.parse("repo", RepoKey::parse)?),
            None => None,
        },
        upstream: row.text("upstream")?,
        commit: row.text("commit_id")?,
        refused: (!reason.is_empty()).then_some(Refusal { commit, reason }),
        checked: Timestamp::from_unix_ms(row.int("checked")?),
    })
}

/// By its name there.
pub fn find(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<Mirror>> {
    let sql = format!("select {COLUMNS} from mirrors where kind = $1 and folded = $2");
    tx.find(&sql, params![kind.as_str(), id.folded()])?.as_ref().map(from_row).transpose()
}

/// By the repo here.
pub fn find_of(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Option<Mirror>> {
    let sql = format!("select {COLUMNS} from mirrors where repo = $1");
    tx.find(&sql, params![repo.as_str()])?.as_ref().map(from_row).transpose()
}

/// All of them, by name.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<Mirror>> {
    tx.all(&format!("select {COLUMNS} from mirrors order by kind, folded"), params![])?.iter().map(from_row).collect()
}

/// Writes down what is known now.
pub fn set(tx: &mut Tx<'_>, mirror: &Mirror) -> Result<()> {
    let refused = mirror.refused.clone().unwrap_or(Refusal { commit: String::new(), reason: String::new() });
    tx.execute(
        "insert into mirrors (kind, folded, name, repo, upstream, commit_id, refused_commit, refused, checked)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (kind, folded) do update set name = $3, repo = $4, upstream = $5, commit_id = $6, refused_commit = $7, refused = $8,
           checked = $9",
        params![
            mirror.kind.as_str(),
            mirror.id.folded(),
            mirror.id.to_string(),
            mirror.repo.as_ref().map(RepoKey::as_str),
            &mirror.upstream,
            &mirror.commit,
            refused.commit,
            refused.reason,
            mirror.checked.unix_ms()
        ],
    )?;
    Ok(())
}
