//! Items that are more, or less, than one file, as bytes: the frames of a folder one behind the other, and a piece of a video.
//!
//! ```text
//! frames  MAGIC | 'f' | count u32 | count x (bytes u64) | the files
//! piece   MAGIC | 'p' | start f64 | end f64 (seconds)  | the file
//! ```
//!
//! All little endian. What is kept of an item goes by its bytes, so that the same frames are the same item wherever they lie.

use crate::data::error::Refusal;

const MAGIC: &[u8; 8] = b"\0hubclip";
const FRAMES: u8 = b'f';
const PIECE: u8 = b'p';

/// What an item is.
#[derive(Debug, PartialEq)]
pub enum Packet<'a> {
    Frames(Vec<&'a [u8]>),
    /// From and to, in seconds.
    Piece(f64, f64, &'a [u8]),
    /// A file as it is.
    File(&'a [u8]),
}

/// Files as the frames of one item.
pub fn of_frames<'a>(files: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut all = Vec::with_capacity(16 + files.clone().map(|file| 8 + file.len()).sum::<usize>());
    all.extend(MAGIC);
    all.push(FRAMES);
    all.extend((files.len() as u32).to_le_bytes());
    files.clone().for_each(|file| all.extend((file.len() as u64).to_le_bytes()));
    files.for_each(|file| all.extend(file));
    all
}

/// A piece of a video, in seconds from its start.
pub fn of_piece(start: f64, end: f64, file: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(25 + file.len());
    all.extend(MAGIC);
    all.push(PIECE);
    all.extend(start.to_le_bytes());
    all.extend(end.to_le_bytes());
    all.extend(file);
    all
}

impl Packet<'_> {
    /// # Errors
    /// The packet is not whole.
    pub fn read(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Ok(Packet::File(bytes)) };
        let broken = || Refusal("its frames are not whole".into());
        match rest.split_first() {
            Some((&FRAMES, rest)) => frames(rest).ok_or_else(broken),
            Some((&PIECE, rest)) => piece(rest).ok_or_else(broken),
            _ => Err(broken()),
        }
    }
}

fn frames(bytes: &[u8]) -> Option<Packet<'_>> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (sizes, mut files) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut found = Vec::with_capacity(count);
    for size in sizes.as_chunks::<8>().0 {
        let (file, rest) = files.split_at_checked(usize::try_from(u64::from_le_bytes(*size)).ok()?)?;
        found.push(file);
        files = rest;
    }
    files.is_empty().then_some(Packet::Frames(found))
}

fn piece(bytes: &[u8]) -> Option<Packet<'_>> {
    let (start, rest) = bytes.split_first_chunk::<8>()?;
    let (end, file) = rest.split_first_chunk::<8>()?;
    let (start, end) = (f64::from_le_bytes(*start), f64::from_le_bytes(*end));
    (start >= 0.0 && end > start && end.is_finite()).then_some(Packet::Piece(start, end, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_and_what_lies_is_refused() {
        let files: [&[u8]; 3] = [b"one", b"", b"three"];
        let all = of_frames(files.iter().copied());
        assert_eq!(Packet::read(&all).unwrap(), Packet::Frames(files.to_vec()));
        let piece = of_piece(1.5, 2.25, b"film");
        assert_eq!(Packet::read(&piece).unwrap(), Packet::Piece(1.5, 2.25, b"film"));
        assert_eq!(Packet::read(b"\x89PNG").unwrap(), Packet::File(b"\x89PNG"));
        assert!(Packet::read(&all[..all.len() - 1]).is_err() && Packet::read(&all[..14]).is_err());
        let mut huge = all.clone();
        huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Packet::read(&huge).is_err());
        assert!(Packet::read(&of_piece(3.0, 2.0, b"film")).is_err() && Packet::read(&of_piece(0.0, f64::INFINITY, b"film")).is_err());
    }
}
