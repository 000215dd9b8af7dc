//! Tars that attack, plain and packed.

use std::io::Write;

use hub::data::{Dataset, Limits, Source};
use tar::EntryType;

use crate::support::*;

fn tar_with(extra: Vec<u8>) -> Vec<u8> {
    let mut bytes: Vec<u8> = four_images().iter().flat_map(|(p, b)| tar_entry(p.as_bytes(), EntryType::Regular, b, b"")).collect();
    bytes.extend(extra);
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Packed in every way that is read.
fn all_packings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(bytes).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(bytes).unwrap();
    vec![gzip(bytes), zstd::encode_all(bytes, 3).unwrap(), xz.finish().unwrap(), bzip2.finish().unwrap(), lz4.finish().unwrap()]
}

/// Plain and packed must be refused alike.
#[track_caller]
fn refused_packed_too(bytes: &[u8], code: &str, named: &str) {
    refused(bytes, code, named);
    all_packings(bytes).iter().for_each(|packed| refused(packed, code, named));
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
    for bytes in [vec![tar.clone()], all_packings(&tar)].concat() {
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

/// As GNU tar writes files of equal inodes: a name, no bytes, and where they are.
#[test]
fn a_hard_link_is_the_file_it_names() {
    let link = |name: &[u8], to: &[u8]| tar_entry(name, EntryType::Link, b"", to);
    for to in [&b"cat/1.png"[..], b"./cat/1.png"] {
        let bytes = tar_with(link(b"dog/again.png", to));
        for bytes in [vec![bytes.clone()], all_packings(&bytes)].concat() {
            let file = packed(&bytes);
            let dataset = Dataset::open(&Source::Archive(file.path.clone()), &Limits::default()).unwrap();
            let read = |path| dataset.encoded(dataset.find(path).unwrap()).unwrap();
            assert_eq!((dataset.samples().len(), read("dog/again.png")), (5, read("cat/1.png")));
        }
    }
    // By long names of both kinds.
    let long = "cat/".to_string() + &"x".repeat(120) + ".png";
    let named = [pax(&[("path", &long)]), tar_entry(b"short", EntryType::Regular, &png(9), b"")].concat();
    let pax_link = [pax(&[("linkpath", &long)]), link(b"dog/again.png", b"short")].concat();
    let gnu_link = [tar_entry(b"././@LongLink", EntryType::GNULongLink, &[long.as_bytes(), b"\0"].concat(), b""), link(b"dog/a.png", b"")];
    for by in [pax_link, gnu_link.concat()] {
        assert_eq!(check_bytes(&tar_with([named.clone(), by].concat()), &Limits::default()).unwrap().samples, 6);
    }
    // Out of the archive, to itself, to a folder, to what comes later, to a link that leads out.
    for to in [&b"../cat/1.png"[..], b"/cat/1.png", b"dog/again.png", b"cat", b"cat/later.png", b""] {
        let later = tar_entry(b"cat/later.png", EntryType::Regular, &png(9), b"");
        refused_packed_too(&tar_with([link(b"dog/again.png", to), later].concat()), "archive_entry_kind", "hard link");
    }
    let heavy = tar_entry(b"dog/again.png", EntryType::Link, &png(9), b"cat/1.png");
    refused_packed_too(&tar_with(heavy), "archive_inconsistent", "dog/again.png");
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
    let small = Limits { ratio_floor: 32 << 20, ..Limits::default() };
    for packed in all_packings(&zeros).into_iter().filter(|packed| packed.len() < 256 << 10) {
        refused_under(&small, &packed, "archive_bomb", "cat/zeros.bmp");
    }
    // By its size alone, however well it is packed.
    let limits = Limits { total_bytes: 50 << 20, entries: 100, ..Limits::default() };
    refused_under(&limits, &gzip(&zeros), "too_large", "cat/zeros.bmp");
    // Zeros behind the end mark are read as well, and counted.
    let mut padded = tar_with(Vec::new());
    padded.resize(padded.len() + (60 << 20), 0);
    refused_under(&small, &gzip(&padded), "archive_bomb", "the end");
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
