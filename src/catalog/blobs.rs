//! Blobs the store holds, and who may name them in a commit: those who sent all their bytes, and those who
//! may read a repo that holds them. Knowing a digest is not enough.

use super::Visibility;
use crate::db::{Result, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::params;

pub fn insert(tx: &mut Tx<'_>, digest: &Digest, size_bytes: u64, now: Timestamp) -> Result<()> {
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

/// Notes that an account has proved to hold these bytes.
pub fn grant(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into blob_grants (digest, account, created) values ($1, $2, $3) on conflict (digest, account) do nothing",
        params![digest.to_hex(), account.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

pub fn has_grant(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId) -> Result<bool> {
    let sql = "select digest from blob_grants where digest = $1 and account = $2";
    Ok(tx.find(sql, params![digest.to_hex(), account.as_str()])?.is_some())
}

/// Takes a grant back: the store lost the bytes and they must be sent again.
pub fn revoke(tx: &mut Tx<'_>, digest: &Digest, account: &AccountId) -> Result<()> {
    tx.execute("delete from blob_grants where digest = $1 and account = $2", params![digest.to_hex(), account.as_str()])?;
    Ok(())
}

/// Whether a repo that may be seen holds the blob in one of its versions.
pub fn is_readable(tx: &mut Tx<'_>, digest: &Digest, visible: &Visibility) -> Result<bool> {
    let mut params = vec![Value::Text(digest.to_hex())];
    let seen = seen_by(visible, &mut params);
    let sql =
        format!("select f.repo from files f join repos r on r.key = f.repo where f.digest = $1 and r.deleted is null and ({seen}) limit 1");
    Ok(tx.find(&sql, &params)?.is_some())
}

/// The condition under which a repo `r` may be seen; what it needs is added to `params`.
pub(super) fn seen_by(visible: &Visibility, params: &mut Vec<Value>) -> String {
    let Visibility::Public { and_namespaces } = visible else { return "1 = 1".to_owned() };
    let mut sql = "r.private = 0".to_owned();
    for namespace in and_namespaces {
        // All of `namespace/...` lies between `namespace/` and `namespace0`, since '0' follows '/'.
        params.push(Value::Text(format!("{namespace}/")));
        params.push(Value::Text(format!("{namespace}0")));
        sql += &format!(" or (r.folded >= ${} and r.folded < ${})", params.len() - 1, params.len());
    }
    sql
}
