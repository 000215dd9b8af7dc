//! A hub's database from one engine to another: every row, read back afterwards; then the words of its texts, which each engine keeps in its own way.

use super::super::{Error, Result};
use super::{Event, Tell};
use crate::catalog::full_text;
use crate::db::{self, Db};

/// What was moved of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub table: String,
    pub rows: u64,
    /// Of all rows, in whatever order: the same on both sides, in hex.
    pub digest: String,
}

fn refused(error: db::Error) -> Error {
    match error {
        db::Error::Engine(problem) => {
            Error::conflict("not_copied", problem, "the one copied from is as it was; copy to a new, empty database")
        }
        other => other.into(),
    }
}

/// Copies all of `from` into `to`, which must be new. Nobody writes to either meanwhile.
pub async fn migrate(from: &Db, to: &Db, tell: &Tell) -> Result<Vec<Moved>> {
    let copied = to.copy_from(from).await.map_err(refused)?;
    tell(Event::Note(format!("{} rows were copied and read back", copied.iter().map(|table| table.rows).sum::<u64>())));
    let mut read = 0;
    loop {
        match to.write(full_text::read_copied).await? {
            0 => break,
            some => read += some,
        }
    }
    if read > 0 {
        tell(Event::Note(format!("the words of {read} repos were read")));
    }
    Ok(copied.into_iter().map(|copied| Moved { table: copied.table, rows: copied.rows, digest: copied.digest }).collect())
}
