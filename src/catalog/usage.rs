//! What accounts and namespaces hold, in numbers that are kept up to date with each change.

use crate::db::{Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::{AccountId, RepoKey};
use crate::domain::manifest::Manifest;
use crate::domain::name::Name;
use crate::params;

/// Bytes of the blobs an account has sent that are here; what it may hold, where that was set for it (0: no limit).
pub fn find(tx: &mut Tx<'_>, account: &AccountId) -> Result<(u64, Option<u64>)> {
    let row = tx.find("select sent_bytes, quota_bytes from usage where account = $1", params![account.as_str()])?;
    let Some(row) = row else { return Ok((0, None)) };
    Ok((row.count("sent_bytes")?, row.find_int("quota_bytes")?.map(i64::unsigned_abs)))
}

/// What an account may hold; none for what the settings say.
pub fn set_quota(tx: &mut Tx<'_>, account: &AccountId, quota_bytes: Option<u64>) -> Result<()> {
    let sql = "insert into usage (account, quota_bytes) values ($1, $2)
               on conflict (account) do update set quota_bytes = excluded.quota_bytes";
    tx.execute(sql, params![account.as_str(), quota_bytes])?;
    Ok(())
}

/// An account has sent a blob that it had not sent before.
pub(super) fn add_sent(tx: &mut Tx<'_>, account: &AccountId, size_bytes: u64) -> Result<()> {
    let sql = "insert into usage (account, sent_bytes) values ($1, $2)
               on conflict (account) do update set sent_bytes = usage.sent_bytes + excluded.sent_bytes";
    tx.execute(sql, params![account.as_str(), size_bytes])?;
    Ok(())
}

/// A blob goes, for one account or for all that sent it: before its grants do.
pub(super) fn forget_sent(tx: &mut Tx<'_>, digest: &Digest, account: Option<&AccountId>) -> Result<()> {
    let sql = "update usage set sent_bytes = sent_bytes - (select b.size_bytes from blobs b where b.digest = $1)
               where account in (select g.account from blob_grants g where g.digest = $1 and g.account = coalesce(cast($2 as text), g.account))
               and exists (select 1 from blobs b where b.digest = $1)";
    tx.execute(sql, params![digest.to_hex(), account.map(|account| account.as_str().to_owned())])?;
    Ok(())
}

/// Bytes announced by the uploads of an account that are under way.
pub fn announced(tx: &mut Tx<'_>, account: &AccountId) -> Result<u64> {
    let sql = "select cast(coalesce(sum(size_bytes), 0) as bigint) as n from uploads where account = $1 and received_bytes < size_bytes";
    tx.one(sql, params![account.as_str()])?.count("n")
}

/// Different bytes in the versions of a namespace's repos, each repo for itself.
pub fn stored(tx: &mut Tx<'_>, namespace: &Name) -> Result<u64> {
    let sql = "select cast(coalesce(sum(stored_bytes), 0) as bigint) as n from repos where namespace = $1";
    tx.one(sql, params![namespace.as_str()])?.count("n")
}

/// The same of one repo.
pub fn stored_in(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<u64> {
    tx.one("select stored_bytes as n from repos where key = $1", params![repo.as_str()])?.count("n")
}

/// Bytes of a manifest that no version of the repo has yet. Asked before the version is written.
pub fn new_bytes(tx: &mut Tx<'_>, repo: &RepoKey, manifest: &Manifest) -> Result<u64> {
    let is_first = tx.find("select number from versions where repo = $1 limit 1", params![repo.as_str()])?.is_none();
    let (mut seen, mut bytes) = (std::collections::HashSet::new(), 0);
    for entry in manifest.entries().iter().filter(|entry| entry.size_bytes > 0) {
        if !seen.insert(entry.digest) {
            continue;
        }
        let sql = "select 1 as n from files where digest = $1 and repo = $2 limit 1";
        if is_first || tx.find(sql, params![entry.digest.to_hex(), repo.as_str()])?.is_none() {
            bytes += entry.size_bytes;
        }
    }
    Ok(bytes)
}

pub fn add_stored(tx: &mut Tx<'_>, repo: &RepoKey, bytes: u64) -> Result<()> {
    tx.execute("update repos set stored_bytes = stored_bytes + $2 where key = $1", params![repo.as_str(), bytes])?;
    Ok(())
}

/// Counts anew, after a version has gone.
pub fn recount_stored(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<()> {
    let sql = "update repos set stored_bytes = (select cast(coalesce(sum(d.size_bytes), 0) as bigint)
               from (select distinct f.digest, f.size_bytes from files f where f.repo = $1) as d) where key = $1";
    tx.execute(sql, params![repo.as_str()])?;
    Ok(())
}

pub fn count_repos(tx: &mut Tx<'_>, namespace: &Name) -> Result<u64> {
    let sql = "select count(*) as n from repos where namespace = $1 and deleted is null";
    tx.one(sql, params![namespace.as_str()])?.count("n")
}

/// Organisations that a user administers.
pub fn count_organisations(tx: &mut Tx<'_>, account: &AccountId) -> Result<u64> {
    tx.one("select count(*) as n from members where account = $1 and role = 'admin'", params![account.as_str()])?.count("n")
}

/// Tokens of a user that may still be used.
pub fn count_tokens(tx: &mut Tx<'_>, account: &AccountId, now_ms: i64) -> Result<u64> {
    let sql = "select count(*) as n from tokens where owner = $1 and revoked is null and (expires is null or expires > $2)";
    tx.one(sql, params![account.as_str(), now_ms])?.count("n")
}

/// Namespaces with what their repos hold and how many there are, the fullest first.
pub fn by_namespace(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<(String, u64, u64)>> {
    let sql = "select namespace, cast(coalesce(sum(stored_bytes), 0) as bigint) as bytes, count(*) as n from repos
               where deleted is null group by namespace order by bytes desc, namespace limit $1";
    let rows = tx.all(sql, params![limit])?;
    rows.iter().map(|row| Ok((row.text("namespace")?, row.count("bytes")?, row.count("n")?))).collect()
}
