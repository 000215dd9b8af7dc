//! NumPy arrays (`.npy`, versions 1 to 3) of two axes, with a list of words beside them: one a line, or a JSON list.

use std::path::{Path, PathBuf};

use half::f16;

use super::{REPORT, Reading, finish};
use crate::vectors::MAX_WIDTH;
use crate::vectors::error::{Error, Result};
use crate::vectors::store::Stored;
use crate::vectors::vocabulary::MAX_WORDS;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Largest list of words in bytes.
const MAX_LIST_BYTES: u64 = 4 << 30;

pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// What an array's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Bytes of a number: 2, 4 or 8, of a float.
    size: usize,
    pub rows: usize,
    pub width: usize,
    /// Where the numbers begin.
    pub start: usize,
}

impl Array {
    /// Row `row` of the array, whose file these bytes are.
    pub fn read_row(&self, bytes: &[u8], row: usize, out: &mut [f32]) {
        let stride = self.width * self.size;
        let row = bytes.get(self.start + row * stride..self.start + (row + 1) * stride).unwrap_or(&[]);
        match self.size {
            2 => out.iter_mut().zip(row.as_chunks::<2>().0).for_each(|(out, bytes)| *out = f16::from_le_bytes(*bytes).to_f32()),
            4 => out.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(out, bytes)| *out = f32::from_le_bytes(*bytes)),
            _ => out.iter_mut().zip(row.as_chunks::<8>().0).for_each(|(out, bytes)| *out = f64::from_le_bytes(*bytes) as f32),
        }
    }
}

/// Reads the header of an array of words' vectors.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Array> {
    let refused = |at: usize, problem: &str| Err(Error::corrupt(path, at as u64, problem));
    let length = match bytes.get(..12) {
        Some([.., 1, _, low, high, _, _]) => Some((10, usize::from(u16::from_le_bytes([*low, *high])))),
        Some([.., 2 | 3, _, a, b, c, d]) => Some((12, u32::from_le_bytes([*a, *b, *c, *d]) as usize)),
        _ => None,
    };
    let Some((begun, length)) = length.filter(|(_, length)| *length <= 1 << 16) else {
        return refused(6, "this is no header of a NumPy array of version 1 to 3");
    };
    let Some(header) = bytes.get(begun..begun + length).and_then(|header| std::str::from_utf8(header).ok()) else {
        return refused(begun, "the file ends inside of its header");
    };
    let value = |key: &str| {
        let at = header.find(&format!("'{key}':"))? + key.len() + 3;
        Some(header[at..].trim_start())
    };
    let kind = value("descr").and_then(|rest| rest.strip_prefix('\'')).and_then(|rest| rest.split_once('\'')).map(|(kind, _)| kind);
    let size = match kind {
        Some("<f2") => 2,
        Some("<f4") => 4,
        Some("<f8") => 8,
        _ => return refused(begun, "its numbers are no little-endian floats (<f2, <f4, <f8)"),
    };
    if !value("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return refused(begun, "it lies column by column; save it with numpy.ascontiguousarray");
    }
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let sides: Vec<Option<usize>> = shape.unwrap_or_default().split(',').map(|side| side.trim().parse().ok()).collect();
    let &[Some(rows), Some(width)] = sides.as_slice() else {
        return refused(begun, "its shape is not that of a matrix, a row for each word");
    };
    if rows > MAX_WORDS || width == 0 || width > MAX_WIDTH {
        return refused(begun, "it is larger than any vocabulary");
    }
    let array = Array { size, rows, width, start: begun + length };
    let wanted = array.start + rows * width * size;
    if bytes.len() != wanted {
        let problem = format!("a matrix of {rows} x {width} ends at byte {wanted}, and the file at {}", bytes.len());
        return refused(bytes.len().min(wanted), &problem);
    }
    Ok(array)
}

/// The list of words that lies beside an array: of the same name, or the usual ones.
pub fn words_beside(path: &Path) -> Option<PathBuf> {
    let same = ["txt", "json", "vocab"].map(|ending| path.with_extension(ending));
    let usual = ["words.txt", "vocab.txt", "vocabulary.txt", "words.json", "vocab.json"].map(|name| path.with_file_name(name));
    same.into_iter().chain(usual).find(|path| path.is_file())
}

pub fn store(reading: &Reading, words: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Stored> {
    let array = read(reading.path, reading.bytes)?;
    let size = std::fs::metadata(words).map_err(Error::io(words))?.len();
    if size > MAX_LIST_BYTES {
        return Err(Error::Unsupported {
            path: words.to_owned(),
            problem: format!("a list of {size} bytes is longer than {MAX_LIST_BYTES}"),
        });
    }
    let text = std::fs::read(words).map_err(Error::io(words))?;
    let list = list(words, &text)?;
    if list.len() != array.rows {
        let problem = format!("{} words stand here, and {} has {} rows", list.len(), reading.path.display(), array.rows);
        return Err(Error::corrupt(words, text.len() as u64, problem));
    }
    let mut store = reading.begin(array.width)?;
    let mut values = vec![0.0; array.width];
    for (row, (at, word)) in list.iter().enumerate() {
        array.read_row(reading.bytes, row, &mut values);
        store.push(word, None, &values, *at)?;
        if row % REPORT == 0 {
            progress((row * 4 * array.width) as u64, reading.bytes.len() as u64);
        }
    }
    finish(store, "word2vec")
}

/// The words of a list, each with the byte at which it stands.
fn list(path: &Path, text: &[u8]) -> Result<Vec<(u64, Vec<u8>)>> {
    if text.first() == Some(&b'[') {
        let words: Vec<String> = serde_json::from_slice(text).map_err(|error| {
            let at = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
            Error::corrupt(path, (at + error.column()) as u64, "this is no JSON list of words")
        })?;
        return Ok(words.into_iter().map(|word| (0, word.into_bytes())).collect());
    }
    let mut at = 0u64;
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n');
    let lines = lines.map(|line| {
        let begun = at;
        at += line.len() as u64 + 1;
        (begun, line.strip_suffix(b"\r").unwrap_or(line).to_vec())
    });
    Ok(lines.collect())
}
