//! What is in a data set more than once is found, told in few words, and kept on one side of a hold-out.

use hub::data::{Dataset, Error, Limits, Looks, Source, survey};
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

use crate::support::*;

/// A picture of soft waves, another for each seed.
fn waves(seed: u32) -> RgbImage {
    let wave = |n: u32| f64::from((seed * 7 + n).wrapping_mul(2_654_435_761) % 997) / 997.0;
    RgbImage::from_fn(120, 90, |x, y| {
        let (x, y) = (f64::from(x) / 120.0, f64::from(y) / 90.0);
        let at = |n: u32| ((wave(n) * 9.0 + 2.0) * x + (wave(n + 1) * 9.0 - 4.0) * y + wave(n + 2) * 6.0).sin();
        let level = |n: u32| (120.0 + 45.0 * at(n) + 30.0 * at(n + 3)) as u8;
        Rgb([level(0), level(1), level(2)])
    })
}

fn png_of(image: &RgbImage) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

#[test]
fn copies_across_splits_are_told_whether_equal_or_nearly() {
    let mut files = Vec::new();
    for (class, from) in [("cat", 0), ("dog", 100)] {
        files.extend((0..8).map(|n| (format!("train/{class}/{n}.png"), png_of(&waves(from + n)))));
        files.extend((8..10).map(|n| (format!("val/{class}/{n}.png"), png_of(&waves(from + n)))));
    }
    let worn = imageops::resize(&imageops::flip_horizontal(&imageops::brighten(&waves(3), 12)), 80, 60, FilterType::Triangle);
    files.push(("val/cat/equal.png".into(), png_of(&waves(2))));
    files.push(("val/cat/worn.jpg".into(), encoded(&worn, ImageFormat::Jpeg)));
    // The same picture under another label.
    files.push(("val/dog/torn.png".into(), png_of(&waves(1))));
    let report = check_folder(&files).unwrap();
    let [leak] = report.copies.leaks.as_slice() else { panic!("{:?}", report.copies) };
    assert_eq!((leak.split.as_str(), leak.of.as_str(), leak.copies, leak.samples, leak.near), ("val", "train", 3, 7, 1));
    assert_eq!((report.copies.equal, report.copies.near, report.copies.relabelled), (0, 0, 1));
    let [(first, second)] = report.copies.pairs.as_slice() else { panic!("{:?}", report.copies.pairs) };
    assert!(first.ends_with("train/cat/3.png") && second.ends_with("val/cat/worn.jpg"), "{first} {second}");
    let told: Vec<&String> = report.warnings.iter().filter(|w| w.contains("also in") || w.contains("another label")).collect();
    assert_eq!(told.len(), 2, "{:?}", report.warnings);
    assert!(told[0].starts_with("3 of 7 validation images are also in train (1 of them encoded anew"), "{told:?}");
}

#[test]
fn thousands_of_copies_are_one_line() {
    let files: Vec<_> = (0..600u32).map(|n| (format!("{}/{n}.png", if n % 2 == 0 { "a" } else { "b" }), png_of(&waves(n % 20)))).collect();
    let report = check_folder(&files).unwrap();
    assert_eq!(report.copies.equal, 580);
    assert!(report.warnings.len() < 4, "{:?}", report.warnings);
}

#[test]
fn a_hold_out_is_drawn_by_groups_of_copies_whatever_they_are_called() {
    // Twelve pictures a class, each as a PNG, a JPEG and smaller.
    let mut files = Vec::new();
    for (class, from) in [("cat", 0), ("dog", 100)] {
        for n in 0..12 {
            let image = waves(from + n);
            files.push((format!("{class}/{n}.png"), png_of(&image)));
            files.push((format!("{class}/j{}.jpg", 50 - n), encoded(&image, ImageFormat::Jpeg)));
            files.push((format!("{class}/s{n}.png"), png_of(&imageops::resize(&image, 90, 70, FilterType::CatmullRom))));
        }
    }
    let folder = folder(&files);
    let dataset = Dataset::open(&Source::Folder(folder.path().into()), &Limits::default()).unwrap();
    let copies = survey(&dataset, &Looks::default(), &mut |_, _| Ok::<_, Error>(())).unwrap().copies;
    let (train, held) = dataset.split_train(&copies, 0.25, 3);
    assert_eq!((train.len(), held.len()), (54, 18));
    assert!(copies.leaks(&[("train", &train), ("val", &held)]).is_empty());
    let groups: std::collections::BTreeSet<u32> = held.iter().map(|sample| copies.group(sample.id)).collect();
    assert_eq!(groups.len(), 6, "whole groups of three");
    assert_eq!(dataset.split_train(&copies, 0.25, 3).1, held);
}

#[test]
fn what_was_looked_at_once_is_not_decoded_again() {
    let mut files: Vec<_> = (0..12).map(|n| (format!("{}/{n}.png", ["cat", "dog"][n as usize % 2]), png_of(&waves(n / 2)))).collect();
    files.push(("cat/broken.png".into(), b"no picture".to_vec()));
    let folder = folder(&files);
    let open = || Dataset::open(&Source::Folder(folder.path().into()), &Limits::default()).unwrap();
    let surveyed = |known: &Looks| survey(&open(), known, &mut |_, _| Ok::<_, Error>(())).unwrap();
    let first = surveyed(&Looks::default());
    let looks = Looks::read(&first.looks.unwrap().write()).unwrap();
    let second = surveyed(&looks);
    assert!(second.looks.is_none(), "all of it was known");
    assert_eq!((&first.digest, &first.hashes), (&second.digest, &second.hashes));
    let groups = |copies: &hub::data::Copies| open().samples().iter().map(|sample| copies.group(sample.id)).collect::<Vec<_>>();
    assert_eq!(groups(&first.copies), groups(&second.copies));
    // Other bytes under the same name and of the same size are looked at anew.
    let key = Looks::key(&open());
    let mut changed = files[3].1.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(folder.path().join(&files[3].0), changed).unwrap();
    assert_eq!(Looks::key(&open()), key);
    assert!(surveyed(&looks).looks.is_some());
    std::fs::write(folder.path().join(&files[3].0), b"of another size").unwrap();
    assert_ne!(Looks::key(&open()), key);
}

#[test]
fn blank_pages_are_copies_only_of_equal_ones() {
    let page = |level: u8| RgbImage::from_pixel(50, 70, Rgb([level; 3]));
    let mut files: Vec<_> = (0..10u8).map(|n| (format!("blank/{n}.png"), png_of(&page(240 + n)))).collect();
    files.extend((0..10).map(|n| (format!("written/{n}.png"), png_of(&waves(n)))));
    files.push(("blank/again.bmp".into(), encoded(&page(240), ImageFormat::Bmp)));
    let report = check_folder(&files).unwrap();
    assert_eq!((report.copies.equal, report.copies.near, report.copies.pairs.len()), (1, 0, 0), "{:?}", report.copies);
}
