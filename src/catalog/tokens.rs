//! Tokens and web sessions, both found by the hash of a secret that is kept nowhere.

use crate::db::{Result, Row, Tx};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, Scope, Token};
use crate::params;

use super::{rights, users};

/// Every column [`from_row`] reads.
const COLUMNS: &str = "id, owner, parent, name, scope, created, expires, last_used";

fn from_row(row: &Row) -> Result<Token> {
    let time = |column: &str| Ok::<_, crate::db::Error>(row.find_int(column)?.map(Timestamp::from_unix_ms));
    Ok(Token {
        id: row.parse("id", TokenId::parse)?,
        owner: row.parse("owner", AccountId::parse)?,
        parent: match row.find_text("parent")? {
            Some(_) => Some(row.parse("parent", TokenId::parse)?),
            None => None,
        },
        name: row.text("name")?,
        scope: row.parse("scope", |text| Scope::parse(text).ok_or("is no scope"))?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        expires: time("expires")?,
        last_used: time("last_used")?,
    })
}

/// A token that was not revoked, its owner, and the stored hash for a comparison in constant time.
pub struct Found {
    pub token: Token,
    pub owner: Account,
    pub hash: String,
}

/// A web session as stored, with the token it logged in with.
pub struct FoundSession {
    pub token: Token,
    pub owner: Account,
    pub expires: Timestamp,
}

pub fn insert(tx: &mut Tx<'_>, token: &Token, hash: &str) -> Result<()> {
    let sql = "insert into tokens (id, owner, parent, name, scope, hash, created, expires) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (expires, parent) = (token.expires.map(Timestamp::unix_ms), token.parent.as_ref().map(TokenId::as_str));
    let (id, owner, scope) = (token.id.as_str(), token.owner.as_str(), token.scope.as_str());
    tx.execute(sql, params![id, owner, parent, &token.name, scope, hash, token.created.unix_ms(), expires])?;
    Ok(())
}

pub fn find_by_hash(tx: &mut Tx<'_>, hash: &str) -> Result<Option<Found>> {
    let sql = format!("select {COLUMNS}, hash from tokens where hash = $1 and revoked is null");
    let Some(row) = tx.find(&sql, params![hash])? else { return Ok(None) };
    let (token, hash) = (from_row(&row)?, row.text("hash")?);
    let owner = users::find_by_id(tx, &token.owner)?;
    Ok(owner.map(|owner| Found { token, owner, hash }))
}

/// A user's tokens that were not revoked, newest first.
pub fn list(tx: &mut Tx<'_>, owner: &AccountId) -> Result<Vec<Token>> {
    let sql = format!("select {COLUMNS} from tokens where owner = $1 and revoked is null order by id desc");
    tx.all(&sql, params![owner.as_str()])?.iter().map(from_row).collect()
}

pub fn find(tx: &mut Tx<'_>, id: &TokenId) -> Result<Option<Token>> {
    let sql = format!("select {COLUMNS} from tokens where id = $1 and revoked is null");
    tx.find(&sql, params![id.as_str()])?.as_ref().map(from_row).transpose()
}

/// Ends a token, those made with it, those made with them and so on, and the web sessions and passes that stand on any of
/// them; how many tokens that were.
pub fn revoke(tx: &mut Tx<'_>, id: &TokenId, now: Timestamp) -> Result<u64> {
    let family = "with recursive family (id) as
        (select id from tokens where id = $1 union select t.id from tokens t join family f on t.parent = f.id)";
    let ended = format!("{family} update tokens set revoked = $2 where revoked is null and id in (select id from family)");
    let ended = tx.execute(&ended, params![id.as_str(), now.unix_ms()])?;
    for table in ["sessions", "passes"] {
        tx.execute(&format!("{family} delete from {table} where token in (select id from family)"), params![id.as_str()])?;
    }
    rights::lost(tx)?;
    Ok(ended)
}

/// Notes that a token was used, unless that was noted since `unless_since`.
pub fn touch(tx: &mut Tx<'_>, id: &TokenId, now: Timestamp, unless_since: Timestamp) -> Result<()> {
    let sql = "update tokens set last_used = $2 where id = $1 and (last_used is null or last_used < $3)";
    tx.execute(sql, params![id.as_str(), now.unix_ms(), unless_since.unix_ms()])?;
    Ok(())
}

pub fn insert_session(tx: &mut Tx<'_>, hash: &str, token: &TokenId, created: Timestamp, expires: Timestamp) -> Result<()> {
    let sql = "insert into sessions (hash, token, csrf, created, expires) values ($1, $2, '', $3, $4)";
    tx.execute(sql, params![hash, token.as_str(), created.unix_ms(), expires.unix_ms()])?;
    Ok(())
}

pub fn find_session(tx: &mut Tx<'_>, hash: &str) -> Result<Option<FoundSession>> {
    let sql = "select token, expires from sessions where hash = $1";
    let Some(row) = tx.find(sql, params![hash])? else { return Ok(None) };
    let Some(token) = find(tx, &row.parse("token", TokenId::parse)?)? else { return Ok(None) };
    let Some(owner) = users::find_by_id(tx, &token.owner)? else { return Ok(None) };
    Ok(Some(FoundSession { token, owner, expires: Timestamp::from_unix_ms(row.int("expires")?) }))
}

pub fn delete_session(tx: &mut Tx<'_>, hash: &str) -> Result<()> {
    tx.execute("delete from sessions where hash = $1", params![hash])?;
    rights::lost(tx)
}

/// Ends all sessions of a user; how many that were.
pub fn delete_sessions_of(tx: &mut Tx<'_>, owner: &AccountId) -> Result<u64> {
    let sql = "delete from sessions where token in (select id from tokens where owner = $1)";
    rights::lost(tx)?;
    tx.execute(sql, params![owner.as_str()])
}

pub fn delete_expired_sessions(tx: &mut Tx<'_>, now: Timestamp) -> Result<()> {
    tx.execute("delete from sessions where expires <= $1", params![now.unix_ms()])?;
    Ok(())
}
