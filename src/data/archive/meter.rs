//! Counts what a decompressor gives out, so that a bomb is stopped by its first bytes too many and not by the disk.

use crate::domain::disk;
use std::io::{self, Read};

use crate::data::error::Error;
use crate::data::limits::Limits;
use crate::data::name;

/// Why a metered read stopped; it travels inside an `io::Error` through the tar reader.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum Exceeded {
    #[error("unpacks to more than {0} times its packed size")]
    Ratio(u64),
    #[error("unpacks to more than {0} bytes")]
    Total(u64),
}

pub struct Meter<R> {
    inner: R,
    /// Size of the whole packed file.
    packed: u64,
    out: u64,
    limits: Limits,
}

impl<R> Meter<R> {
    pub fn new(inner: R, packed: u64, limits: &Limits) -> Self {
        Meter { inner, packed, out: 0, limits: limits.clone() }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.out += got as u64;
        if self.out > self.limits.ratio_floor && self.out / self.packed.max(1) > self.limits.ratio {
            return Err(io::Error::other(Exceeded::Ratio(self.limits.ratio)));
        }
        // Headers and padding of the tar itself come on top of the files it may hold.
        let most = self.limits.total_bytes.saturating_add(2048 * self.limits.entries as u64);
        if self.out > most {
            return Err(io::Error::other(Exceeded::Total(self.limits.total_bytes)));
        }
        Ok(got)
    }
}

/// An error met while reading `entry`: a limit if that is what stopped the read, else a damaged archive.
pub fn error_at(entry: &str, error: &io::Error) -> Error {
    let entry = entry.to_string();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Exceeded>()) {
        Some(Exceeded::Ratio(ratio)) => Error::ArchiveBomb { entry, ratio: *ratio },
        Some(Exceeded::Total(limit_bytes)) => Error::TooLarge { entry, limit_bytes: *limit_bytes },
        // Reading never ends so: what was unpacked found no room.
        None if disk::is_full(error) => {
            Error::Io { path: entry.into(), source: io::Error::new(error.kind(), format!("no room for what it unpacks to: {error}")) }
        }
        None => Error::ArchiveBroken { entry, reason: name::shown(error.to_string().as_bytes()) },
    }
}
