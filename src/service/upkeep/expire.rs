//! Clearing away what nobody came back for: uploads whose time is over, reservations of the dead, files in the
//! staging directory that belong to nothing.

use super::super::{Error, Result, Service};
use crate::catalog::gc::IN_FLIGHT_MS;
use crate::catalog::{passes, reservations, upkeep, uploads};
use crate::db::{self, Tx};
use crate::domain::id::UploadId;
use crate::domain::time::Timestamp;

/// Expired uploads cleared away in one go.
const AT_ONCE: usize = 500;

/// What was cleared away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    pub uploads: u64,
    /// Files of the staging directory that no upload knows.
    pub files: u64,
    pub bytes: u64,
}

impl Service {
    /// Clears away all uploads whose time is over, and what else lies in the staging directory without an owner.
    pub async fn expire_uploads(&self) -> Result<Expired> {
        let mut expired = Expired::default();
        loop {
            let (sessions, unfinished) = self.expire_some_uploads().await?;
            expired.uploads += unfinished;
            if sessions == 0 {
                break;
            }
        }
        let now = self.now();
        self.db
            .write(move |tx| {
                passes::expire(tx, now)?;
                Ok::<_, Error>(reservations::expire(tx, now)?)
            })
            .await?;
        for stray in self.stray_files().await? {
            if let Some(bytes) = self.blobs.discard_stray(&stray, now.plus_ms(-IN_FLIGHT_MS)).await? {
                expired.files += 1;
                expired.bytes += bytes;
            }
        }
        Ok(expired)
    }

    /// Clears away some of the uploads whose time is over; how many it was, and how many of them were unfinished.
    async fn expire_some_uploads(&self) -> Result<(u64, u64)> {
        let now = self.now();
        let (gone, unfinished) = self.db.write(move |tx| Ok::<_, Error>(delete_expired(tx, now, AT_ONCE)?)).await?;
        for id in &gone {
            self.blobs.discard(id).await?;
        }
        Ok((gone.len() as u64, unfinished))
    }

    /// Files of the staging directory that were not written to for an hour and that no upload knows.
    pub(in crate::service) async fn stray_files(&self) -> Result<Vec<String>> {
        let before = self.now().plus_ms(-IN_FLIGHT_MS);
        let old: Vec<String> = self.blobs.staged().await?.into_iter().filter(|file| file.modified <= before).map(|f| f.name).collect();
        self.strangers(old).await
    }

    /// Of these names in the staging directory, those that are not an upload's.
    pub(super) async fn strangers(&self, names: Vec<String>) -> Result<Vec<String>> {
        let ids: Vec<UploadId> = names.iter().filter_map(|name| UploadId::parse(name).ok()).collect();
        let known = self.db.read(move |tx| Ok::<_, Error>(uploads::known(tx, &ids)?)).await?;
        let stray = |name: &String| UploadId::parse(name).map_or(true, |id| !known.contains(&id));
        Ok(names.into_iter().filter(stray).collect())
    }
}

/// Deletes up to `most` uploads whose time is over, for whoever then throws away their staging files; and how many of
/// them were unfinished.
pub(in crate::service) fn delete_expired(tx: &mut Tx<'_>, now: Timestamp, most: usize) -> db::Result<(Vec<UploadId>, u64)> {
    let (expired, mut unfinished) = (uploads::expired(tx, now, most)?, 0);
    for upload in &expired {
        uploads::delete(tx, &upload.id)?;
        unfinished += u64::from(!upload.complete);
    }
    upkeep::add(tx, "hub_uploads_expired_total", unfinished)?;
    Ok((expired.into_iter().map(|upload| upload.id).collect(), unfinished))
}

/// Whether a file that was last written at `modified` may still be in somebody's hands.
pub(super) fn in_flight(modified: Timestamp, now: Timestamp) -> bool {
    modified > now.plus_ms(-IN_FLIGHT_MS)
}
