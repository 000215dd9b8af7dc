//! Items of tables, kept so that any of them can be had later by where it lies.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::error::{Error, Result};
use super::place::{Place, Run};

/// Items one after the other in a file without a name, which the system removes with the last handle.
pub struct Spool {
    shared: Arc<File>,
    out: io::BufWriter<File>,
    at: u64,
}

impl Spool {
    pub fn new() -> Result<Spool> {
        let file = tempfile::tempfile().map_err(Error::io("a temporary file"))?;
        let shared = Arc::new(file.try_clone().map_err(Error::io("a temporary file"))?);
        Ok(Spool { shared, out: io::BufWriter::with_capacity(1 << 18, file), at: 0 })
    }

    /// Where these bytes lie from now on.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<Place> {
        self.out.write_all(bytes).map_err(Error::io("a temporary file"))?;
        let run = Run { file: self.shared.clone(), start: self.at, len: bytes.len() as u64 };
        self.at += run.len;
        Ok(Place::Plain(run))
    }

    /// Before anything is read of it.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(Error::io("a temporary file"))
    }
}
