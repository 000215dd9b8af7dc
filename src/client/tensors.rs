//! What a file offers before it is sent: the sha256 of each of its tensors, so that the server takes from its own
//! blobs what it has and asks only for the rest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::domain::pieces::{self, Piece, PieceHasher};
use crate::domain::safetensors;

/// Bytes read at once.
const BLOCK: u64 = 1 << 20;

/// The pieces of a safetensors file; none of a file that is not one, however it is called.
pub(super) fn pieces_of(file: &File, size_bytes: u64) -> io::Result<Vec<Piece>> {
    let read = |start: u64, end: u64| {
        let mut block = vec![0; (end.min(size_bytes).saturating_sub(start)) as usize];
        file.read_exact_at(&mut block, start).map(|()| block)
    };
    let Ok(length) = safetensors::header_len(&read(0, 8)?) else { return Ok(Vec::new()) };
    let Ok(header) = safetensors::parse_header(&read(0, 8 + length as u64)?, size_bytes) else { return Ok(Vec::new()) };
    let ranges = pieces::ranges(&header);
    let end = ranges.last().map_or(0, |last| last.end);
    let mut hasher = PieceHasher::new(ranges);
    for start in (0..end).step_by(BLOCK as usize) {
        hasher.update(&read(start, end.min(start + BLOCK))?);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::domain::digest::Digest;

    #[test]
    fn a_file_offers_its_tensors() {
        let header =
            br#"{"a":{"dtype":"F32","shape":[2000],"data_offsets":[0,8000]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8000,8008]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        let start = bytes.len();
        bytes.extend((0..8008u32).map(|at| (at % 251) as u8));
        let pieces = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            pieces_of(&file, bytes.len() as u64).unwrap()
        };
        let piece = |from: usize, to: usize| Piece {
            offset: (start + from) as u64,
            size_bytes: (to - from) as u64,
            sha256: Digest::of(&bytes[start + from..start + to]),
        };
        assert_eq!(pieces(&bytes), [piece(0, 8000), piece(8000, 8008)]);
        for other in [&b""[..], b"x", b"{\"a\": 1, \"b\": 2}", &bytes[..bytes.len() - 1], &bytes[..100]] {
            assert!(pieces(other).is_empty());
        }
    }
}
