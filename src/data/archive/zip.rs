//! Zips, by their central directory, after it was held against every local header. Only offsets and sizes are kept; the bytes
//! are read (and counted, and checked) when somebody wants them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::zip_names::Names;
use crate::archive::zip::Refused;
use crate::archive::{self, OpenFile};
use crate::data::error::{Error, Result};
use crate::data::limits::Limits;
use crate::data::listing::Listing;
use crate::data::name;
use crate::data::place::{Entry, Place, Run};

const DIRECTORY: &str = "the central directory";

pub fn list(file: File, len: u64, names: Option<&str>, limits: &Limits) -> Result<Listing> {
    refuse_many_entries(&file, len, limits)?;
    let shared = Arc::new(file.try_clone().map_err(|e| broken(DIRECTORY, e))?);
    // Before the library reads it: what it takes for the archive is then what every program takes.
    archive::zip::sound(&OpenFile(&shared, len)).map_err(|refused| match refused {
        Refused::Unsound(_) => inconsistent("the zip", refused),
        Refused::NoDirectory | Refused::Io(_) => broken(DIRECTORY, refused),
    })?;
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(|e| broken(DIRECTORY, e))?;
    if archive.has_duplicate_names() {
        let name = duplicate_name(&shared, archive.central_directory_start(), len);
        return Err(Error::ArchiveCollision { first: name.clone(), second: name });
    }
    let mut listing = Listing::default();
    let mut names = Names::new(names, &mut listing.notes);
    let mut declared = 0u64;
    for index in 0..archive.len() {
        add(&mut archive, index, &shared, (&mut listing, &mut names), &mut declared, limits)?;
    }
    listing.notes.extend(names.note());
    // Overlapping entries, local headers that contradict the directory, and headers the directory hides.
    archive.validate_header_consistency().map_err(|e| inconsistent(DIRECTORY, e))?;
    if declared > limits.ratio_floor && declared / len.max(1) > limits.ratio {
        return Err(Error::ArchiveBomb { entry: "all entries together".into(), ratio: limits.ratio });
    }
    Ok(listing)
}

fn add(
    archive: &mut ZipArchive<BufReader<File>>,
    index: usize,
    shared: &Arc<File>,
    (listing, names): (&mut Listing, &mut Names),
    declared: &mut u64,
    limits: &Limits,
) -> Result<()> {
    let raw = archive.by_index_data(index).map_err(|e| broken(DIRECTORY, e))?.name_raw().to_vec();
    let shown = name::shown(&raw);
    let entry = archive.by_index_raw(index).map_err(|e| broken(&shown, e))?;
    let mut decoded = names.read(&raw, entry.name().map_err(|e| broken(&shown, e))?);
    if decoded.contains('\\') && divides_by_backslash(shared, entry.central_header_start()) {
        decoded = decoded.replace('\\', "/");
    }
    let Some(path) = listing.admit(decoded.as_bytes(), limits)? else { return Ok(()) };
    if let Some(kind) = odd_kind(&entry) {
        return Err(Error::ArchiveEntryKind { entry: path, kind });
    }
    if entry.is_dir() || decoded.ends_with('/') {
        if entry.size() > 0 {
            return Err(Error::ArchiveInconsistent { entry: path, reason: "it is a folder with content".into() });
        }
        listing.add_folder(path);
        return Ok(());
    }
    let (size, packed, crc) = (entry.size(), entry.compressed_size(), entry.crc32());
    *declared = declared.saturating_add(size);
    let Some(start) = entry.data_start() else {
        return Err(Error::ArchiveBroken { entry: path, reason: "its data cannot be found".into() });
    };
    let run = Run { file: shared.clone(), start, len: packed };
    let place = match entry.compression() {
        CompressionMethod::Stored if size == packed => Place::Stored { run, crc },
        CompressionMethod::Stored => {
            return Err(Error::ArchiveInconsistent { entry: path, reason: "it is not packed and yet has two sizes".into() });
        }
        CompressionMethod::Deflated => Place::Deflated { run, len: size, crc },
        other => {
            let reason = format!("its packing method ({other:?}) is not read here; use deflate");
            return Err(Error::ArchiveBroken { entry: path, reason });
        }
    };
    listing.add(Entry { path, size, place }, limits)
}

/// Packers of MS-DOS and Windows write `\` between folders; the entry says where it was made (FAT, NTFS, HPFS, VFAT).
fn divides_by_backslash(file: &File, central_header: u64) -> bool {
    let mut made_by = [0u8; 2];
    file.read_exact_at(&mut made_by, central_header + 4).is_ok() && matches!(made_by[1], 0 | 6 | 10 | 11 | 14)
}

fn odd_kind<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> Option<&'static str> {
    if entry.encrypted() {
        return Some("encrypted file");
    }
    match entry.unix_mode().unwrap_or(0) & 0o170_000 {
        0 | 0o100_000 | 0o040_000 => None,
        0o120_000 => Some("symbolic link"),
        0o010_000 => Some("pipe"),
        _ => Some("device or socket"),
    }
}

fn broken(entry: &str, error: impl std::fmt::Display) -> Error {
    Error::ArchiveBroken { entry: entry.into(), reason: error.to_string() }
}

fn inconsistent(entry: &str, error: impl std::fmt::Display) -> Error {
    Error::ArchiveInconsistent { entry: entry.into(), reason: error.to_string() }
}

/// Reads the number of entries from every possible end record before the library builds a table of that size.
fn refuse_many_entries(file: &File, len: u64, limits: &Limits) -> Result<()> {
    const TAIL: u64 = (1 << 16) + 22 + 20 + 56;
    let start = len.saturating_sub(TAIL);
    let mut tail = vec![0u8; (len - start) as usize];
    file.read_exact_at(&mut tail, start).map_err(|e| broken(DIRECTORY, e))?;
    let many = |count: u64| count > limits.entries as u64;
    for at in 0..tail.len().saturating_sub(21) {
        let record = &tail[at..];
        let count = match &record[..4] {
            b"PK\x05\x06" => u64::from(u16::from_le_bytes([record[10], record[11]])),
            b"PK\x06\x06" if record.len() >= 40 => le64(&record[32..40]),
            b"PK\x06\x07" if record.len() >= 16 => zip64_count(file, le64(&record[8..16])).unwrap_or(0),
            _ => continue,
        };
        // 65,535 in the short record only says that the long one counts.
        if many(count) && count != 0xffff {
            return Err(Error::TooManyFiles { entry: format!("{DIRECTORY} with {count} entries"), limit: limits.entries });
        }
    }
    Ok(())
}

fn zip64_count(file: &File, at: u64) -> Option<u64> {
    let mut record = [0u8; 40];
    file.read_exact_at(&mut record, at).ok()?;
    (&record[..4] == b"PK\x06\x06").then(|| le64(&record[32..40]))
}

fn le64(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The library keeps one of two equal names and does not say which; a second look at the directory does.
fn duplicate_name(file: &File, start: u64, len: u64) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut at = start;
    let mut header = [0u8; 46];
    while at + 46 <= len && file.read_exact_at(&mut header, at).is_ok() && &header[..4] == b"PK\x01\x02" {
        let short = |i: usize| u64::from(u16::from_le_bytes([header[i], header[i + 1]]));
        let mut raw = vec![0u8; short(28) as usize];
        if file.read_exact_at(&mut raw, at + 46).is_err() {
            break;
        }
        if !seen.insert(raw.clone()) {
            return name::shown(&raw);
        }
        at += 46 + short(28) + short(30) + short(32);
    }
    "a name given twice".into()
}
