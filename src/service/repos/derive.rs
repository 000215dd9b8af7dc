//! What lists and searches read, kept up with what it follows from where that is too much for the transaction that changed it: a catalog of an
//! earlier release, and the many fine-tunes of a base whose data sets have changed.

use super::super::{Result, Service};
use crate::catalog::search::rebuild;
use crate::catalog::sources;

impl Service {
    /// Is all of it there?
    pub async fn is_derived(&self) -> Result<bool> {
        Ok(self.db.read(rebuild::is_done).await?)
    }

    /// Does some of what is missing; how many repos that was, none where nothing is.
    pub async fn derive_some(&self) -> Result<usize> {
        Ok(self.db.write(rebuild::some).await?)
    }

    /// Tells some fine-tunes that the data sets of a base have changed; whether there are more.
    pub async fn tell_of_sources(&self) -> Result<bool> {
        if !self.db.read(sources::is_pending).await? {
            return Ok(false);
        }
        let more = |tx: &mut crate::db::Tx<'_>| {
            sources::tell_pending(tx)?;
            sources::is_pending(tx)
        };
        Ok(self.db.write(more).await?)
    }
}
