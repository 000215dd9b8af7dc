//! Xorbs and where their chunks lie, per account: nobody reaches bytes through the hash of what another has sent.
//!
//! Clients remember which xorbs they have sent here for as long as the address they sent them to stays the same. That
//! address holds a number, the epoch, which goes up whenever a xorb is forgotten.

use super::upkeep;
use crate::db::{Error, Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::domain::xet::XetHash;
use crate::params;

const EPOCH: &str = "xet_epoch";

/// A run of a xorb's chunks, and the first of its bytes in a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub first_chunk: u32,
    pub end_chunk: u32,
    pub digest: Digest,
    pub offset: u64,
}

/// A xorb an account has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xorb {
    /// Raw bytes of each chunk.
    pub lengths: Vec<u32>,
    pub places: Vec<Place>,
}

impl Xorb {
    /// Is every chunk somewhere?
    pub fn is_whole(&self) -> bool {
        let mut at = 0;
        while at < self.lengths.len() as u32 {
            let reach = self.places.iter().filter(|place| place.first_chunk <= at).map(|place| place.end_chunk).max();
            match reach {
                Some(end) if end > at => at = end,
                _ => return false,
            }
        }
        true
    }
}

pub fn find(tx: &mut Tx<'_>, account: &AccountId, hash: &XetHash) -> Result<Option<Xorb>> {
    let of = params![account.as_str(), hash.to_string()];
    let Some(row) = tx.find("select lengths from xorbs where account = $1 and hash = $2", of)? else { return Ok(None) };
    let lengths = row.text("lengths")?;
    let lengths = lengths.split(',').map(str::parse).collect::<std::result::Result<Vec<u32>, _>>();
    let lengths = lengths.map_err(|e| Error::Engine(format!("the lengths of the xorb {hash}: {e}")))?;
    let sql = "select first_chunk, end_chunk, digest, offset_bytes from xorb_places where account = $1 and hash = $2
         order by first_chunk, end_chunk desc";
    let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let places = tx.all(sql, of)?;
    let places = places.iter().map(|row| {
        Ok(Place {
            first_chunk: number(row.int("first_chunk")?),
            end_chunk: number(row.int("end_chunk")?),
            digest: row.parse("digest", Digest::parse)?,
            offset: row.count("offset_bytes")?,
        })
    });
    Ok(Some(Xorb { lengths, places: places.collect::<Result<_>>()? }))
}

/// Notes a xorb whose raw bytes are the blob `digest`.
pub fn insert(tx: &mut Tx<'_>, account: &AccountId, hash: &XetHash, lengths: &[u32], digest: &Digest, now: Timestamp) -> Result<()> {
    let text = lengths.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    tx.execute(
        "insert into xorbs (account, hash, lengths, created) values ($1, $2, $3, $4) on conflict (account, hash) do nothing",
        params![account.as_str(), hash.to_string(), text, now.unix_ms()],
    )?;
    let end_chunk = u32::try_from(lengths.len()).unwrap_or(u32::MAX);
    insert_place(tx, account, hash, &Place { first_chunk: 0, end_chunk, digest: *digest, offset: 0 })
}

/// How many places of a xorb's chunks are known.
pub fn count_places(tx: &mut Tx<'_>, account: &AccountId, hash: &XetHash) -> Result<u64> {
    let sql = "select count(*) as n from xorb_places where account = $1 and hash = $2";
    tx.one(sql, params![account.as_str(), hash.to_string()])?.count("n")
}

/// Notes where chunks of a xorb lie, too, if the xorb is still known.
pub fn insert_place(tx: &mut Tx<'_>, account: &AccountId, hash: &XetHash, place: &Place) -> Result<()> {
    tx.execute(
        "insert into xorb_places (account, hash, first_chunk, end_chunk, digest, offset_bytes)
         select account, hash, $3, $4, $5, $6 from xorbs where account = $1 and hash = $2
             on conflict (account, hash, digest, first_chunk) do nothing",
        params![account.as_str(), hash.to_string(), place.first_chunk, place.end_chunk, place.digest.to_hex(), place.offset],
    )?;
    Ok(())
}

/// A blob goes. Xorbs of which some chunk lies nowhere else go with it, and a new epoch begins.
pub fn forget_blob(tx: &mut Tx<'_>, digest: &Digest) -> Result<()> {
    let rows = tx.all("select distinct account, hash from xorb_places where digest = $1", params![digest.to_hex()])?;
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute("delete from xorb_places where digest = $1", params![digest.to_hex()])?;
    let mut forgotten = 0;
    for row in rows {
        let (account, hash) = (row.parse("account", AccountId::parse)?, row.parse("hash", XetHash::parse)?);
        if find(tx, &account, &hash)?.is_some_and(|xorb| !xorb.is_whole()) {
            for sql in ["delete from xorb_places where account = $1 and hash = $2", "delete from xorbs where account = $1 and hash = $2"] {
                tx.execute(sql, params![account.as_str(), hash.to_string()])?;
            }
            forgotten = 1;
        }
    }
    upkeep::add(tx, EPOCH, forgotten)
}

/// Forgets all xorbs: what a restored catalog remembers of them may not lie in its store.
pub fn forget_all(tx: &mut Tx<'_>) -> Result<()> {
    for sql in ["delete from xorb_places", "delete from xorbs"] {
        tx.execute(sql, &[])?;
    }
    upkeep::add(tx, EPOCH, 1)
}

/// The number in the address clients send xorbs to.
pub fn epoch(tx: &mut Tx<'_>) -> Result<u64> {
    upkeep::total(tx, EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_xorb_is_whole_when_its_places_leave_no_chunk_out() {
        let place = |first_chunk, end_chunk| Place { first_chunk, end_chunk, digest: Digest::of(b"x"), offset: 0 };
        let whole = |places: &[Place]| Xorb { lengths: vec![1; 5], places: places.to_vec() }.is_whole();
        assert!(whole(&[place(0, 5)]) && whole(&[place(0, 2), place(1, 4), place(4, 5)]));
        assert!(!whole(&[]) && !whole(&[place(0, 4)]) && !whole(&[place(1, 5)]) && !whole(&[place(0, 2), place(3, 5)]));
    }
}
