//! Blobs the store holds, and who may name them in a commit: those who sent all their bytes, and those who
//! may read a repo that holds them. Knowing a digest is not enough.

use super::reservations::{self, Keeper};
use super::usage;
use super::visibility::{Visibility, seen_by};
use crate::db::{Result, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::mark::Mark;
use crate::domain::time::Timestamp;
use crate::params;

/// Makes stored bytes usable, if `keeper` has kept the collector away from them all the time; else they may be
/// gone again, and must be stored once more.
pub fn insert(tx: &mut Tx<'_>, digest: &Digest, size_bytes: u64, keeper: &Keeper, now: Timestamp) -> Result<()> {
    reservations::check(tx, digest, keeper, now)?;
    tx.execute(
        "insert into blobs (digest, size_bytes, created) values ($1, $2, $3) on conflict (digest) do nothing",
        params![digest.to_hex(), size_bytes, now.unix_ms()],
    )?;
    Ok(())
}

pub fn find_size(tx: &mut Tx<'_>, digest: &Digest) -> Result<Option<u64>> {
    let row = tx.find("select size_bytes from blobs where digest = $1", params![digest.to_hex()])?;
    row.map(|row| row.count("size_bytes")).transpose()
}

/// Notes what was found in a blob.
pub fn mark(tx: &mut Tx<'_>, digest: &Digest, mark: Mark) -> Result<()> {
    tx.execute("update blobs set mark = $2 where digest = $1", params![digest.to_hex(), mark.as_str()])?;
    Ok(())
}

/// Blobs with a row and their sizes, in the order of their digests after `after`.
pub fn list(tx: &mut Tx<'_>, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, u64)>> {
    let sql = "select digest, size_bytes from blobs where digest > $1 order by digest limit $2";
    let rows = tx.all(sql, params![after.map_or(String::new(), Digest::to_hex), limit])?;
    rows.iter().map(|row| Ok((row.parse("digest", Digest::parse)?, row.count("size_bytes")?))).collect()
}

/// How many blobs have a row, and their bytes.
pub fn count(tx: &mut Tx<'_>) -> Result<(u64, u64)> {
    let row = tx.one("select count(*) as n, cast(coalesce(sum(size_bytes), 0) as bigint) as bytes from blobs", &[])?;
    Ok((row.count("n")?, row.count("bytes")?))
}

/// Notes that an account has proved to hold these bytes.
pub fn grant(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId, now: Timestamp) -> Result<()> {
    if !has_grant(tx, digest, account)? {
        let size_bytes = find_size(tx, digest)?.unwrap_or_default();
        usage::add_sent(tx, account, size_bytes)?;
    }
    tx.execute(
        "insert into blob_grants (digest, account, created) values ($1, $2, $3)
             on conflict (digest, account) do update set created = excluded.created",
        params![digest.to_hex(), account.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

/// When an account last proved to hold these bytes, or was told that it need not.
pub fn find_granted(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId) -> Result<Option<Timestamp>> {
    let sql = "select created from blob_grants where digest = $1 and account = $2";
    let row = tx.find(sql, params![digest.to_hex(), account.as_str()])?;
    row.map(|row| Ok(Timestamp::from_unix_ms(row.int("created")?))).transpose()
}

/// Gives a grant its time again; false where the collector has taken it.
pub fn renew(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId, now: Timestamp) -> Result<bool> {
    let sql = "update blob_grants set created = $3 where digest = $1 and account = $2";
    Ok(tx.execute(sql, params![digest.to_hex(), account.as_str(), now.unix_ms()])? == 1)
}

pub fn has_grant(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId) -> Result<bool> {
    let sql = "select digest from blob_grants where digest = $1 and account = $2";
    Ok(tx.find(sql, params![digest.to_hex(), account.as_str()])?.is_some())
}

/// Takes a grant back: the store lost the bytes and they must be sent again.
pub fn revoke(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId) -> Result<()> {
    usage::forget_sent(tx, digest, Some(account))?;
    tx.execute("delete from blob_grants where digest = $1 and account = $2", params![digest.to_hex(), account.as_str()])?;
    Ok(())
}

/// The size of a blob that the account has sent, or that a repo holds which may be seen. One question, whose parts are all
/// asked whatever is there; and for a blob that no repo holds, its neighbour's repo is looked at in its place. How long the
/// answer takes tells nothing of what may not be seen.
pub fn find_usable_size(tx: &mut Tx<'_>, digest: &Digest, account: Option<&AccountId>, visible: &Visibility) -> Result<Option<u64>> {
    let mut params = vec![Value::Text(digest.to_hex()), Value::Text(account.map_or(String::new(), ToString::to_string))];
    let seen = seen_by(visible, &mut params);
    let sql = format!(
        "select coalesce((select size_bytes from blobs where digest = $1), -1) as size_bytes,
             exists (select 1 from blob_grants where digest = $1 and account = $2) as sent,
             exists (select 1 from files f join repos r on r.key = f.repo where f.digest = $1 and r.deleted is null and ({seen})) as seen,
             case when exists (select 1 from files where digest = $1) then 0 else (
                 select count(*) from repos r
                 where r.key = (select repo from files where digest > $1 order by digest limit 1) and r.deleted is null and ({seen})
             ) end as beside"
    );
    let row = tx.one(&sql, &params)?;
    let usable = row.flag("sent")? || row.flag("seen")?;
    Ok(u64::try_from(row.int("size_bytes")?).ok().filter(|_| usable))
}

/// Whether a repo that may be seen holds the blob in one of its versions.
pub fn is_readable(tx: &mut Tx<'_>, digest: &Digest, visible: &Visibility) -> Result<bool> {
    let mut params = vec![Value::Text(digest.to_hex())];
    let seen = seen_by(visible, &mut params);
    let sql =
        format!("select f.repo from files f join repos r on r.key = f.repo where f.digest = $1 and r.deleted is null and ({seen}) limit 1");
    Ok(tx.find(&sql, &params)?.is_some())
}
