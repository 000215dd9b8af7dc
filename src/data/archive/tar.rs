//! Tars, header by header. Extension headers are read by us with bounds of our own, because a reader that trusts their sizes
//! can be made to hold gigabytes, and because two readers that disagree on a PAX size see two different archives.
//! Only plain files and folders are taken; nothing is unpacked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use tar::{Archive, Entries, EntryType};

use super::meter::{Meter, error_at};
use crate::archive::tar::record;
use crate::data::error::{Error, Result};
use crate::data::limits::Limits;
use crate::data::listing::Listing;
use crate::data::name;
use crate::data::place::{Entry, Place, Run};

const MAX_LONG_NAME: u64 = 4_096;
const MAX_PAX: u64 = 64 << 10;
const START: &str = "the beginning";

/// A plain tar: entries are read where they lie in the file.
pub fn list(file: File, len: u64, limits: &Limits) -> Result<Listing> {
    let shared = Arc::new(file.try_clone().map_err(|e| error_at(START, &e))?);
    let mut archive = Archive::new(file);
    let mut listing = Listing::default();
    let entries = archive.entries_with_seek().map_err(|e| error_at(START, &e))?;
    walk(entries, &mut listing, limits, |entry, path| {
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > len) {
            let reason = "the archive ends inside it".into();
            return Err(Error::ArchiveBroken { entry: path.into(), reason });
        }
        Ok(Place::Plain(Run { file: shared.clone(), start, len: size }))
    })?;
    only_zeros_follow(archive.into_inner())?;
    Ok(listing)
}

/// A packed tar: it is unpacked once, and its files are kept one after the other in an unnamed temporary file, which the
/// system removes with the last handle even after a crash. Memory stays flat whatever the archive holds.
pub fn list_packed(unpacked: impl Read, packed: u64, limits: &Limits) -> Result<Listing> {
    let spool = tempfile::tempfile().map_err(Error::io("a temporary file"))?;
    let shared = Arc::new(spool.try_clone().map_err(|e| error_at(START, &e))?);
    let mut out = io::BufWriter::with_capacity(1 << 18, spool);
    let mut at = 0u64;
    let mut archive = Archive::new(Meter::new(unpacked, packed, limits));
    let mut listing = Listing::default();
    let entries = archive.entries().map_err(|e| error_at(START, &e))?;
    walk(entries, &mut listing, limits, |entry, path| {
        let copied = io::copy(entry, &mut out).map_err(|e| error_at(path, &e))?;
        if copied != entry.size() {
            return Err(Error::ArchiveBroken { entry: path.into(), reason: "the archive ends inside it".into() });
        }
        let run = Run { file: shared.clone(), start: at, len: copied };
        at += copied;
        Ok(Place::Plain(run))
    })?;
    only_zeros_follow(archive.into_inner())?;
    out.flush().map_err(|e| error_at("the temporary file", &e))?;
    Ok(listing)
}

/// What extension headers said about the entry that follows.
#[derive(Default)]
struct Ahead {
    long_name: Option<Vec<u8>>,
    pax_path: Option<Vec<u8>>,
    /// Where a link leads.
    link: Option<Vec<u8>>,
    pax_size: Option<u64>,
}

fn walk<'a, R: Read + 'a>(
    entries: Entries<'a, R>,
    listing: &mut Listing,
    limits: &Limits,
    mut place: impl FnMut(&mut tar::Entry<'a, R>, &str) -> Result<Place>,
) -> Result<()> {
    let mut ahead = Ahead::default();
    let mut last = START.to_string();
    let mut headers = 0usize;
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|e| error_at(&last, &e))?;
        // Extension headers count too: a tar of nothing else would otherwise never end.
        headers += 1;
        if headers > limits.entries.saturating_mul(3) {
            return Err(Error::TooManyFiles { entry: last, limit: limits.entries });
        }
        let kind = entry.header().entry_type();
        if ahead.read(kind, &mut entry)? {
            continue;
        }
        let Ahead { long_name, pax_path, link, pax_size } = std::mem::take(&mut ahead);
        let raw = long_name.or(pax_path).unwrap_or_else(|| entry.path_bytes().into_owned());
        last = name::shown(&raw);
        if pax_size.is_some_and(|size| size != entry.size()) {
            let reason = "its two headers give two sizes".into();
            return Err(Error::ArchiveInconsistent { entry: last, reason });
        }
        let Some(path) = listing.admit(&raw, limits)? else { continue };
        match kind {
            EntryType::Directory => listing.add_folder(path),
            EntryType::Regular | EntryType::Continuous if raw.ends_with(b"/") => listing.add_folder(path),
            EntryType::Regular | EntryType::Continuous => {
                let size = entry.size();
                if size > limits.entry_bytes {
                    return Err(Error::TooLarge { entry: path, limit_bytes: limits.entry_bytes });
                }
                let place = place(&mut entry, &path)?;
                listing.add(Entry { path, size, place }, limits)?;
            }
            EntryType::Link => {
                let target = link.or_else(|| entry.link_name_bytes().map(|name| name.into_owned()));
                hard_link(path, &target.unwrap_or_default(), entry.size(), listing, limits)?;
            }
            other => return Err(Error::ArchiveEntryKind { entry: last, kind: kind_name(other) }),
        }
    }
    Ok(())
}

/// A second name of a file that came before in the same archive; its bytes lie there. A way out there is not: what is not
/// in the list cannot be meant.
fn hard_link(path: String, target: &[u8], size: u64, listing: &mut Listing, limits: &Limits) -> Result<()> {
    if size > 0 {
        return Err(Error::ArchiveInconsistent { entry: path, reason: "it is a hard link with content of its own".into() });
    }
    let first = name::entry_path(target).ok().and_then(|target| listing.find(&target));
    let Some((size, place)) = first.map(|first| (first.size, first.place.clone())) else {
        return Err(Error::ArchiveEntryKind { entry: path, kind: "hard link to nothing that came before it in the archive" });
    };
    listing.add(Entry { path, size, place }, limits)
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "pipe",
        EntryType::GNUSparse => "sparse file",
        _ => "special entry",
    }
}

impl Ahead {
    /// Takes in an extension header; false if `entry` is an entry of its own.
    fn read(&mut self, kind: EntryType, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool> {
        match kind {
            EntryType::GNULongName => {
                once(&mut self.long_name, zero_ended(bounded(entry, MAX_LONG_NAME)?))?;
            }
            EntryType::GNULongLink => once(&mut self.link, zero_ended(bounded(entry, MAX_LONG_NAME)?))?,
            EntryType::XHeader => {
                for (key, value) in pax_records(&bounded(entry, MAX_PAX)?)? {
                    match key {
                        b"path" => once(&mut self.pax_path, value.to_vec())?,
                        b"linkpath" => once(&mut self.link, value.to_vec())?,
                        b"size" => once(&mut self.pax_size, number(value)?)?,
                        _ if key.starts_with(b"GNU.sparse.") => {
                            return Err(Error::ArchiveEntryKind { entry: shown(entry), kind: "sparse file" });
                        }
                        _ => {}
                    }
                }
            }
            EntryType::XGlobalHeader => {
                let bytes = bounded(entry, MAX_PAX)?;
                if pax_records(&bytes)?.iter().any(|(key, _)| matches!(*key, b"path" | b"size" | b"linkpath")) {
                    let reason = "a header for the whole archive sets names or sizes".into();
                    return Err(Error::ArchiveInconsistent { entry: shown(entry), reason });
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn zero_ended(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn shown(entry: &tar::Entry<'_, impl Read>) -> String {
    name::shown(&entry.path_bytes())
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        let reason = "two extension headers describe the same entry".into();
        return Err(Error::ArchiveInconsistent { entry: "an extension header".into(), reason });
    }
    Ok(())
}

fn bounded(entry: &mut tar::Entry<'_, impl Read>, most: u64) -> Result<Vec<u8>> {
    let at = shown(entry);
    if entry.size() > most {
        return Err(Error::TooLarge { entry: at, limit_bytes: most });
    }
    let mut bytes = Vec::with_capacity(entry.size() as usize);
    entry.read_to_end(&mut bytes).map_err(|e| error_at(&at, &e))?;
    Ok(bytes)
}

/// PAX records, `LENGTH KEY=VALUE\n` with the length in bytes of the whole record.
fn pax_records(mut bytes: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let Some((found, rest)) = record(bytes) else {
            let reason = "an extension header is not made of `length key=value` records".into();
            return Err(Error::ArchiveBroken { entry: "an extension header".into(), reason });
        };
        records.push(found);
        bytes = rest;
    }
    Ok(records)
}

fn number(value: &[u8]) -> Result<u64> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::ArchiveBroken { entry: "an extension header".into(), reason: "a size in it is not a number".into() })
}

/// After the end mark only padding may come: whatever else stands there, another reader could take for entries.
fn only_zeros_follow(mut rest: impl Read) -> Result<()> {
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) if buffer[..n].iter().all(|b| *b == 0) => {}
            Ok(_) => {
                let reason = "more data follows the end of the archive".into();
                return Err(Error::ArchiveInconsistent { entry: "the end".into(), reason });
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(error_at("the end", &e)),
        }
    }
}
