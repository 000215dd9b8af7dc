//! The words of a model: which row each has, and how often it was seen. In the file they are four tensors, so that
//! opening three million words costs nothing and looking one up touches a few pages:
//!
//! | tensor | dtype | shape | what |
//! | --- | --- | --- | --- |
//! | `offsets` | I64 | `[V + 1]` | where each word begins in `words`; the last is its end |
//! | `counts` | I64 | `[V]` | how often each was seen; left out where nobody knows |
//! | `table` | I32 | `[T]`, a power of two | an open-addressed hash table: row + 1, or 0; probed linearly from FNV-1a (64 bits) of the word |
//! | `words` | U8 | `[...]` | UTF-8, one word after the other in the order of the rows |
//! | `norms` | F32 | `[V]` | the length of each row of the matrix |
//!
//! Nothing of it is trusted: every number is looked at where it is used.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::error::{Error, Result, shown};
use super::tensors::{TensorFile, TensorWriter, range};

/// Name of the file beside `model.safetensors`.
pub const VOCABULARY_FILE: &str = "vocabulary.safetensors";
/// Longest word in bytes.
pub const MAX_WORD_BYTES: usize = 4096;
/// Most words of a model.
pub const MAX_WORDS: usize = 1 << 28;
/// Further from its place no honest word lies: the table is at most half full.
const MOST_PROBES: usize = 4096;

/// FNV-1a, 64 bits.
pub fn hash(word: &[u8]) -> u64 {
    let folded = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = word.iter().fold(0xcbf2_9ce4_8422_2325, folded);
    // The low bits choose the place, and those of FNV alone mix little.
    hash ^ (hash >> 32)
}

/// An open vocabulary.
pub struct Vocabulary {
    file: Arc<TensorFile>,
    words: Range<usize>,
    offsets: Range<usize>,
    counts: Option<Range<usize>>,
    table: Range<usize>,
    norms: Range<usize>,
    len: usize,
}

impl Vocabulary {
    /// Reads the header and checks that the tensors' shapes agree.
    pub fn open(path: &Path) -> Result<Vocabulary> {
        let file = Arc::new(TensorFile::open(path)?);
        let refused = |problem: String| Error::corrupt(path, 0, problem);
        let (words, _) = file.get("words", "U8", 1)?;
        let (offsets, offsets_shape) = file.get("offsets", "I64", 1)?;
        let (table, table_shape) = file.get("table", "I32", 1)?;
        let (norms, norms_shape) = file.get("norms", "F32", 1)?;
        let counts = if file.find("counts").is_some() { Some(file.get("counts", "I64", 1)?) } else { None };
        let len = offsets_shape[0].checked_sub(1).ok_or_else(|| refused("`offsets` is empty".into()))?;
        if norms_shape[0] != len || counts.as_ref().is_some_and(|(_, shape)| shape[0] != len) {
            return Err(refused(format!("`offsets` names {len} words, and `counts` or `norms` has another number")));
        }
        if len > MAX_WORDS || !table_shape[0].is_power_of_two() || table_shape[0] < len {
            return Err(refused(format!("a table of {} places is none for {len} words", table_shape[0])));
        }
        Ok(Vocabulary { words, offsets, counts: counts.map(|(range, _)| range), table, norms, len, file })
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The word of a row, as its bytes; `None` where the file lies.
    fn bytes(&self, row: usize) -> Option<&[u8]> {
        let offsets = self.file.bytes(&self.offsets);
        let at = |index: usize| usize::try_from(le_u64(offsets, index)?).ok();
        let (start, end) = (at(row)?, at(row + 1)?);
        self.file.bytes(&self.words).get(start..end).filter(|word| word.len() <= MAX_WORD_BYTES)
    }

    /// The word of a row.
    pub fn word(&self, row: usize) -> Result<&str> {
        let text = self.bytes(row).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let offset = self.offsets.start as u64 + 8 * row as u64;
        text.ok_or_else(|| Error::corrupt(&self.file.path, offset, format!("row {row} has no word that could be read")))
    }

    /// The row of a word.
    pub fn find(&self, word: &str) -> Option<usize> {
        let table = self.file.bytes(&self.table);
        let places = table.len() / 4;
        let mut place = hash(word.as_bytes()) as usize & (places - 1);
        for _ in 0..places.min(MOST_PROBES) {
            let row = (le_u32(table, place)? as usize).checked_sub(1)?;
            if self.bytes(row)? == word.as_bytes() {
                return Some(row).filter(|row| *row < self.len);
            }
            place = (place + 1) & (places - 1);
        }
        None
    }

    /// How often a word was seen; `None` where nobody knows.
    pub fn count(&self, row: usize) -> Option<u64> {
        le_u64(self.file.bytes(self.counts.as_ref()?), row)
    }

    pub fn has_counts(&self) -> bool {
        self.counts.is_some()
    }

    /// The length of a row of the matrix.
    pub fn norm(&self, row: usize) -> f32 {
        le_u32(self.file.bytes(&self.norms), row).map_or(0.0, f32::from_bits)
    }

    /// The tensor `name` as whole numbers of 32 bits, where there is one.
    pub fn numbers(&self, name: &str) -> Option<&[u8]> {
        let tensor = self.file.find(name).filter(|tensor| tensor.dtype == "I32" && tensor.shape.len() == 1)?;
        Some(self.file.bytes(&range(tensor)))
    }
}

pub fn le_u32(bytes: &[u8], index: usize) -> Option<u32> {
    let at = index.checked_mul(4)?;
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn le_u64(bytes: &[u8], index: usize) -> Option<u64> {
    let at = index.checked_mul(8)?;
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// Words that are being collected; each gets the next row.
#[derive(Debug, Clone)]
pub struct Words {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
    table: Vec<u32>,
}

impl Default for Words {
    fn default() -> Words {
        Words { bytes: Vec::new(), offsets: vec![0], table: vec![0; 1024] }
    }
}

/// Too many words whose hashes agree, or too many words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Words {
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// The place of a word in the table, and its row where it is there.
    fn place(&self, word: &[u8]) -> std::result::Result<(usize, Option<usize>), Crowded> {
        let mask = self.table.len() - 1;
        let mut place = hash(word) as usize & mask;
        for _ in 0..MOST_PROBES {
            match self.table[place] {
                0 => return Ok((place, None)),
                row if self.get(row as usize - 1) == word => return Ok((place, Some(row as usize - 1))),
                _ => place = (place + 1) & mask,
            }
        }
        Err(Crowded)
    }

    /// The row of a word, which is added where it is not there yet; whether it is new.
    pub fn add(&mut self, word: &[u8]) -> std::result::Result<(usize, bool), Crowded> {
        let (place, found) = self.place(word)?;
        if let Some(row) = found {
            return Ok((row, false));
        }
        let row = self.len();
        if row >= MAX_WORDS {
            return Err(Crowded);
        }
        self.table[place] = row as u32 + 1;
        self.bytes.extend_from_slice(word);
        self.offsets.push(self.bytes.len() as u64);
        if self.len() * 2 > self.table.len() {
            self.grow()?;
        }
        Ok((row, true))
    }

    fn grow(&mut self) -> std::result::Result<(), Crowded> {
        let places = self.table.len() * 2;
        self.table.clear();
        self.table.resize(places, 0);
        for row in 0..self.len() {
            let (place, _) = self.place(self.get(row))?;
            self.table[place] = row as u32 + 1;
        }
        Ok(())
    }

    /// Writes the vocabulary; `counts` may be empty, `more` are further whole numbers with their names.
    pub fn write(&self, path: &Path, counts: &[u64], norms: &[f32], more: &[(&str, &[u32])]) -> Result<()> {
        let mut out = TensorWriter::create(path)?;
        let len = self.len();
        out.tensor("offsets", "I64", &[len + 1], self.offsets.iter().map(|value| value.to_le_bytes()))?;
        if !counts.is_empty() {
            out.tensor("counts", "I64", &[len], counts.iter().map(|value| value.to_le_bytes()))?;
        }
        out.tensor("table", "I32", &[self.table.len()], self.table.iter().map(|value| value.to_le_bytes()))?;
        out.tensor("norms", "F32", &[len], norms.iter().map(|value| value.to_le_bytes()))?;
        for (name, values) in more {
            out.tensor(name, "I32", &[values.len()], values.iter().map(|value| value.to_le_bytes()))?;
        }
        out.write(&self.bytes)?;
        out.end("words", "U8", &[self.bytes.len()]);
        out.finish()
    }
}

/// Says what is wrong with a word of a file, if something is.
pub fn objection(word: &str) -> Option<String> {
    match word {
        "" => Some("a word is empty".into()),
        word if word.len() > MAX_WORD_BYTES => Some(format!("a word of {} bytes is longer than {MAX_WORD_BYTES}", word.len())),
        word if word.contains('\0') => Some(format!("the word `{}` holds a NUL byte", shown(word))),
        _ => None,
    }
}
