//! Looks into a file for pickles, and for what else runs code when it is loaded. Names prove nothing, so every file is read
//! as each loader would read it: from its first byte, by its zip's directory, unpacked. Nothing is executed: a pickle's
//! opcodes are walked (`walk`), and the names it imports are compared with the table that importing uses too.
//!
//! Loading is taken to end where Python's own reader would end with an error; a file that is no pickle at its first byte
//! is none. An archive that two programs would read as two is refused as such: what was looked into need not be what is loaded
//! then. Work and memory are bounded, and what needs more is not said to be safe.

mod arrays;
mod input;
mod keras;
mod spool;
mod tars;
mod walk;
mod zips;

use std::io;

use input::{Input, Kept, Slice};
use serde::{Deserialize, Serialize};

use crate::archive::packing::{self, Packing};
use crate::archive::zip::{self, Found};
use crate::archive::{ReadAt, tar};

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// It holds a pickle.
    pub pickle: bool,
    /// Why loading it may run what its maker wrote.
    pub unsafe_because: Option<String>,
    /// Why two programs would read two different archives in it.
    pub ambiguous_because: Option<String>,
    /// Why something in it was not looked into.
    pub unscanned: Option<String>,
}

impl Findings {
    fn refuse(&mut self, why: String) {
        self.unsafe_because.get_or_insert(why);
    }

    fn object(&mut self, why: String) {
        self.ambiguous_because.get_or_insert(why);
    }

    fn pass_over(&mut self, why: &str) {
        self.unscanned.get_or_insert_with(|| why.to_owned());
    }

    /// Nothing more needs to be known.
    fn is_decided(&self) -> bool {
        self.unsafe_because.is_some()
    }
}

/// Archives in archives deeper than this are not looked into.
const DEEPEST: usize = 4;
const TOO_DEEP: &str = "archives in it lie too deep";
/// First bytes among which a pickle may begin after other bytes.
const FIRST_BYTES: usize = 256;

/// What one scan may cost yet.
struct Budget {
    opcodes: u64,
    /// Bytes unpacked, each times what its packing costs.
    unpacked_bytes: u64,
    entries: u64,
}

impl Budget {
    /// Takes off what came out of a stream; false where nothing is left.
    fn pay(&mut self, input: &mut Input) -> bool {
        let cost = input.take_unpacked();
        let left = self.unpacked_bytes.checked_sub(cost);
        self.unpacked_bytes = left.unwrap_or(0);
        left.is_some()
    }
}

/// Looks into one file.
///
/// # Errors
/// Those of reading it.
pub fn scan(bytes: &dyn ReadAt) -> io::Result<Findings> {
    let mut budget = Budget { opcodes: 40_000_000, unpacked_bytes: 4 << 30, entries: 2_000_000 };
    let mut findings = Findings::default();
    let kept = Kept::new(bytes);
    let whole = Slice { bytes: &kept, start: 0, size: bytes.size() };
    let result = in_bytes(whole, 0, &mut budget, &mut findings);
    // What reads on top of the file may have taken its failure for damage.
    match kept.failure() {
        Some(error) => Err(error),
        None => result.map(|()| findings),
    }
}

/// Bytes that can be read in any order.
fn in_bytes(bytes: Slice, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    if bytes.size == 0 || findings.is_decided() {
        return Ok(());
    }
    let start = bytes.peek(512)?;
    if is_tar(&start) {
        return tars::look(tars::Source::Run(bytes), depth, budget, findings);
    }
    match zip::find(&bytes)? {
        Found::Zip(directory) => zips::look(bytes, &directory, zip::begins(&start), depth, budget, findings)?,
        Found::TooLarge => findings.pass_over("the directory of a zip in it is too large"),
        Found::NoZip if zip::begins(&start) => findings.pass_over("it begins like a zip and has no directory"),
        Found::NoZip => {}
    }
    if keras::is_hdf5(bytes)? {
        keras::in_hdf5(bytes, findings)?;
    }
    if arrays::begins(&start) {
        return arrays::look(bytes, depth, budget, findings);
    }
    in_stream(&mut Input::of(bytes), depth, budget, findings)?;
    after_other_bytes(bytes, &start, budget, findings)
}

fn is_tar(start: &[u8]) -> bool {
    tar::begins(start) && start.first_chunk().is_some_and(tar::is_sound)
}

/// A pickle that says so, behind a few other bytes.
fn after_other_bytes(bytes: Slice, start: &[u8], budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let first = &start[..start.len().min(FIRST_BYTES)];
    for (at, pair) in first.windows(2).enumerate().skip(1) {
        if pair[0] == 0x80 && (2..=5).contains(&pair[1]) && !findings.is_decided() {
            let harm = walk::find_harm(&mut Input::of(bytes.part(at as u64, u64::MAX)), budget)?;
            if let Some(name) = harm {
                findings.pickle = true;
                findings.refuse(name);
            }
        }
    }
    Ok(())
}

/// Bytes that come one after the other.
fn in_stream(input: &mut Input, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let start = input.peek(512)?.to_vec();
    if let Some(form) = unread(&start) {
        findings.pass_over(&format!("it is {form}, which is not looked into"));
        return Ok(());
    }
    let packing = packing::of(&start).or(is_skippable(&start).then_some(Packing::Zstd));
    if depth >= DEEPEST && (packing.is_some() || is_lzma(&start)) {
        findings.pass_over(TOO_DEEP);
        return Ok(());
    }
    if let Some(packing) = packing {
        let packed = io::BufReader::with_capacity(64 << 10, input);
        return match packing::unpacked(packing, packed) {
            Ok(reader) => in_packed(Input::unpacked(reader, price(packing)), true, depth, budget, findings),
            Err(_) => {
                findings.pass_over("it cannot be unpacked");
                Ok(())
            }
        };
    }
    if is_lzma(&start) {
        findings.pass_over("it is packed by LZMA without xz, whose end cannot be told");
        return match packing::lzma(input) {
            Ok(reader) => in_packed(Input::unpacked(reader, price(Packing::Xz)), true, depth, budget, findings),
            Err(_) => Ok(()),
        };
    }
    if is_zlib(&start) && depth < DEEPEST {
        let reader = packing::zlib(io::BufReader::with_capacity(64 << 10, input));
        return in_packed(Input::unpacked(reader, 1), false, depth, budget, findings);
    }
    if let Some(length) = arrays::header(&start) {
        input.skip(length)?;
    }
    walk::pickles(input, budget, findings).map(|_| ())
}

/// What a byte of such a stream costs beside one of gzip.
fn price(packing: Packing) -> u64 {
    match packing {
        Packing::Gzip | Packing::Zstd | Packing::Lz4 => 1,
        Packing::Xz => 4,
        Packing::Bzip2 => 8,
    }
}

/// What a packed stream holds. One that breaks is read as far as it goes; only of the first bytes of zlib's one cannot say that it
/// is one at all.
fn in_packed(mut input: Input, is_certain: bool, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let result = in_unpacked(&mut input, depth + 1, budget, findings);
    if (result.is_err() || input.is_broken()) && is_certain {
        findings.pass_over("it cannot be unpacked to its end");
    }
    Ok(())
}

fn in_unpacked(input: &mut Input, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let start = input.peek(512)?.to_vec();
    if is_tar(&start) {
        return tars::look(tars::Source::Stream(input), depth, budget, findings);
    }
    if zip::begins(&start) || start.starts_with(keras::HDF5) || arrays::begins(&start) {
        return spool::in_spooled(input, u64::MAX, depth, budget, findings);
    }
    in_stream(input, depth, budget, findings)
}

/// Archives of forms that this program does not open.
fn unread(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("a 7z archive"),
        [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => Some("a rar archive"),
        [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Some("a cabinet"),
        [0x1f, 0x9d | 0xa0, ..] => Some("packed by compress"),
        [0x02, 0x21, 0x4c, 0x18, ..] => Some("packed by an old lz4"),
        _ => None,
    }
}

/// A frame that zstd and lz4 pass over.
fn is_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

fn is_lzma(start: &[u8]) -> bool {
    start.starts_with(&[0x5d, 0, 0]) && start.len() > 13
}

fn is_zlib(start: &[u8]) -> bool {
    matches!(*start, [0x78, flags, ..] if (0x7800 + u16::from(flags)).is_multiple_of(31))
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
