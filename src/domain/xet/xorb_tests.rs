//! Xorbs whole, in pieces, and broken in every way.

use std::io::Write;

use super::*;

fn chunk(scheme: u8, stored: &[u8], raw: usize) -> Vec<u8> {
    let u24 = |n: usize| (n as u32).to_le_bytes()[..3].to_vec();
    [vec![0], u24(stored.len()), vec![scheme], u24(raw), stored.to_vec()].concat()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Small blocks that refer to each other.
fn linked_frame(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(bytes.len() as u64));
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn grouped(bytes: &[u8]) -> Vec<u8> {
    (0..4).flat_map(|place| bytes.iter().skip(place).step_by(4).copied()).collect()
}

fn some_bytes(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|n| ((n / 7 + seed).wrapping_mul(2_654_435_761) >> 8) as u8).collect()
}

fn read(body: &[u8], step: usize) -> Result<(Vec<u8>, XetHash, Vec<u32>), XorbError> {
    let (mut reader, mut raw) = (XorbReader::default(), Vec::new());
    for part in body.chunks(step) {
        reader.push(part)?.iter().for_each(|bytes| raw.extend_from_slice(bytes));
    }
    let (hash, lengths) = reader.finish()?;
    Ok((raw, hash, lengths))
}

#[test]
fn every_scheme_reads_back_in_parts_of_any_size() {
    let parts = [some_bytes(70_001, 1), some_bytes(131_072, 2), some_bytes(5, 3), some_bytes(100_000, 4)];
    let body = [
        chunk(0, &parts[0], 70_001),
        chunk(1, &frame(&parts[1]), 131_072),
        chunk(2, &frame(&grouped(&parts[2])), 5),
        chunk(1, &linked_frame(&parts[3]), 100_000),
    ];
    let hashes: Vec<_> = parts.iter().map(|part| (XetHash::of_chunk(part), part.len() as u64)).collect();
    for step in [1, 3, 4_096, usize::MAX] {
        let (raw, hash, lengths) = read(&body.concat(), step).unwrap();
        assert_eq!(raw, parts.concat());
        assert_eq!((hash, lengths), (XetHash::of_xorb(&hashes), vec![70_001, 131_072, 5, 100_000]));
    }
    let with_footer = [body.concat(), b"XETBLOB and what follows".to_vec()].concat();
    assert_eq!(read(&with_footer, 10).unwrap().1, XetHash::of_xorb(&hashes));
}

#[test]
fn what_is_no_xorb_is_refused() {
    let good = chunk(0, b"abcd", 4);
    let bomb = frame(&vec![0; 131_072]);
    let mut longer = frame(&vec![0; 131_072]);
    longer.truncate(longer.len() - 4);
    for (what, body) in [
        ("nothing", vec![]),
        ("half a chunk", good[..10].to_vec()),
        ("a chunk and a half", [good.clone(), good[..9].to_vec()].concat()),
        ("a version", [&[1], &good[1..]].concat()),
        ("a scheme", chunk(3, b"abcd", 4)),
        ("two lengths", chunk(0, b"abcd", 5)),
        ("no bytes", chunk(0, b"", 0)),
        ("more than a chunk holds", chunk(0, &vec![0; 131_073], 131_073)),
        ("a frame that holds more than it says", chunk(1, &bomb, 1_000)),
        ("a frame that holds less", chunk(1, &frame(b"abc"), 4)),
        ("a frame without its end", chunk(1, &longer, 131_072)),
        ("a frame of something else", chunk(1, b"\x28\xb5\x2f\xfd--------", 8)),
        ("a stored length", chunk(1, &vec![0; 140_000], 131_072)),
    ] {
        assert!(read(&body, 7).is_err(), "{what}");
    }
}

#[test]
fn chunks_and_bytes_are_counted() {
    let many = chunk(0, b"a", 1).repeat(MOST_CHUNKS + 1);
    assert_eq!(read(&many, 4_096).unwrap_err(), XorbError::TooLarge);
    let large = chunk(0, &some_bytes(131_072, 1), 131_072).repeat(513);
    assert_eq!(read(&large, 4_096).unwrap_err(), XorbError::TooLarge);
    assert!(read(&large[..large.len() / 513 * 512], 4_096).is_ok());
}

#[test]
fn a_xorb_of_nothing_but_zeros_does_not_swell() {
    let zeros = chunk(1, &frame(&vec![0; MOST_CHUNK_BYTES]), MOST_CHUNK_BYTES);
    let many = |count: usize| zeros.repeat(count);
    assert!(zeros.len() * 64 < MOST_CHUNK_BYTES, "they are packed into {} bytes", zeros.len());
    assert_eq!(read(&many(32), usize::MAX).unwrap().0.len(), 4 << 20, "some of it is taken");
    assert!(matches!(read(&many(512), usize::MAX), Err(XorbError::Swollen(..))));
}
