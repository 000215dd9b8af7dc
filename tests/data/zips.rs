//! Zips that attack: each is refused with a code and the name of the entry, and nothing is written anywhere.

use std::io::{Cursor, Write};

use hub::data::Limits;
use image::{ImageFormat, Rgb, RgbImage};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::support::*;

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len());
    let mut count = 0;
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + to.len()].copy_from_slice(to);
            count += 1;
        }
    }
    count
}

fn find_last(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).rposition(|w| w == needle).unwrap()
}

#[test]
fn an_honest_zip_is_taken() {
    let report = check_bytes(&zip_of(&four_images()), &Limits::default()).unwrap();
    assert_eq!(report.classes, ["cat", "dog"]);
    assert_eq!(report.samples, 4);
}

#[test]
fn names_that_leave_or_lie_are_refused() {
    for name in ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "C:/evil.png", "cat\\evil.png", "cat//evil.png"] {
        refused(&zip_of(&with(&[(name, png(9))])), "archive_path", "evil.png");
    }
    for name in ["cat/a\nevil.png", "cat/\u{1b}[2Jevil.png", "cat/\u{202e}gnp.evil", "cat/\u{200b}evil.png"] {
        refused(&zip_of(&with(&[(name, png(9))])), "archive_path", "evil");
    }
    let long = format!("cat/{}.png", "x".repeat(600));
    refused(&zip_of(&with(&[(&long, png(9))])), "archive_path", "xxxx");
}

#[test]
fn backslashes_divide_where_the_entry_was_made_on_windows() {
    let files: Vec<_> = four_images().into_iter().map(|(path, bytes)| (format!("pets\\{}", path.replace('/', "\\")), bytes)).collect();
    let zip = zip_of(&files);
    refused(&zip, "archive_path", "pets\\cat");
    for system in [0, 10, 11, 14] {
        let mut zip = zip.clone();
        let headers: Vec<usize> = (0..zip.len() - 4).filter(|at| &zip[*at..at + 4] == b"PK\x01\x02").collect();
        headers.iter().for_each(|at| zip[at + 5] = system);
        let report = check_bytes(&zip, &Limits::default()).unwrap();
        assert_eq!((report.classes, report.samples, headers.len()), (vec!["cat".into(), "dog".into()], 4, 4));
    }
}

#[test]
fn names_equal_on_some_disks_are_refused() {
    refused(&zip_of(&with(&[("cat/1.PNG", png(9))])), "archive_collision", "cat/1.PNG");
    // The same name twice can only be written by hand.
    let mut bytes = zip_of(&with(&[("cat/7.png", png(9))]));
    assert_eq!(replace(&mut bytes, b"cat/7.png", b"cat/1.png"), 2);
    refused(&bytes, "archive_collision", "cat/1.png");
}

#[test]
fn links_and_devices_are_refused() {
    for (mode, named) in [(0o120_777u32, "symbolic link"), (0o010_644, "pipe"), (0o020_644, "device"), (0o060_644, "device")] {
        let mut bytes = zip_of(&with(&[("cat/odd.png", b"/etc/passwd".to_vec())]));
        let at = find_last(&bytes, b"cat/odd.png") - 46;
        bytes[at + 5] = 3; // made on Unix
        bytes[at + 38..at + 42].copy_from_slice(&(mode << 16).to_le_bytes());
        refused(&bytes, "archive_entry_kind", named);
        refused(&bytes, "archive_entry_kind", "cat/odd.png");
    }
}

#[test]
fn encrypted_entries_are_refused() {
    let mut bytes = zip_of(&with(&[("cat/secret.png", png(9))]));
    let local = bytes.windows(14).position(|w| w == b"cat/secret.png").unwrap() - 30;
    let central = find_last(&bytes, b"cat/secret.png") - 46;
    bytes[local + 6] |= 1;
    bytes[central + 8] |= 1;
    refused(&bytes, "archive_entry_kind", "cat/secret.png");
}

#[test]
fn archives_inside_are_refused() {
    let inner = zip_of(&four_images());
    for name in ["cat/inner.zip", "inner.tar.gz", "dog/more.7z"] {
        refused(&zip_of(&with(&[(name, inner.clone())])), "archive_nested", name);
    }
}

#[test]
fn bombs_are_refused() {
    // One file beyond what a file may be.
    refused(&zip_of(&with(&[("cat/zeros.png", vec![0u8; 130 << 20])])), "too_large", "cat/zeros.png");
    // Many that would each pass.
    let many: Vec<_> = (0..400).map(|i| (format!("cat/{i}.bmp"), vec![0u8; 1 << 20])).collect();
    refused_under(&Limits { ratio_floor: 100 << 20, ..Limits::default() }, &zip_of(&many), "archive_bomb", "all entries");
    refused_under(&Limits { total_bytes: 100 << 20, ..Limits::default() }, &zip_of(&many), "too_large", "cat/100.bmp");
}

#[test]
fn drawings_compress_a_thousand_times_and_are_no_bombs() {
    let drawing = |seed: u32| {
        let image = RgbImage::from_fn(1_200, 1_200, |x, y| if y == seed && x < 40 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        encoded(&image, ImageFormat::Bmp)
    };
    let files: Vec<_> = (0..6).map(|i| (format!("{}/{i}.bmp", ["a", "b"][i as usize % 2]), drawing(i))).collect();
    let packed = zip_of(&files);
    let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(size / packed.len() > 200, "{size} to {}", packed.len());
    assert_eq!(check_bytes(&packed, &Limits::default()).unwrap().samples, 6);
}

#[test]
fn more_files_than_a_short_directory_counts() {
    let images = [png(1), png(2)];
    let files: Vec<_> = (0..70_000).map(|i| (format!("{}/{i}.png", ["a", "b"][i % 2]), images[i % 2].clone())).collect();
    assert_eq!(check_bytes(&zip_of(&files), &Limits::default()).unwrap().samples, 70_000);
}

#[test]
fn size_limits_hold() {
    let limits = Limits { entry_bytes: 1_000, ..Limits::default() };
    let noise: Vec<u8> = (0..2_000u32).map(|i| ((i * i * 31) >> 3) as u8).collect();
    refused_under(&limits, &zip_of(&with(&[("cat/big.png", noise.clone())])), "too_large", "cat/big.png");
    let limits = Limits { total_bytes: 1_500, ..Limits::default() };
    refused_under(&limits, &zip_of(&with(&[("cat/big.png", noise)])), "too_large", "cat/big.png");
}

#[test]
fn too_many_entries_are_refused_before_the_directory_is_read() {
    let limits = Limits { entries: 3, ..Limits::default() };
    refused_under(&limits, &zip_of(&four_images()), "too_many_files", "4 entries");
    // A directory that claims 2^62 entries in its 64-bit record.
    let mut bytes = zip_of(&four_images());
    let end = find_last(&bytes, b"PK\x05\x06");
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44u64.to_le_bytes());
    record.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [1u64 << 62, 1 << 62, 200, 0] {
        record.extend(value.to_le_bytes());
    }
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend((end as u64).to_le_bytes());
    record.extend([1, 0, 0, 0]);
    bytes.splice(end..end, record);
    let end = find_last(&bytes, b"PK\x05\x06");
    bytes[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
    refused(&bytes, "too_many_files", "entries");
}

#[test]
fn overlapping_entries_are_refused() {
    let mut bytes = zip_of(&four_images());
    // The second entry of the directory is pointed at the local header of the first.
    let central = find_last(&bytes, b"cat/2.png") - 46;
    bytes[central + 42..central + 46].copy_from_slice(&0u32.to_le_bytes());
    refused(&bytes, "archive_inconsistent", "another archive");
}

#[test]
fn lying_sizes_are_refused() {
    for (field, local_field) in [(24, 22), (20, 18)] {
        // In the directory only: local header and directory disagree.
        let mut bytes = zip_of(&four_images());
        let central = find_last(&bytes, b"cat/1.png") - 46;
        bytes[central + field] ^= 1;
        assert!(matches!(check_bytes(&bytes, &Limits::default()).unwrap_err().code(), "archive_inconsistent" | "archive_broken"));
        // In both: the content disagrees.
        let local = bytes.windows(9).position(|w| w == b"cat/1.png").unwrap() - 30;
        bytes[local + local_field] ^= 1;
        assert!(matches!(check_bytes(&bytes, &Limits::default()).unwrap_err().code(), "archive_inconsistent" | "archive_broken"));
    }
}

#[test]
fn an_entry_that_unpacks_to_more_than_it_says_is_stopped() {
    let mut bytes = zip_of(&with(&[("cat/more.bmp", vec![7u8; 4096])]));
    let central = find_last(&bytes, b"cat/more.bmp") - 46;
    let local = bytes.windows(12).position(|w| w == b"cat/more.bmp").unwrap() - 30;
    bytes[central + 24..central + 28].copy_from_slice(&10u32.to_le_bytes());
    bytes[local + 22..local + 26].copy_from_slice(&10u32.to_le_bytes());
    refused(&bytes, "archive_inconsistent", "cat/more.bmp");
}

#[test]
fn zip64_sizes_out_of_this_world_are_refused() {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().large_file(true).compression_method(CompressionMethod::Stored);
    for (path, bytes) in four_images() {
        writer.start_file(path.as_str(), options).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    let honest = writer.finish().unwrap().into_inner();
    assert!(check_bytes(&honest, &Limits::default()).is_ok());
    let size = (png(0).len() as u64).to_le_bytes();
    let mut bytes = honest.clone();
    // The local headers carry the size twice in their extra field.
    assert!(replace(&mut bytes, &[size, size].concat(), &[(1u64 << 63).to_le_bytes(), (1u64 << 63).to_le_bytes()].concat()) > 0);
    let error = check_bytes(&bytes, &Limits::default()).unwrap_err();
    assert!(matches!(error.code(), "archive_inconsistent" | "archive_broken" | "too_large"), "{error}");
}

#[test]
fn an_entry_hidden_from_the_directory_is_refused() {
    let mut bytes = zip_of(&with(&[("cat/hidden.png", png(9))]));
    // Drop the last record of the directory and make its end record agree.
    let end = find_last(&bytes, b"PK\x05\x06");
    let central = find_last(&bytes[..end], b"PK\x01\x02");
    let removed = (end - central) as u32;
    bytes.drain(central..end);
    let end = find_last(&bytes, b"PK\x05\x06");
    bytes[end + 8..end + 12].copy_from_slice(&[4, 0, 4, 0]);
    let size = u32::from_le_bytes(bytes[end + 12..end + 16].try_into().unwrap()) - removed;
    bytes[end + 12..end + 16].copy_from_slice(&size.to_le_bytes());
    refused(&bytes, "archive_inconsistent", "another archive");
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let bytes = zip_of(&four_images());
    refused(&bytes[..bytes.len() / 2], "archive_broken", "central directory");
    refused(b"Rar!\x1a\x07\x01\x00 and so on", "archive_unknown", "data");
    refused(b"", "archive_unknown", "data");
    let mut flipped = zip_of(&four_images());
    let at = flipped.windows(9).position(|w| w == b"dog/2.png").unwrap() + 60;
    flipped[at] ^= 0x40;
    assert_eq!(check_bytes(&flipped, &Limits::default()).unwrap_err().code(), "archive_broken");
}

#[test]
fn flipped_bytes_never_break_the_process_or_pass_for_other_images() {
    let honest = zip_of(&four_images());
    let before = check_bytes(&honest, &Limits::default()).unwrap();
    let (mut refused, mut same) = (0, 0);
    for at in 0..honest.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = honest.clone();
            bytes[at] ^= flip;
            match check_bytes(&bytes, &Limits::default()) {
                Err(_) => refused += 1,
                // Dates, attributes and names may change; the images may not.
                Ok(report) => {
                    assert_eq!(report.samples, 4, "byte {at}");
                    same += usize::from(report.digest == before.digest);
                }
            }
        }
    }
    assert!(refused > honest.len() && same > 0, "{refused} refused, {same} unchanged, {} bytes", honest.len());
}
