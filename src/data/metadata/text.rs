//! The text of a table, whatever a spreadsheet saved it as.

use std::borrow::Cow;

use super::{Table, bad};
use crate::data::error::Result;

/// UTF-8 with or without its mark, or UTF-16 with its mark.
pub(super) fn decode<'a>(table: &Table, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    let wide = |pair: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units = bytes.chunks(2).map(|unit| pair([unit[0], unit.get(1).copied().unwrap_or_default()]));
        char::decode_utf16(units).collect::<std::result::Result<String, _>>()
    };
    let decoded = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        _ => return narrow(table, bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map(Cow::Borrowed),
    };
    decoded.map(Cow::Owned).map_err(|_| bad(table, 1, "it begins as UTF-16 and is not; save the table as UTF-8"))
}

fn narrow<'a>(table: &Table, bytes: &'a [u8]) -> Result<&'a str> {
    let line = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(bad(table, line(at), "it holds a zero byte: a table in UTF-16 without its mark, perhaps; save it as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        bad(table, line(at), format!("byte {:#04x} is not UTF-8, in Latin-1 perhaps; save the table as UTF-8", bytes[at]))
    })
}
