//! Upload sessions, and which of their bytes are on the disk.

use crate::db::{Result, Row, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::{AccountId, UploadId};
use crate::domain::ranges::Ranges;
use crate::domain::time::Timestamp;
use crate::domain::upload::Upload;
use crate::params;

const SELECT: &str = "select u.id, u.account, u.digest, u.size_bytes, u.received, u.created, u.expires,
       case when g.digest is null then 0 else 1 end as complete
     from uploads u left join blob_grants g on g.digest = u.digest and g.account = u.account";

fn from_row(row: &Row) -> Result<Upload> {
    let (size_bytes, complete) = (row.count("size_bytes")?, row.flag("complete")?);
    let received = row.parse("received", Ranges::parse)?;
    Ok(Upload {
        id: row.parse("id", UploadId::parse)?,
        account: row.parse("account", AccountId::parse)?,
        digest: row.parse("digest", Digest::parse)?,
        size_bytes,
        received: if complete { Ranges::from(0..size_bytes) } else { received },
        complete,
        created: Timestamp::from_unix_ms(row.int("created")?),
        expires: Timestamp::from_unix_ms(row.int("expires")?),
    })
}

pub fn insert(tx: &mut Tx<'_>, upload: &Upload) -> Result<()> {
    tx.execute(
        "insert into uploads (id, account, digest, size_bytes, received, received_bytes, created, expires)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            upload.id.as_str(),
            upload.account.as_str(),
            upload.digest.to_hex(),
            upload.size_bytes,
            upload.received.to_string(),
            upload.received.total(),
            upload.created.unix_ms(),
            upload.expires.unix_ms(),
        ],
    )?;
    Ok(())
}

/// An account's upload; those of others do not exist for it.
pub fn find(tx: &mut Tx<'_>, account: &AccountId, id: &UploadId) -> Result<Option<Upload>> {
    let sql = format!("{SELECT} where u.id = $1 and u.account = $2");
    tx.find(&sql, params![id.as_str(), account.as_str()])?.as_ref().map(from_row).transpose()
}

pub fn find_of_digest(tx: &mut Tx<'_>, account: &AccountId, digest: &Digest) -> Result<Option<Upload>> {
    let sql = format!("{SELECT} where u.account = $1 and u.digest = $2");
    tx.find(&sql, params![account.as_str(), digest.to_hex()])?.as_ref().map(from_row).transpose()
}

/// Uploads of an account whose bytes are not all here yet.
pub fn count_open(tx: &mut Tx<'_>, account: &AccountId) -> Result<u64> {
    let sql = "select count(*) as n from uploads where account = $1 and received_bytes < size_bytes";
    tx.one(sql, params![account.as_str()])?.count("n")
}

/// Bytes an account's unfinished uploads hold.
pub fn open_bytes(tx: &mut Tx<'_>, account: &AccountId) -> Result<u64> {
    let sql = "select cast(coalesce(sum(u.received_bytes), 0) as bigint) as n
         from uploads u left join blob_grants g on g.digest = u.digest and g.account = u.account
         where u.account = $1 and g.digest is null";
    tx.one(sql, params![account.as_str()])?.count("n")
}

/// Notes which bytes are here, and gives the upload its time again.
pub fn set_received(tx: &mut Tx<'_>, id: &UploadId, received: &Ranges, expires: Timestamp) -> Result<()> {
    let sql = "update uploads set received = $2, received_bytes = $3, expires = $4 where id = $1";
    tx.execute(sql, params![id.as_str(), received.to_string(), received.total(), expires.unix_ms()])?;
    Ok(())
}

pub fn delete(tx: &mut Tx<'_>, id: &UploadId) -> Result<()> {
    tx.execute("delete from uploads where id = $1", params![id.as_str()])?;
    Ok(())
}

/// Uploads whose time is over, oldest first.
pub fn expired(tx: &mut Tx<'_>, now: Timestamp, limit: usize) -> Result<Vec<Upload>> {
    let sql = format!("{SELECT} where u.expires <= $1 order by u.expires limit $2");
    tx.all(&sql, params![now.unix_ms(), limit])?.iter().map(from_row).collect()
}

/// Those of `ids` that are uploads under way, whoever's.
pub fn known(tx: &mut Tx<'_>, ids: &[UploadId]) -> Result<Vec<UploadId>> {
    let mut known = Vec::new();
    for id in ids {
        let sql = "select u.id from uploads u where u.id = $1
             and not exists (select 1 from blob_grants g where g.digest = u.digest and g.account = u.account)";
        if tx.find(sql, params![id.as_str()])?.is_some() {
            known.push(id.clone());
        }
    }
    Ok(known)
}
