//! Tars that attack, plain and packed.

use hub::data::{Dataset, Limits, Source};
use tar::EntryType;

use crate::support::*;

fn tar_with(extra: Vec<u8>) -> Vec<u8> {
    let mut bytes: Vec<u8> = four_images().iter().flat_map(|(p, b)| tar_entry(p.as_bytes(), EntryType::Regular, b, b"")).collect();
    bytes.extend(extra);
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Plain, gzip and zstd must refuse alike.
#[track_caller]
fn refused_packed_too(bytes: &[u8], code: &str, named: &str) {
    refused(bytes, code, named);
    refused(&gzip(bytes), code, named);
    refused(&zstd::encode_all(bytes, 3).unwrap(), code, named);
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let len = (rest..).find(|len| len.to_string().len() + rest == *len).unwrap();
        body.extend(format!("{len} {key}={value}\n").bytes());
    }
    tar_entry(b"PaxHeaders/x", EntryType::XHeader, &body, b"")
}

#[test]
fn all_packings_of_the_same_images_are_the_same_data_set() {
    let tar = tar_with(Vec::new());
    let zip = check_bytes(&zip_of(&four_images()), &Limits::default()).unwrap();
    for bytes in [tar.clone(), gzip(&tar), zstd::encode_all(&tar[..], 3).unwrap()] {
        let report = check_bytes(&bytes, &Limits::default()).unwrap();
        assert_eq!(report.digest, zip.digest);
        assert_eq!(report.splits, zip.splits);
        let file = packed(&bytes);
        let dataset = Dataset::open(&Source::Archive(file.path.clone()), &Limits::default()).unwrap();
        let read: Vec<_> = dataset.samples().iter().map(|s| dataset.encoded(s).unwrap().to_vec()).collect();
        assert_eq!(read, four_images().into_iter().map(|(_, b)| b).collect::<Vec<_>>());
    }
}

#[test]
fn names_that_leave_or_lie_are_refused() {
    for name in
        ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "C:/evil.png", "cat\\evil.png", "cat/a\nevil.png", "cat/\u{1b}[2Jevil"]
    {
        refused_packed_too(&tar_with(tar_entry(name.as_bytes(), EntryType::Regular, &png(9), b"")), "archive_path", "evil");
    }
    refused(&tar_with(tar_entry(b"cat/\xff\xfeevil.png", EntryType::Regular, &png(9), b"")), "archive_path", "evil");
}

#[test]
fn only_files_and_folders_are_taken() {
    for (kind, named) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Fifo, "pipe"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::GNUSparse, "sparse file"),
        (EntryType::new(b'V'), "special entry"),
    ] {
        let bytes = tar_with(tar_entry(b"cat/odd.png", kind, b"", b"/etc/passwd"));
        refused_packed_too(&bytes, "archive_entry_kind", named);
        refused(&bytes, "archive_entry_kind", "cat/odd.png");
    }
    let folder = tar_entry(b"bird/", EntryType::Directory, b"", b"");
    let report = check_bytes(&tar_with(folder), &Limits::default()).unwrap();
    assert!(report.warnings.iter().any(|w| w.contains("`bird` has no images")), "{:?}", report.warnings);
}

#[test]
fn equal_names_are_refused() {
    refused_packed_too(&tar_with(tar_entry(b"cat/1.png", EntryType::Regular, &png(9), b"")), "archive_collision", "cat/1.png");
    refused(&tar_with(tar_entry(b"Cat/1.png", EntryType::Regular, &png(9), b"")), "archive_collision", "Cat/1.png");
}

#[test]
fn headers_that_disagree_about_a_size_are_refused() {
    let mut extra = pax(&[("size", "5")]);
    extra.extend(tar_entry(b"cat/two-sizes.png", EntryType::Regular, &png(9), b""));
    refused_packed_too(&tar_with(extra), "archive_inconsistent", "cat/two-sizes.png");
    let mut extra = pax(&[("path", "cat/a.png"), ("path", "../b.png")]);
    extra.extend(tar_entry(b"x", EntryType::Regular, &png(9), b""));
    refused(&tar_with(extra), "archive_inconsistent", "extension header");
}

#[test]
fn long_names_of_both_kinds_are_read_and_judged() {
    let long = format!("cat/{}.png", "n".repeat(150));
    let honest = |name: &str| {
        let mut by_pax = pax(&[("path", name), ("mtime", "1.5")]);
        by_pax.extend(tar_entry(b"short", EntryType::Regular, &png(9), b""));
        let mut by_gnu = tar_entry(b"././@LongLink", EntryType::GNULongName, format!("{name}\0").as_bytes(), b"");
        by_gnu.extend(tar_entry(b"short", EntryType::Regular, &png(9), b""));
        [tar_with(by_pax), tar_with(by_gnu)]
    };
    for bytes in honest(&long) {
        assert_eq!(check_bytes(&bytes, &Limits::default()).unwrap().samples, 5);
    }
    for bytes in honest("../evil.png") {
        refused_packed_too(&bytes, "archive_path", "../evil.png");
    }
    let mut endless = tar_entry(b"././@LongLink", EntryType::GNULongName, &vec![b'a'; 1 << 20], b"");
    endless.extend(tar_entry(b"short", EntryType::Regular, &png(9), b""));
    refused(&tar_with(endless), "too_large", "LongLink");
}

#[test]
fn a_second_archive_behind_the_first_is_refused() {
    let mut bytes = tar_with(Vec::new());
    bytes.extend(tar_with(Vec::new()));
    refused_packed_too(&bytes, "archive_inconsistent", "the end");
}

#[test]
fn bombs_are_stopped_while_they_unpack() {
    let zeros = tar_of(&with(&[("cat/zeros.bmp", vec![0u8; 60 << 20])]));
    refused(&gzip(&zeros), "archive_bomb", "cat/zeros.bmp");
    refused(&zstd::encode_all(&zeros[..], 3).unwrap(), "archive_bomb", "cat/zeros.bmp");
    // Zeros behind the end mark are read as well, and counted.
    let mut padded = tar_with(Vec::new());
    padded.resize(padded.len() + (60 << 20), 0);
    refused(&gzip(&padded), "archive_bomb", "the end");
    refused(&gzip(&gzip(&tar_with(Vec::new()))), "archive_broken", "the beginning");
    let limits = Limits { entries: 3, ..Limits::default() };
    refused_under(&limits, &gzip(&tar_with(Vec::new())), "too_many_files", "dog/2.png");
    let limits = Limits { entry_bytes: 100, ..Limits::default() };
    let big: Vec<u8> = (0..900u32).map(|i| (i * 37) as u8).collect();
    refused_under(&limits, &gzip(&tar_of(&with(&[("cat/big.bmp", big)]))), "too_large", "cat/");
}

#[test]
fn archives_inside_and_archives_cut_short_are_refused() {
    refused_packed_too(&tar_of(&with(&[("cat/inner.tar", tar_with(Vec::new()))])), "archive_nested", "cat/inner.tar");
    let bytes = tar_with(Vec::new());
    let cut = bytes.len() - 1024 - 500;
    refused(&bytes[..cut], "archive_broken", "dog/2.png");
    refused(&gzip(&bytes[..cut]), "archive_broken", "dog/2.png");
    let packed = gzip(&bytes);
    assert_eq!(check_bytes(&packed[..packed.len() / 2], &Limits::default()).unwrap_err().code(), "archive_broken");
}

#[test]
fn flipped_bytes_never_break_the_process() {
    let mut extra = pax(&[("path", "cat/by-pax.png")]);
    extra.extend(tar_entry(b"x", EntryType::Regular, &png(9), b""));
    let honest = tar_with(extra);
    let packed = gzip(&honest);
    let mut refused = 0;
    for bytes in [honest, packed] {
        for at in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            refused += usize::from(check_bytes(&bytes, &Limits::default()).is_err());
        }
    }
    assert!(refused > 500, "{refused}");
}
