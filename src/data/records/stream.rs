//! A table's bytes as they come: unpacked, without the mark of UTF-8, with its beginning held for a look; and pieces of them that never
//! grow beyond a bound.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use super::super::archive::Meter;
use super::super::error::Result;
use super::super::limits::Limits;
use super::super::name;
use super::super::place::Entry;
use super::unpacked;
use crate::archive::packing;

/// Bytes that are looked at before anything is read.
const HEAD: usize = 1 << 16;
/// The longest row, in bytes: two texts of the longest kind, and what stands around them.
pub const MOST_ROW: usize = 16 << 20;

pub struct Stream<'a> {
    pub entry: &'a Entry,
    /// Its beginning.
    pub head: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
    rest: Box<dyn Read + 'a>,
}

impl<'a> Stream<'a> {
    /// # Errors
    /// The file cannot be opened, or is damaged where it begins.
    pub fn open(entry: &'a Entry, limits: &Limits) -> Result<Stream<'a>> {
        let broken = |error: io::Error| entry.broken(&error);
        let mut plain = entry.stream(limits)?;
        if unpacked(&entry.path).len() < entry.path.len() {
            let mut first = [0; 8];
            let got = filled(&mut plain, &mut first).map_err(broken)?;
            let again = BufReader::with_capacity(1 << 16, Cursor::new(first[..got].to_vec()).chain(plain));
            plain = match packing::of(&first[..got]) {
                Some(packing) => Box::new(Meter::new(packing::unpacked(packing, again).map_err(broken)?, entry.size, limits)),
                None => Box::new(again),
            };
        }
        let mut head = vec![0; HEAD];
        let got = filled(&mut plain, &mut head).map_err(broken)?;
        head.truncate(got);
        if head.starts_with(b"\xef\xbb\xbf") {
            head.drain(..3);
        }
        Ok(Stream { entry, is_whole: got < HEAD, head, rest: plain })
    }

    /// What tells that the table is in no encoding that is read, in words that follow its name. Bytes of Latin-1 cost the rows they
    /// stand in.
    pub fn other_encoding(&self, path: &str) -> Option<String> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let from = match self.head.as_slice() {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
            [_, 0, _, 0, ..] => "UTF-16LE",
            [0, _, 0, _, ..] => "UTF-16BE",
            _ => return None,
        };
        let mark = if from.ends_with('E') { "seems to be" } else { "is" };
        let file = name::shown(file.as_bytes());
        Some(format!("{mark} {from} by its first bytes, and UTF-8 is read: `iconv -f {from} -t UTF-8 {file}` makes it so"))
    }

    /// All of it from the beginning, with what bounds the pieces it is read in.
    pub fn bounded(self) -> (impl Read + 'a, Leash) {
        let leash = Leash(Rc::new(Cell::new(MOST_ROW as u64)));
        (Bounded { inner: Cursor::new(self.head).chain(self.rest), leash: leash.clone() }, leash)
    }

    /// The same, to be read line by line.
    pub fn lines(self) -> Lines<'a> {
        Lines { inner: Box::new(BufReader::with_capacity(1 << 16, Cursor::new(self.head).chain(self.rest))) }
    }
}

/// As much as there is, up to the whole buffer.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while at < buffer.len() {
        match reader.read(&mut buffer[at..]) {
            Ok(0) => break,
            Ok(got) => at += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// How much may still be read before the next row begins.
#[derive(Clone)]
pub struct Leash(Rc<Cell<u64>>);

impl Leash {
    /// A row ended here.
    pub fn renew(&self) {
        self.0.set(MOST_ROW as u64);
    }
}

/// A row without end.
#[derive(Debug, thiserror::Error)]
#[error("a row has more than {} bytes; perhaps a quote is not closed", MOST_ROW)]
pub struct TooLong;

/// Whether a read ended because a row did not.
pub fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLong>())
}

struct Bounded<R> {
    inner: R,
    leash: Leash,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.leash.0.get();
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = self.inner.read(&mut buffer[..most])?;
        self.leash.0.set(left - got as u64);
        Ok(got)
    }
}

/// Lines, of which those that are too long are passed over.
pub struct Lines<'a> {
    inner: Box<dyn BufRead + 'a>,
}

impl<'a> Lines<'a> {
    /// The next line, without its end, into `line`; whether it was passed over because it is too long. `None` after the last.
    pub fn next_into(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let seen = match self.inner.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                seen => seen?,
            };
            if seen.is_empty() {
                return Ok(any.then_some(too_long));
            }
            any = true;
            let end = seen.iter().position(|byte| *byte == b'\n');
            let piece = &seen[..end.unwrap_or(seen.len())];
            if line.len() + piece.len() > MOST_ROW {
                too_long = true;
                line.clear();
            } else if !too_long {
                line.extend_from_slice(piece);
            }
            let used = end.map_or(seen.len(), |end| end + 1);
            self.inner.consume(used);
            if end.is_some() {
                return Ok(Some(too_long));
            }
        }
    }

    /// The bytes one by one, for what is not divided into lines.
    pub fn into_inner(self) -> Box<dyn BufRead + 'a> {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[u8]) -> Lines<'_> {
        Lines { inner: Box::new(BufReader::with_capacity(7, of)) }
    }

    #[test]
    fn lines_end_where_they_end() {
        let (mut all, mut line, mut found) = (lines(b"one\n\ntwo and more\nthree"), Vec::new(), Vec::new());
        while let Some(too_long) = all.next_into(&mut line).unwrap() {
            found.push((String::from_utf8(line.clone()).unwrap(), too_long));
        }
        let all = ["one", "", "two and more", "three"].map(|line| (line.to_owned(), false));
        assert_eq!(found, all);
    }

    #[test]
    fn a_row_without_end_ends() {
        let leash = Leash(Rc::new(Cell::new(4)));
        let mut bounded = Bounded { inner: &b"0123456789"[..], leash: leash.clone() };
        let mut all = Vec::new();
        assert!(is_too_long(&bounded.read_to_end(&mut all).unwrap_err()));
        assert_eq!(all, b"0123");
        leash.renew();
        bounded.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"0123456789");
    }
}
