//! NumPy's arrays: an array of objects is a pickle behind its header, and several may lie one after the other in a file.

use std::io;

use super::input::{Input, Slice};
use super::{Budget, DEEPEST, Findings, in_bytes, walk};

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header of more bytes is not read for what it says.
const MOST_HEADER: u64 = 64 << 10;

pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// Bytes before what an array holds.
pub(super) fn header(start: &[u8]) -> Option<u64> {
    match *start.strip_prefix(MAGIC)? {
        [1, _, low, high, ..] => Some(10 + u64::from(u16::from_le_bytes([low, high]))),
        [_, _, a, b, c, d, ..] => Some(12 + u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// Each array of a file, and what follows the last as a file of its own.
pub(super) fn look(bytes: Slice, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let mut rest = bytes;
    while !findings.is_decided() {
        let start = rest.peek(16)?;
        let Some(length) = header(&start) else { break };
        let Some(left) = budget.entries.checked_sub(1) else {
            findings.pass_over("it has too many entries");
            return Ok(());
        };
        budget.entries = left;
        let content = rest.part(length, u64::MAX);
        let text = rest.read(0, length.min(MOST_HEADER) as usize)?;
        let size = match numbers(&text) {
            Some(size) => size,
            None => match walk::pickles(&mut Input::of(content), budget, findings)? {
                // Numbers of a kind that is not known here.
                0 => return Ok(()),
                size => size,
            },
        };
        rest = content.part(size, u64::MAX);
    }
    match rest.size {
        0 => Ok(()),
        _ if depth + 1 > DEEPEST => walk::pickles(&mut Input::of(rest), budget, findings).map(|_| ()),
        _ => in_bytes(rest, depth + 1, budget, findings),
    }
}

/// Bytes of an array of plain numbers or texts, where its header is written as NumPy writes it and so says nothing else.
fn numbers(header: &[u8]) -> Option<u64> {
    let at = header.iter().position(|byte| *byte == b'{')?;
    let text = std::str::from_utf8(&header[at..]).ok()?.trim_end();
    let (kind, rest) = text.strip_prefix("{'descr': '")?.split_once("', 'fortran_order': ")?;
    let rest = rest.strip_prefix("False").or_else(|| rest.strip_prefix("True"))?;
    let shape = rest.strip_prefix(", 'shape': (")?.strip_suffix("), }")?;
    let mut letters = kind.trim_start_matches(['<', '>', '|', '=']).chars();
    let letter = letters.next().filter(|letter| "biufcSUVMm".contains(*letter))?;
    let digits: &str = letters.as_str().split('[').next()?;
    let width: u64 = digits.parse::<u64>().ok()?.checked_mul(if letter == 'U' { 4 } else { 1 })?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.parse::<u64>().ok()).try_fold(width, |size, side| size.checked_mul(side?))
}
