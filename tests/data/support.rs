//! Builders of small data sets and of archives that no honest program writes.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use hub::data::{Dataset, Error, Limits, Looks, Source, check, survey};
use hub::domain::dataset_report::DatasetReport;
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// A small PNG that looks different for every `seed`.
pub fn png(seed: u32) -> Vec<u8> {
    let level = |at: u32| ((at + 1).wrapping_mul(2 * seed + 1).wrapping_mul(2_654_435_761) >> 24) as u8;
    encoded(&RgbImage::from_fn(8, 6, |x, y| Rgb([level(x + 8 * y), (y * 40) as u8, seed as u8])), ImageFormat::Png)
}

pub fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// The name of a data set's content.
pub fn digest(dataset: &Dataset) -> String {
    survey(dataset, &Looks::default(), &mut |_, _| Ok::<_, Error>(())).unwrap().digest
}

/// Two classes with two images each: what every archive below is otherwise made of.
pub fn four_images() -> Vec<(String, Vec<u8>)> {
    ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"].iter().zip(0..).map(|(path, seed)| (path.to_string(), png(seed))).collect()
}

pub fn with(extra: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut files = four_images();
    files.extend(extra.iter().map(|(path, bytes)| (path.to_string(), bytes.clone())));
    files
}

pub fn zip_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        writer.start_file(path.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar header and content with the name written raw, so that any name is possible.
pub fn tar_entry(name: &[u8], kind: tar::EntryType, bytes: &[u8], link: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    let raw = header.as_mut_bytes();
    raw[..name.len()].copy_from_slice(name);
    raw[157..157 + link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out: Vec<u8> = files.iter().flat_map(|(path, bytes)| tar_entry(path.as_bytes(), tar::EntryType::Regular, bytes, b"")).collect();
    out.resize(out.len() + 1024, 0);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive file that lives as long as the test.
pub struct Packed {
    _dir: TempDir,
    pub path: PathBuf,
}

pub fn packed(bytes: &[u8]) -> Packed {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, bytes).unwrap();
    Packed { _dir: dir, path }
}

pub fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<DatasetReport, Error> {
    check(&Source::Archive(packed(bytes).path.clone()), limits, &mut |_, _| {})
}

/// Asserts that a check refuses with this code, and that the message names the entry and a way out.
#[track_caller]
pub fn refused(bytes: &[u8], code: &str, named: &str) {
    refused_under(&Limits::default(), bytes, code, named);
}

#[track_caller]
pub fn refused_under(limits: &Limits, bytes: &[u8], code: &str, named: &str) {
    let file = packed(bytes);
    match check(&Source::Archive(file.path.clone()), limits, &mut |_, _| {}) {
        Ok(_) => panic!("was taken, and should be refused as {code}"),
        Err(error) => {
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains(named), "`{named}` is not named by: {error}");
            assert!(!error.to_string().chars().any(char::is_control), "control characters in: {error:?}");
            assert!(!error.hint().is_empty());
        }
    }
    let left: Vec<_> = std::fs::read_dir(file.path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "something was unpacked beside the archive");
}

/// Writes files below a folder.
pub fn folder(files: &[(String, Vec<u8>)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (path, bytes) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

pub fn check_folder(files: &[(String, Vec<u8>)]) -> Result<DatasetReport, Error> {
    check(&Source::Folder(folder(files).path().to_path_buf()), &Limits::default(), &mut |_, _| {})
}
