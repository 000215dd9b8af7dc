//! How often somebody has lost a right. Long answers and uploads look at this one number to see when to ask again
//! whether they may go on, on whichever node they run.

use crate::db::{Result, Tx};

/// Somebody lost a right in this transaction.
pub fn lost(tx: &mut Tx<'_>) -> Result<()> {
    tx.execute("update rights set losses = losses + 1 where id = 1", &[])?;
    Ok(())
}

pub fn losses(tx: &mut Tx<'_>) -> Result<u64> {
    tx.one("select losses from rights where id = 1", &[])?.count("losses")
}
