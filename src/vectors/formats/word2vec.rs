//! The binary form of word2vec's own tool: a line with the number of words and of dimensions, then for each word its bytes, a
//! space, and the numbers as little-endian f32. Some writers put a line feed after each row.

use super::text::Header;
use super::{REPORT, Reading, finish};
use crate::vectors::error::{Result, shown};
use crate::vectors::store::Stored;
use crate::vectors::vocabulary::MAX_WORD_BYTES;

pub fn store(reading: &Reading, progress: &mut dyn FnMut(u64, u64)) -> Result<Stored> {
    let bytes = reading.bytes;
    let header = Header::read(bytes).ok_or_else(|| reading.corrupt(0, "there is no header"))?;
    let mut store = reading.begin(header.width)?;
    let mut values = vec![0.0; header.width];
    let mut at = header.bytes;
    for row in 0..header.words {
        if bytes.get(at) == Some(&b'\n') {
            at += 1;
        }
        let begun = at;
        let said = |problem: &str| format!("{problem} in row {} of the {} that the header names", row + 1, header.words);
        let space = bytes[at..].iter().take(MAX_WORD_BYTES + 1).position(|byte| *byte == b' ');
        let Some(length) = space else {
            let problem = if bytes.len() - at <= MAX_WORD_BYTES { "the file ends" } else { "a word does not end" };
            return Err(reading.corrupt(begun, said(problem)));
        };
        let word = &bytes[at..at + length];
        if word.contains(&0) {
            let word = shown(&String::from_utf8_lossy(word));
            return Err(
                reading.corrupt(begun, said(&format!("the word `{word}` holds a NUL byte")) + "; is it as wide as the header says?")
            );
        }
        at += length + 1;
        let Some(row_bytes) = bytes.get(at..at + 4 * header.width) else {
            let problem = format!("the file ends in the vector of `{}`", shown(&String::from_utf8_lossy(word)));
            return Err(reading.corrupt(bytes.len(), said(&problem)));
        };
        values.iter_mut().zip(row_bytes.as_chunks::<4>().0).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
        store.push(word, None, &values, begun as u64)?;
        at += row_bytes.len();
        if row % REPORT == 0 {
            progress(at as u64, bytes.len() as u64);
        }
    }
    let rest = bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace());
    if let Some(rest) = rest {
        let left = bytes.len() - at - rest;
        return Err(reading.corrupt(at + rest, format!("{left} bytes follow the {} words that the header names", header.words)));
    }
    finish(store, "word2vec")
}
