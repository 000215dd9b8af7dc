//! TIFF: one page. Its directories are read here first, because the decoder takes the first of them for the picture: of a RAW
//! photo that is a preview, and of several pages a guess.

use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;

use super::decode::{Pixels, Refusal, still};
use crate::data::limits::Limits;

const NEW_SUBFILE_TYPE: u16 = 254;
const DNG_VERSION: u16 = 50_706;
/// Bits of the subfile type: a smaller version of another picture, a mask of one.
const REDUCED: u64 = 1;
const MASK: u64 = 4;
const MOST_PAGES: usize = 64;

pub fn decode(bytes: &[u8], limits: &Limits) -> Pixels {
    let directories = Directories::of(bytes).ok_or_else(|| damaged("its directories cannot be read"))?;
    let pages = directories.pages().ok_or_else(|| damaged("its directories cannot be read"))?;
    let of_raw = |page: &Page| page.raw || page.kind & REDUCED != 0;
    if pages.first().is_some_and(of_raw) {
        return Err(Refusal("its content is a RAW photo (DNG, NEF, ARW ...) or a preview of one; export it as JPEG or PNG".into()));
    }
    let whole = pages.iter().filter(|page| page.kind & (REDUCED | MASK) == 0).count();
    if whole > 1 {
        return Err(Refusal("it is a TIFF of several pages; export the page that is meant as PNG or JPEG".into()));
    }
    still(TiffDecoder::new(Cursor::new(bytes)).map_err(damaged)?, limits).map_err(|refusal| match refusal.0.starts_with("it is damaged") {
        true => damaged(refusal),
        false => refusal,
    })
}

fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("it is a TIFF that is damaged or of a kind that is not read ({error})"))
}

struct Page {
    kind: u64,
    raw: bool,
}

/// The chain of directories of a TIFF or BigTIFF.
struct Directories<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// 4 bytes for an offset, or 8.
    wide: bool,
}

impl<'a> Directories<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.first()? == &b'M';
        let version = if big_endian { bytes.get(3)? } else { bytes.get(2)? };
        Some(Directories { bytes, big_endian, wide: *version == 43 })
    }

    fn number(&self, at: usize, len: usize) -> Option<u64> {
        let digits = self.bytes.get(at..at.checked_add(len)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big_endian { digits.iter().fold(0, fold) } else { digits.iter().rev().fold(0, fold) })
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, if self.wide { 8 } else { 4 })?).ok()
    }

    fn pages(&self) -> Option<Vec<Page>> {
        let (count_len, entry_len) = if self.wide { (8, 20) } else { (2, 12) };
        let mut at = self.offset(if self.wide { 8 } else { 4 })?;
        let mut pages = Vec::new();
        while at != 0 && pages.len() < MOST_PAGES {
            let entries = usize::try_from(self.number(at, count_len)?).ok()?;
            let first = at.checked_add(count_len)?;
            let end = first.checked_add(entries.checked_mul(entry_len)?)?;
            let mut page = Page { kind: 0, raw: false };
            for entry in (first..end).step_by(entry_len) {
                match self.number(entry, 2)? as u16 {
                    NEW_SUBFILE_TYPE => page.kind = self.number(entry + entry_len - if self.wide { 8 } else { 4 }, 4)?,
                    DNG_VERSION => page.raw = true,
                    _ => {}
                }
            }
            pages.push(page);
            at = self.offset(end)?;
        }
        Some(pages)
    }
}
