//! Zips as all sorts of programs write them, and zips in which two programs would read two different things.

use super::*;

const INFO_ZIP: &[u8] = include_bytes!("../../../tests/data/fixtures/zips/infozip.zip");

fn why(bytes: &[u8]) -> String {
    match sound(&bytes) {
        Ok(_) => String::new(),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn what_programs_write_is_sound() {
    for (what, bytes, entries) in [
        ("Info-ZIP", INFO_ZIP, 6),
        ("Info-ZIP, into a pipe", include_bytes!("../../../tests/data/fixtures/zips/infozip-stream.zip"), 6),
        ("Info-ZIP, with a comment", include_bytes!("../../../tests/data/fixtures/zips/infozip-comment.zip"), 6),
        ("Java", include_bytes!("../../../tests/data/fixtures/zips/java.zip"), 6),
        ("Python, with a comment", include_bytes!("../../../tests/data/fixtures/zips/python-comment.zip"), 4),
        ("Python, into a pipe", include_bytes!("../../../tests/data/fixtures/zips/python-stream.zip"), 4),
        ("Python, into a pipe, zip64", include_bytes!("../../../tests/data/fixtures/zips/python-stream-zip64.zip"), 4),
        ("Python, zip64", include_bytes!("../../../tests/data/fixtures/zips/python-zip64.zip"), 4),
        ("PyTorch", include_bytes!("../../../tests/data/fixtures/zips/torch.pth"), 8),
        ("NumPy", include_bytes!("../../../tests/data/fixtures/zips/numpy.npz"), 2),
        ("NumPy, packed", include_bytes!("../../../tests/data/fixtures/zips/numpy-packed.npz"), 1),
        ("nobody", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0),
    ] as [(&str, &[u8], usize); 12]
    {
        match sound(&bytes) {
            Ok(directory) => assert_eq!(directory.entries().len(), entries, "{what}"),
            Err(refused) => panic!("{what}: {refused}"),
        }
    }
}

fn le(value: usize, bytes: usize) -> Vec<u8> {
    value.to_le_bytes()[..bytes].to_vec()
}

/// One stored entry of a zip.
#[derive(Clone)]
struct Made {
    name: &'static [u8],
    data: &'static [u8],
    extra: Vec<u8>,
    /// The directory's.
    told_extra: Vec<u8>,
    behind: Vec<u8>,
    flags: usize,
}

const ONE: Made = Made { name: b"a", data: b"first", extra: Vec::new(), told_extra: Vec::new(), behind: Vec::new(), flags: 0 };

/// A zip of these entries with other bytes before it, and between the directory and its end.
fn made(before: &[u8], entries: &[Made], inside: &[u8]) -> Vec<u8> {
    let (mut out, mut central) = (before.to_vec(), Vec::new());
    for entry in entries {
        let crc = le(crc32fast::hash(entry.data) as usize, 4);
        let size = le(entry.data.len(), 4);
        let common = [&le(20, 2)[..], &le(entry.flags, 2), &[0; 6], &crc, &size, &size, &le(entry.name.len(), 2)].concat();
        let at = le(out.len(), 4);
        out.extend([b"PK\x03\x04", &common[..], &le(entry.extra.len(), 2), entry.name, &entry.extra, entry.data, &entry.behind].concat());
        let told = le(entry.told_extra.len(), 2);
        central.extend([b"PK\x01\x02\x14\0", &common[..], &told, &[0; 10], &at, entry.name, &entry.told_extra].concat());
    }
    central.extend(inside);
    let (count, size, at) = (le(entries.len(), 2), le(central.len(), 4), le(out.len(), 4));
    [&out[..], &central, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &at, &[0, 0]].concat()
}

#[test]
fn what_leaves_readers_a_choice_is_refused_with_the_reason() {
    let two = Made { name: b"b", data: b"second", ..ONE };
    let with = |change: fn(&mut Made)| {
        let mut one = ONE;
        change(&mut one);
        made(b"", &[one, Made { name: b"b", data: b"second", ..ONE }], b"")
    };
    let good = made(b"", &[ONE, two.clone()], b"");
    assert_eq!(why(&good), "");
    let edited = |at: usize, bytes: &[u8]| {
        let mut edited = good.clone();
        edited[at..at + bytes.len()].copy_from_slice(bytes);
        edited
    };
    let central = good.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let end = good.len() - 22;
    for (bytes, expected) in [
        ([&good[..], &good].concat(), "another file stood before it"),
        (made(b"#!/bin/sh\n", &[ONE], b""), "stand before its first entry"),
        (made(b"junk", &[], b""), "stand before its first entry"),
        ([&good[..], b"x"].concat(), "other bytes follow its end"),
        ([&good[..good.len() - 2], b"\x01\0"].concat(), "other bytes follow its end"),
        (made(b"", &[ONE], b"other"), "has other bytes in it"),
        (edited(end + 8, &[1, 0, 1, 0]), "counts other entries"),
        (edited(end + 4, &[1, 0]), "one part of several"),
        (with(|one| one.behind = b"hole".to_vec()), "other bytes follow entry `a`"),
        (with(|one| one.behind = vec![0; 5_000]), "other bytes follow entry `a`"),
        (with(|one| (one.flags, one.behind) = (8, vec![7; 16])), "other bytes follow entry `a`"),
        (edited(30, b"A"), "two names"),
        (edited(8, &[8, 0]), "two methods"),
        (edited(6, &[1, 0]), "encrypted by one"),
        (edited(22, &[9]), "two sizes"),
        (edited(18, &[9]), "two sizes"),
        (edited(14, &[9]), "two checksums"),
        (edited(central + 42, &[5]), "stand before its first entry"),
        (edited(central + 20, &[4]), "two sizes"),
        (edited(central + 47 + 42, &[0]), "lie over each other"),
        (with(|one| one.told_extra = [&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0][..], b"z"].concat()), "two names"),
        (b"PK\x03\x04 and nothing else that would be a zip".to_vec(), "no directory"),
    ] {
        assert!(why(&bytes).contains(expected), "{expected}: {}", why(&bytes));
    }
    // A whole zip as the comment of another.
    let inner = made(b"", &[Made { name: b"c", ..ONE }], b"");
    let nested = [&good[..good.len() - 2], &le(inner.len(), 2), &inner].concat();
    assert!(why(&nested).contains("another file stood before it"), "{}", why(&nested));
}

#[test]
fn what_is_merely_padded_or_streamed_is_taken() {
    let crc = crc32fast::hash(ONE.data).to_le_bytes();
    let sizes = [5, 0, 0, 0, 5, 0, 0, 0];
    for (what, one) in [
        ("zeros up to a page", Made { behind: vec![0; 40], ..ONE }),
        ("padding in the extra", Made { extra: [&[b'F', b'B', 60, 0][..], &[b'Z'; 60]].concat(), ..ONE }),
        ("a descriptor", Made { flags: 8, behind: [&crc[..], &sizes].concat(), ..ONE }),
        ("a descriptor with its mark", Made { flags: 8, behind: [b"PK\x07\x08", &crc[..], &sizes].concat(), ..ONE }),
        (
            "its name in Unicode",
            Made { name: b"\x84", told_extra: [&[0x75, 0x70, 7, 0, 1, 0, 0, 0, 0][..], "ä".as_bytes()].concat(), ..ONE },
        ),
    ] {
        assert_eq!(why(&made(b"", &[one, Made { name: b"b", ..ONE }], b"")), "", "{what}");
    }
}

/// A zip with five gigabytes of zeros in it.
struct Large {
    head: Vec<u8>,
    tail: Vec<u8>,
}

const FIVE: u64 = 5 << 30;

impl ReadAt for Large {
    fn size(&self) -> u64 {
        self.head.len() as u64 + FIVE + self.tail.len() as u64
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let tail_at = self.head.len() as u64 + FIVE;
        let byte = |at: u64| match at {
            at if at < self.head.len() as u64 => self.head[at as usize],
            at if at < tail_at => 0,
            at => self.tail[(at - tail_at) as usize],
        };
        Ok((offset..self.size().min(offset + most as u64)).map(byte).collect())
    }
}

#[test]
fn more_than_four_gigabytes_are_read() {
    let wide = [&1u16.to_le_bytes()[..], &16u16.to_le_bytes(), &FIVE.to_le_bytes(), &FIVE.to_le_bytes()].concat();
    let common = [&[45, 0, 0, 0, 0, 0][..], &[0; 8], &[0xff; 8], &[1, 0, 20, 0]].concat();
    let head = [b"PK\x03\x04", &common[..], b"a", &wide].concat();
    let at = head.len() as u64 + FIVE;
    let central = [b"PK\x01\x02\x2d\0", &common[..], &[0; 14], b"a", &wide].concat();
    let end_at = at + central.len() as u64;
    let record = |at: u64| {
        let counts = [1u64.to_le_bytes(), 1u64.to_le_bytes(), (central.len() as u64).to_le_bytes(), at.to_le_bytes()].concat();
        [b"PK\x06\x06", &44u64.to_le_bytes()[..], &[45, 0, 45, 0], &[0; 8], &counts].concat()
    };
    let tail = |at: u64, record_at: u64| {
        let locator = [b"PK\x06\x07", &[0; 4][..], &record_at.to_le_bytes(), &[1, 0, 0, 0]].concat();
        [&central[..], &record(at), &locator, b"PK\x05\x06\0\0\0\0", &[0xff; 12], &[0, 0]].concat()
    };
    let large = |tail: Vec<u8>| Large { head: head.clone(), tail };
    assert_eq!(sound(&large(tail(at, end_at))).unwrap().entries()[0].size, FIVE);
    for (tail, expected) in [(tail(at, 0), "contradict"), (tail(at - 1, end_at), "another file stood before it")] {
        let refused = sound(&large(tail)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
