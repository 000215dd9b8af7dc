//! The directory at the end of a zip, and the rule that a zip must keep to so that every program reads the same entries in it.
//!
//! ```text
//! entry: local header | name | extra | data | [descriptor]     the first at byte 0, the next where it ends
//! directory: a header for each entry                           where the last entry ends
//! [zip64: end record | its locator]                            where the directory ends
//! end record | comment                                         the comment ends with the file
//! ```
//!
//! Loaders look for the end record from the back, and then go by offsets (from the beginning of the file, or from where the
//! directory must begin to end at its end record) or from header to header. Two archives in one file, bytes between entries and
//! headers that contradict each other make them read different things; a sound zip leaves them no choice.

mod rule;

pub use rule::{Refused, sound};

use std::io;
use std::ops::Range;

use super::{ReadAt, read};

/// Bytes of an end record without its comment; of a zip64 end record and its locator.
const END: u64 = 22;
const WIDE_END: u64 = 56;
const LOCATOR: u64 = 20;
/// Longest comment and the record before it.
const TAIL: u64 = 65_535 + END;
/// A directory of more bytes than this is not read.
const MOST_DIRECTORY: u64 = 128 << 20;

const OUTGROWN: u64 = u32::MAX as u64;

/// What the directory says of one entry.
#[derive(Debug, Clone)]
pub struct Entry {
    name: Range<usize>,
    pub method: u16,
    flags: u16,
    crc: u32,
    /// Bytes of its data as they lie there, and unpacked.
    pub packed: u64,
    pub size: u64,
    /// Where its local header is said to be.
    pub at: u64,
}

impl Entry {
    pub fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// The directory of a zip, its entries in the order of their places.
#[derive(Debug)]
pub struct Directory {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where it begins.
    begin: u64,
    /// What is to be added to each entry's place where offsets count from the archive's own beginning.
    pub shift: u64,
    /// The comment ends with the file.
    pub is_last: bool,
    /// Its end record leads to two directories, by the one way of counting and by the other.
    pub is_double: bool,
    /// What of its records is against the rule.
    problem: Option<&'static str>,
}

impl Directory {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn name(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.name.clone()]
    }

    fn object(&mut self, sound: bool, problem: &'static str) {
        if !sound {
            self.problem.get_or_insert(problem);
        }
    }
}

/// What lies at the end of a file.
pub enum Found {
    NoZip,
    TooLarge,
    Zip(Directory),
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u32::from_le_bytes(bytes).into())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Whether a file says that it is a zip by its first bytes.
pub fn begins(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// What an end record says.
struct Ends {
    /// Where the directory must end.
    end: u64,
    size: u64,
    offset: u64,
    count: u64,
    is_last: bool,
    problem: Option<&'static str>,
}

/// Looks for a zip from the end, as loaders do.
///
/// # Errors
/// Those of reading.
pub fn find(bytes: &dyn ReadAt) -> io::Result<Found> {
    let Some(ends) = ends(bytes)? else { return Ok(Found::NoZip) };
    let Ends { end, size, offset, count, is_last, problem } = ends;
    let holds = |at: Option<u64>| -> io::Result<Option<u64>> {
        let Some(at) = at else { return Ok(None) };
        Ok((size == 0 || read(bytes, at, 4)? == b"PK\x01\x02").then_some(at))
    };
    let before_end = holds(end.checked_sub(size))?;
    let told = holds(Some(offset).filter(|at| at.checked_add(size).is_some_and(|to| to <= end)))?;
    let Some(begin) = before_end.or(told) else { return Ok(Found::NoZip) };
    if size > MOST_DIRECTORY {
        return Ok(Found::TooLarge);
    }
    let shift = before_end.map_or(0, |begin| begin.wrapping_sub(offset));
    let text = read(bytes, begin, size as usize)?;
    let is_double = told.is_some_and(|told| told != begin);
    let mut directory = Directory { bytes: text, entries: Vec::new(), begin, shift, is_last, is_double, problem };
    directory.object(is_last, "other bytes follow its end");
    directory.object(begin + size == end, "its directory does not end at its end record");
    directory.object(shift == 0, "its directory does not begin where its end record says, as if another file stood before it");
    let read_to = headers(&mut directory);
    directory.object(read_to == size, "its directory has other bytes in it");
    directory.object(directory.entries.len() as u64 == count, "its end record counts other entries than its directory has");
    directory.entries.sort_by_key(|entry| entry.at);
    Ok(Found::Zip(directory))
}

fn ends(bytes: &dyn ReadAt) -> io::Result<Option<Ends>> {
    let tail_size = bytes.size().min(TAIL);
    if tail_size < END {
        return Ok(None);
    }
    let tail_at = bytes.size() - tail_size;
    let tail = read(bytes, tail_at, tail_size as usize)?;
    let Some(at) = (0..=tail.len() - END as usize).rev().find(|at| tail[*at..].starts_with(b"PK\x05\x06")) else { return Ok(None) };
    let record = &tail[at..];
    let is_last = record.len() as u64 == END + u64::from(u16_at(record, 20));
    let (here, all) = (u64::from(u16_at(record, 8)), u64::from(u16_at(record, 10)));
    let (size, offset, end) = (u32_at(record, 12), u32_at(record, 16), tail_at + at as u64);
    let whole = u16_at(record, 4) == 0 && u16_at(record, 6) == 0 || u16_at(record, 4) == u16::MAX;
    let problem = (!whole || here != all).then_some("it is one part of several");
    let narrow = Ends { end, size, offset, count: all, is_last, problem };
    Ok(Some(wide_end(bytes, &narrow)?.unwrap_or(narrow)))
}

/// The zip64 end record, which stands with its locator right before the other one.
fn wide_end(bytes: &dyn ReadAt, narrow: &Ends) -> io::Result<Option<Ends>> {
    let Some(at) = narrow.end.checked_sub(LOCATOR + WIDE_END) else { return Ok(None) };
    let both = read(bytes, at, (LOCATOR + WIDE_END) as usize)?;
    let (record, locator) = both.split_at(WIDE_END as usize);
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let elsewhere = match record.starts_with(b"PK\x06\x06") {
        true => None,
        false => Some(read(bytes, u64_at(locator, 8), WIDE_END as usize)?),
    };
    if let Some(record) = elsewhere {
        let problem = Some("its zip64 end record is not where it belongs");
        return Ok(Some(match record.starts_with(b"PK\x06\x06") {
            true => Ends { end: at + WIDE_END, size: u64_at(&record, 40), offset: u64_at(&record, 48), problem, ..*narrow },
            false => Ends { problem, ..*narrow },
        }));
    }
    let (here, count, size, offset) = (u64_at(record, 24), u64_at(record, 32), u64_at(record, 40), u64_at(record, 48));
    let agrees = |narrow: u64, most: u64, wide: u64| narrow == most || narrow == wide;
    let sound = u64_at(record, 4) == WIDE_END - 12
        && u64_at(locator, 8) == at
        && here == count
        && agrees(narrow.count, u16::MAX.into(), count)
        && agrees(narrow.size, OUTGROWN, size)
        && agrees(narrow.offset, OUTGROWN, offset);
    let problem = narrow.problem.or((!sound).then_some("its two end records contradict each other"));
    Ok(Some(Ends { end: at, size, offset, count, is_last: narrow.is_last, problem }))
}

/// Reads the headers of a directory; answers how many bytes they were.
fn headers(directory: &mut Directory) -> u64 {
    let mut at = 0;
    loop {
        let rest = &directory.bytes[at..];
        if !rest.starts_with(b"PK\x01\x02") || rest.len() < 46 {
            return at as u64;
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
        let [name, extra, comment] = lengths;
        if rest.len() < 46 + name + extra + comment {
            return at as u64;
        }
        let mut entry = Entry {
            name: at + 46..at + 46 + name,
            method: u16_at(rest, 10),
            flags: u16_at(rest, 8),
            crc: u32_at(rest, 16) as u32,
            packed: u32_at(rest, 20),
            size: u32_at(rest, 24),
            at: u32_at(rest, 42),
        };
        let (named, extras) = (&rest[46..46 + name], &rest[46 + name..46 + name + extra]);
        let one_size = widen(extras, [&mut entry.size, &mut entry.packed, &mut entry.at]);
        let one_name = has_one_name(named, extras);
        directory.entries.push(entry);
        directory.object(one_size, "an entry has two sizes");
        directory.object(one_name, "an entry has two names");
        at += 46 + name + extra + comment;
    }
}

/// The fields of an extra: what each is, and its bytes.
fn fields(mut extra: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..4 + length)?;
        extra = &extra[4 + length..];
        Some((kind, field))
    })
}

/// Sizes and places of more than 32 bits stand in an extra field, in this order; false where it stands there twice or lacks one.
fn widen<const N: usize>(extra: &[u8], values: [&mut u64; N]) -> bool {
    let mut wide = fields(extra).filter(|(kind, _)| *kind == 1).map(|(_, field)| field);
    let Some(field) = wide.next() else { return true };
    let mut given = field.chunks_exact(8).map(|value| u64_at(value, 0));
    let mut whole = true;
    for value in values {
        if *value == OUTGROWN {
            match given.next() {
                Some(found) => *value = found,
                None => whole = false,
            }
        }
    }
    whole && wide.next().is_none()
}

/// A name in an encoding of its own may have a second one in Unicode beside it; a plain one may not. Many readers cut a name at a
/// zero.
fn has_one_name(name: &[u8], extra: &[u8]) -> bool {
    !name.contains(&0)
        && fields(extra).filter(|(kind, _)| *kind == 0x7075).all(|(_, field)| !name.is_ascii() || field.get(5..) == Some(name))
}
