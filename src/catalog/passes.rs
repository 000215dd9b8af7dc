//! Passes: short-lived secrets that stand on a token, for one purpose in one repo. Found by their hash.

use super::{tokens, users};
use crate::db::{Result, Tx};
use crate::domain::id::{RepoKey, TokenId};
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, Token};
use crate::params;

/// A pass as stored, with what it stands on.
pub struct FoundPass {
    pub token: Token,
    pub owner: Account,
    pub repo: RepoKey,
    pub purpose: String,
    pub expires: Timestamp,
}

pub fn insert(tx: &mut Tx<'_>, hash: &str, token: &TokenId, repo: &RepoKey, purpose: &str, expires: Timestamp) -> Result<()> {
    let sql = "insert into passes (hash, token, repo, purpose, expires) values ($1, $2, $3, $4, $5)";
    tx.execute(sql, params![hash, token.as_str(), repo.as_str(), purpose, expires.unix_ms()])?;
    Ok(())
}

/// A pass whose token was not revoked.
pub fn find(tx: &mut Tx<'_>, hash: &str) -> Result<Option<FoundPass>> {
    let Some(row) = tx.find("select token, repo, purpose, expires from passes where hash = $1", params![hash])? else { return Ok(None) };
    let Some(token) = tokens::find(tx, &row.parse("token", TokenId::parse)?)? else { return Ok(None) };
    let Some(owner) = users::find_by_id(tx, &token.owner)? else { return Ok(None) };
    let (repo, purpose) = (row.parse("repo", RepoKey::parse)?, row.text("purpose")?);
    Ok(Some(FoundPass { token, owner, repo, purpose, expires: Timestamp::from_unix_ms(row.int("expires")?) }))
}

/// Forgets those whose time is over.
pub fn expire(tx: &mut Tx<'_>, now: Timestamp) -> Result<()> {
    tx.execute("delete from passes where expires <= $1", params![now.unix_ms()])?;
    Ok(())
}
