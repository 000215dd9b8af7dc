//! What lies in zip and tar archives, and which archives are not looked into.
//!
//! A zip is read by its directory at the end, as loaders do. Two loaders may disagree where the entries are when bytes stand
//! before the first one: then each entry is looked at in both places.

use std::io;

use super::input::{Input, Slice};
use super::keras::{self, CONFIG};
use super::{Budget, DEEPEST, Findings, in_bytes, in_stream};

/// A directory of more bytes than this is not read.
const MOST_DIRECTORY: u64 = 256 << 20;
/// An entry of its own that is unpacked to be read as an archive.
const END_BYTES: usize = 22;

/// Archives of forms that this program does not open.
pub(super) fn unread(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("a 7z archive"),
        [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => Some("a rar archive"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("compressed with bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("compressed with xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed with zstd"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("compressed with lz4"),
        [0x5d, 0, 0, ..] if start.get(10).is_some() => Some("compressed with lzma"),
        _ => None,
    }
}

pub(super) fn is_packed(start: &[u8]) -> bool {
    unread(start).is_some() || start.starts_with(&[0x1f, 0x8b]) || start.starts_with(b"PK\x03\x04") || is_tar(start)
}

pub(super) fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// The directory of a zip.
pub(super) struct Directory {
    entries: Vec<u8>,
    /// What Python adds to each entry's place.
    shift: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u16::from_le_bytes(bytes).into())
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u32::from_le_bytes(bytes).into())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// `None` where the file is no zip.
pub(super) fn find_zip(bytes: Slice) -> io::Result<Option<Directory>> {
    let tail_size = bytes.size.min(65_557);
    let tail_at = bytes.size - tail_size;
    let tail = bytes.read(tail_at, tail_size as usize)?;
    let found = (0..=tail.len().saturating_sub(END_BYTES)).rev().find(|at| tail[*at..].starts_with(b"PK\x05\x06"));
    let Some(at) = found.filter(|_| tail.len() >= END_BYTES) else { return Ok(None) };
    let (mut size, mut offset, mut end) = (u32_at(&tail, at + 12), u32_at(&tail, at + 16), tail_at + at as u64);
    if end >= 76 {
        let locator = bytes.read(end - 20, 20)?;
        let record = bytes.read(end - 76, 56)?;
        if locator.starts_with(b"PK\x06\x07") && record.starts_with(b"PK\x06\x06") {
            (size, offset, end) = (u64_at(&record, 40), u64_at(&record, 48), end - 76);
        }
    }
    let Some(begin) = end.checked_sub(size).filter(|_| size <= MOST_DIRECTORY) else { return Ok(None) };
    let entries = bytes.read(begin, size as usize)?;
    Ok(Some(Directory { entries, shift: begin.wrapping_sub(offset) }))
}

struct Entry {
    name: Vec<u8>,
    method: u64,
    encrypted: bool,
    packed: u64,
    at: u64,
}

impl Directory {
    fn entries(&self) -> Vec<Entry> {
        let mut listed = Vec::new();
        let mut rest = &self.entries[..];
        while rest.starts_with(b"PK\x01\x02") && rest.len() >= 46 {
            let (name, extra, comment) = (u16_at(rest, 28) as usize, u16_at(rest, 30) as usize, u16_at(rest, 32) as usize);
            let Some(extra_bytes) = rest.get(46 + name..46 + name + extra) else { break };
            let (unpacked, packed, at) = (u32_at(rest, 24), u32_at(rest, 20), u32_at(rest, 42));
            let (packed, at) = wide(extra_bytes, unpacked, packed, at);
            let (method, flags) = (u16_at(rest, 10), u16_at(rest, 8));
            listed.push(Entry { name: rest[46..46 + name].to_vec(), method, encrypted: flags & 1 != 0, packed, at });
            rest = rest.get(46 + name + extra + comment..).unwrap_or_default();
        }
        listed.sort_by_key(|entry| entry.at);
        listed
    }
}

/// Sizes and places of more than 32 bits stand in an extra field.
fn wide(mut extra: &[u8], unpacked: u64, mut packed: u64, mut at: u64) -> (u64, u64) {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0), u16_at(extra, 2) as usize);
        if kind == 1 {
            let mut values = extra[4..].chunks_exact(8).map(|value| u64_at(value, 0));
            for (is_wide, value) in [(unpacked, None), (packed, Some(&mut packed)), (at, Some(&mut at))] {
                if is_wide == u64::from(u32::MAX)
                    && let (Some(found), Some(value)) = (values.next(), value)
                {
                    *value = found;
                }
            }
            break;
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
    (packed, at)
}

pub(super) fn in_zip(bytes: Slice, directory: &Directory, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    for entry in directory.entries() {
        let Some(left) = budget.entries.checked_sub(1) else {
            findings.pass_over("it has too many entries");
            return Ok(());
        };
        budget.entries = left;
        let mut places = vec![entry.at.wrapping_add(directory.shift)];
        if directory.shift != 0 {
            places.push(entry.at);
        }
        for place in places {
            in_entry(bytes, &entry, place, depth, budget, findings)?;
        }
        if findings.unsafe_because.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn in_entry(bytes: Slice, entry: &Entry, place: u64, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let head = bytes.read(place, 30)?;
    if !head.starts_with(b"PK\x03\x04") || head.len() < 30 {
        return Ok(());
    }
    let data = bytes.part(place + 30 + u16_at(&head, 26) + u16_at(&head, 28), entry.packed);
    let is_named_pickle = entry.name.ends_with(b".pkl") || entry.name.ends_with(b".pickle");
    if entry.encrypted || ![0, 8].contains(&entry.method) {
        match is_named_pickle {
            true => findings.refuse("a pickle that cannot be looked into: it is packed in a way this program does not open".into()),
            false => findings.pass_over("an entry is packed in a way that is not looked into"),
        }
        return Ok(());
    }
    if entry.method == 0 {
        if entry.name == CONFIG {
            keras::in_config(&mut Input::of(data), findings)?;
        }
        if depth + 1 >= DEEPEST {
            return in_stream(&mut Input::of(data), depth + 1, budget, findings);
        }
        return in_bytes(data, depth + 1, budget, findings);
    }
    let unpack = || Input::unpacked(Box::new(flate2::read::DeflateDecoder::new(Input::of(data))));
    if entry.name == CONFIG {
        keras::in_config(&mut unpack(), findings)?;
    }
    super::in_packed(Box::new(unpack()), depth, budget, findings)
}

/// The files of a tar, header by header.
pub(super) fn in_tar(bytes: Slice, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    if depth + 1 >= DEEPEST {
        findings.pass_over("archives in it lie too deep");
        return Ok(());
    }
    let mut at = 0;
    while at + 512 <= bytes.size && findings.unsafe_because.is_none() {
        let header = bytes.read(at, 512)?;
        if !is_tar(&header) {
            return Ok(());
        }
        let Some(left) = budget.entries.checked_sub(1) else {
            findings.pass_over("it has too many entries");
            return Ok(());
        };
        budget.entries = left;
        let size = tar_size(&header[124..136]);
        in_bytes(bytes.part(at + 512, size), depth + 1, budget, findings)?;
        at = at.saturating_add(512).saturating_add(size.div_ceil(512).saturating_mul(512));
    }
    Ok(())
}

/// Octal digits, or a number of eight bytes after a high bit.
fn tar_size(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[4..].iter().fold(0, |size: u64, byte| size << 8 | u64::from(*byte));
    }
    field.iter().filter(|byte| (b'0'..=b'7').contains(byte)).fold(0, |size: u64, byte| size.saturating_mul(8) + u64::from(byte - b'0'))
}
