//! The headers of a column's pages, read before the pages are: how much they unpack to and how many values they claim is memory
//! that a stranger chooses, and the library would take their word. Layout: Thrift's compact protocol, `PageHeader` of the
//! Parquet format.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::data::limits::Limits;

/// The description of a table's columns and pages, at its end.
const MOST_FOOTER: u64 = 64 << 20;
const MOST_HEADER: usize = 64 << 10;
/// A page holds the rows that were written at once; a hundred photos are some of the largest.
const MOST_PAGE: u64 = 1 << 30;
const MOST_DICTIONARY: i64 = 4 << 20;
const DEEPEST: u8 = 16;

type Checked<T> = Result<T, String>;

/// Whether a file begins and ends as a table does, with a footer of a size that may be read.
pub fn check_ends(file: &File, len: u64) -> Checked<()> {
    let mut ends = [0; 12];
    let read = |at: u64, part: &mut [u8]| file.read_exact_at(part, at).map_err(|e| e.to_string());
    if len < 12 {
        return Err("it is cut short".into());
    }
    read(0, &mut ends[..4])?;
    read(len - 8, &mut ends[4..])?;
    if ends[4..].ends_with(b"PARE") {
        return Err("it is encrypted".into());
    }
    if &ends[..4] != b"PAR1" || !ends.ends_with(b"PAR1") {
        return Err("it is damaged or cut short: it does not begin and end as a Parquet table".into());
    }
    let footer = u64::from(u32::from_le_bytes([ends[4], ends[5], ends[6], ends[7]]));
    match footer + 12 > len || footer > MOST_FOOTER {
        true => Err(format!("its footer claims {footer} bytes")),
        false => Ok(()),
    }
}

/// Walks over the pages of a column.
pub fn check(file: &File, chunk: &ColumnChunkMetaData, limits: &Limits) -> Checked<()> {
    let compression = chunk.compression();
    if matches!(compression, Compression::LZO | Compression::BROTLI(_) | Compression::LZ4) {
        return Err(format!("it is packed by {compression}, which is not read here; write it with snappy, zstd, gzip or nothing"));
    }
    let first = chunk.dictionary_page_offset().unwrap_or(i64::MAX).min(chunk.data_page_offset());
    let (mut at, mut left) = (u64::try_from(first), u64::try_from(chunk.compressed_size()));
    let (mut unpacked, mut window) = (0u64, vec![0; MOST_HEADER]);
    while let (Ok(start), Ok(rest @ 1..)) = (at, left) {
        let got = file.read_at(&mut window, start).map_err(|e| e.to_string())?;
        let (header, len) = Header::read(&window[..got]).ok_or("the header of a page is damaged")?;
        let packed = u64::try_from(header.packed).unwrap_or(u64::MAX);
        let size = u64::try_from(header.unpacked).unwrap_or(u64::MAX);
        let total = packed.saturating_add(len);
        if total > rest {
            return Err("a page reaches beyond its column".into());
        }
        unpacked = unpacked.saturating_add(size);
        if size > MOST_PAGE || unpacked > limits.total_bytes {
            return Err(format!("a page unpacks to {size} bytes, and at most {MOST_PAGE} are taken"));
        }
        if header.dictionary && !(0..=MOST_DICTIONARY.min(header.unpacked)).contains(&header.values) {
            return Err(format!("a dictionary claims {} values", header.values));
        }
        // Plain, by dictionary, runs of bits: others are not written for images, and decoded by what they claim of themselves.
        if !matches!(header.encoding, 0 | 2 | 3 | 8) {
            return Err(format!("a page is encoded in a way (number {}) that is not read here", header.encoding));
        }
        if matches!(compression, Compression::GZIP(_)) {
            check_gzip(file, start + len, packed, size)?;
        }
        (at, left) = (Ok(start + total), Ok(rest - total));
    }
    match (at, left) {
        (Ok(_), Ok(0)) => Ok(()),
        _ => Err("a column begins or ends nowhere".into()),
    }
}

/// The library unpacks gzip to its end, whatever the header said.
fn check_gzip(file: &File, start: u64, packed: u64, unpacked: u64) -> Checked<()> {
    let mut bytes = vec![0; usize::try_from(packed.min(MOST_PAGE)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start).map_err(|e| e.to_string())?;
    let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]).take(unpacked + 1);
    let came = std::io::copy(&mut decoder, &mut std::io::sink()).map_err(|e| e.to_string())?;
    if came > unpacked { Err(format!("a page unpacks to more than the {unpacked} bytes it declares")) } else { Ok(()) }
}

#[derive(Debug, Default, PartialEq)]
struct Header {
    unpacked: i64,
    packed: i64,
    dictionary: bool,
    values: i64,
    encoding: i64,
}

impl Header {
    /// The header and its length.
    fn read(bytes: &[u8]) -> Option<(Header, u64)> {
        let mut input = Input { bytes, at: 0 };
        let (mut header, mut field) = (Header { unpacked: -1, packed: -1, ..Header::default() }, 0);
        while let Some((number, kind)) = input.field(&mut field)? {
            match (number, kind) {
                (2, 5) => header.unpacked = input.signed()?,
                (3, 5) => header.packed = input.signed()?,
                (5 | 7 | 8, 12) => {
                    header.dictionary = number == 7;
                    let encoded_at = if number == 8 { 4 } else { 2 };
                    let mut inner = 0;
                    while let Some((number, kind)) = input.field(&mut inner)? {
                        match (number, kind) {
                            (1, 5) => header.values = input.signed()?,
                            (n, 5) if n == encoded_at => header.encoding = input.signed()?,
                            (_, kind) => input.skip(kind, DEEPEST)?,
                        }
                    }
                }
                (_, kind) => input.skip(kind, DEEPEST)?,
            }
        }
        (header.unpacked >= 0 && header.packed >= 0).then_some((header, input.at as u64))
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The number and the type of the next field of a struct; `Some(None)` at its end.
    fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *last = match byte >> 4 {
            0 => self.signed()?,
            step => last.checked_add(i64::from(step))?,
        };
        Some(Some((*last, byte & 15)))
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.number().map(drop),
            7 => self.pass(8),
            8 => {
                let len = self.number()?;
                self.pass(len)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.number()? } else { u64::from(byte >> 4) };
                let kind = byte & 15;
                // A truth in a list takes a byte, in a field none.
                (0..count).try_for_each(|_| if kind <= 2 { self.pass(1) } else { self.skip(kind, depth) })
            }
            12 => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as pyarrow writes it: a data page of 6 values, plain, with statistics that are stepped over.
    #[test]
    fn a_page_header_is_read_and_damage_is_seen() {
        let bytes = [0x15, 0, 0x15, 0xd0, 0x17, 0x15, 0xd0, 0x17, 0x2c, 0x15, 12, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 1, b'x', 0, 0, 0];
        let (header, len) = Header::read(&bytes).unwrap();
        assert_eq!(header, Header { unpacked: 1512, packed: 1512, dictionary: false, values: 6, encoding: 0 });
        assert_eq!(len, bytes.len() as u64);
        assert!((0..bytes.len()).all(|cut| Header::read(&bytes[..cut]).is_none()));
        // A list that claims more than there is, and structs within structs without end.
        assert!(Header::read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_none());
        assert!(Header::read(&[0x1c; 1_000]).is_none());
    }
}
