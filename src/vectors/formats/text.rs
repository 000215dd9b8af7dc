//! The text forms: a line for each word with its numbers, with a first line that says how many there are (word2vec, fastText's
//! `.vec`) or without one (GloVe). A word may have spaces in it, as some of GloVe's do: the last numbers of a line are the vector.

use super::{REPORT, Reading, finish};
use crate::vectors::MAX_WIDTH;
use crate::vectors::error::{Result, shown};
use crate::vectors::store::Stored;
use crate::vectors::vocabulary::MAX_WORDS;

/// Longest line in bytes: the widest vectors at 32 bytes a number.
const MAX_LINE_BYTES: usize = MAX_WIDTH * 32;
/// Longest first line that could be a header.
const MAX_HEADER_BYTES: usize = 64;

/// The first line of word2vec's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub words: usize,
    pub width: usize,
    /// Bytes of the line with its end.
    pub bytes: usize,
}

impl Header {
    /// Two whole numbers and nothing else.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let end = bytes.iter().take(MAX_HEADER_BYTES).position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut numbers = line.split_ascii_whitespace().map(|text| text.parse::<usize>().ok());
        let (words, width) = (numbers.next()??, numbers.next()??);
        let is_plausible = numbers.next().is_none() && words > 0 && words <= MAX_WORDS && width > 0 && width <= MAX_WIDTH;
        is_plausible.then_some(Header { words, width, bytes: end + 1 })
    }

    /// Whether what follows are lines of text: after the first word stands a number in digits.
    pub fn is_text(&self, bytes: &[u8]) -> bool {
        let rest = &bytes[self.bytes.min(bytes.len())..];
        let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t');
        let Some(space) = rest.iter().take(1 << 16).position(is_separator) else { return false };
        let mut rest = &rest[space + 1..];
        for _ in 0..self.width.min(3) {
            let end = rest.iter().take(40).position(|byte| byte.is_ascii_whitespace()).unwrap_or(rest.len().min(40));
            if number(&rest[..end]).is_none() {
                // A word with a space in it begins here.
                return std::str::from_utf8(&bytes[self.bytes..][..space]).is_ok() && is_line_of_numbers(&bytes[self.bytes..]);
            }
            rest = rest.get(end + 1..).unwrap_or(&[]);
        }
        true
    }
}

fn number(text: &[u8]) -> Option<f32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether the first line is text whose end are numbers, two at least.
fn is_line_of_numbers(bytes: &[u8]) -> bool {
    let end = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let line = &bytes[..end];
    end < MAX_LINE_BYTES && !line.contains(&0) && width(line) >= 2
}

/// Numbers at the end of a line; its first piece is a word whatever it looks like.
fn width(line: &[u8]) -> usize {
    let pieces: Vec<&[u8]> = pieces(line).map(|(_, piece)| piece).collect();
    pieces.iter().skip(1).rev().take_while(|piece| number(piece).is_some()).count()
}

/// Whether these bytes are lines of words and numbers.
pub fn is_without_header(bytes: &[u8]) -> bool {
    is_line_of_numbers(bytes)
}

/// The pieces between spaces and tabs, with where each begins.
fn pieces(line: &[u8]) -> impl DoubleEndedIterator<Item = (usize, &[u8])> {
    let start = line.as_ptr() as usize;
    let pieces = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|piece| !piece.is_empty());
    pieces.map(move |piece| (piece.as_ptr() as usize - start, piece))
}

pub fn store(reading: &Reading, has_header: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Stored> {
    let bytes = reading.bytes;
    let header = if has_header { Header::read(bytes) } else { None };
    let mut at = header.map_or(0, |header| header.bytes);
    let width = match header {
        Some(header) => header.width,
        None => width(&bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())]),
    };
    let mut store = reading.begin(width)?;
    let (mut values, mut rows) = (vec![0.0; width], 0usize);
    while at < bytes.len() {
        let end = bytes[at..].iter().take(MAX_LINE_BYTES + 1).position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => &bytes[at..at + end],
            None if bytes.len() - at <= MAX_LINE_BYTES => &bytes[at..],
            None => return Err(reading.corrupt(at, format!("a line is longer than {MAX_LINE_BYTES} bytes"))),
        };
        let begun = at;
        at += line.len() + 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if header.is_some_and(|header| rows == header.words) {
            let left = bytes.len() - begun;
            return Err(reading.corrupt(begun, format!("{left} bytes follow the {rows} words that the header names")));
        }
        let word = of_line(reading, line, begun, &mut values)?;
        store.push(word, None, &values, begun as u64)?;
        rows += 1;
        if rows.is_multiple_of(REPORT) {
            progress(at as u64, bytes.len() as u64);
        }
    }
    if let Some(header) = header.filter(|header| header.words != rows) {
        return Err(reading.corrupt(bytes.len(), format!("the file ends after {rows} of the {} words that its header names", header.words)));
    }
    finish(store, if has_header { "word2vec" } else { "glove" })
}

/// Reads the numbers of a line into `values`, and answers the word before them.
fn of_line<'a>(reading: &Reading, line: &'a [u8], begun: usize, values: &mut [f32]) -> Result<&'a [u8]> {
    let width = values.len();
    let refused = |at: usize, problem: String| Err(reading.corrupt(begun + at, problem));
    let mut from = line.len();
    let mut all = pieces(line);
    for place in (0..width).rev() {
        let Some((at, piece)) = all.next_back() else {
            return refused(0, format!("a line has {} numbers, where {width} are wanted", width - 1 - place));
        };
        let Some(value) = number(piece) else {
            let found = shown(&String::from_utf8_lossy(piece));
            return refused(at, format!("`{found}` is no number; a line has {} numbers, where {width} are wanted", width - 1 - place));
        };
        (values[place], from) = (value, at);
    }
    let mut word = &line[..from];
    while let Some((b' ' | b'\t' | b'\r', rest)) = word.split_last() {
        word = rest;
    }
    let spaces = word.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    Ok(&word[spaces..])
}
