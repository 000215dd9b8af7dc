//! Looks into a file for pickles, and for what else runs code when it is loaded. Names prove nothing, so every file is read
//! as each loader would read it: from its first byte, by its zip's directory, unpacked. Nothing is executed: a pickle's
//! opcodes are walked (`walk`), and the names it imports are compared with a list (`allowed`).
//!
//! Loading is taken to end where Python's own reader would end with an error; a file that is no pickle at its first byte
//! is none. Work and memory are bounded, and what needs more is not said to be safe.

mod allowed;
mod archives;
mod input;
mod keras;
mod walk;

use std::io;

use input::{Input, Slice};

/// The bytes of a file, wherever they lie.
pub trait ReadAt {
    fn size(&self) -> u64;
    /// Some of the bytes from `offset` on, at most `most`; none only at the end.
    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>>;
}

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// It holds a pickle.
    pub pickle: bool,
    /// Why loading it may run what its maker wrote.
    pub unsafe_because: Option<String>,
    /// Why something in it was not looked into.
    pub unscanned: Option<String>,
}

impl Findings {
    fn refuse(&mut self, why: String) {
        self.unsafe_because.get_or_insert(why);
    }

    fn pass_over(&mut self, why: &str) {
        self.unscanned.get_or_insert_with(|| why.to_owned());
    }
}

/// Archives in archives deeper than this are not looked into.
const DEEPEST: usize = 3;
/// An archive inside a compressed one is unpacked into memory up to here.
const MOST_UNPACKED: usize = 32 << 20;

/// What one scan may cost yet.
struct Budget {
    opcodes: u64,
    unpacked_bytes: u64,
    entries: u64,
}

/// Looks into one file.
pub fn scan(bytes: &dyn ReadAt) -> io::Result<Findings> {
    let mut budget = Budget { opcodes: 40_000_000, unpacked_bytes: 4 << 30, entries: 2_000_000 };
    let mut findings = Findings::default();
    let whole = Slice { bytes, start: 0, size: bytes.size() };
    in_bytes(whole, 0, &mut budget, &mut findings)?;
    Ok(findings)
}

/// Bytes that can be read in any order.
fn in_bytes(bytes: Slice, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    if bytes.size == 0 || findings.unsafe_because.is_some() {
        return Ok(());
    }
    let start = bytes.peek(512)?;
    if archives::is_tar(&start) {
        return archives::in_tar(bytes, depth, budget, findings);
    }
    if let Some(directory) = archives::find_zip(bytes)? {
        archives::in_zip(bytes, &directory, depth, budget, findings)?;
    }
    if start.starts_with(keras::HDF5) {
        return keras::in_hdf5(bytes, findings);
    }
    in_stream(&mut Input::of(bytes), depth, budget, findings)
}

/// Bytes that come one after the other.
fn in_stream(input: &mut Input, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let start = input.peek(262)?.to_vec();
    if let Some(form) = archives::unread(&start) {
        findings.pass_over(&format!("it is {form}, which is not looked into"));
        return Ok(());
    }
    if depth >= DEEPEST {
        if archives::is_packed(&start) {
            findings.pass_over("archives in it lie too deep");
        }
        return Ok(());
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        return in_packed(Box::new(flate2::read::MultiGzDecoder::new(input)), depth, budget, findings);
    }
    if let [0x78, flags, ..] = start[..]
        && (0x7800 + u16::from(flags)).is_multiple_of(31)
    {
        return in_packed(Box::new(flate2::read::ZlibDecoder::new(input)), depth, budget, findings);
    }
    if let Some(length) = numpy_header(&start) {
        input.skip(length)?;
    }
    walk::pickles(input, budget, findings)
}

/// What a compressed stream holds; one that is broken at its beginning holds nothing.
fn in_packed(reader: Box<dyn io::Read + '_>, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let mut input = Input::unpacked(reader);
    let start = match input.peek(512) {
        Ok(start) => start.to_vec(),
        Err(_) => return Ok(()),
    };
    if archives::is_tar(&start) || start.starts_with(keras::HDF5) {
        findings.pass_over("an archive in it is compressed as a whole");
        return Ok(());
    }
    let result = if start.starts_with(b"PK") {
        match input.rest(MOST_UNPACKED)? {
            Some(rest) => in_bytes(Slice { bytes: &rest, start: 0, size: rest.len() as u64 }, depth + 1, budget, findings),
            None => {
                findings.pass_over("an archive in it is too large to be unpacked");
                Ok(())
            }
        }
    } else {
        in_stream(&mut input, depth + 1, budget, findings)
    };
    match result {
        // Whoever loads it gets as far as we did.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Ok(())
        }
        other => other,
    }
}

/// Bytes before the numbers of a NumPy array; an array of objects is a pickle from there on.
fn numpy_header(start: &[u8]) -> Option<u64> {
    let rest = start.strip_prefix(b"\x93NUMPY")?;
    match *rest {
        [1, _, low, high, ..] => Some(10 + u64::from(u16::from_le_bytes([low, high]))),
        [_, _, a, b, c, d, ..] => Some(12 + u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self[from..self.len().min(from.saturating_add(most))].to_vec())
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
