//! Holds every entry of a zip against its local header and against the entries beside it.

use std::io;

use super::{Directory, Entry, Found, OUTGROWN, find, u16_at, u32_at, widen};
use crate::archive::{ReadAt, read};

/// Bytes of a local header without name and extra, and of most of them with both.
const LOCAL: usize = 30;
const USUAL: usize = 320;
/// Zeros that writers leave to lay an entry on a page.
const MOST_ZEROS: u64 = 4_096;

/// Why a zip is not read.
#[derive(Debug)]
pub enum Refused {
    /// What is against the rule, in words that follow "in it".
    Unsound(String),
    /// It is cut short, or no zip.
    NoDirectory,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Io(error)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Unsound(why) => write!(f, "{why}: another program could read another archive in it"),
            Refused::NoDirectory => f.write_str("it has no directory at its end"),
            Refused::Io(error) => error.fmt(f),
        }
    }
}

/// The directory of a file that is a sound zip from its first byte to its last.
///
/// # Errors
/// What is against the rule.
pub fn sound(bytes: &dyn ReadAt) -> Result<Directory, Refused> {
    match find(bytes)? {
        Found::NoZip => Err(Refused::NoDirectory),
        Found::TooLarge => Err(Refused::Unsound("its directory is too large".into())),
        Found::Zip(directory) => match directory.check(bytes)? {
            Some(problem) => Err(Refused::Unsound(problem)),
            None => Ok(directory),
        },
    }
}

impl Directory {
    /// What is against the rule, if something is.
    ///
    /// # Errors
    /// Those of reading.
    pub fn check(&self, bytes: &dyn ReadAt) -> io::Result<Option<String>> {
        if let Some(problem) = self.problem {
            return Ok(Some(problem.into()));
        }
        let mut before: Option<(&Entry, bool)> = None;
        let mut end = 0;
        for entry in self.entries() {
            if let Some(problem) = self.between(bytes, before, end, entry.at)? {
                return Ok(Some(problem));
            }
            let (header, length) = local(bytes, entry.at)?;
            if let Some(problem) = self.differs(entry, &header) {
                return Ok(Some(format!("{problem} (entry `{}`)", String::from_utf8_lossy(self.name(entry)).escape_debug())));
            }
            before = Some((entry, (u16_at(&header, 6) | entry.flags) & 8 != 0));
            end = (entry.at + length as u64).saturating_add(entry.packed);
        }
        self.between(bytes, before, end, self.begin)
    }

    /// What of the bytes between the end of an entry's data and what comes next is against the rule.
    fn between(&self, bytes: &dyn ReadAt, before: Option<(&Entry, bool)>, end: u64, next: u64) -> io::Result<Option<String>> {
        let Some(gap) = next.checked_sub(end) else { return Ok(Some("entries lie over each other".into())) };
        let between = |entry: &Entry| format!("other bytes follow entry `{}`", String::from_utf8_lossy(self.name(entry)).escape_debug());
        let Some((entry, streamed)) = before else {
            return Ok((gap > 0).then(|| "other bytes stand before its first entry".into()));
        };
        if gap > MOST_ZEROS {
            return Ok(Some(between(entry)));
        }
        let found = read(bytes, end, gap as usize)?;
        let sound = streamed && is_descriptor(entry, &found) || found.iter().all(|byte| *byte == 0);
        Ok((!sound).then(|| between(entry)))
    }

    /// What an entry's local header says otherwise than the directory.
    fn differs(&self, entry: &Entry, header: &[u8]) -> Option<&'static str> {
        if !header.starts_with(b"PK\x03\x04") {
            return Some("its directory names a place where no entry begins");
        }
        let name = usize::from(u16_at(header, 26));
        let (mut size, mut packed) = (u32_at(header, 22), u32_at(header, 18));
        let extra = header.get(LOCAL + name..).unwrap_or_default();
        if size == OUTGROWN || packed == OUTGROWN {
            widen(extra, [&mut size, &mut packed]);
        }
        // What is written as a stream has its sizes behind it.
        let streamed = u16_at(header, 6) & 8 != 0;
        let fits = |local: u64, told: u64| local == told || streamed && (local == 0 || local == OUTGROWN);
        match () {
            () if header.get(LOCAL..LOCAL + name) != Some(self.name(entry)) => Some("an entry has two names"),
            () if u16_at(header, 8) != entry.method => Some("an entry has two methods of packing"),
            () if (u16_at(header, 6) ^ entry.flags) & 1 != 0 => Some("an entry is encrypted by one of its headers only"),
            () if !fits(size, entry.size) || !fits(packed, entry.packed) => Some("an entry has two sizes"),
            () if !fits(u32_at(header, 14), entry.crc.into()) => Some("an entry has two checksums"),
            () => None,
        }
    }
}

/// A local header with name and extra, and its length.
fn local(bytes: &dyn ReadAt, at: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut header = read(bytes, at, USUAL)?;
    let length = LOCAL + usize::from(u16_at(&header, 26)) + usize::from(u16_at(&header, 28));
    if length > header.len() {
        header = read(bytes, at, length)?;
    }
    header.truncate(length);
    Ok((header, length))
}

/// Checksum and sizes behind the data: with or without a signature, the sizes in 32 or 64 bits.
fn is_descriptor(entry: &Entry, found: &[u8]) -> bool {
    let bare = found.strip_prefix(b"PK\x07\x08").filter(|_| found.len().is_multiple_of(8)).unwrap_or(found);
    let crc = u32_at(bare, 0) == u64::from(entry.crc);
    match bare.len() {
        0 => true,
        12 => crc && u32_at(bare, 4) == entry.packed && u32_at(bare, 8) == entry.size,
        20 => crc && super::u64_at(bare, 4) == entry.packed && super::u64_at(bare, 12) == entry.size,
        _ => false,
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
