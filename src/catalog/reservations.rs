//! Keeping the collector away from bytes that are just being stored.
//!
//! Whoever is about to store a blob says so first, with an upload session or a reservation, in a transaction
//! that also asks whether the collector is removing these very bytes ([`claim`]). Then the bytes get their final
//! name, and their row follows only if the session or the reservation still stands
//! ([`super::blobs::insert`]). So bytes that have neither a row nor a keeper have no writer either, and cannot
//! get one that the collector does not see.

use crate::db::{Error, Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::time::Timestamp;
use crate::params;

/// What kept the collector away while bytes were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// An upload session.
    Upload(UploadId),
    /// Reservations of a writer on this side of the wire; the id is also that of its staging file.
    Holder(UploadId),
}

/// Takes a digest back from the collector, for a writer; `Overtaken` while its bytes are being removed.
pub fn claim(tx: &mut Tx<'_>, digest: &Digest) -> Result<()> {
    let digest = digest.to_hex();
    let row = tx.find("select deleting from condemned where digest = $1", params![&digest])?;
    match row.map(|row| row.flag("deleting")).transpose()? {
        Some(true) => Err(Error::Overtaken("old bytes of this sha256 are just being removed")),
        Some(false) => {
            tx.execute("delete from condemned where digest = $1", params![&digest])?;
            Ok(())
        }
        None => Ok(()),
    }
}

/// Claims a digest and reserves it until `until`, together with all else this holder has reserved and that has
/// not run out.
pub fn reserve(tx: &mut Tx<'_>, digest: &Digest, holder: &UploadId, now: Timestamp, until: Timestamp) -> Result<()> {
    claim(tx, digest)?;
    let sql = "update blob_reservations set until = $3 where holder = $1 and until > $2";
    tx.execute(sql, params![holder.as_str(), now.unix_ms(), until.unix_ms()])?;
    tx.execute(
        "insert into blob_reservations (digest, holder, until) values ($1, $2, $3)
             on conflict (digest, holder) do update set until = excluded.until",
        params![digest.to_hex(), holder.as_str(), until.unix_ms()],
    )?;
    Ok(())
}

/// Ends a holder's reservations: a version names its bytes, or nobody will.
pub fn release(tx: &mut Tx<'_>, holder: &UploadId) -> Result<()> {
    tx.execute("delete from blob_reservations where holder = $1", params![holder.as_str()])?;
    Ok(())
}

/// Drops reservations whose holders died.
pub fn expire(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64> {
    tx.execute("delete from blob_reservations where until <= $1", params![now.unix_ms()])
}

/// Fails with `Overtaken` unless this keeper has kept the collector away all the time: an expired one may have
/// been passed over.
pub(super) fn check(tx: &mut Tx<'_>, digest: &Digest, keeper: &Keeper, now: Timestamp) -> Result<()> {
    let (sql, id) = match keeper {
        Keeper::Upload(id) => ("select digest from uploads where digest = $1 and id = $2 and expires > $3", id),
        Keeper::Holder(id) => ("select digest from blob_reservations where digest = $1 and holder = $2 and until > $3", id),
    };
    match tx.find(sql, params![digest.to_hex(), id.as_str(), now.unix_ms()])? {
        Some(_) => Ok(()),
        None => Err(Error::Overtaken("these bytes took too long to arrive, or were cancelled meanwhile")),
    }
}
