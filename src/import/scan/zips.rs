//! What lies in zips. A zip is read by its directory at the end, as loaders do. Two loaders may disagree where the entries are
//! when bytes stand before the first one: then each entry is looked at in both places.

use std::io;

use super::input::{Input, Slice};
use super::keras;
use super::{Budget, DEEPEST, Findings, TOO_DEEP, in_bytes, in_packed};
use crate::archive::packing::{self, Packing};
use crate::archive::zip::{Directory, Entry};

/// `begins` says that the file is a zip by its first bytes too. One that lies somewhere in other data, as a document in a table
/// does, need not be sound by itself.
pub(super) fn look(
    bytes: Slice,
    directory: &Directory,
    begins: bool,
    depth: usize,
    budget: &mut Budget,
    findings: &mut Findings,
) -> io::Result<()> {
    if depth >= DEEPEST {
        findings.pass_over(TOO_DEEP);
        return Ok(());
    }
    for entry in directory.entries() {
        let Some(left) = budget.entries.checked_sub(1) else {
            findings.pass_over("it has too many entries");
            break;
        };
        budget.entries = left;
        let mut places = vec![entry.at.wrapping_add(directory.shift)];
        if directory.shift != 0 {
            places.push(entry.at);
        }
        for place in places {
            in_entry(bytes, directory.name(entry), entry, place, depth, budget, findings)?;
        }
        if findings.is_decided() {
            return Ok(());
        }
    }
    if (begins || directory.is_last || directory.is_double)
        && let Some(problem) = directory.check(&bytes)?
    {
        findings.object(format!("as a zip {problem}"));
    }
    Ok(())
}

fn in_entry(
    bytes: Slice,
    name: &[u8],
    entry: &Entry,
    place: u64,
    depth: usize,
    budget: &mut Budget,
    findings: &mut Findings,
) -> io::Result<()> {
    let head = bytes.read(place, 30)?;
    let (true, Some(lengths)) = (head.starts_with(b"PK\x03\x04"), head.get(26..30)) else { return Ok(()) };
    let lengths = u64::from(u16::from_le_bytes([lengths[0], lengths[1]])) + u64::from(u16::from_le_bytes([lengths[2], lengths[3]]));
    let data = bytes.part(place + 30 + lengths, entry.packed);
    if entry.is_encrypted() {
        cannot_open(name, findings);
        return Ok(());
    }
    if entry.method == 0 {
        if keras::may_be_config(name) {
            keras::in_config(&mut Input::of(data), findings)?;
        }
        return in_bytes(data, depth + 1, budget, findings);
    }
    if keras::may_be_config(name)
        && let Some(mut input) = unpack(entry.method, data)
    {
        keras::in_config(&mut input, findings)?;
    }
    match unpack(entry.method, data) {
        Some(input) => in_packed(input, true, depth, budget, findings),
        None => {
            cannot_open(name, findings);
            Ok(())
        }
    }
}

fn cannot_open(name: &[u8], findings: &mut Findings) {
    match name.ends_with(b".pkl") || name.ends_with(b".pickle") {
        true => findings.refuse("a pickle that cannot be looked into: it is packed in a way this program does not open".into()),
        false => findings.pass_over("an entry is packed in a way that is not looked into"),
    }
}

/// An entry's data as they come out, by the number of its method.
fn unpack(method: u16, data: Slice<'_>) -> Option<Input<'_>> {
    let packed = || io::BufReader::new(Input::of(data));
    let by = |packing: Packing| Some(Input::unpacked(packing::unpacked(packing, packed()).ok()?, super::price(packing)));
    match method {
        8 => Some(Input::unpacked(Box::new(flate2::read::DeflateDecoder::new(Input::of(data))), 1)),
        12 => by(Packing::Bzip2),
        93 => by(Packing::Zstd),
        95 => by(Packing::Xz),
        _ => None,
    }
}
